/**
 * PUBLISH topic payload [KEY key] [HEADER name value]... [ID dedupe-id] [ACKS none|local|quorum|all] [LAMPORT n]
 *
 * The one command whose replies may be outstanding together. Messages that arrived together on a connection, for one
 * topic and with one acknowledgement level, become one batch. The payloads are copied once, out of the received bytes
 * into the batch's body.
 */
import type { Limits } from '../config.ts';
import { ACK_LEVELS, type AckLevel } from '../core/ack-level.ts';
import { RumormillError } from '../core/error.ts';
import { LAMPORT_MAX } from '../core/log/lamport.ts';
import { BATCH_MESSAGES_MAX, type BatchMeta, type Draft, type HeaderList } from '../core/log/record.ts';
import type { Args } from '../wire/command-parser.ts';
import { checkOpenTopic, OptionReader, shown } from './command.ts';

/** A batch ready to be published. */
export interface SealedBatch {
  readonly draft: Draft;
  readonly acks: AckLevel;
}

interface Options {
  key: string | null;
  headers: HeaderList | null;
  id: string | null;
  acks: AckLevel;
  lamport: number;
}

const LONG_BYTES = 16 * 1024;

export interface BatcherTarget {
  /** Publishes the batch. Its replies come before those of everything after it. */
  publish(batch: SealedBatch): void;
  /** Replies with an error, after everything before it. */
  refuse(error: RumormillError): void;
  /** Claims a dedupe id. False if it is known: the message is published already. */
  claimId(topic: string, id: string): boolean;
  /**
   * Replies with the Lamport timestamp of the message that has the id, once it is acknowledged, after everything before
   * it.
   */
  repeat(topic: string, id: string, acks: AckLevel): void;
  /** The clock that the publisher's message carries. @throws RumormillError ERR */
  witness(lamport: number): void;
  wallTime(): number;
  /** Room for a body. */
  room(bytes: number): Buffer;
}

/** Gathers PUBLISH commands of one connection into batches. */
export class PublishBatcher {
  readonly #limits: Limits;
  readonly #defaultAcks: AckLevel;
  readonly #target: BatcherTarget;
  #topic = '';
  #topicBytes: Buffer = Buffer.alloc(0);
  #acks: AckLevel;
  #sources: Buffer[] = [];
  #starts: number[] = [];
  #ends: number[] = [];
  #bytes = 0;
  #metaBytes = 0; // what is sent with the payloads counts too, or a batch could grow beyond what peers take
  #keys: (string | null)[] | undefined;
  #headers: (HeaderList | null)[] | undefined;
  #ids: (string | null)[] | undefined;

  constructor(limits: Limits, defaultAcks: AckLevel, target: BatcherTarget) {
    this.#limits = limits;
    this.#defaultAcks = defaultAcks;
    this.#acks = defaultAcks;
    this.#target = target;
  }

  /** Takes one PUBLISH command. What is wrong with it becomes its reply. */
  add(args: Args): void {
    try {
      this.#add(args);
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.seal();
      this.#target.refuse(error);
    }
  }

  /**
   * Publishes what was gathered. To be called when what was received together is at its end, and before any other
   * command.
   */
  seal(): void {
    const count = this.#starts.length;
    if (count === 0) return;
    const lengths = this.#starts.map((start, index) => this.#ends[index]! - start);
    const draft: Draft = {
      topic: this.#topic,
      count,
      time: this.#target.wallTime(),
      lengths: `[${lengths.join(',')}]`,
      meta: this.#meta(),
      body: this.#body(),
    };
    this.#sources = [];
    this.#starts = [];
    this.#ends = [];
    this.#bytes = this.#metaBytes = 0;
    this.#keys = this.#headers = this.#ids = undefined;
    this.#target.publish({ draft, acks: this.#acks });
  }

