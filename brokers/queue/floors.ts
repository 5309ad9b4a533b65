/**
 * How far everything of a subscription is done: if nothing is left before a message, one floor for
 * each store takes the place of all acknowledgements below it.
 */
import type { Acknowledger, Ledger } from './acknowledger.ts';
import type { Limits } from '../config.ts';
import type { Log } from '../core/log/log.ts';
import type { BindingStart } from '../core/catalog/subscription.ts';
import type { Store } from '../core/log/store.ts';

export interface FloorsRuntime {
  readonly log: Log;
  readonly store: Store;
  readonly limits: Limits;
  readonly acknowledger: Acknowledger;
  readonly ledger: Ledger;
  storeFailed(error: unknown): void;
}

export class Floors {
  readonly #runtime: FloorsRuntime;
  #at = 0; // when the next may be
  #position = 0; // up to which the newest goes
  #acksSince = 0;

  constructor(runtime: FloorsRuntime) {
    this.#runtime = runtime;
  }

  /** So many messages are done. */
  acknowledged(count: number): void {
    this.#acksSince += count;
  }

  /** The bindings are others: what was floored says nothing of them. */
  reset(): void {
    this.#position = 0;
  }

  isDue(now: number): boolean {
    const { ledger, limits } = this.#runtime;
    return ledger.done.size > 0 && (now >= this.#at || this.#acksSince >= limits.floorAcks);
  }

  /** Everything that is stored up to a position is done: says so, and the exceptions below need not be kept. */
  async raise(position: number, starts: readonly BindingStart[], now: number): Promise<void> {
    const { log, store, limits, acknowledger, ledger, storeFailed } = this.#runtime;
    this.#at = now + limits.floorMs;
    this.#acksSince = 0;
    if (position <= this.#position) return;
    this.#position = position;
    try {
      const vector = position >= log.position ? log.vector.snapshot() : await store.vectorAt(position);
      const risen = new Map(
        [...vector].filter(([origin, seq]) => starts.some(({ id }) => ledger.done.floor(id, origin) < seq)),
      );
      acknowledger.gather(ledger, (state) => state.raise(starts.map(({ id }) => id), risen), (error) => {
        if (error !== undefined) this.#position = 0;
      });
    } catch (error) {
      storeFailed(error);
    }
  }
}
