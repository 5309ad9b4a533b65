/**
 * Where subscriptions are at home: the coordinator's view, its way through the mesh, and the change from one view to
 * the next (core/home/view.ts).
 *
 * When the view changes, what is at home elsewhere from now on is given up here first, together with its leases; then
 * everybody is told so.
 */
import type { Config } from '../config.ts';
import type { Address } from '../core/address.ts';
import type { Log } from '../core/log/log.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import { homeOf, type View, Views } from '../core/home/view.ts';
import type { Handover } from '../core/queue/handover.ts';
import type { Link } from '../mesh/link.ts';
import type { HomesMessage } from '../mesh/mesh.ts';
import type { Port } from '../mesh/port.ts';
import type { Leases, Seen, Travelling } from '../wire/peer-message.ts';

export interface HomesRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: Log;
  /** Gives up what is not served here any more; settles once nothing of it is on its way to the disk. */
  giveUp(serves: (subscription: string) => boolean): Promise<readonly Handover[]>;
  /** A subscription is at home here now; this is what its former home had leased. */
  takeOver(handover: Handover): void;
  /** Subscriptions are at home elsewhere now, or this broker may do the work of them. */
  changed(): void;
}

const HOPS_MAX = 8; // as many as a command may be passed on

export class Homes {
  #lives = new Map<Address, string | undefined>(); // member -> its process, as far as it was seen
  readonly #runtime: HomesRuntime;
  readonly #mesh: Port;
  readonly #views: Views;
  #changes: Promise<void> = Promise.resolve(); // one after another
  #tickedAt: number;
  #awayUntil = -Infinity;
  readonly #toldAfar = new Set<Address>(); // members without a link that know of `#cleared`
  #cleared: View | undefined; // the newest view for which everything was given up that is at home elsewhere in it

  constructor(runtime: HomesRuntime, mesh: Port) {
    this.#runtime = runtime;
    this.#mesh = mesh;
    this.#tickedAt = runtime.clock.now();
    const { address, limits } = runtime.config;
    this.#views = new Views(address, limits.viewInstallMs, limits.viewCatchUpMs);
  }

  get view(): View | undefined {
    return this.#views.current;
  }

  /** Where a subscription is at home; undefined before there is a coordinator's view. */
  home(subscription: string): Address | undefined {
    return this.#views.home(subscription);
  }

  /** Whether this broker may do the work of a subscription now. */
  serves(subscription: string): boolean {
    return this.#views.serves(subscription);
  }

