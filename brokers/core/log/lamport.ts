/**
 * Lamport's logical clock: time, increment, witness, and how far others may take it.
 *
 * L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", CACM 21(7), 1978,
 * implementation rules IR1 (increment between events) and IR2 (on receipt advance beyond the
 * timestamp received).
 *
 * Timestamps are integers that stay exact in a double. A mesh counts on for decades, whatever clients do:
 * publishers may take a broker's clock `lamportPerSecondMax` further with each second that passes,
 * and what they do not use is saved for later, for those that come from a busier side of a
 * partition. Records of peers may take it by what all brokers' publishers together can (`Growth`), and before
 * that a broker without links follows what most rows say (`core/mesh/clock-claims.ts`). What a peer says of its clock
 * itself takes it by much less (`Following`): causes travel with records, so nothing depends on it.
 *
 * Invariants: the time never falls and never passes LAMPORT_MAX; two increments never share a
 * timestamp.
 */
import { Allowance, checkGrowth, COUNTER_MAX, Following, Growth } from '../counter.ts';
import { RumormillError } from '../error.ts';

/** The greatest timestamp ever accepted, 2^53 - 1. */
export const LAMPORT_MAX = COUNTER_MAX;

export interface LamportLimits {
  /** By how much publishers may take the clock each second. */
  readonly lamportPerSecondMax: number;
  /** How much of that is saved at most. */
  readonly lamportSavedMax: number;
  /** How much of it there is when a broker starts. */
  readonly lamportSavedFirst: number;
  /** By how much peers may take the clock each second. */
  readonly lamportPeersPerSecondMax: number;
  /** How far ahead a peer may be at the first contact. */
  readonly lamportPeersAheadMax: number;
  /** By how much what one peer says of its clock may take this one each second. */
  readonly lamportToldPerSecondMax: number;
  /** How much of that is saved at most. */
  readonly lamportToldSavedMax: number;
}

const UNLIMITED: LamportLimits = {
  lamportPerSecondMax: LAMPORT_MAX, lamportSavedMax: LAMPORT_MAX, lamportSavedFirst: LAMPORT_MAX,
  lamportPeersPerSecondMax: LAMPORT_MAX, lamportPeersAheadMax: LAMPORT_MAX,
  lamportToldPerSecondMax: LAMPORT_MAX, lamportToldSavedMax: LAMPORT_MAX,
};

export class LamportClock {
  readonly #limits: LamportLimits;
  readonly #now: () => number;
  readonly #growth: Growth;
  readonly #following: Following;
  readonly #publishers: Allowance;
  #time: number;

  /**
   * @param time where it goes on from
   * @param limits on what others may do with it; none for a client's
   * @param now monotonic, ms
   */
  constructor(time = 0, limits: LamportLimits = UNLIMITED, now: () => number = () => 0) {
    const { lamportPeersAheadMax: atOnce, lamportPeersPerSecondMax: perSecond } = limits;
    this.#time = Math.min(time, LAMPORT_MAX);
    this.#limits = limits;
    this.#now = now;
    this.#growth = new Growth({ atOnce, perSecond }, this.#time, now());
    const { lamportPerSecondMax, lamportSavedMax, lamportToldPerSecondMax, lamportToldSavedMax } = limits;
    this.#following = new Following({ perSecond: lamportToldPerSecondMax, savedMax: lamportToldSavedMax });
    const publishers = { perSecond: lamportPerSecondMax, savedMax: lamportSavedMax };
    this.#publishers = new Allowance(publishers, now(), limits.lamportSavedFirst);
  }

  /** The timestamp of the newest event known here; 0 before the first. */
  get time(): number {
    return this.#time;
  }

  /** How many events may still happen. */
  get room(): number {
    return LAMPORT_MAX - this.#time;
  }

  /**
   * IR1: `count` events happen here. Returns the timestamp of the first; the last has `first + count - 1`.
   * @throws RumormillError ERR if so many timestamps are not left; then nothing has changed
   */
  increment(count = 1): number {
    if (count > this.room) throw atItsEnd();
    const first = this.#time + 1;
    this.#time += count;
    return first;
  }

  /** IR1 for an event without a record: at the end of all timestamps it shares the last one. */
  tick(): number {
    if (this.#time < LAMPORT_MAX) this.#time += 1;
    return this.#time;
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
   * IR2 for a record of a peer.
   * @throws RumormillError PROTOCOL for a time that no mesh can have counted to, and that most peers have not
   */
  witnessPeer(time: number): void {
    if (this.#isCredible(time)) return this.witness(time);
    this.#check(time);
    this.follow(time);
  }

  /**
   * A peer with a link says what its clock shows. This one goes along with it as far as one peer may take it.
   * @throws RumormillError PROTOCOL as above
   */
  told(peer: string, time: number): void {
    this.#check(time);
    this.witnessPeer(this.#following.follow(peer, time, this.#time, this.#now()));
  }

  /** The link with a peer is lost: what it said counts no more. */
  parted(peer: string): void {
    this.#following.leave(peer);
  }

  #check(time: number): void {
    checkGrowth('Lamport timestamp', time, this.#time, this.#growth, this.#now(), () => this.#following.common());
  }

  #isCredible(time: number): boolean {
    return time <= this.#time || time <= this.#growth.max(this.#now());
  }

  /** Whether a peer's time would be believed. */
  mayWitness(time: number): boolean {
    return this.#isCredible(time) || time <= this.#following.common();
  }

  /** The mesh has counted so far, as most say: what peers tell is measured from there from now on. */
  follow(time: number): void {
    this.witness(time);
    this.#growth.restart(this.#time, this.#now());
  }

  /**
   * IR2 for the clock that a publisher says it has.
   * @throws RumormillError ERR if it is further ahead than publishers may take this one by now
   */
  witnessPublisher(time: number): void {
    if (time <= this.#time) return;
    const ahead = time - this.#time;
    const saved = this.#publishers.left(this.#now());
    if (ahead > saved) {
      const { lamportPerSecondMax } = this.#limits;
      throw new RumormillError('ERR', `LAMPORT ${time} is ${ahead} ahead of this broker's ${this.#time}, which follows`
        + ` publishers by ${lamportPerSecondMax} a second, ${saved} now; nothing was stored`);
    }
    this.witness(time);
    this.#publishers.take(ahead);
  }
}

/** Why nothing can be published any more. */
export function atItsEnd(): RumormillError {
  return new RumormillError(
    'ERR',
    `the Lamport clock has come to its end, ${LAMPORT_MAX}; nothing was stored: see broker --mend-clock`,
  );
}
