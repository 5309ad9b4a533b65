/** Messages and results as users of the library get them. */
import type { Message as WireMessage } from '../brokers/core/record.ts';

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

export function toMessage({ id, topic, lamport, key, headers, payload, dedupe }: WireMessage): Message {
  const names: Record<string, string> = {};
  for (let index = 0; index + 1 < headers.length; index += 2) names[headers[index]!] = headers[index + 1]!;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    id, topic, lamport, key, headers: names, payload: bytes, dedupeId: dedupe?.id ?? null, time: dedupe?.time ?? null,
    get text() {
      return bytes.toString('utf8');
    },
  };
}
