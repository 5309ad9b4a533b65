/**
 * Where subscriptions are at home: the coordinator's view, its way through the mesh, and the change from one view to the next (core/view.ts).
 *
 * When the view changes, what is at home elsewhere from now on is given up here first, together with its leases; then everybody is told so.
 */
import type { Config } from './config.ts';
import type { Address } from './core/address.ts';
import type { Bully } from './core/bully.ts';
import type { Log } from './core/log.ts';
import type { Membership } from './core/membership.ts';
import type { Origin } from './core/record.ts';
import type { Clock, Logger } from './core/runtime.ts';
import { countMissing } from './core/version-vector.ts';
import { homeOf, type View, Views } from './core/view.ts';
import { Errands, type ErrandsRuntime } from './errands.ts';
import type { Link } from './link.ts';
import type { PeerMessage } from './wire/peer-message.ts';

/** What the next home of a subscription has to know. */
export interface Handover {
  readonly subscription: string;
  readonly leases: string;
}

export interface HomesRuntime extends ErrandsRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: Log;
  /** Gives up what is not served here any more; settles once nothing of it is on its way to the disk. */
  giveUp(serves: (subscription: string) => boolean): Promise<readonly Handover[]>;
  /** A subscription is at home here now; this is what its former home had leased. */
  takeOver(handover: Handover): void;
}

export interface HomesMesh {
  readonly bully: Bully;
  readonly links: ReadonlyMap<Origin, Link>;
  readonly membership: Membership;
  linkTo(address: Address): Link | undefined;
  /** To the farthest peer and back, at least, ms. */
  roundTripMs(): number;
  /** The link over which a broker is reached, its own or one that passes on. */
  route(address: Address): Link | undefined;
  /** Whether a link owes a sign of life for too long. */
  isSilent(link: Link): boolean;
}

/** What peers say about homes. */
type HomesMessage = Extract<PeerMessage, { type: 'VIEW' | 'SEEN' | 'LEASES' | 'ASK' | 'ANSWER' | 'FORGET' }>;

export class Homes {
  readonly errands: Errands;
  #lives = new Map<Address, string | undefined>(); // member -> its process, as far as it was seen
  readonly #runtime: HomesRuntime;
  readonly #mesh: HomesMesh;
  readonly #views: Views;
  #changes: Promise<void> = Promise.resolve(); // one after another
  #tickedAt: number;
  #awayUntil = -Infinity;
  #cleared: View | undefined; // the newest view for which everything was given up that is at home elsewhere in it

  constructor(runtime: HomesRuntime, mesh: HomesMesh) {
    this.#runtime = runtime;
    this.#mesh = mesh;
    this.#tickedAt = runtime.clock.now();
    this.#views = new Views(runtime.config.address, runtime.config.limits.viewInstallMs);
    this.errands = new Errands(runtime, this, mesh);
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
    this.#install();
    this.errands.tick();
  }

  /** Whether this process stood still for a while: then nobody has been heard of lately, whoever is there, and it takes a beat until they are. */
  #wasAway(): boolean {
    const { clock, config } = this.#runtime;
    const now = clock.now();
    if (now - this.#tickedAt > config.limits.beatMs) this.#awayUntil = now + config.limits.beatMs;
    this.#tickedAt = now;
    return now < this.#awayUntil;
  }

