/** A clock that stands still until it is moved on, so that a test waits for nothing. */
import { setImmediate } from 'node:timers/promises';
import type { Clock, Timer } from '../../brokers/core/runtime.ts';

interface Task {
  readonly at: number;
  readonly run: () => void;
}

export class ManualClock implements Clock {
  #now = 0;
  #wallAtStart = 1_700_000_000_000;
  #deferred: (() => void)[] = [];
  #tasks: Task[] = [];

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return Math.max(0, this.wall);
  }

  /** Wall clock, ms since 1970; set it, and it goes on from there. */
  get wall(): number {
    return this.#wallAtStart + this.#now;
  }

  set wall(time: number) {
    this.#wallAtStart = time - this.#now;
  }

  schedule(delayMs: number, run: () => void): Timer {
    const task = { at: this.#now + delayMs, run };
    this.#tasks.push(task);
    return { cancel: () => (this.#tasks = this.#tasks.filter((each) => each !== task)) };
  }

  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  /**
   * Runs what was deferred, and whatever promises and deferred tasks follow from it, until nothing is left to do now.
   */
  async settle(): Promise<void> {
    do await this.round(); while (this.#deferred.length > 0);
  }

  /** One round of I/O: runs what was deferred up to now, and whatever promises follow from it. */
  async round(): Promise<void> {
    for (const task of this.#deferred.splice(0)) task();
    await setImmediate(); // every promise that can settle has settled by then
  }

  /** Moves on, and runs what is due on the way at its own time. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (;;) {
      const next = this.#tasks.reduce<Task | undefined>(
        (first, task) => (first === undefined || task.at < first.at ? task : first),
        undefined,
      );
      if (next === undefined || next.at > end) break;
      this.#tasks = this.#tasks.filter((task) => task !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await this.settle();
    }
    this.#now = end;
  }
}
