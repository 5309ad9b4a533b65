/**
 * What this broker knows of the lives of other brokers' stores (incarnation.ts): of each the
 * highest, and the process that claimed it.
 *
 * A life is granted to the first process that claims it, and to none after it: as a term to a
 * candidate in Raft (D. Ongaro, J. Ousterhout, USENIX ATC 2014, section 5.2). What is granted is on
 * disk before anybody is told.
 */
import { checkCounter } from '../counter.ts';
import type { Life } from '../log/life.ts';
import type { Origin } from '../log/record.ts';

const NONE: Life = { life: 0, holder: '' };

export class Lives {
  readonly #lives: Map<Origin, Life>;

  /** @param stored what is on disk */
  constructor(stored: ReadonlyMap<Origin, Life>) {
    this.#lives = new Map(stored);
  }

  of(store: Origin): Life {
    return this.#lives.get(store) ?? NONE;
  }

  /**
   * Whether a claim is to be granted, by writing it.
   * @throws RumormillError PROTOCOL for a life that nobody counts to
   */
  isGrantable(store: Origin, { life }: Life): boolean {
    const known = this.of(store);
    checkCounter('life', life, known.life);
    return life > known.life;
  }

  /** A claim is on disk. */
  granted(store: Origin, claim: Life): void {
    this.#lives.set(store, claim);
  }
}
