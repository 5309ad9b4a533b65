/**
 * Virtual time: events in the order of their times, and of their making where those are the same. Nothing happens
 * between them, so one seed gives one history, and an hour passes as fast as its events can be carried out.
 *
 * After each event every promise that follows from it settles before the next one. Node sees to it: the queue of
 * `process.nextTick` goes on only once no microtask is left. That costs a fraction of a turn of the real loop, which is
 * taken only now and then, for rejections that nobody handles.
 */
import { Heap } from '../../brokers/core/heap.ts';
import type { Timer } from '../../brokers/core/runtime.ts';

const STEPS_A_TURN = 256;

interface Event {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
  cancelled: boolean;
}

export class VirtualTime {
  /** ms since the world began. */
  now = 0;
  /** Events carried out so far. */
  steps = 0;
  readonly #events = new Heap(isBefore);
  #made = 0;
  #failure: { readonly reason: unknown } | undefined;

  after(delayMs: number, task: () => void): Timer {
    const event: Event = { at: this.now + Math.max(0, delayMs), order: (this.#made += 1), task, cancelled: false };
    this.#events.push(event);
    return { cancel: () => (event.cancelled = true) };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** Lets time pass. */
  async run(ms: number): Promise<void> {
    const end = this.now + ms;
    await this.until(() => false, end);
    this.now = end;
  }

  /**
   * Carries out events until the condition holds. False where it does not before `end`. @throws what an event throws
   */
  until(condition: () => boolean, end: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          if (this.#failure !== undefined) throw this.#failure.reason;
          if (condition()) return resolve(true);
          if (!this.#step(end)) return resolve(false);
        } catch (error) {
          return reject(error);
        }
        if (this.steps % STEPS_A_TURN === 0) setImmediate(turn);
        else queueMicrotask(() => process.nextTick(turn));
      };
      setImmediate(turn);
    });
  }

  /** Ends the run: whoever lets time pass gets this as its error. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
  }

  #step(end: number): boolean {
    for (;;) {
      const event = this.#events.top;
      if (event === undefined || event.at > end) return false;
      this.#events.pop();
      if (event.cancelled) continue;
      this.now = event.at;
      this.steps += 1;
      event.task();
      return true;
    }
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/**
 * One life of a process: from its start to its crash or end. Whatever the world has for the process goes through `run`:
 * after its end nothing does, and while it is paused everything waits, to come in the same order when it goes on.
 */
export class Life {
  #isOver = false;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  readonly #time: VirtualTime;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  run(task: () => void): void {
    if (this.#isOver) return;
    if (this.#isPaused) this.#backlog.push(task);
    else task();
  }

  schedule(delayMs: number, task: () => void): Timer {
    let cancelled = false; // which may happen when the time has come and the process was paused
    const timer = this.#time.after(delayMs, () => this.run(() => cancelled || task()));
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    for (const task of this.#backlog.splice(0)) this.#time.after(0, () => this.run(task));
  }

  end(): void {
    this.#isOver = true;
    this.#backlog = [];
  }
}