  /**
   * As coordinator: says who is there, where that has changed. A member that shut down has handed its leases over; where it is back before it was missed, it gets
   * them back by a new view of the same members.
   */
  #propose(): void {
    const { coordinator, term } = this.#mesh.bully;
    if (coordinator !== this.#runtime.config.address) return;
    const members = this.#present();
    const lives = new Map(members.map((member) => [member, this.#mesh.linkTo(member)?.peer.instance ?? this.#lives.get(member)]));
    const isRenewed = members.some((member) => this.#lives.get(member) !== undefined && this.#lives.get(member) !== lives.get(member));
    this.#lives = lives;
    const view = this.#views.propose(term, members, isRenewed);
    if (view !== undefined) this.#pass(view);
  }

  /** Records are on disk: what a view waits for may be among them, or what an errand does. */
  committed(): void {
    if (!this.#views.isInstalled) this.#install();
    this.errands.committed();
  }

  linkUp(link: Link): void {
    if (!this.#wasAway()) this.#propose(); // before a broker that is back hears of the view of its earlier life
    this.#follow();
    if (this.view !== undefined) link.send({ type: 'VIEW', view: this.view });
    this.#tell([link]);
  }

  linkDown(link: Link): void {
    this.errands.linkDown(link);
  }

  receive(link: Link, message: HomesMessage): void {
    switch (message.type) {
      case 'VIEW':
        if (!this.#views.learn(message.view)) return;
        this.#pass(message.view, link);
        return this.#follow();
      case 'SEEN':
        this.#views.learnSeen(link.peer.address, message.view, new Map(message.stored));
        return this.#install();
      case 'LEASES':
        if (this.#isNext(message.subscription, link.peer.address)) this.#runtime.takeOver(message);
        return;
      case 'ASK':
        return this.errands.asked(link, message);
      case 'ANSWER':
        return this.errands.answered(link, message.id, message.reply);
      case 'FORGET':
        return this.errands.forget(link, message.id);
    }
  }

  /** This broker shuts down: gives everything up, for those whose home it is next. */
  async leave(): Promise<void> {
    const handovers = await this.#runtime.giveUp(() => false);
    if (this.view !== undefined) this.#handOver(handovers, without(this.view, this.#runtime.config.address));
  }

  /** Whether a subscription is at home here, or will be when that broker has left; who has no view yet cannot tell, and hands it on when it has. */
  #isNext(subscription: string, leaving: Address): boolean {
    const { address } = this.#runtime.config;
    return this.view === undefined || [this.view, without(this.view, leaving)].some((view) => homeOf(subscription, view) === address);
  }

  /** Who is there, and not so far behind that its subscriptions would have to wait for it. */
  #present(): Address[] {
    const { config, clock, log } = this.#runtime;
    const { homeSilenceMs, homeBehindMax } = config.limits;
    const members = new Set(this.view?.members);
    const stored = log.vector.snapshot();
    const isNear = (address: Address): boolean => {
      const link = this.#mesh.linkTo(address);
      return members.has(address) || link === undefined || countMissing(stored, link.vector.snapshot()) <= homeBehindMax;
    };
    const { membership } = this.#mesh;
    return [config.address, ...membership.all().filter((address) => membership.isPresent(address, clock.now(), homeSilenceMs) && isNear(address))];
  }

  #pass(view: View, from?: Link): void {
    for (const link of this.#mesh.links.values()) if (link !== from) link.send({ type: 'VIEW', view });
  }

  #follow(): void {
    const { bully } = this.#mesh;
    if (!this.#views.follow(bully.coordinator, this.#runtime.clock.now(), this.#mesh.roundTripMs())) return;
    const view = this.view!;
    const { coordinator, term, number, members } = view;
    this.#runtime.logger.debug('view', { coordinator, term, number, members: members.join(' ') });
    this.#changes = this.#changes.then(() => this.#change(view));
    this.errands.changed();
  }

  async #change(view: View): Promise<void> {
    if (view !== this.view) return; // there is a newer one, in which what comes here meanwhile may be at home
    const handovers = await this.#runtime.giveUp((subscription) => homeOf(subscription, view) === this.#runtime.config.address);
    this.#handOver(handovers, this.view);
    this.#cleared = view;
    this.#tell(this.#mesh.links.values());
  }

  #handOver(handovers: readonly Handover[], view: View): void {
    for (const handover of handovers) {
      const home = homeOf(handover.subscription, view);
      if (home === this.#runtime.config.address) this.#runtime.takeOver(handover);
      else if (home !== undefined) this.#mesh.linkTo(home)?.send({ type: 'LEASES', ...handover });
    }
  }

  /** Which view is used here, and what is stored. */
  #tell(links: Iterable<Link>): void {
    if (this.#cleared === undefined) return;
    const { coordinator, term, number } = this.#cleared;
    const stored = [...this.#runtime.log.vector.snapshot()];
    for (const link of links) if (link.isOpen) link.send({ type: 'SEEN', view: { coordinator, term, number }, stored });
  }

  #install(): void {
    const { log, clock } = this.#runtime;
    const isReachable = (member: Address): boolean => this.#mesh.linkTo(member) !== undefined;
    if (this.#views.install(log.vector.snapshot(), isReachable, clock.now())) this.errands.changed();
  }
}

function without(view: View, address: Address): View {
  return { ...view, members: view.members.filter((member) => member !== address) };
}
