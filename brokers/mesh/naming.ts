/**
 * Under which origin this process names its records, and in which life of its store: asks its
 * peers, draws a new name if that is due, and makes the log wait for the answer; and answers
 * when peers ask about their stores. The reasons are in core/mesh/incarnation.ts.
 */
import type { Config } from '../config.ts';
import type { Address } from '../core/address.ts';
import { RumormillError } from '../core/error.ts';
import { chooseElectors, Incarnation } from '../core/mesh/incarnation.ts';
import { Lives } from '../core/mesh/lives.ts';
import type { Electors, Life } from '../core/log/life.ts';
import type { Log } from '../core/log/log.ts';
import { isOwn, makeName } from '../core/log/proof.ts';
import { type Origin, originAddress } from '../core/log/record.ts';
import type { Identity, Signatures } from '../core/mesh/identity.ts';
import type { Clock, Logger, Random } from '../core/runtime.ts';
import type { Store } from '../core/log/store.ts';
import type { Said } from '../logging/said.ts';
import type { Link } from './link.ts';

export interface NamingRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: Identity;
  readonly signatures: Signatures;
  readonly store: Store;
  readonly log: Log;
  readonly logger: Logger;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

/** What of the mesh a name depends on. */
export interface NamingMesh {
  /** The other brokers of globalState.csv. */
  configured(): readonly Address[];
  linkTo(address: Address): Link | undefined;
  readonly said: Said;
  /** There is a new origin that no peer knows. */
  renamed(): void;
}

/** What names are made of. */
type NameMakers = Pick<NamingRuntime, 'identity' | 'signatures' | 'random'>;

function takeName(store: Store, address: Address, { identity, signatures, random }: NameMakers): Promise<void> {
  const { origin, owner } = makeName(address, identity, signatures, random);
  return store.renew(origin, owner);
}

/**
 * A store that has named nothing yet, that was made under another address or with another key, or that has lost
 * records, takes a new origin, no matter what its peers say.
 * @throws RumormillError DISKFULL or STORE
 */
export async function openName(store: Store, address: Address, makers: NameMakers, logger: Logger): Promise<void> {
  const { origin: was, vector, heads, loss } = store.state;
  const moved = originAddress(was) !== address;
  if (!moved && isOwn(heads.get(was), makers.identity) && loss === undefined) return;
  await takeName(store, address, makers);
  const { origin: is } = store.state;
  if (loss !== undefined) {
    const remedy = 'what other brokers hold comes back by itself; what was on this one alone is lost';
    logger.error('store has lost records and goes on under a new name', { was, is, reason: loss, remedy });
  } else if (moved && vector.has(was)) {
    logger.warn('store was made under another address and goes on under a new name', { was, is });
  } else if (heads.has(was)) {
    logger.warn('store was made with another key and goes on under a new name', { was, is });
  } else if (vector.has(was)) {
    logger.info('store is of an earlier version and goes on under a new name', { was, is });
  }
}

export class Naming {
  readonly #runtime: NamingRuntime;
  readonly #mesh: NamingMesh;
  readonly #incarnation: Incarnation;
  readonly #lives: Lives;
  readonly #granted = new Set<Address>(); // peers that have the life of this process on disk
  readonly #asked = new Map<Link, number>(); // for it, and when
  readonly #left = new Set<Address>(); // peers that shut down
  #life: number; // that is lived, or asked for
  #patientUntil: number | undefined; // from when peers could be asked
  #settling: Promise<void> | undefined;
  #answering: Promise<void> = Promise.resolve(); // claims of peers, one after another
  #electors: Electors | undefined; // of the next life

  constructor(runtime: NamingRuntime, mesh: NamingMesh) {
    const { store, log } = runtime;
    this.#runtime = runtime;
    this.#mesh = mesh;
    this.#incarnation = new Incarnation(store.state);
    this.#lives = new Lives(store.state.lives);
    this.#life = store.state.life;
    if (!store.state.vector.has(log.origin)) return;
    this.#life = this.#incarnation.life;
    log.hold();
  }

