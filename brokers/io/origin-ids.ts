/** The numbers of origins in the tables of a store (schema.ts). */
import { isBefore, type Stamp } from '../core/log/stamp.ts';
import type { Origin } from '../core/log/record.ts';

export class OriginIds {
  readonly #ids: Map<Origin, number>;

  /** @param stored what is on disk */
  constructor(stored: Iterable<readonly [Origin, number]>) {
    this.#ids = new Map(stored);
  }

  of(origin: Origin): number | undefined {
    return this.#ids.get(origin);
  }

  /** The origins by their numbers. */
  names(): Map<number, Origin> {
    return new Map([...this.#ids].map(([origin, id]) => [id, origin]));
  }

  /** Those of these origins that have no number yet, each with the number that it gets. */
  missing(batches: Iterable<{ readonly origin: Origin }>): Map<Origin, number> {
    const missing = new Map<Origin, number>();
    for (const { origin } of batches) {
      if (!this.#ids.has(origin) && !missing.has(origin)) missing.set(origin, this.#ids.size + missing.size + 1);
    }
    return missing;
  }

  /** These are on disk. */
  add(stored: Iterable<readonly [Origin, number]>): void {
    for (const [origin, id] of stored) this.#ids.set(origin, id);
  }

  /** As JSON, pairs of an origin's number and a seq, for those origins that were ever stored. */
  pairs(seqs: Iterable<readonly [Origin, number]>): string {
    const pairs: [number, number][] = [];
    for (const [origin, seq] of seqs) {
      const id = this.#ids.get(origin);
      if (id !== undefined) pairs.push([id, seq]);
    }
    return JSON.stringify(pairs);
  }

  /** As JSON, the numbers of the origins whose record with the Lamport timestamp of a stamp is not before it. */
  notBefore(stamp: Stamp | undefined): string {
    const later = [...this.#ids].filter(
      ([origin]) => stamp !== undefined && !isBefore({ lamport: stamp.lamport, origin }, stamp),
    );
    return JSON.stringify(later.map(([, id]) => id));
  }
}