  tick(): void {
    if (!this.#wasAway()) this.#propose();
    this.#follow();
    this.#tellAfar();
    this.#install();
  }

  /**
   * Whether this process stood still for a while: then nobody has been heard of lately, even those who are there, and
   * it takes a beat until they are.
   */
  #wasAway(): boolean {
    const { clock, config } = this.#runtime;
    const now = clock.now();
    if (now - this.#tickedAt > config.limits.beatMs) this.#awayUntil = now + config.limits.beatMs;
    this.#tickedAt = now;
    return now < this.#awayUntil;
  }

  /**
   * As coordinator: says who is there, if that has changed. A member that shut down has handed its leases over;
   * if it is back before it was missed, it gets them back by a new view of the same members.
   */
  #propose(): void {
    const { coordinator, term } = this.#mesh;
    if (coordinator !== this.#runtime.config.address) return;
    const members = this.#present();
    const lives = new Map(
      members.map((member) => [member, this.#mesh.linkTo(member)?.peer.instance ?? this.#lives.get(member)]),
    );
    const isRenewed = members.some(
      (member) => this.#lives.get(member) !== undefined && this.#lives.get(member) !== lives.get(member),
    );
    this.#lives = lives;
    const view = this.#views.propose(term, members, isRenewed);
    if (view !== undefined) this.#pass(view);
  }

  /** Records are on disk: what a view waits for may be among them. */
  committed(): void {
    if (!this.#views.isInstalled) this.#install();
  }

  linkUp(link: Link): void {
    if (!this.#wasAway()) this.#propose(); // before a broker that is back hears of the view of its earlier life
    this.#follow();
    if (this.view !== undefined) link.send({ type: 'VIEW', view: this.view });
    this.#tell([link]);
  }

  receive(link: Link, message: HomesMessage): void {
    switch (message.type) {
      case 'VIEW':
        if (!this.#views.learn(message.view)) return;
        this.#pass(message.view, link);
        return this.#follow();
      case 'SEEN':
        if (message.to !== this.#runtime.config.address) return this.#passOn(link, message);
        this.#views.learnSeen(message.from, message.view, new Map(message.stored));
        return this.#install();
      case 'LEASES':
        if (message.to !== this.#runtime.config.address) return this.#passOn(link, message);
        if (this.#isNext(message.subscription, message.from)) this.#runtime.takeOver(message);
        return;
    }
  }

  /** This broker shuts down: gives everything up, for those whose home it is next. */
  async leave(): Promise<void> {
    const handovers = await this.#runtime.giveUp(() => false);
    if (this.view !== undefined) this.#handOver(handovers, without(this.view, this.#runtime.config.address));
  }

  /**
   * Whether a subscription is at home here, or will be when that broker has left; who has no view yet cannot tell, and
   * hands it on when it has.
   */
  #isNext(subscription: string, leaving: Address): boolean {
    const { address } = this.#runtime.config;
    return (
      this.view === undefined ||
      [this.view, without(this.view, leaving)].some((view) => homeOf(subscription, view) === address)
    );
  }

  /** Who is there, and not so far behind that its subscriptions would have to wait for it. */
  #present(): Address[] {
    const { config } = this.#runtime;
    const { homeSilenceMs, homeBehindMax } = config.limits;
    const members = new Set(this.view?.members);
    const isNear = (address: Address): boolean =>
      members.has(address) || this.#mesh.behind(address, homeBehindMax) <= homeBehindMax;
    return [config.address, ...this.#mesh.present(homeSilenceMs).filter(isNear)];
  }

  #pass(view: View, from?: Link): void {
    for (const link of this.#mesh.links()) if (link !== from) link.send({ type: 'VIEW', view });
  }

  #follow(): void {
    if (!this.#views.follow(this.#mesh.coordinator, this.#runtime.clock.now(), this.#mesh.roundTripMs())) return;
    const view = this.view!;
    const { coordinator, term, number, members } = view;
    this.#runtime.logger.debug('view', { coordinator, term, number, members: members.join(' ') });
    this.#changes = this.#changes.then(() => this.#change(view));
    this.#runtime.changed();
  }

  async #change(view: View): Promise<void> {
    if (view !== this.view) return; // there is a newer one, in which what comes here meanwhile may be at home
    const handovers = await this.#runtime.giveUp(
      (subscription) => homeOf(subscription, view) === this.#runtime.config.address,
    );
    this.#handOver(handovers, this.view);
    this.#cleared = view;
    this.#toldAfar.clear();
    this.#tell(this.#mesh.links());
    this.#tellAfar();
  }

  #handOver(handovers: readonly Handover[], view: View): void {
    for (const handover of handovers) {
      const home = homeOf(handover.subscription, view);
      if (home === this.#runtime.config.address) this.#runtime.takeOver(handover);
      else if (home !== undefined) this.#send(home, { type: 'LEASES', ...handover });
    }
  }

  /** Sends over the link with a broker, or another way. */
  #send(to: Address, message: Omit<Seen, keyof Travelling> | Omit<Leases, keyof Travelling>): void {
    const link = this.#mesh.linkTo(to) ?? this.#mesh.route(to);
    link?.send({ ...message, from: this.#runtime.config.address, to, hops: HOPS_MAX });
  }

  #passOn(from: Link, message: Seen | Leases): void {
    const link = message.hops > 0 ? this.#mesh.route(message.to) : undefined;
    if (link !== undefined && link !== from) link.send({ ...message, hops: message.hops - 1 });
  }

  /** Which view is used here, and what is stored. */
  #tell(links: Iterable<Link>): void {
    const seen = this.#seen();
    if (seen === undefined) return;
    for (const link of links) if (link.isOpen) this.#send(link.peer.address, seen);
  }

  /**
   * The same to members without a link that are reached another way. Where the mesh is larger than the fan-out those
   * are too many.
   */
  #tellAfar(): void {
    const { address, fanout } = this.#runtime.config;
    if (fanout !== undefined || this.#cleared === undefined || this.#cleared !== this.view) return;
    const afar = this.view.members.filter((member) => member !== address && !this.#toldAfar.has(member)
      && this.#mesh.linkTo(member) === undefined && this.#mesh.isReached(member));
    for (const member of afar) {
      this.#toldAfar.add(member);
      this.#send(member, this.#seen()!);
    }
  }

  #seen(): Omit<Seen, keyof Travelling> | undefined {
    if (this.#cleared === undefined) return undefined;
    const { coordinator, term, number } = this.#cleared;
    return { type: 'SEEN', view: { coordinator, term, number }, stored: [...this.#runtime.log.vector.snapshot()] };
  }

  #install(): void {
    const { log, clock } = this.#runtime;
    const isFull = this.#runtime.config.fanout === undefined;
    const isReachable = (member: Address): boolean =>
      this.#mesh.linkTo(member) !== undefined || (isFull && this.#mesh.isReached(member));
    if (this.#views.install(log.vector, isReachable, clock.now())) this.#runtime.changed();
  }
}

function without(view: View, address: Address): View {
  return { ...view, members: view.members.filter((member) => member !== address) };
}
