/**
 * Repeats of a dedupe id, for a subscription that moves from broker to broker.
 *
 * A publish that was retried may have been taken by two brokers that did not know of each other. Every broker delivers one of the two messages,
 * but not every broker the same one, and one that lags behind the subscription's cursor cannot know that the other was delivered elsewhere. The
 * subscription can: it has seen the id.
 *
 * Remembered are the newest 100,000 ids for 2 minutes, as brokers do. The two messages lie as far apart as a publisher waits before it
 * retries, some seconds; what lies further apart is not a repeat to any broker either.
 */
import type { Message } from './message.ts';
import { Queue } from './queue.ts';

export const REPEAT_IDS_MAX = 100_000;
export const REPEAT_WINDOW_MS = 120_000;

interface Seen {
  readonly key: string;
  readonly messageId: string;
  readonly at: number;
}

export class Repeats {
  readonly #now: () => number;
  readonly #seen = new Map<string, Seen>();
  readonly #order = new Queue<Seen>(); // the same, oldest first: a Map is slow to find its oldest where many were deleted

  /** @param now a monotonic clock, ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** How many ids are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /** Those of the messages whose id was not delivered with another message before; they count as delivered now. */
  without(messages: readonly Message[]): readonly Message[] {
    const at = this.#now();
    this.#forget(at - REPEAT_WINDOW_MS);
    return messages.filter((message) => this.#isFresh(message, at));
  }

  #isFresh({ id, topic, dedupeId }: Message, at: number): boolean {
    if (dedupeId === null) return true;
    const key = `${topic}\n${dedupeId}`; // a topic has no control characters
    const known = this.#seen.get(key);
    if (known !== undefined) return known.messageId === id;
    const seen = { key, messageId: id, at };
    this.#seen.set(key, seen);
    this.#order.push(seen);
    if (this.#order.length > REPEAT_IDS_MAX) this.#seen.delete(this.#order.shift()!.key);
    return true;
  }

  #forget(before: number): void {
    for (let oldest = this.#order.first; oldest !== undefined && oldest.at <= before; oldest = this.#order.first) {
      this.#seen.delete(oldest.key);
      this.#order.shift();
    }
  }
}
