/** Messages and results as users of the library get them. */
import type { Message as WireMessage } from '../../brokers/core/log/record.ts';

/** A message of the mesh. */
export interface Message {
  /** `<lamport>@<host:port>` of the broker that took it. */
  readonly id: string;
  readonly topic: string;
  readonly lamport: number;
  readonly key: string | null;
  /** Where a name occurs more than once, its last value. */
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Buffer;
  /** The dedupe id that it was published with. */
  readonly dedupeId: string | null;
  /** When it was published with that id, ms since 1970 by the clock of the broker that took it. */
  readonly time: number | null;
  /** The payload as UTF-8 text. */
  readonly text: string;
}

/** What a poll brought, and the cursor to go on from: good on every broker. */
export interface PollResult {
  readonly cursor: string;
  readonly messages: readonly Message[];
}

export function toMessage(message: WireMessage): Message {
  return new ReceivedMessage(message);
}

/** A message as it came over the wire. */
export class ReceivedMessage implements Message {
  readonly id: string;
  readonly topic: string;
  readonly lamport: number;
  readonly key: string | null;
  readonly headers: Message['headers'];
  readonly payload: Buffer;
  readonly dedupeId: string | null;
  readonly time: number | null;

  constructor({ id, topic, lamport, key, headers, payload, dedupe }: WireMessage) {
    this.id = id;
    this.topic = topic;
    this.lamport = lamport;
    this.key = key;
    this.headers = namedHeaders(headers);
    this.payload = Buffer.isBuffer(payload)
      ? payload
      : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    this.dedupeId = dedupe?.id ?? null;
    this.time = dedupe?.time ?? null;
  }

  /** The payload as UTF-8 text. */
  get text(): string {
    return this.payload.toString('utf8');
  }
}

const NO_HEADERS: Message['headers'] = Object.freeze({});

function namedHeaders(headers: WireMessage['headers']): Message['headers'] {
  if (headers.length === 0) return NO_HEADERS;
  const pairs: [string, string][] = [];
  for (let index = 0; index + 1 < headers.length; index += 2) pairs.push([headers[index]!, headers[index + 1]!]);
  return Object.fromEntries(pairs); // an assignment would lose one that is called __proto__
}
