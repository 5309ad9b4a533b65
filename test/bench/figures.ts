/**
 * What the benchmark reckons with: spreads over rounds, and percentiles of latencies that were taken many at a time.
 */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median (the mean of the two in the middle of an even number), least and greatest. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  if (low === undefined || high === undefined) throw new RangeError('no values');
  return { median: (low + high) / 2, min: sorted[0]!, max: sorted.at(-1)! };
}

/** Latencies; those of messages that were sent and answered together are one entry with their number. */
export class Latencies {
  readonly #entries: { readonly ms: number; readonly count: number }[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(ms: number, count = 1): void {
    this.#entries.push({ ms, count });
    this.#count += count;
  }

  addAll(others: Latencies): void {
    for (const { ms, count } of others.#entries) this.add(ms, count);
  }

  /**
   * The least latency within which this share of all messages was answered, in ms; NaN of none. One share after another
   * costs one sort.
   */
  percentiles(...shares: readonly number[]): number[] {
    const sorted = this.#entries.sort((a, b) => a.ms - b.ms);
    return shares.map((share) => {
      let within = 0;
      for (const { ms, count } of sorted) {
        within += count;
        if (within >= share * this.#count) return ms;
      }
      return NaN;
    });
  }
}
