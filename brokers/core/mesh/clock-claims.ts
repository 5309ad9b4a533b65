/**
 * Clock claims: how a broker that has no link with any row finds out how far the mesh has counted,
 * before it believes one broker that says something incredible.
 *
 * A clock may be far behind for an honest reason: the broker is new, or was away for years. So the
 * broker gathers what the rows say. Once most rows have spoken, or all have had the time to, it follows
 * the lower median. One broker with an absurd clock is outvoted; if only two have spoken, the lower
 * clock counts. A broker that has a link with a row knows how far the mesh has counted, and follows
 * no clock this way.
 */
import type { Address } from '../address.ts';

export class ClockClaims {
  readonly #waitMs: number;
  #claims = new Map<Address, number>(); // of rows only
  #since: number | undefined;

  /** @param waitMs for which rows that say nothing are waited for */
  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /**
   * A broker has introduced itself with a clock that is not believed.
   * @param rows the other brokers of globalState.csv
   * @returns the time to follow, as soon as it is known
   */
  hear(from: Address, time: number, rows: readonly Address[], now: number): number | undefined {
    if (!rows.includes(from)) return undefined;
    this.#since ??= now;
    this.#claims.set(from, time);
    const claims = rows
      .map((row) => this.#claims.get(row))
      .filter((claim) => claim !== undefined)
      .sort((a, b) => a - b);
    if (2 * claims.length <= rows.length && now - this.#since < this.#waitMs) return undefined;
    return claims[Math.floor((claims.length - 1) / 2)];
  }

  /** There is a link with a row: what was claimed is over. */
  clear(): void {
    this.#claims = new Map();
    this.#since = undefined;
  }
}
