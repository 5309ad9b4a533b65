/**
 * Lamport's logical clock: time, increment, witness, and nothing else.
 *
 * L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", CACM 21(7), 1978, implementation rules
 * IR1 (increment between events) and IR2 (on receipt advance beyond the timestamp received).
 *
 * Timestamps are integers that stay exact in a double. No message, however wrong, can push a mesh's clock to where it could not count any more (counter.ts).
 */
import { checkCounter, COUNTER_MAX, COUNTER_OPEN_MAX } from './counter.ts';
import { RumormillError } from './error.ts';

/** The greatest timestamp ever accepted. */
export const LAMPORT_MAX = COUNTER_MAX;
const BEGUN = 1000; // events, before which a clock has nothing to compare with
const AHEAD_LATE_MAX = 2 ** 16; // of a publisher, in the upper half

export class LamportClock {
  #time: number;

  constructor(time = 0) {
    this.#time = time;
  }

  /** The timestamp of the newest event known here; 0 before the first. */
  get time(): number {
    return this.#time;
  }

  /** IR1: `count` events happen here. Returns the timestamp of the first; the last has `first + count - 1`. */
  increment(count = 1): number {
    const first = this.#time + 1;
    this.#time += count;
    return first;
  }

  /**
   * IR2: an event with this timestamp is known here, so whatever happens next is later.
   * @throws RumormillError ERR for what is not an integer in 0..LAMPORT_MAX
   */
  witness(time: number): void {
    if (!Number.isInteger(time) || time < 0 || time > LAMPORT_MAX) {
      throw new RumormillError('ERR', `Lamport timestamp ${time} is not an integer from 0 to ${LAMPORT_MAX}`);
    }
    if (time > this.#time) this.#time = time;
  }

  /**
   * IR2 for an event that a peer tells of.
   * @throws RumormillError PROTOCOL for a time that no mesh counts to
   */
  witnessPeer(time: number): void {
    checkCounter('Lamport timestamp', time, this.#time < BEGUN ? undefined : this.#time);
    this.witness(time);
  }

  /**
   * IR2 for the clock that a publisher says it has.
   * @throws RumormillError ERR where it is more than `aheadMax` ahead, or less where publishers together could use up all timestamps
   */
  witnessPublisher(time: number, aheadMax: number): void {
    const most = time > COUNTER_OPEN_MAX ? Math.min(aheadMax, AHEAD_LATE_MAX) : aheadMax;
    if (time > this.#time + most) throw new RumormillError('ERR', `LAMPORT ${time} is more than ${most} ahead of this broker's ${this.#time}`);
    this.witness(time);
  }
}
