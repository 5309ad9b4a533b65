/**
 * The shape of the mesh: who is a member, with whom there are links, and which way leads to the
 * others. Runs membership, hearsay, ways and the choice of neighbours, and tells the neighbours what
 * is news.
 *
 * Where there are no links with some, the end of a broker is heard of in two ways. One that stops says so in its last
 * beat, and that is passed on at once. One that crashes is missed by its neighbours: who lost its link and cannot dial
 * it again asks for a way to it (SEEK), and that request goes to everybody. Who heard the request, and nothing of the
 * broker since for `homeSilenceMs`, takes it for gone. So nobody has to believe what another one thinks, and a broker
 * that only one of its neighbours does not reach answers the request.
 */
import type { Address } from '../core/address.ts';
import { type Beat, Hearsay } from '../core/mesh/hearsay.ts';
import { type Member, Membership } from '../core/mesh/membership.ts';
import type { HeldOf } from '../core/mesh/held.ts';
import { Neighbours } from '../core/mesh/neighbours.ts';
import { Ways } from '../core/mesh/ways.ts';
import { type Origin, originAddress } from '../core/log/record.ts';
import type { Link } from './link.ts';
import type { NamingRuntime } from './naming.ts';

const SEEK_HOPS = 8; // as many as a command may be passed on

export class Overlay {
  readonly membership: Membership;
  readonly #runtime: NamingRuntime;
  readonly #links: ReadonlyMap<Origin, Link>;
  readonly #neighbours: Neighbours<Member> | undefined;
  readonly #hearsay: Hearsay;
  readonly #met: ReadonlySet<Address>; // names of brokers that claimed a life of their store here, before this process
  #names: ReadonlySet<Address> = new Set(); // of the origins of the log, when there were so many
  #originsCounted = 0;
  readonly #ways: Ways;
  #beatAt = 0;
  #lifeBeatAt = 0;
  readonly #lost = new Map<Address, { seeks: number; seekAt: number }>(); // whose links were lost, to be sought

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
    this.#ways = new Ways({ freshMs: limits.deadAfterMs, againMs: limits.seekMs, membersMax: limits.membersMax });
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

