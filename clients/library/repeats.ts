/**
 * Repeats of a dedupe id, for a reader that moves from broker to broker.
 *
 * A publish that was retried may have been taken by two brokers that did not know of each other. Every broker delivers
 * one of the two messages, but not every broker the same one, and one that lags behind the reader's cursor cannot
 * know that the other was delivered elsewhere. The reader can: it has seen the id.
 *
 * As for brokers, two messages with one id are one if they were published within 2 minutes, and the newest 100,000 ids
 * are remembered. What lies further apart is an id that was used again.
 */
import type { Message } from './message.ts';
import { Fifo } from '../../brokers/core/fifo.ts';

export const REPEAT_IDS_MAX = 100_000;
export const REPEAT_WINDOW_MS = 120_000;

interface Seen {
  readonly key: string;
  readonly messageId: string;
  readonly time: number; // of publishing
}

export class Repeats {
  readonly #seen = new Map<string, Seen>();
  readonly #order = new Fifo<Seen>(); // oldest first: a Map is slow to find its oldest if many were deleted

  /** How many ids are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /**
   * Those of the messages that were not delivered before as another message with the same id; they count as delivered
   * now.
   */
  without(messages: readonly Message[]): readonly Message[] {
    return messages.filter((message) => this.#isFresh(message));
  }

  #isFresh({ id, topic, dedupeId, time }: Message): boolean {
    if (dedupeId === null || time === null) return true;
    const key = `${topic}\n${dedupeId}`; // a topic has no control characters
    const known = this.#seen.get(key);
    if (known !== undefined && Math.abs(known.time - time) <= REPEAT_WINDOW_MS) return known.messageId === id;
    const seen = { key, messageId: id, time };
    this.#seen.set(key, seen);
    this.#order.push(seen);
    if (this.#order.length > REPEAT_IDS_MAX) this.#forget(this.#order.shift()!);
    return true;
  }

  #forget(seen: Seen): void {
    if (this.#seen.get(seen.key) === seen) this.#seen.delete(seen.key);
  }
}