  /**
   * The payloads one after another. A long one alone stays where it lies, unless that would keep much else in memory.
   */
  #body(): Buffer {
    const [source, start, end] = [this.#sources[0]!, this.#starts[0]!, this.#ends[0]!];
    if (this.#starts.length === 1 && this.#bytes >= LONG_BYTES && 2 * this.#bytes > source.buffer.byteLength) {
      return source.subarray(start, end);
    }
    const body = this.#target.room(this.#bytes);
    let offset = 0;
    for (const [index, each] of this.#sources.entries()) {
      offset += each.copy(body, offset, this.#starts[index]!, this.#ends[index]!);
    }
    return body;
  }

  #add(args: Args): void {
    if (args.length < 3) {
      throw new RumormillError('ERR', 'wrong number of arguments for PUBLISH: a topic and a payload at least');
    }
    const bytes = args.byteLength(2);
    if (bytes > this.#limits.payloadBytesMax) {
      throw new RumormillError(
        'TOOBIG',
        `payload of ${bytes} bytes is over ${this.#limits.payloadBytesMax}; nothing was stored`,
      );
    }
    const options = args.length > 3 ? this.#readOptions(args) : undefined;
    const acks = options?.acks ?? this.#defaultAcks;
    const known = this.#isTopic(args);
    const metaBytes = options === undefined ? 0 : metaLength(options);
    const full =
      this.#starts.length >= BATCH_MESSAGES_MAX ||
      this.#bytes + this.#metaBytes + bytes + metaBytes > this.#limits.batchBytesMax;
    if (!known || acks !== this.#acks || full) this.seal();
    if (!known) {
      this.#topic = checkOpenTopic(args.text(1), this.#limits.topicBytesMax);
      this.#topicBytes = Buffer.from(args.bytes(1));
    }
    this.#acks = acks;
    if (options !== undefined && !this.#addOptions(options)) return;
    this.#sources.push(args.buffer);
    this.#starts.push(args.starts[2]!);
    this.#ends.push(args.ends[2]!);
    this.#bytes += bytes;
    this.#metaBytes += metaBytes;
  }

  /** Column entries for what is sent with the payload. False if the message is a known one. */
  #addOptions({ key, headers, id, acks, lamport }: Options): boolean {
    this.#target.witness(lamport);
    if (id !== null && !this.#target.claimId(this.#topic, id)) {
      this.seal();
      // it may be free by now: a broker that shuts down refuses what is sealed at once
      if (!this.#target.claimId(this.#topic, id)) {
        this.#target.repeat(this.#topic, id, acks);
        return false;
      }
    }
    const index = this.#starts.length;
    if (key !== null) (this.#keys ??= [])[index] = key;
    if (headers !== null) (this.#headers ??= [])[index] = headers;
    if (id !== null) (this.#ids ??= [])[index] = id;
    return true;
  }

  #meta(): string {
    if (this.#keys === undefined && this.#headers === undefined && this.#ids === undefined) return '';
    const column = <T>(values: (T | null)[] | undefined): (T | null)[] | undefined =>
      values && Array.from(this.#starts, (_, index) => values[index] ?? null);
    const meta = { keys: column(this.#keys), headers: column(this.#headers), ids: column(this.#ids) };
    return JSON.stringify(meta satisfies { [name in keyof BatchMeta]: unknown });
  }

  #isTopic(args: Args): boolean {
    const { buffer, starts, ends } = args;
    return this.#topicBytes.length > 0 && this.#topicBytes.compare(buffer, starts[1], ends[1]) === 0;
  }

  #readOptions(args: Args): Options {
    const limits = this.#limits;
    const options: Options = { key: null, headers: null, id: null, acks: this.#defaultAcks, lamport: 0 };
    const headers: string[] = [];
    const reader = new OptionReader(args, 3);
    for (let name = reader.next(); name !== undefined; name = reader.next()) {
      switch (name) {
        case 'KEY':
          options.key = this.#text(reader, 'key', limits.keyBytesMax);
          break;
        case 'HEADER':
          headers.push(
            this.#text(reader, 'header name', limits.headerBytesMax),
            this.#text(reader, 'header value', limits.headerBytesMax),
          );
          break;
        case 'ID':
          options.id = this.#text(reader, 'dedupe id', limits.idBytesMax);
          break;
        case 'ACKS':
          options.acks = ackLevel(reader.text());
          break;
        case 'LAMPORT':
          options.lamport = reader.integer(0, LAMPORT_MAX);
          break;
        default:
          reader.unknown();
      }
    }
    if (headers.length > 0) options.headers = this.#checkHeaders(headers);
    return options;
  }

  #text(reader: OptionReader, what: string, bytesMax: number): string {
    const text = reader.text();
    if (Buffer.byteLength(text) > bytesMax) {
      throw new RumormillError('TOOBIG', `${what} is over ${bytesMax} bytes; nothing was stored`);
    }
    return text;
  }

  #checkHeaders(headers: string[]): string[] {
    const { headersMax, headerBytesMax } = this.#limits;
    const bytes = headers.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    if (headers.length / 2 > headersMax || bytes > headerBytesMax) {
      throw new RumormillError(
        'TOOBIG',
        `headers are more than ${headersMax} or over ${headerBytesMax} bytes; nothing was stored`,
      );
    }
    return headers;
  }
}

/** About how long the columns become for a message; as JSON in UTF-8 they may be up to six times that. */
function metaLength({ key, headers, id }: Options): number {
  return (key?.length ?? 0) + (headers?.reduce((sum, text) => sum + text.length, 0) ?? 0) + (id?.length ?? 0);
}

function ackLevel(text: string): AckLevel {
  const level = ACK_LEVELS.find((each) => each === text.toLowerCase());
  if (level === undefined) {
    throw new RumormillError(
      'ERR',
      `ACKS ${shown(text)} is not ${ACK_LEVELS.slice(0, -1).join(', ')} or ${ACK_LEVELS.at(-1)}`,
    );
  }
  return level;
}
