/** Who holds which records, as far as the peers have told: what acknowledgements, homes and leaving brokers go by. */
import type { Config } from '../config.ts';
import { type Address, compareAddresses } from '../core/address.ts';
import type { Log } from '../core/log/log.ts';
import { type Origin, originAddress } from '../core/log/record.ts';
import { countMissing, EMPTY_VECTOR, type Vector } from '../core/log/version-vector.ts';
import type { BrokerId } from '../core/mesh/identity.ts';
import type { MemberState } from '../core/mesh/membership.ts';
import { type Group, reachedBy } from '../core/mesh/quorum.ts';
import type { Clock } from '../core/runtime.ts';
import type { Gossip, Seated } from './gossip.ts';
import type { Link } from './link.ts';
import type { Overlay } from './overlay.ts';

/** Which brokers count. */
export interface Counted extends Seated {
  /** The groups whose disks count (members/members.ts); undefined for one of all rows and this broker. */
  groups(): readonly (readonly Address[])[] | undefined;
  /** Whether a broker may be given work. */
  serves(address: Address): boolean;
}

export interface HoldingsRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  members(): Counted;
}

/** What of the mesh it looks at. */
export interface HoldingsMesh {
  /** Those that are up, by the peer's store. */
  readonly links: ReadonlyMap<Origin, Link>;
  /** With those that have no seat. */
  guests(): readonly Link[];
  readonly overlay: Overlay;
  readonly gossip: Gossip;
}

export interface BrokerInfo {
  readonly address: Address;
  readonly state: MemberState | 'self';
  /** Records held here that the peer does not have yet, as far as it told. */
  readonly behind: number;
}

export class Holdings {
  readonly #runtime: HoldingsRuntime;
  readonly #mesh: HoldingsMesh;
  readonly #lastSeen = new Map<Address, Vector>(); // what peers had when their links were lost

  constructor(runtime: HoldingsRuntime, mesh: HoldingsMesh) {
    this.#runtime = runtime;
    this.#mesh = mesh;
  }

  linkUp(address: Address): void {
    this.#lastSeen.delete(address);
  }