  /**
   * Before this store's name is settled, this is what it depends on. Afterwards nobody can have more of our records
   * than we do, since nothing leaves before it is on disk: a peer that says so lies, or had none of it when it was
   * asked, and there is no link with it.
   * @throws RumormillError REFUSED
   */
  heardRecords(link: Link, entries: readonly (readonly [Origin, number])[]): void {
    const { log, config } = this.#runtime;
    const seq = entries.find(([origin]) => origin === log.origin)?.[1] ?? 0;
    const earlier = entries.filter(
      ([origin]) => origin !== log.origin && log.vector.get(origin) === 0 && originAddress(origin) === config.address,
    );
    if (earlier.length > 0) {
      const [origin, records] = earlier.at(-1)!; // there may be thousands, which are not worth a line each
      const others = earlier.length > 1 ? { others: String(earlier.length - 1) } : {};
      this.#mesh.said.once('info', 'peers know an earlier store of this broker; its records are fetched', {
        origin, records: String(records), ...others,
      });
    }
    if (log.isHeld) this.#heard(link.peer.address, seq);
    else if (seq > log.vector.get(log.origin)) {
      throw new RumormillError('REFUSED', 'it claims to hold more records of this store than the store itself');
    }
  }

  /** A peer holds this store's origin up to a seq. */
  #heard(peer: Address, seq: number): void {
    this.#incarnation.heard(peer, seq);
    this.tick();
  }

  /** Another process runs on a store of this name. */
  copied(peer: Address): void {
    this.#incarnation.copied(peer);
  }

  /** Tells the peer what is known of its store. */
  linkUp(link: Link): void {
    this.#left.delete(link.peer.address);
    link.send({ type: 'LIFE', ...this.#lives.of(link.peer.origin) });
  }

  linkDown(link: Link): void {
    this.#asked.delete(link);
    if (link.leaving) this.#left.add(link.peer.address);
  }

  /** A peer has this life of this store on disk. */
  told(link: Link, { life, holder }: Life): void {
    const isOurs = holder === this.#runtime.log.instance;
    if (isOurs && life === this.#life) this.#granted.add(link.peer.address);
    else this.#granted.delete(link.peer.address); // if it has, that disk is lost
    if (!this.#runtime.log.isHeld) return;
    this.#incarnation.told(link.peer.address, life, isOurs);
    this.tick();
  }

  /**
   * A peer's process claims a life of its store.
   * @throws RumormillError PROTOCOL for one that nobody counts to
   */
  claimed(link: Link, life: number): void {
    const { origin, instance: holder } = link.peer;
    this.#lives.isGrantable(origin, { life, holder });
    this.#answering = this.#answering.then(() => this.#answer(link, { life, holder }));
  }

  async #answer(link: Link, claim: Life): Promise<void> {
    const { origin } = link.peer;
    const { store, storeFailed } = this.#runtime;
    try {
      if (this.#lives.isGrantable(origin, claim)) {
        await store.saveLife(origin, claim);
        this.#lives.granted(origin, claim);
      }
    } catch (error) {
      return storeFailed(error); // if the disk is full it asks again
    }
    if (link.isOpen) link.send({ type: 'LIFE', ...this.#lives.of(origin) });
  }

  /** Asks who is still to be asked, and lets the log name its records as soon as that is right. */
  tick(): void {
    const { log, clock, config } = this.#runtime;
    const configured = this.#mesh.configured();
    this.#ask(log.isHeld ? this.#incarnation.candidates(configured) : configured);
    if (!log.isHeld || this.#settling !== undefined) return;
    this.#patientUntil ??= clock.now() + config.limits.joinTimeoutMs;
    const urgent = log.isWanted && clock.now() >= this.#patientUntil;
    const verdict = this.#incarnation.verdict(configured, log.vector.get(log.origin), urgent);
    if (verdict !== undefined) void this.#settle(verdict.keep ? undefined : verdict.reason);
  }

  /** Claims the life of those that have not granted it, again at each beat. */
  #ask(rows: readonly Address[]): void {
    const { clock, config } = this.#runtime;
    for (const row of rows) {
      const link = this.#granted.has(row) ? undefined : this.#mesh.linkTo(row);
      if (link === undefined || clock.now() - (this.#asked.get(link) ?? -Infinity) < config.limits.beatMs) continue;
      this.#asked.set(link, clock.now());
      link.send({ type: 'CLAIM', life: this.#life });
    }
  }

  /** What waits for a name gets one, because there is no more time to ask. */
  async hurry(): Promise<void> {
    await this.#settling;
    if (this.#runtime.log.isWanted) {
      await this.#settle('the broker stops before everybody could be asked whether it is the newest copy');
    }
  }

  /**
   * The broker leaves the mesh: those that are there now, or shut down as well, are likely to be
   * there when it comes back.
   */
  leave(): void {
    if (this.#runtime.log.isHeld) return; // the file stays what it was
    const configured = this.#mesh.configured();
    const granted = configured.filter((row) => this.#granted.has(row));
    const linked = granted.filter((row) => this.#mesh.linkTo(row) !== undefined);
    const there = [...linked, ...granted.filter((row) => !linked.includes(row) && this.#left.has(row))];
    const rows = configured.length + 1;
    this.#electors =
      chooseElectors(there, rows) ?? chooseElectors([...there, ...granted.filter((row) => !there.includes(row))], rows);
  }

  /**
   * Nothing more will be named in this life: says so in the file.
   * @throws RumormillError DISKFULL or STORE
   */
  async seal(): Promise<void> {
    await Promise.all([this.#settling, this.#answering]);
    if (this.#electors !== undefined) {
      await this.#runtime.store.saveName({ life: this.#life, electors: this.#electors });
    }
  }

  /** @param reason why the name is not kept, if it is not */
  #settle(reason: string | undefined): Promise<void> {
    return (this.#settling ??= (reason === undefined ? this.#keepName() : this.#takeName(reason))
      .catch((error: unknown) => {
        if (error instanceof RumormillError) this.#runtime.log.refuseHeld(error);
        this.#runtime.storeFailed(error);
      })
      .finally(() => (this.#settling = undefined)));
  }

  async #keepName(): Promise<void> {
    const { store, log } = this.#runtime;
    await store.saveName({ life: this.#life, electors: undefined });
    log.settle(log.origin, '');
  }

  async #takeName(reason: string): Promise<void> {
    const { config, store, log, logger } = this.#runtime;
    const was = log.origin;
    await takeName(store, config.address, this.#runtime);
    logger.warn('store goes on under a new name', { was, is: store.state.origin, reason });
    this.#life = store.state.life;
    this.#granted.clear();
    log.settle(store.state.origin, store.state.owner);
    this.#mesh.renamed();
  }
}
