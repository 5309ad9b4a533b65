/** Saves the Lamport clock and the election term at each beat at which the clock has moved, one write at a time. */
import type { LamportClock } from '../core/log/lamport.ts';
import type { Store } from '../core/log/store.ts';

export interface ClockSaverRuntime {
  readonly store: Store;
  readonly lamport: LamportClock;
  readonly beatMs: number;
  /** Of the election. */
  term(): number;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

export class ClockSaver {
  readonly #runtime: ClockSaverRuntime;
  #beatAt = 0;
  #saved = 0;
  #isSaving = false;

  constructor(runtime: ClockSaverRuntime) {
    this.#runtime = runtime;
  }

  tick(now: number): void {
    const { store, lamport, beatMs, term, storeFailed } = this.#runtime;
    if (now < this.#beatAt) return;
    this.#beatAt = now + beatMs;
    if (lamport.time <= this.#saved || this.#isSaving) return; // one at a time, however long the disk takes
    this.#saved = lamport.time;
    this.#isSaving = true;
    store.saveClock(lamport.time, term()).catch(storeFailed).finally(() => (this.#isSaving = false));
  }
}
