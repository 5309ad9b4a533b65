/**
 * Seeded randomness for tests: one seed replays any failure. `SEED=7 npx tap ...` runs a test with a seed of one's own.
 */

/** The seed of this run, to be named in the titles of the tests that use it. */
export const SEED = Number(process.env['SEED'] ?? 1);

export class SeededRandom {
  #state: number;

  constructor(seed = SEED) {
    this.#state = seed >>> 0;
  }

  /** A uniform integer in 0..2^32-1 (mulberry32). */
  readonly word = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };

  /** A uniform integer in min..max, both inclusive. */
  integer(min: number, max: number): number {
    return min + Math.floor((this.word() / 2 ** 32) * (max - min + 1));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.integer(0, values.length - 1)]!;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.integer(0, 255)));
  }
}
