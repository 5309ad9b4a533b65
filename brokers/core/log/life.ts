/** The lives of stores (core/mesh/incarnation.ts), as they are kept on disk. */
import type { Address } from '../address.ts';

/** A life of a store, 1 or more, and the tag of the process that claimed it; 0 and '' for none. */
export interface Life {
  readonly life: number;
  readonly holder: string;
}

/** Rows that have the life on disk after which a store was stopped, and how many of them are needed to go on. */
export interface Electors {
  readonly rows: readonly Address[];
  readonly needed: number;
}

/** How far a store's file has come: its last life, and who elects the next one, if it was stopped in an orderly way. */
export interface Lived {
  readonly life: number;
  readonly electors: Electors | undefined;
}
