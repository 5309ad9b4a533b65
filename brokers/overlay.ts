/**
 * The shape of the mesh: who is a member, and with whom there are links. Runs membership, hearsay and the choice of neighbours, and tells the
 * neighbours what is news.
 */
import type { Address } from './core/address.ts';
import { type Beat, Hearsay } from './core/hearsay.ts';
import { type Member, Membership } from './core/membership.ts';
import { Neighbours } from './core/neighbours.ts';
import { type Origin, originAddress } from './core/record.ts';
import type { Link } from './link.ts';
import type { NamingRuntime } from './naming.ts';

export class Overlay {
  readonly membership: Membership;
  readonly #runtime: NamingRuntime;
  readonly #links: ReadonlyMap<Origin, Link>;
  readonly #neighbours: Neighbours<Member> | undefined;
  readonly #hearsay: Hearsay;
  readonly #met: ReadonlySet<Address>; // names of brokers that claimed a life of their store here, before this process
  #names: ReadonlySet<Address> = new Set(); // of the origins of the log, when there were so many
  #originsCounted = 0;
  #beatAt = 0;
  #lifeBeatAt = 0;

  /** @param links those that are up, by the peer's store */
  constructor(runtime: NamingRuntime, links: ReadonlyMap<Origin, Link>) {
    const { config, random, log } = runtime;
    const { limits, address, fanout } = config;
    this.#runtime = runtime;
    this.#links = links;
    this.#neighbours = fanout === undefined ? undefined : new Neighbours(address, fanout);
    this.#met = new Set([...runtime.store.state.lives.keys()].map(originAddress));
    const isKnown = (name: Address): boolean =>
      this.#met.has(name) || this.storeOf(name) !== undefined || this.#publishers().has(name);
    this.membership = new Membership(address, limits, random, this.#neighbours, isKnown);
    this.#hearsay = new Hearsay(() => log.origin, limits.membersMax);
  }

  /** The names of all brokers that have ever published. */
  #publishers(): ReadonlySet<Address> {
    const vector = this.#runtime.log.vector.snapshot();
    if (vector.size !== this.#originsCounted) {
      this.#names = new Set([...vector.keys()].map(originAddress));
      this.#originsCounted = vector.size;
    }
    return this.#names;
  }

  /** The store that a broker runs now, as far as is known. */
  storeOf(address: Address): Origin | undefined {
    return this.#hearsay.origin(address);
  }

  /** The link with a broker, if there is one. */
  linkTo(address: Address): Link | undefined {
    for (const link of this.#links.values()) if (link.peer.address === address) return link;
    return undefined;
  }

  /** The link over which a broker is reached: its own, or that of a neighbour which is nearer to it. */
  route(address: Address): Link | undefined {
    const via = this.#hearsay.via(address);
    return this.linkTo(address) ?? (via === undefined ? undefined : this.linkTo(via));
  }

  linkUp(link: Link): void {
    this.#hearsay.linkUp(link.peer.address);
    this.#tell(link);
  }

  linkDown(link: Link): void {
    this.#hearsay.linkDown(link.peer.address);
  }

  /** A neighbour has heard of these brokers. */
  heardOf(link: Link, beats: readonly Beat[]): void {
    const now = this.#runtime.clock.now();
    for (const address of this.#hearsay.learn(link.peer.address, beats)) this.membership.heardOf(address, now);
  }

  /** A neighbour has links enough. */
  surplus(link: Link): void {
    if (this.#neighbours?.isNext(link.peer.address) ?? true) return;
    this.membership.full(link.peer.address, this.#runtime.clock.now());
    link.close('the peer has links enough');
  }

  tick(now: number): void {
    const { limits } = this.#runtime.config;
    for (const address of this.membership.forget(now)) this.#hearsay.forget(address);
    const due = now >= this.#beatAt;
    if (due) this.#beat(now);
    if (!this.#hearsay.takeNews() && !due) return;
    for (const link of this.#links.values()) this.#tell(link);
    if (due) this.#beatAt = now + limits.beatMs;
  }

  #beat(now: number): void {
    if (this.#neighbours === undefined) return; // every link shows that we live
    if (now >= this.#lifeBeatAt) {
      this.#lifeBeatAt = now + this.#runtime.config.limits.hearsayMs;
      this.#hearsay.beat();
    }
    const { count, among } = this.#neighbours.surplus();
    const shuffled = among.map(({ address }) => ({ address, rank: this.#runtime.random() })).sort((a, b) => a.rank - b.rank);
    for (const { address } of shuffled.slice(0, count)) this.linkTo(address)?.send({ type: 'SURPLUS' });
  }

  #tell(link: Link): void {
    const now = this.#runtime.clock.now();
    const self = this.#runtime.config.address;
    const beats = this.#hearsay.news(link.peer.address, (address) => address === self || this.membership.state(address, now) !== 'dead');
    if (beats.length > 0) link.send({ type: 'MEMBERS', beats });
  }
}
