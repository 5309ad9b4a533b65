/**
 * Frees the disk of what deleted topics held: their dead batches become covered ones, some at a time, a tick apart, so
 * that publishers hardly wait for it. Readers pass dead messages over whether they are swept yet or not. What comes
 * late, from a broker that was away, is swept too.
 */
import type { Limits } from '../config.ts';
import { firstLive, type TopicNames } from '../core/catalog/catalog.ts';
import { isDiskFull } from '../core/error.ts';
import { isCovered, type StoredBatch } from '../core/log/record.ts';
import type { LamportPlace, Store } from '../core/log/store.ts';
import type { Stamp } from '../core/log/stamp.ts';

export interface SweepRuntime {
  readonly limits: Limits;
  readonly store: Store;
  readonly names: TopicNames;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

export class Sweep {
  readonly #runtime: SweepRuntime;
  readonly #known = new Map<string, Stamp>(); // deletions that are being seen to or were
  readonly #pending = new Map<string, LamportPlace>(); // stored name -> the place up to which nothing dead is left
  #isBusy = false;

  constructor(runtime: SweepRuntime) {
    this.#runtime = runtime;
  }

  /** Whether anything is left to do. */
  get isPending(): boolean {
    return this.#isBusy || this.#pending.size > 0;
  }

  /** These deletions were seen to in an earlier life. */
  swept(buried: ReadonlyMap<string, Stamp>): void {
    for (const [topic, stamp] of buried) this.#known.set(topic, stamp);
  }

  /** Topics, by stored name, that may have been deleted. */
  deleted(topics: Iterable<string>): void {
    for (const topic of topics) {
      const stamp = this.#runtime.names.deadBefore(topic);
      if (stamp === undefined || this.#known.get(topic) === stamp) continue;
      this.#known.set(topic, stamp);
      this.#add(topic, { lamport: 0, position: 0 });
    }
  }

  /** Batches are on disk: some may belong to topics that were deleted. */
  committed(batches: readonly StoredBatch[]): void {
    const { names } = this.#runtime;
    if (names.isPlain) return;
    for (const batch of batches) {
      const dead = names.deadBefore(batch.topic);
      if (dead !== undefined && !isCovered(batch) && firstLive(batch, dead) === batch.count) {
        this.#add(batch.topic, { lamport: batch.lamport, position: 0 });
      }
    }
  }

  /** Goes on. A full disk passes; it tries again at the next tick. */
  tick(): void {
    const [next] = this.#pending;
    if (next === undefined || this.#isBusy) return;
    this.#isBusy = true;
    void this.#sweep(...next).finally(() => (this.#isBusy = false));
  }

  async #sweep(topic: string, after: LamportPlace): Promise<void> {
    const { store, names, limits, storeFailed } = this.#runtime;
    this.#pending.delete(topic);
    try {
      const next = await store.cover(topic, names.deadBefore(topic)!, after, limits.sweepBatchesMax);
      if (next !== undefined) this.#add(topic, next);
    } catch (error) {
      this.#add(topic, after);
      if (!isDiskFull(error)) storeFailed(error);
    }
  }

  #add(topic: string, after: LamportPlace): void {
    const pending = this.#pending.get(topic);
    if (pending === undefined || after.lamport < pending.lamport) this.#pending.set(topic, after);
  }
}
