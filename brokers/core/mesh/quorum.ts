/**
 * Acknowledgements beyond one's own disk: who waits for a majority, or for everybody, to have a record.
 *
 * Counted of the members that are in, alive or not (invariant 5); while the membership changes, of those before and of
 * those after, and both groups have to have it. As in Raft (section 5.3 of the paper), the seq that a majority of a
 * group has is the middle one of the sorted seqs of all; all of them have the lowest.
 *
 * Most waiters want the newest record of one's own. A publish that repeats a dedupe id wants the record that has it,
 * an older one or one of another origin; so each origin has its waiters, by seq. Timeouts are the same for all, so
 * those go by arrival.
 */
import { RumormillError } from '../error.ts';
import { Fifo } from '../fifo.ts';
import { Heap } from '../heap.ts';
import type { Origin } from '../log/record.ts';

export type ReplicaLevel = 'quorum' | 'all';
export const REPLICA_LEVELS: readonly ReplicaLevel[] = ['quorum', 'all'];

/** How far each broker of a group holds an origin's records. */
export type Group = readonly number[];

interface Waiter {
  readonly origin: Origin;
  readonly seq: number;
  readonly since: number;
  done: ((error?: RumormillError) => void) | undefined; // undefined once it is answered
}

/** Who waits for an origin's records. */
interface Waiting {
  reached: Readonly<Record<ReplicaLevel, number>>; // the seqs up to which records are on disks enough
  readonly waiters: Readonly<Record<ReplicaLevel, Heap<Waiter>>>;
}

export class Quorum {
  readonly #timeoutMs: number;
  readonly #seqs: (origin: Origin) => readonly Group[];
  readonly #waiting = new Map<Origin, Waiting>();
  readonly #arrivals = new Fifo<Waiter>();

  /** @param seqs how far each broker of each group holds an origin's records */
  constructor(timeoutMs: number, seqs: (origin: Origin) => readonly Group[]) {
    this.#timeoutMs = timeoutMs;
    this.#seqs = seqs;
  }

  /** Calls `done` once enough brokers have the record, or with NOQUORUM. */
  wait(level: ReplicaLevel, origin: Origin, seq: number, now: number, done: (error?: RumormillError) => void): void {
    const waiting = this.#waiting.get(origin);
    if (seq <= (waiting?.reached ?? this.#reached(origin))[level]) return done();
    const waiter = { origin, seq, since: now, done };
    (waiting ?? this.#open(origin)).waiters[level].push(waiter);
    this.#arrivals.push(waiter);
  }

  /** Brokers may hold more than before. */
  update(): void {
    for (const [origin, waiting] of this.#waiting) {
      waiting.reached = this.#reached(origin);
      for (const level of REPLICA_LEVELS) this.#release(waiting.waiters[level], waiting.reached[level]);
      if (REPLICA_LEVELS.every((level) => waiting.waiters[level].size === 0)) this.#waiting.delete(origin);
    }
    this.#forgetAnswered();
  }

  /** Answers those whose time is up. */
  expire(now: number): void {
    this.#giveUp(now, (waiter) => now - waiter.since >= this.#timeoutMs);
  }

  /** Answers everybody, for a shutdown. */
  abandon(now: number): void {
    this.#giveUp(now, () => true);
  }

  #open(origin: Origin): Waiting {
    const heap = (): Heap<Waiter> => new Heap((a, b) => a.seq < b.seq);
    const waiting = { reached: this.#reached(origin), waiters: { quorum: heap(), all: heap() } };
    this.#waiting.set(origin, waiting);
    return waiting;
  }

  #reached(origin: Origin): Waiting['reached'] {
    const groups = this.#seqs(origin);
    return { quorum: reachedBy('quorum', groups), all: reachedBy('all', groups) };
  }

  #release(waiters: Heap<Waiter>, seq: number): void {
    while (waiters.top !== undefined && (waiters.top.done === undefined || waiters.top.seq <= seq)) {
      answer(waiters.pop()!);
    }
  }

  #giveUp(now: number, isDue: (waiter: Waiter) => boolean): void {
    for (let waiter = this.#arrivals.first; waiter !== undefined; waiter = this.#arrivals.first) {
      if (waiter.done !== undefined && !isDue(waiter)) break;
      this.#arrivals.shift();
      if (waiter.done !== undefined) answer(waiter, this.#timeout(waiter, now));
    }
  }

  #forgetAnswered(): void {
    while (this.#arrivals.length > 0 && this.#arrivals.first!.done === undefined) this.#arrivals.shift();
  }

  #timeout(waiter: Waiter, now: number): RumormillError {
    const stored = this.#seqs(waiter.origin)
      .map((group) => `${group.filter((seq) => seq >= waiter.seq).length} of ${group.length} brokers`)
      .join(', and of the members after the change that is under way on ');
    const waitedMs = Math.round(Math.min(now - waiter.since, this.#timeoutMs));
    return new RumormillError('NOQUORUM', `stored on ${stored} after ${waitedMs} ms; it may still be delivered`);
  }
}

/** Up to which seq enough brokers of every group hold the records. */
export function reachedBy(level: ReplicaLevel, groups: readonly Group[]): number {
  return Math.min(...groups.map((group) => reached(level, [...group].sort((a, b) => b - a))));
}

/** @param seqs descending */
function reached(level: ReplicaLevel, seqs: Group): number {
  return seqs[level === 'all' ? seqs.length - 1 : Math.floor(seqs.length / 2)] ?? 0;
}

function answer(waiter: Waiter, error?: RumormillError): void {
  const { done } = waiter;
  waiter.done = undefined;
  done?.(error);
}
