/**
 * Version vector: origin -> highest seq held without a hole. It says exactly what a broker has,
 * what a reader has read, and what an acknowledgement covers.
 *
 * D. S. Parker et al., "Detection of Mutual Inconsistency in Distributed Systems", IEEE TSE 9(3),
 * 1983. An origin that is not in the vector has 0. Entries only ever grow.
 */
import type { Origin } from './record.ts';

/** A vector that nobody may change; what `snapshot` gives and what cursors and links hold. */
export type Vector = ReadonlyMap<Origin, number>;

export const EMPTY_VECTOR: Vector = new Map();

export class VersionVector {
  readonly #seqs: Map<Origin, number>;
  #snapshot: Vector | undefined;

  constructor(entries: Iterable<readonly [Origin, number]> = []) {
    this.#seqs = new Map(entries);
  }

  /** The highest seq held of `origin`, 0 for none. */
  get(origin: Origin): number {
    return this.#seqs.get(origin) ?? 0;
  }

  /** Grows an entry to `seq`; a lower or equal one changes nothing. Says whether it grew. */
  advance(origin: Origin, seq: number): boolean {
    if (seq <= this.get(origin)) return false;
    this.#seqs.set(origin, seq);
    this.#snapshot = undefined;
    return true;
  }

  /** Grows every entry to at least `other`'s: the least upper bound. */
  merge(other: Vector): void {
    for (const [origin, seq] of other) this.advance(origin, seq);
  }

  /**
   * The vector as it is now, unchanging; the same object until something grows, so that waiters
   * can share it.
   */
  snapshot(): Vector {
    return (this.#snapshot ??= new Map(this.#seqs));
  }

  /** How many origins. */
  get size(): number {
    return this.#seqs.size;
  }

  entries(): IterableIterator<[Origin, number]> {
    return this.#seqs.entries();
  }
}

/** Whether `vector` holds everything that `other` holds. */
export function covers(vector: Pick<Vector | VersionVector, 'get'>, other: Vector): boolean {
  for (const [origin, seq] of other) if ((vector.get(origin) ?? 0) < seq) return false;
  return true;
}

/**
 * The origins that `vector` holds more of than `other`, with the seqs up to which `other` holds
 * them.
 */
export function lacking(vector: Pick<VersionVector, 'entries'>, other: Pick<Vector, 'get'>): [Origin, number][] {
  const found: [Origin, number][] = [];
  for (const [origin, seq] of vector.entries()) {
    const held = other.get(origin) ?? 0;
    if (held < seq) found.push([origin, held]);
  }
  return found;
}

/**
 * How many records a vector with these entries holds that `other` does not; counts no further than
 * beyond `max`.
 */
export function countMissing(
  entries: Iterable<readonly [Origin, number]>, other: Pick<Vector, 'get'>, max = Infinity,
): number {
  let missing = 0;
  for (const [origin, seq] of entries) {
    missing += Math.max(0, seq - (other.get(origin) ?? 0));
    if (missing > max) break;
  }
  return missing;
}
