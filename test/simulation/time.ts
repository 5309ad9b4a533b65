/**
 * Virtual time: events in the order of their times, and of their making where those are the same. Nothing happens between them, so one seed
 * gives one history, and an hour passes as fast as its events can be carried out.
 */
import { setImmediate } from 'node:timers/promises';
import { Heap } from '../../brokers/core/heap.ts';
import type { Timer } from '../../brokers/core/runtime.ts';

interface Event {
  readonly at: number;
  readonly number: number; // in the order of their making
  readonly task: () => void;
  cancelled: boolean;
}

export class VirtualTime {
  /** ms since the world began. */
  now = 0;
  /** Events carried out so far. */
  steps = 0;
  readonly #queue = new Heap<Event>((a, b) => a.at < b.at || (a.at === b.at && a.number < b.number));
  #made = 0;

  after(delayMs: number, task: () => void): Timer {
    const event: Event = { at: this.now + Math.max(0, delayMs), number: (this.#made += 1), task, cancelled: false };
    this.#queue.push(event);
    return { cancel: () => (event.cancelled = true) };
  }

  /** Carries out the next event that comes not after `end`, and every promise that follows from it. False where there is none. */
  async step(end: number): Promise<boolean> {
    let event: Event | undefined;
    do {
      if ((this.#queue.top?.at ?? Infinity) > end) return false;
      event = this.#queue.pop()!;
    } while (event.cancelled);
    this.now = event.at;
    this.steps += 1;
    event.task();
    await setImmediate(); // the real loop turns only once no promise is left that could settle
    return true;
  }

  /** Lets time pass. */
  async run(ms: number): Promise<void> {
    const end = this.now + ms;
    while (await this.step(end));
    this.now = end;
  }
}

/** One life of a process: from its start to its crash or end. What belongs to it stops with it. */
export class Life {
  isOver = false;
}
