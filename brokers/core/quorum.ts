/**
 * Acknowledgements beyond one's own disk: who waits for a majority, or for everybody, to have a record.
 *
 * Counted of the configured brokers and oneself, whoever is alive (invariant 5). As in Raft (section 5.3 of the paper), the seq
 * that a majority has is the middle one of the sorted seqs of all; all of them have the lowest.
 *
 * Waiters come in seq order with one timeout for all, so each level is a queue whose front is served, or expires, first.
 */
import { RumormillError } from './error.ts';

export type ReplicaLevel = 'quorum' | 'all';

interface Waiter {
  readonly seq: number;
  readonly since: number;
  readonly done: (error?: RumormillError) => void;
}

export class Quorum {
  readonly #timeoutMs: number;
  readonly #waiters: Record<ReplicaLevel, Waiter[]> = { quorum: [], all: [] };
  #seqs: readonly number[] = []; // descending

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Whether anybody waits; if not, there is no need to `update`. */
  get isAwaited(): boolean {
    return this.#waiters.quorum.length + this.#waiters.all.length > 0;
  }

  /** Calls `done` once enough brokers have the own record `seq`, or with NOQUORUM. Seqs must come in order. */
  wait(level: ReplicaLevel, seq: number, now: number, done: (error?: RumormillError) => void): void {
    if (seq <= this.#reached(level)) done();
    else this.#waiters[level].push({ seq, since: now, done });
  }

  /** How far each configured broker, with oneself, holds one's own records. */
  update(seqs: readonly number[]): void {
    this.#seqs = [...seqs].sort((a, b) => b - a);
    for (const level of ['quorum', 'all'] as const) {
      const reached = this.#reached(level);
      this.#release(level, (waiter) => waiter.seq <= reached, () => undefined);
    }
  }

  /** Answers those whose time is up. */
  expire(now: number): void {
    for (const level of ['quorum', 'all'] as const) {
      this.#release(level, (waiter) => now - waiter.since >= this.#timeoutMs, (waiter) => this.#timeout(waiter, now));
    }
  }

  /** Answers everybody, for a shutdown. */
  abandon(now: number): void {
    for (const level of ['quorum', 'all'] as const) this.#release(level, () => true, (waiter) => this.#timeout(waiter, now));
  }

  #release(level: ReplicaLevel, ripe: (waiter: Waiter) => boolean, outcome: (waiter: Waiter) => RumormillError | undefined): void {
    const waiters = this.#waiters[level];
    const end = waiters.findIndex((waiter) => !ripe(waiter));
    for (const waiter of waiters.splice(0, end < 0 ? waiters.length : end)) waiter.done(outcome(waiter));
  }

  #reached(level: ReplicaLevel): number {
    const index = level === 'all' ? this.#seqs.length - 1 : Math.floor(this.#seqs.length / 2);
    return this.#seqs[index] ?? 0;
  }

  #timeout(waiter: Waiter, now: number): RumormillError {
    const stored = this.#seqs.filter((seq) => seq >= waiter.seq).length;
    const waitedMs = Math.round(Math.min(now - waiter.since, this.#timeoutMs));
    const text = `stored on ${stored} of ${this.#seqs.length} brokers after ${waitedMs} ms; it may still be delivered`;
    return new RumormillError('NOQUORUM', text);
  }
}
