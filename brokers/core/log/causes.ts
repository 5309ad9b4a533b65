/**
 * What the next local batch has to declare in its deps: what entered the log since the last one
 * (record.ts).
 *
 * A transaction changes it by what it holds and no more: a log that has seen thousands of names of
 * stores, and names nothing itself, must not pay for them with each commit. The change counts once
 * the transaction is on disk.
 */
import type { Origin } from './record.ts';
import type { Vector, VersionVector } from './version-vector.ts';

/**
 * Each batch of so many declares in its deps all that is stored, not only what is new: so the deps
 * of an origin's last ones add up to all of it.
 */
export const DECLARE_EVERY = 256;

export class Causes {
  #undeclared: Map<Origin, number>;
  #sinceAll = 0; // local batches since one declared everything

  /** @param vector what is stored; nothing of it was declared by this process */
  constructor(vector: Vector, own: Origin) {
    this.#undeclared = new Map(vector);
    this.#undeclared.delete(own);
  }

  get undeclared(): Vector {
    return this.#undeclared;
  }

  get sinceAll(): number {
    return this.#sinceAll;
  }

  /** The transaction is on disk. */
  committed({ entered, isDeclared, sinceAll }: Declaring): void {
    this.#sinceAll = sinceAll;
    if (isDeclared) this.#undeclared = new Map(entered);
    else for (const [origin, seq] of entered) this.#undeclared.set(origin, seq);
  }
}

/** What a transaction changes of the causes. */
export class Declaring {
  readonly entered = new Map<Origin, number>(); // in it, and not declared in it
  isDeclared = false; // what was undeclared before it
  sinceAll: number;
  readonly #causes: Causes;

  constructor(causes: Causes) {
    this.#causes = causes;
    this.sinceAll = causes.sinceAll;
  }

  enter(origin: Origin, seq: number): void {
    this.entered.set(origin, seq);
  }

  /**
   * The deps of the next local batch; the first one of an origin declares everything, that of an
   * earlier origin of this store too.
   */
  declare(isFirst: boolean, own: Origin, vector: VersionVector): string {
    const deps = new Map(this.isDeclared ? [] : this.#causes.undeclared);
    for (const [origin, seq] of this.entered) deps.set(origin, seq);
    if (isFirst || this.sinceAll >= DECLARE_EVERY - 1) {
      for (const [origin, seq] of vector.entries()) if (origin !== own && !deps.has(origin)) deps.set(origin, seq);
      this.sinceAll = 0;
    } else this.sinceAll += 1;
    this.entered.clear();
    this.isDeclared = true;
    return deps.size === 0 ? '' : JSON.stringify(Object.fromEntries(deps));
  }
}
