/**
 * Long-poll: who waits for which topics, who is woken by a commit, whose time is up.
 *
 * What every blocking command must keep to:
 *   - it waits here and nowhere else, so that it costs one entry a topic and one in the expiry queue, and no timer of
 *   its own;
 *   - a waiter leaves exactly once: woken and satisfied, expired, or cancelled because its connection went away;
 *   - being woken is a hint: the waiter reads again, and goes on waiting if what came is covered by its cursor.
 *
 * Expiry is a binary heap on the deadline; a cancelled waiter is skipped when it comes to the top, and the heap is
 * rebuilt when more than half of it is cancelled, so that it stays proportional to who waits.
 */

import { Heap } from '../heap.ts';

/** Somebody who waits. `deadline` is on the monotonic clock, ms. */
export interface Waiter {
  readonly topics: Iterable<string>;
  readonly deadline: number;
}

export class LongPoll<W extends Waiter> {
  readonly #byTopic = new Map<string, Set<W>>();
  readonly #waiting = new Set<W>();
  readonly #heap = new Heap<W>((a, b) => a.deadline < b.deadline);

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  add(waiter: W): void {
    this.#waiting.add(waiter);
    for (const topic of waiter.topics) {
      const waiters = this.#byTopic.get(topic);
      if (waiters) waiters.add(waiter);
      else this.#byTopic.set(topic, new Set([waiter]));
    }
    this.#heap.push(waiter);
  }

  /** Takes a waiter out. False if it had left before. */
  remove(waiter: W): boolean {
    if (!this.#waiting.delete(waiter)) return false;
    for (const topic of waiter.topics) {
      const waiters = this.#byTopic.get(topic);
      waiters?.delete(waiter);
      if (waiters?.size === 0) this.#byTopic.delete(topic);
    }
    if (this.#heap.size > 64 && this.#heap.size > 2 * this.#waiting.size) {
      this.#heap.filter((each) => this.#waiting.has(each));
    }
    return true;
  }

  /**
   * Those who wait for one of the topics, each once, in the order in which they came for the topic. They stay until
   * removed.
   */
  woken(topics: Iterable<string>): Set<W> {
    const woken = new Set<W>();
    for (const topic of topics) for (const waiter of this.#byTopic.get(topic) ?? []) woken.add(waiter);
    return woken;
  }

  /** Takes out and returns those whose deadline is at or before `now`, earliest first. */
  expire(now: number): W[] {
    const expired: W[] = [];
    for (let top = this.#top(); top !== undefined && top.deadline <= now; top = this.#top()) {
      this.#heap.pop();
      this.remove(top);
      expired.push(top);
    }
    return expired;
  }

  /** Everybody, for a shutdown. */
  all(): Iterable<W> {
    return this.#waiting;
  }

  #top(): W | undefined {
    while (this.#heap.top !== undefined && !this.#waiting.has(this.#heap.top)) this.#heap.pop();
    return this.#heap.top;
  }
}
