/**
 * Turns: how long this process goes on with what clients want before everybody else has their turn.
 *
 * The event loop is shared by all clients, peers, the disk and the timers; work that holds it delays
 * heartbeats, and after some seconds costs other brokers their quorum. So everything that a client
 * can make long asks `isOver` as it goes, with about how much work it has done since, in µs. If the
 * turn is over, it goes on in a later one, behind those that wait already. All share one turn per
 * round of the event loop, however many they are.
 *
 * The clock is looked at once in so much work, and not at all while there is little to do. A turn
 * begins at the first look and ends with the round of I/O (`Clock.defer`); what waits runs then, in a
 * turn of its own.
 *
 * Invariants: what waits runs in the order in which it came, something of it in each round; a task
 * never runs within the call that handed it in.
 */
import { Fifo } from './fifo.ts';
import type { Clock } from './runtime.ts';

/** Between looks at the clock, µs; a step should not be much longer. */
export const LOOK_WORK = 100;
const SLICE = LOOK_WORK;

/** Steps for `Turns.run`: many things, `SLICE` of them at a time, that take about a µs each. */
export function* slicesOf<T>(things: readonly T[], act: (slice: readonly T[]) => void): Generator<number, void> {
  for (let at = 0; at < things.length; at += SLICE) {
    const slice = things.slice(at, at + SLICE);
    act(slice);
    yield slice.length;
  }
}

export class Turns {
  readonly #clock: Pick<Clock, 'now' | 'defer'>;
  readonly #turnMs: number;
  readonly #waiting = new Fifo<() => void>();
  #since: number | undefined; // when the turn began
  #work = 0; // since the last look
  #isOver = false;
  #isScheduled = false;

  /** @param turnMs how long a turn lasts; a step that is under way is carried out */
  constructor(clock: Pick<Clock, 'now' | 'defer'>, turnMs: number) {
    this.#clock = clock;
    this.#turnMs = turnMs;
  }

  /** Counts some work, in µs, and says whether others should have their turn now. */
  isOver(work: number): boolean {
    if (this.#isOver) return true;
    this.#work += work;
    if (this.#work < LOOK_WORK) return false;
    this.#work = 0;
    const now = this.#clock.now();
    if (this.#since === undefined) {
      this.#since = now;
      this.#schedule();
    }
    return (this.#isOver = now - this.#since >= this.#turnMs);
  }

  /** Runs a task in a later turn. */
  later(task: () => void): void {
    this.#waiting.push(task);
    this.#schedule();
  }

  /** Resolves in a later turn. */
  pause(): Promise<void> {
    return new Promise((resolve) => this.later(resolve));
  }

  /**
   * Goes through work that yields after each step how much it was, in µs, as many turns as it takes.
   * Begins at once if the turn is not over.
   * @throws what a step throws
   */
  run<T>(steps: Generator<number, T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const goOn = (): void => {
        try {
          for (;;) {
            const step = steps.next();
            if (step.done === true) return resolve(step.value);
            if (this.isOver(step.value)) return this.later(goOn);
          }
        } catch (error) {
          reject(error); // whatever it is, for the caller that awaits the result
        }
      };
      if (this.#isOver) this.later(goOn);
      else goOn();
    });
  }

  /**
   * Goes through many things a slice at a time, as `run` does. Returns the sum of what the slices
   * come to, once all have.
   * @param act carries out a slice, of `SLICE` things at most that take about a µs each
   * @throws what a slice throws, and then there are no more; or the first that a slice comes to later
   */
  async inSlices<T>(things: readonly T[], act: (slice: readonly T[]) => number | Promise<number>): Promise<number> {
    const parts: Promise<PromiseSettledResult<number>[]>[] = [];
    await this.run(slicesOf(things, (slice) => void parts.push(Promise.allSettled([act(slice)]))));
    let sum = 0;
    for (const outcome of (await Promise.all(parts)).flat()) {
      if (outcome.status === 'rejected') throw outcome.reason;
      sum += outcome.value;
    }
    return sum;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.defer(() => this.#next());
  }

  #next(): void {
    this.#isScheduled = false;
    this.#isOver = false;
    this.#since = this.#waiting.length > 0 ? this.#clock.now() : undefined;
    const waited = this.#waiting.length; // those that give way again have their turn in the next round
    for (let ran = 0; ran < waited && !this.#isOver; ran += 1) {
      this.#waiting.shift()!();
      this.isOver(LOOK_WORK);
    }
    this.#isOver = false;
    this.#since = undefined;
    if (this.#waiting.length > 0) this.#schedule();
  }
}
