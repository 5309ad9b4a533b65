/**
 * The election, run: performs the effects of core/mesh/bully.ts in their order; a term is on disk before anything is
 * sent that bears it.
 */
import type { Address } from '../core/address.ts';
import { Bully, type BullyEffect } from '../core/mesh/bully.ts';
import { isDiskFull } from '../core/error.ts';
import type { GossipRuntime } from './gossip.ts';
import type { Link } from './link.ts';
import type { NamingRuntime } from './naming.ts';
import type { Recurring } from '../logging/recurring.ts';

type ElectionRuntime = GossipRuntime & NamingRuntime;

export interface ElectionMesh {
  linkTo(address: Address): Link | undefined;
  /** To the farthest peer and back, at least, ms. */
  roundTripMs(): number;
  readonly recurring: Recurring;
}

export class Election {
  readonly bully: Bully;
  readonly #runtime: ElectionRuntime;
  readonly #mesh: ElectionMesh;
  #effects: Promise<void> = Promise.resolve(); // one after another
  #closed = false;

  constructor(runtime: ElectionRuntime, mesh: ElectionMesh) {
    const { config, clock, store } = runtime;
    const { limits } = config;
    this.#runtime = runtime;
    this.#mesh = mesh;
    this.bully = new Bully(config.address, store.state.term, {
      okTimeoutMs: limits.electionOkTimeoutMs,
      coordinatorTimeoutMs: limits.electionCoordinatorTimeoutMs,
      graceMs: limits.electionGraceMs,
      takeoverAfterMs: limits.takeoverAfterMs,
      roundTripMs: () => mesh.roundTripMs(),
      termGrowth: { atOnce: limits.termAheadMax, perSecond: limits.termPerSecondMax },
      termFollowing: { savedMax: limits.termToldSavedMax, perSecond: limits.termToldPerSecondMax },
    }, clock.now());
  }

  perform(effects: readonly BullyEffect[]): void {
    if (effects.length === 0) return;
    this.#effects = this.#effects.then(async () => {
      for (const effect of effects) await this.#perform(effect);
    });
  }

  /** Performs nothing more. */
  close(): void {
    this.#closed = true;
  }

  async #perform(effect: BullyEffect): Promise<void> {
    const { lamport } = this.#runtime;
    const { recurring } = this.#mesh;
    if (this.#closed) return;
    switch (effect.type) {
      case 'persist':
        return this.#persist(effect.term);
      case 'send':
        return this.#mesh.linkTo(effect.to)?.send({ ...effect.message, lamport: lamport.tick() });
      case 'started':
        return recurring.say('elections', 'election started', { lamport: lamport.tick(), term: effect.term });
      case 'chosen':
        return recurring.say('elections', 'coordinator chosen', {
          lamport: lamport.tick(), coordinator: effect.coordinator, term: effect.term,
        });
    }
  }

  /**
   * On a full disk this waits for room, and what follows in the election with it: the others hold theirs without us
   * meanwhile.
   */
  async #persist(term: number): Promise<void> {
    const { store, lamport, clock, config, storeFailed } = this.#runtime;
    while (!this.#closed) {
      try {
        return await store.saveClock(lamport.time, term);
      } catch (error) {
        storeFailed(error);
        if (!isDiskFull(error)) return this.close();
        await new Promise<void>((resolve) => clock.schedule(config.limits.beatMs, resolve));
      }
    }
  }
}
