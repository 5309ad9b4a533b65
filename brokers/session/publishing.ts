/**
 * What one connection publishes: its PUBLISH commands gathered into batches, and their replies, which
 * leave in the order of the commands however long each batch takes.
 */
import { PublishBatcher, type SealedBatch } from '../commands/publish.ts';
import type { Config } from '../config.ts';
import type { AckLevel } from '../core/ack-level.ts';
import type { RumormillError } from '../core/error.ts';
import { Fifo } from '../core/fifo.ts';
import type { Publisher } from '../log/publisher.ts';
import type { Outlet } from './outlet.ts';
import type { Args } from '../wire/command-parser.ts';
import { encodeIntegers, encodeReply, type RespVersion } from '../wire/resp.ts';

const SLOT_BYTES = 500; // about what an unanswered batch takes beside its messages

/** The replies to a run of publishes; `bytes` once they are known. */
interface Slot {
  readonly count: number;
  bytes: Buffer | undefined;
}

/** The connection. */
export interface Publishes {
  /** Of the replies. */
  readonly version: RespVersion;
  /** Where they go. */
  readonly out: Outlet;
  /** Replies have been sent; more may be published. */
  replied(): void;
}

export class Publishing {
  readonly #config: Config;
  readonly #publisher: Publisher;
  readonly #connection: Publishes;
  readonly #slots = new Fifo<Slot>();
  #batcher: PublishBatcher | undefined; // made when it is needed: thousands of connections only wait
  #unanswered = 0;
  #waitingBytes = 0; // of replies behind one that is not known yet

  constructor(config: Config, publisher: Publisher, connection: Publishes) {
    this.#config = config;
    this.#publisher = publisher;
    this.#connection = connection;
  }

  /** Messages without a reply. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** Whether a reply is due. */
  get isBusy(): boolean {
    return this.#slots.length > 0;
  }

  get heldBytes(): number {
    return this.#slots.length * SLOT_BYTES + this.#waitingBytes;
  }

  /** Takes a PUBLISH. What is wrong with it becomes its reply. */
  add(args: Args): void {
    (this.#batcher ??= this.#makeBatcher()).add(args);
  }

  /** Publishes what was gathered: no more came with it, or another command is to follow. */
  seal(): void {
    this.#batcher?.seal();
  }

  /** Replies with an error, behind everything that is due. */
  refuse(error: RumormillError): void {
    this.#fill(this.#reserve(1), this.#encode(error));
  }

  #encode(error: RumormillError): Buffer {
    return encodeReply(error, this.#connection.version);
  }

  #makeBatcher(): PublishBatcher {
    const publisher = this.#publisher;
    return new PublishBatcher(this.#config.limits, this.#config.acks, {
      publish: (batch) => this.#publish(batch),
      refuse: (error) => this.refuse(error),
      claimId: (topic, id) => publisher.claimId(topic, id),
      repeat: (topic, id, acks) => this.#repeat(topic, id, acks),
      witness: (lamport) => publisher.witness(lamport),
      wallTime: () => publisher.wallTime(),
      room: (bytes) => publisher.bodies.take(bytes),
    });
  }

  #publish({ draft, acks }: SealedBatch): void {
    const slot = this.#reserve(draft.count);
    this.#publisher.publish(draft, acks, (outcome) => {
      const bytes = 'error' in outcome
        ? Buffer.concat(new Array<Buffer>(draft.count).fill(this.#encode(outcome.error)))
        : encodeIntegers(outcome.lamport, draft.count);
      this.#fill(slot, bytes);
    });
  }

  #repeat(topic: string, id: string, acks: AckLevel): void {
    const slot = this.#reserve(1);
    this.#publisher.repeat(topic, id, acks, (outcome) => {
      const isError = 'error' in outcome;
      this.#fill(slot, isError ? this.#encode(outcome.error) : encodeIntegers(outcome.lamport, 1));
    });
  }

  #reserve(count: number): Slot {
    const slot: Slot = { count, bytes: undefined };
    this.#slots.push(slot);
    this.#unanswered += count;
    return slot;
  }

  /** What is known goes out up to the first slot that is not. */
  #fill(slot: Slot, bytes: Buffer): void {
    slot.bytes = bytes;
    this.#waitingBytes += bytes.length;
    if (slot !== this.#slots.first) return;
    for (let first = this.#slots.first; first?.bytes !== undefined; first = this.#slots.first) {
      this.#connection.out.write(first.bytes);
      this.#waitingBytes -= first.bytes.length;
      this.#unanswered -= first.count;
      this.#slots.shift();
    }
    this.#connection.replied();
  }
}