  /**
   * The link over which a broker is reached: its own, or a neighbour's that leads there. Where none does, one is
   * sought.
   */
  route(address: Address): Link | undefined {
    const direct = this.linkTo(address);
    if (direct !== undefined && !this.isSilent(direct)) return direct;
    const via = this.#via(address);
    if (via !== undefined) return via;
    if (!this.#hearsay.isGone(address)) this.seek(address);
    return direct;
  }

  /** Whether a broker is gone: it has said so, or nothing shows that it is there. */
  isGone(address: Address): boolean {
    const { clock, config } = this.#runtime;
    const now = clock.now();
    const { homeSilenceMs } = config.limits;
    if (this.linkTo(address) !== undefined) return false;
    if (this.#hearsay.isGone(address)) return true;
    if (this.#neighbours !== undefined) return this.#ways.missedMs(address, now) >= homeSilenceMs;
    return !this.isReached(address) && !this.membership.isPresent(address, now, homeSilenceMs);
  }

  /** Whether a broker is there, as far as a link, or news that came another way, can tell. */
  isReached(address: Address): boolean {
    const direct = this.linkTo(address);
    return (direct !== undefined && !this.isSilent(direct)) || this.#via(address) !== undefined;
  }

  /**
   * Whether a link owes a sign of life for so long that one goes around it, or what is said over it
   * arrives only behind so much else: a path that has become slow carries bytes all the time.
   */
  isSilent(link: Link): boolean {
    const { routeSilentMs, pathQueueMs } = this.#runtime.config.limits;
    const patienceMs = routeSilentMs + 2 * link.roundTripMs;
    return link.silentMs(this.#runtime.clock.now()) >= patienceMs || link.latenessMs >= patienceMs + pathQueueMs;
  }

  /** Asks for a way to a member; made-up names fill no table. */
  seek(address: Address, hops = SEEK_HOPS, from?: Link): void {
    const now = this.#runtime.clock.now();
    if (!this.membership.isRow(address) || !this.#ways.maySeek(address, now)) return;
    const direct = this.linkTo(address);
    const isNear = direct !== undefined && !this.isSilent(direct);
    const links = isNear ? [direct] : [...this.#links.values()];
    for (const link of links) {
      if (link === from) continue;
      this.#tell(link); // what is known of its beats comes before the request, so that it is no answer
      link.send({ type: 'SEEK', address, hops });
    }
  }

  /** A neighbour asks for a way to a broker. */
  sought(link: Link, address: Address, hops: number): void {
    if (address !== this.#runtime.config.address) {
      if (hops > 0) this.seek(address, hops - 1, link);
      return;
    }
    this.#hearsay.beat();
    this.#spread();
  }

  /** The link over which the newest beat of a broker came, if that is fresh. */
  #via(address: Address): Link | undefined {
    const via = this.#ways.isFresh(address, this.#runtime.clock.now()) ? this.#hearsay.via(address) : undefined;
    const link = via === undefined ? undefined : this.linkTo(via);
    return link === undefined || this.isSilent(link) ? undefined : link;
  }

  linkUp(link: Link): void {
    this.#lost.delete(link.peer.address);
    this.#ways.linked(link.peer.address);
    this.#hearsay.linkUp(link.peer.address);
    this.#tell(link);
  }

  linkDown(link: Link): void {
    this.#hearsay.linkDown(link.peer.address);
    this.#ways.lost(link.peer.address);
    this.#lifeBeatAt = 0; // others may have to go around
    if (this.#neighbours !== undefined && !link.leaving) this.#lost.set(link.peer.address, { seeks: 0, seekAt: 0 });
  }

  /** This broker stops. Where all have links with it, these say so. */
  leave(): void {
    if (this.#isLinkedWithAll()) return;
    this.#hearsay.leave();
    this.#spread();
  }

  /** A neighbour has heard of these brokers. Says whether one of them has stopped. */
  heardOf(link: Link, beats: readonly Beat[]): boolean {
    const now = this.#runtime.clock.now();
    const news = this.#hearsay.learn(link.peer.address, beats.filter((beat) => this.#isCredible(link, beat)));
    const gone = news.filter((address) => this.#hearsay.isGone(address));
    for (const address of gone) {
      this.membership.left(address);
      this.#ways.lost(address);
    }
    for (const address of news) {
      if (gone.includes(address)) continue;
      this.membership.heardOf(address, now);
      this.#ways.heard(address, now);
    }
    const isUrgent = (address: Address): boolean => this.#neighbours === undefined || this.#ways.isSought(address, now);
    if (gone.length > 0 || news.some(isUrgent)) this.#spread();
    return gone.length > 0;
  }

  /** Of what stores are said to hold, what may be so: stores of members only. */
  credible(held: readonly HeldOf[]): HeldOf[] {
    return held.map(([origin, claims]) => [
      origin, claims.filter(([store]) => this.membership.isRow(originAddress(store))),
    ]);
  }

  /**
   * Whether a neighbour may say this. Brokers that are no members are not dialled, and fill no table. Who has a link
   * says itself that it stops, and shows which store it runs.
   */
  #isCredible(from: Link, [store, beat]: Beat): boolean {
    const address = originAddress(store);
    if (address === this.#runtime.config.address) return true; // whatever it is, we are later
    const link = this.linkTo(address);
    if (link === undefined) return this.membership.isRow(address);
    return store === link.peer.origin && (link === from || beat % 2 !== 0);
  }

  /** A neighbour has links enough. */
  surplus(link: Link): void {
    if (this.#neighbours?.isNext(link.peer.address) ?? true) return;
    this.membership.full(link.peer.address, this.#runtime.clock.now());
    link.close('the peer has links enough');
  }

  tick(now: number): void {
    const { limits } = this.#runtime.config;
    for (const address of this.membership.takeForgotten()) {
      this.#hearsay.forget(address);
      this.#ways.forget(address);
      this.#lost.delete(address);
    }
    for (const link of this.#links.values()) {
      const { address } = link.peer;
      if (this.isSilent(link) && this.#via(address) === undefined) this.seek(address);
    }
    this.#seekLost(now);
    const due = now >= this.#beatAt;
    if (due) this.#beat(now);
    if (!this.#hearsay.takeNews() && !due) return;
    this.#spread();
    if (due) this.#beatAt = now + limits.beatMs;
  }

  /**
   * Asks for ways to brokers whose links were lost and that cannot be dialled. What was still on its way of their beats
   * may come behind the first request, so only the answer to a later one shows that they live.
   */
  #seekLost(now: number): void {
    const { seekMs, beatMs } = this.#runtime.config.limits;
    for (const [address, lost] of this.#lost) {
      if (now < lost.seekAt || this.membership.state(address, now) !== 'dead') continue;
      const isAnswered = lost.seeks > 1 && this.#ways.missedMs(address, now) === 0;
      if (isAnswered || this.isGone(address)) {
        this.#lost.delete(address);
        continue;
      }
      this.seek(address);
      lost.seeks += 1;
      lost.seekAt = now + (lost.seeks === 1 ? seekMs : beatMs);
    }
  }

  #beat(now: number): void {
    if (now >= this.#lifeBeatAt && !this.#isLinkedWithAll()) { // else every link shows that we live
      this.#lifeBeatAt = now + this.#runtime.config.limits.hearsayMs;
      this.#hearsay.beat();
    }
    if (this.#neighbours === undefined) return;
    const { count, among } = this.#neighbours.surplus();
    const shuffled = among
      .map(({ address }) => ({ address, rank: this.#runtime.random() }))
      .sort((a, b) => a.rank - b.rank);
    for (const { address } of shuffled.slice(0, count)) this.linkTo(address)?.send({ type: 'SURPLUS' });
  }

  #isLinkedWithAll(): boolean {
    const linked = new Set([...this.#links.values()].map((link) => link.peer.address));
    return this.membership.all().every((address) => linked.has(address));
  }

  #spread(): void {
    for (const link of this.#links.values()) this.#tell(link);
  }

  #tell(link: Link): void {
    const now = this.#runtime.clock.now();
    const self = this.#runtime.config.address;
    const isWorthTelling = (address: Address): boolean =>
      address === self || this.#hearsay.isGone(address) || this.#ways.isFresh(address, now)
      || this.membership.state(address, now) !== 'dead';
    const beats = this.#hearsay.news(link.peer.address, isWorthTelling);
    if (beats.length > 0) link.send({ type: 'MEMBERS', beats });
  }
}
