/**
 * Hold-back: batches of peers that came before what they depend on wait here, so that position order stays a causal order (invariant 4).
 *
 * K. Birman, A. Schiper, P. Stephenson, "Lightweight Causal and Atomic Group Multicast", ACM TOCS 9(3), 1991. A batch is ready when it
 * follows on its origin's last and everything in its deps is accepted.
 *
 * Bounded: what does not fit is dropped, and with it everything of that origin that comes after it. The origin then counts as behind
 * and is grafted again, from where it stands.
 */
import { batchBytes, lastSeq, type Origin, parseDeps, type RecordBatch } from './record.ts';

interface Held {
  readonly batch: RecordBatch;
  readonly deps: readonly (readonly [Origin, number])[];
}

export class HoldBack {
  readonly #nextSeq: (origin: Origin) => number;
  readonly #accept: (batch: RecordBatch) => void;
  readonly #bytesMax: number;
  readonly #held = new Map<Origin, Held[]>(); // each list without holes
  #bytes = 0;

  /**
   * @param nextSeq the seq that is accepted next of an origin
   * @param accept takes a batch in, so that `nextSeq` moves on
   */
  constructor(nextSeq: (origin: Origin) => number, accept: (batch: RecordBatch) => void, bytesMax: number) {
    this.#nextSeq = nextSeq;
    this.#accept = accept;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Accepts the batch and whatever it makes ready, or holds it. Says what became of it. */
  offer(batch: RecordBatch): 'accepted' | 'held' | 'duplicate' | 'dropped' {
    if (batch.seq < this.#nextSeq(batch.origin)) return 'duplicate';
    const deps = parseDeps(batch);
    const held = this.#held.get(batch.origin);
    if (held === undefined && this.#isReady(batch, deps)) {
      this.#accept(batch);
      if (this.#held.size > 0) this.#acceptReady();
      return 'accepted';
    }
    const last = held?.at(-1)?.batch;
    const follows = batch.seq === (last === undefined ? this.#nextSeq(batch.origin) : lastSeq(last) + 1);
    if (!follows) return last !== undefined && batch.seq <= lastSeq(last) ? 'duplicate' : 'dropped';
    if (this.#bytes + batchBytes(batch) > this.#bytesMax) return 'dropped';
    if (held === undefined) this.#held.set(batch.origin, [{ batch, deps }]);
    else held.push({ batch, deps });
    this.#bytes += batchBytes(batch);
    return 'held';
  }

  /** Lets go of what is held of an origin: it comes again from another neighbour. */
  drop(origin: Origin): void {
    for (const { batch } of this.#held.get(origin) ?? []) this.#bytes -= batchBytes(batch);
    this.#held.delete(origin);
  }

  /** Lets go of everything: what was accepted before it is not accepted any more. */
  clear(): void {
    this.#held.clear();
    this.#bytes = 0;
  }

  #acceptReady(): void {
    for (let progress = true; progress; ) {
      progress = false;
      for (const [origin, held] of this.#held) {
        let count = 0;
        while (count < held.length && this.#isReady(held[count]!.batch, held[count]!.deps)) {
          const { batch } = held[count]!;
          this.#bytes -= batchBytes(batch);
          this.#accept(batch);
          count += 1;
        }
        if (count === held.length) this.#held.delete(origin);
        else held.splice(0, count);
        if (count > 0) progress = true;
      }
    }
  }

  #isReady(batch: RecordBatch, deps: readonly (readonly [Origin, number])[]): boolean {
    return batch.seq === this.#nextSeq(batch.origin) && deps.every(([origin, seq]) => this.#nextSeq(origin) > seq);
  }
}
