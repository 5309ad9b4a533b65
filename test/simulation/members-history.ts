/** What a run with turnover leaves behind for its checker (members-checker.ts). */
import type { Address } from '../../brokers/core/address.ts';

/** A broker was forgotten: this is what was lost with it, unless it came back. */
export interface Departure {
  /** The names of the records that no other disk had (ledger.ts, `nameOf`). */
  readonly alone: ReadonlySet<string>;
}

export interface MembersHistory {
  readonly departures: readonly Departure[];
  /** The rows with which the mesh was founded. */
  readonly rows: readonly Address[];
  /** Who had come and is no member in the end. */
  readonly gone: readonly Address[];
  /** Who dialled whom, and when. */
  readonly dials: readonly { readonly from: string; readonly to: Address; readonly at: number }[];
  /** Whom brokers were told to join by, or have rows for: they may dial them whatever they know. */
  readonly guides: ReadonlyMap<string, readonly Address[]>;
}
