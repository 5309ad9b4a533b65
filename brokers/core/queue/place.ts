/**
 * Where the reader of a subscription is in the log, to the message. As `tracker/progress.go` of
 * etcd-io/raft says it of a follower.
 *
 * Always true:
 *   - Everything that is the subscription's up to `position` has been passed.
 *   - Of the batch `partial`, the next one behind `position` that is the subscription's, `index`
 *     messages have been passed too. Without `partial`, `index` is 0.
 *   - It moves forward. Only `rewind` takes it back, and ends the generation: what is being read
 *     for the place of before is not for this one.
 */
import type { Origin } from '../log/record.ts';
import type { Vector } from '../log/version-vector.ts';
import type { Source } from './lease.ts';

export class Place {
  #position = 0;
  #partial: Source | undefined;
  #index = 0;
  #generation = 0;

  get position(): number {
    return this.#position;
  }

  /** How many messages of the batch behind `position` have been passed. */
  get index(): number {
    return this.#index;
  }

  /** Grows with each `rewind`. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether it is in the batch at a position. */
  isIn(position: number): boolean {
    return this.#partial?.position === position;
  }

  /** One more message of a batch, the one behind `position`, has been passed. */
  advance(batch: Source): void {
    this.#partial = batch;
    this.#index += 1;
  }

  /** Everything up to a position, `position` at least, has been passed. */
  pass(position: number): void {
    this.#position = position;
    this.#partial = undefined;
    this.#index = 0;
  }

  /** Back to the beginning; until `pass` says where to go on, nothing counts as passed. */
  rewind(): void {
    this.pass(0);
    this.#generation += 1;
  }

  /** Whether a message has been passed. */
  has(source: Source, seq: number): boolean {
    if (source.position <= this.#position) return true;
    return this.isIn(source.position) && seq - source.seq < this.#index;
  }

  /** What has been passed of each origin. @param vector what is stored up to `position` */
  vector(vector: Vector): Map<Origin, number> {
    const passed = new Map(vector);
    if (this.#partial !== undefined) passed.set(this.#partial.origin, this.#partial.seq + this.#index - 1);
    return passed;
  }
}
