/**
 * Under which origin this process names its records: draws a new one where that is due, and makes the log wait for the answer. The reasons
 * stand in core/incarnation.ts.
 */
import type { Config } from './config.ts';
import type { Address } from './core/address.ts';
import { RumormillError } from './core/error.ts';
import { Incarnation } from './core/incarnation.ts';
import type { Log } from './core/log.ts';
import { makeOrigin, originAddress } from './core/record.ts';
import type { Clock, Logger, Random, Store } from './core/runtime.ts';

export interface NamingRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: Store;
  readonly log: Log;
  readonly logger: Logger;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

/**
 * A store that has named nothing yet, that was made under another address, or that has lost records, takes a new origin, whatever its peers say.
 * @throws RumormillError DISKFULL or STORE
 */
export async function openName(store: Store, address: Address, random: Random, logger: Logger): Promise<void> {
  const { origin, vector, loss } = store.state;
  const moved = originAddress(origin) !== address;
  if (!moved && vector.has(origin) && loss === undefined) return;
  await store.renew(makeOrigin(address, random));
  if (moved && vector.has(origin)) logger.warn('store was made under another address and goes on under a new name', { was: origin, is: store.state.origin });
  if (loss !== undefined) {
    const remedy = 'what other brokers hold comes back by itself; what was on this one alone is lost';
    logger.error('store has lost records and goes on under a new name', { was: origin, is: store.state.origin, reason: loss, remedy });
  }
}

export class Naming {
  readonly #runtime: NamingRuntime;
  readonly #renamed: () => void;
  readonly #incarnation = new Incarnation();
  #patientUntil: number | undefined; // from when peers could be asked
  #renewal: Promise<void> | undefined;

  /** @param renamed told once there is a new origin, of which no peer knows */
  constructor(runtime: NamingRuntime, renamed: () => void) {
    const { store, log } = runtime;
    this.#runtime = runtime;
    this.#renamed = renamed;
    if (store.state.vector.has(log.origin)) log.hold();
  }

  /** A peer holds this store's origin up to a seq. */
  heard(peer: Address, seq: number): void {
    this.#incarnation.heard(peer, seq);
  }

  /** Another process runs on a store of this name. */
  copied(peer: Address): void {
    this.#incarnation.copied(peer);
  }

  /** Lets the log name its records as soon as that is right. `configured`: the other brokers of globalState.csv. */
  settle(configured: readonly Address[]): void {
    const { log, clock, config } = this.#runtime;
    if (!log.isHeld || this.#renewal !== undefined) return;
    this.#patientUntil ??= clock.now() + config.limits.joinTimeoutMs;
    const urgent = log.isWanted && clock.now() >= this.#patientUntil;
    const verdict = this.#incarnation.verdict(configured, log.vector.get(log.origin), urgent);
    if (verdict === undefined) return;
    if (verdict.keep) log.settle(log.origin);
    else void this.#renew(verdict.reason);
  }

  /** What waits for a name gets one, because there is no more time to ask. */
  async hurry(): Promise<void> {
    if (this.#runtime.log.isWanted) await this.#renew('the broker stops before everybody could be asked whether it is the newest copy');
  }

  #renew(reason: string): Promise<void> {
    return (this.#renewal ??= this.#takeOrigin(reason).finally(() => (this.#renewal = undefined)));
  }

  async #takeOrigin(reason: string): Promise<void> {
    const { config, random, store, log, logger, storeFailed } = this.#runtime;
    const was = log.origin;
    try {
      await store.renew(makeOrigin(config.address, random));
    } catch (error) {
      if (error instanceof RumormillError) log.refuseHeld(error);
      return storeFailed(error);
    }
    logger.warn('store goes on under a new name', { was, is: store.state.origin, reason });
    log.settle(store.state.origin);
    this.#renamed();
  }
}
