/**
 * Acknowledgements beyond one's own disk: who waits for a majority, or for everybody, to have a record.
 *
 * Counted of the configured brokers and oneself, alive or not (invariant 5). As in Raft (section 5.3 of the paper),
 * the seq that a majority has is the middle one of the sorted seqs of all; all of them have the lowest.
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

interface Waiter {
  readonly origin: Origin;
  readonly seq: number;
  readonly since: number;
  done: ((error?: RumormillError) => void) | undefined; // undefined once it is answered
}

/** Who waits for an origin's records. */
interface Waiting {
  seqs: readonly number[]; // descending
  readonly waiters: Readonly<Record<ReplicaLevel, Heap<Waiter>>>;
}

export class Quorum {
  readonly #timeoutMs: number;
  readonly #seqs: (origin: Origin) => readonly number[];
  readonly #waiting = new Map<Origin, Waiting>();
  readonly #arrivals = new Fifo<Waiter>();

  /** @param seqs how far each configured broker, and oneself, holds an origin's records */
  constructor(timeoutMs: number, seqs: (origin: Origin) => readonly number[]) {
    this.#timeoutMs = timeoutMs;
    this.#seqs = seqs;
  }

  /** Calls `done` once enough brokers have the record, or with NOQUORUM. */
  wait(level: ReplicaLevel, origin: Origin, seq: number, now: number, done: (error?: RumormillError) => void): void {
    const waiting = this.#waiting.get(origin);
    if (seq <= reached(level, waiting?.seqs ?? this.#sorted(origin))) return done();
    const waiter = { origin, seq, since: now, done };
    (waiting ?? this.#open(origin)).waiters[level].push(waiter);
    this.#arrivals.push(waiter);
  }

  /** Brokers may hold more than before. */
  update(): void {
    for (const [origin, waiting] of this.#waiting) {
      waiting.seqs = this.#sorted(origin);
      for (const level of REPLICA_LEVELS) this.#release(waiting.waiters[level], reached(level, waiting.seqs));
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
    const waiting = { seqs: this.#sorted(origin), waiters: { quorum: heap(), all: heap() } };
    this.#waiting.set(origin, waiting);
    return waiting;
  }

  #sorted(origin: Origin): number[] {
    return [...this.#seqs(origin)].sort((a, b) => b - a);
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
    const seqs = this.#seqs(waiter.origin);
    const stored = seqs.filter((seq) => seq >= waiter.seq).length;
    const waitedMs = Math.round(Math.min(now - waiter.since, this.#timeoutMs));
    return new RumormillError(
      'NOQUORUM',
      `stored on ${stored} of ${seqs.length} brokers after ${waitedMs} ms; it may still be delivered`,
    );
  }
}

function reached(level: ReplicaLevel, seqs: readonly number[]): number {
  return seqs[level === 'all' ? seqs.length - 1 : Math.floor(seqs.length / 2)] ?? 0;
}

function answer(waiter: Waiter, error?: RumormillError): void {
  const { done } = waiter;
  waiter.done = undefined;
  done?.(error);
}