  linkDown(link: Link): void {
    if (this.#lastSeen.size >= this.#runtime.config.limits.membersMax) return;
    this.#lastSeen.set(link.peer.address, this.#mesh.gossip.vectorOf(link)?.snapshot() ?? EMPTY_VECTOR);
  }

  /** Every broker that is known, this one too, in broker order. */
  brokers(): BrokerInfo[] {
    const { config, clock, log } = this.#runtime;
    const now = clock.now();
    const { links, gossip } = this.#mesh;
    const vectors = new Map([...links.values()].map((link) => [link.peer.address, gossip.vectorOf(link)]));
    const peers = this.#mesh.overlay.membership.all().map((address): BrokerInfo => ({
      address,
      state: this.#mesh.overlay.membership.state(address, now),
      behind: countMissing(
        log.vector.entries(), vectors.get(address) ?? this.#lastSeen.get(address) ?? EMPTY_VECTOR,
      ),
    }));
    return [...peers, { address: config.address, state: 'self' as const, behind: 0 }].sort((a, b) =>
      compareAddresses(a.address, b.address),
    );
  }

  /** Those that can be given work: this one, if it has a seat, and members that gave a sign of life in that time. */
  present(silenceMs: number): Address[] {
    const { clock, config, members } = this.#runtime;
    const { membership } = this.#mesh.overlay;
    const now = clock.now();
    const others = membership.all().filter((address) => members().serves(address)
      && membership.isPresent(address, now, silenceMs) && !this.#mesh.overlay.isGone(address));
    return members().hasSeat(config.address) ? [config.address, ...others] : others;
  }

  /** The rows, this broker among them, if it reaches a majority of them and they are as many brokers. */
  founders(): readonly Address[] | undefined {
    const { membership } = this.#mesh.overlay;
    const { seats } = membership;
    if (seats.length === 0 || !membership.hasOwnRow) return undefined;
    const reached = seats.filter(({ broker }) => broker !== undefined && this.#mesh.overlay.isReached(broker));
    const areAll = seats.every(({ broker }) => broker !== undefined);
    if (!areAll || 2 * (reached.length + 1) <= seats.length + 1) return undefined;
    return [this.#runtime.config.address, ...membership.configured()].sort(compareAddresses);
  }

  /** Whether nothing tells that a broker may be there. A link that was just lost does. */
  isDead(address: Address): boolean {
    const { overlay } = this.#mesh;
    return !overlay.isReached(address) && overlay.membership.state(address, this.#runtime.clock.now()) === 'dead';
  }

  /** The id that a dial of an address has shown lately; undefined if none has, and then it is dialled soon. */
  sightOf(address: Address): BrokerId | undefined {
    return this.#mesh.overlay.membership.sightOf(address, this.#runtime.clock.now());
  }

  /** How many records a broker has announced that nobody else who is known has. */
  alone(address: Address): number {
    const vector = this.#lastSeen.get(address);
    if (vector === undefined) return 0;
    const others = new Map(this.#runtime.log.vector.entries());
    for (const link of this.#mesh.links.values()) {
      for (const [origin, seq] of this.#mesh.gossip.vectorOf(link)?.snapshot() ?? []) {
        others.set(origin, Math.max(seq, others.get(origin) ?? 0));
      }
    }
    return countMissing(vector.entries(), others);
  }

  /**
   * How many records here are not yet where they have to be before this broker goes: its own on a majority of the
   * members, those of others on one that it has a link with.
   */
  lonely(): number {
    const { log, members } = this.#runtime;
    const vectors = [...this.#mesh.links.values()].filter(({ peer }) => members().serves(peer.address))
      .map((link) => this.#mesh.gossip.vectorOf(link));
    let count = 0;
    for (const [origin, seq] of log.vector.entries()) {
      const elsewhere = Math.max(0, ...vectors.map((vector) => vector?.get(origin) ?? 0));
      const held = origin === log.origin ? Math.min(elsewhere, reachedBy('quorum', this.seqs(origin))) : elsewhere;
      count += Math.max(0, seq - held);
    }
    return count;
  }

  /** Whether this broker has all that one with a link has announced. */
  hasAllOf(id: BrokerId): boolean {
    const link = [...this.#mesh.links.values(), ...this.#mesh.guests()].find(({ peer }) => peer.id === id);
    return link !== undefined && this.#hasAllOf(link);
  }

  /** Whether this broker has links, and all that those with links have announced. */
  hasAll(): boolean {
    const links = [...this.#mesh.links.values()];
    return links.length > 0 && links.every((link) => this.#hasAllOf(link));
  }

  #hasAllOf(link: Link): boolean {
    const vector = this.#mesh.gossip.vectorOf(link)?.snapshot();
    return vector !== undefined && vector.size > 0 && countMissing(vector, this.#runtime.log.vector.snapshot()) === 0;
  }

  /** How many of the records here a peer with a link lacks, counted up to about `max`; 0 without a link. */
  behind(address: Address, max: number): number {
    const link = this.#mesh.overlay.linkTo(address);
    const vector = link && this.#mesh.gossip.vectorOf(link);
    return vector === undefined ? 0 : countMissing(this.#runtime.log.vector.entries(), vector, max);
  }

  /**
   * How far the brokers whose disks count hold an origin's records, in groups (core/mesh/quorum.ts); 0 for a missing
   * one, and for one that has a member's address and not its key.
   */
  seqs(origin: Origin): readonly Group[] {
    const { config, log, members } = this.#runtime;
    const held = (row: Address, broker: Address): number => {
      const peer = this.#mesh.overlay.linkTo(broker)?.peer;
      if (peer !== undefined && !members().hasSeat(row, peer.id)) return 0;
      const store = peer?.origin ?? this.#mesh.overlay.storeOf(broker);
      return store === undefined ? 0 : this.#mesh.gossip.heldBy(origin, store);
    };
    const own = members().hasSeat(config.address) ? log.vector.get(origin) : 0;
    const seqs = new Map<Address, number>([[config.address, own]]);
    const { seats } = this.#mesh.overlay.membership;
    for (const { row, broker } of seats) seqs.set(row, broker === undefined ? 0 : held(row, broker));
    return members().groups()?.map((group) => group.map((address) => seqs.get(address) ?? 0)) ?? [[...seqs.values()]];
  }

  /**
   * The origins of stores that are gone, as far as is known here: their broker runs another store now, or there is none
   * and no member at that address.
   */
  gone(isMember: (address: Address) => boolean): Origin[] {
    const { config, log } = this.#runtime;
    const { overlay } = this.#mesh;
    const stores = new Map<Address, Origin | undefined>([[config.address, log.origin]]);
    const isGone = (origin: Origin): boolean => {
      const address = originAddress(origin);
      if (!stores.has(address)) {
        stores.set(address, overlay.linkTo(address)?.peer.origin ?? overlay.storeOf(address));
      }
      const store = stores.get(address);
      return store === undefined ? !isMember(address) : store !== origin;
    };
    return [...log.vector.snapshot().keys()].filter(isGone);
  }

  /** Whether every neighbour that is not silent has all records of this broker on disk. */
  isBackedUp(): boolean {
    const { log } = this.#runtime;
    const hasAll = (link: Link): boolean =>
      (this.#mesh.gossip.vectorOf(link)?.get(log.origin) ?? 0) >= log.vector.get(log.origin);
    return [...this.#mesh.links.values()].every((link) => this.#mesh.overlay.isSilent(link) || hasAll(link));
  }
}
