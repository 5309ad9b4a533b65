/**
 * Where subscriptions are at home: the coordinator's view, its way through the mesh, and the change from one view to
 * the next (core/home/view.ts).
 *
 * When the view changes, what is at home elsewhere from now on is given up here first; then its leases are handed over
 * (handovers.ts), and once the next homes have them, everybody is told so (core/home/words.ts).
 *
 * A broker that stops does the same, for those who will be the homes without it, before it says that it stops. It also
 * waits until its neighbours have its records on disk: they are among what the next homes wait for.
 */
import type { Config } from '../config.ts';
import type { Address } from '../core/address.ts';
import type { Log } from '../core/log/log.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import { homeOf, type View, Views } from '../core/home/view.ts';
import type { Word } from '../core/home/words.ts';
import type { Handover } from '../core/queue/handover.ts';
import type { Link } from '../mesh/link.ts';
import type { HomesMessage } from '../mesh/mesh.ts';
import type { Port } from '../mesh/port.ts';
import type { Leases, Taken, Travelling } from '../wire/peer-message.ts';
import { Handovers } from './handovers.ts';

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
const LOOK_MS = 10; // between looks whether this broker can leave

export class Homes {
  #lives = new Map<Address, string | undefined>(); // member -> its process, as far as it was seen
  readonly #runtime: HomesRuntime;
  readonly #mesh: Port;
  readonly #views: Views;
  #changes: Promise<void> = Promise.resolve(); // one after another
  #tickedAt: number;
  #awayUntil = -Infinity;
  readonly #handovers: Handovers;
  #givenUp: View | undefined; // the newest view for which everything was given up that is at home elsewhere in it
  #givenUpAt = -Infinity;
  #cleared: View | undefined; // the same, and the leases were handed over
  #isFar = false; // whether the word on that is to be told on
  #isLeaving = false;
  readonly #leavers = new Set<Address>(); // others that are leaving too, as far as it shows

  constructor(runtime: HomesRuntime, mesh: Port) {
    this.#runtime = runtime;
    this.#mesh = mesh;
    this.#tickedAt = runtime.clock.now();
    const { address, limits } = runtime.config;
    this.#views = new Views(address, limits.viewInstallMs, limits.viewCatchUpMs);
    const { clock, logger, takeOver } = runtime;
    this.#handovers = new Handovers({
      self: address, limits, clock, logger, takeOver,
      nextHome: (subscription) => this.#nextHome(subscription),
      send: (to, id, { subscription, leases }) =>
        this.#send({ type: 'LEASES', ...this.#travelTo(to), id, subscription, leases }),
    });
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
    this.#handovers.look();
    this.#clear();
    this.#tell(this.#mesh.links());
    this.#install();
  }

  /** A broker has said that it stops. */
  left(): void {
    if (!this.#wasAway()) this.#propose();
    this.#follow();
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
    this.#views.linkUp(link.peer.address);
    this.#tell([link]);
  }

  receive(link: Link, message: HomesMessage): void {
    switch (message.type) {
      case 'VIEW':
        if (!this.#isFrom(link, message.view.coordinator)) return;
        if (!this.#views.learn(message.view, link.peer.address)) return;
        this.#pass(message.view, link);
        return this.#follow();
      case 'SEEN':
        this.#views.learnSeen(
          { ...message, members: message.members.filter((member) => this.#isFrom(link, member)) }, link.peer.address,
        );
        return this.#install();
      case 'LEASES':
        if (message.to !== this.#runtime.config.address) return this.#passOn(link, message);
        if (!this.#isFrom(link, message.from)) return;
        return this.#take(message);
      case 'TAKEN':
        if (message.to !== this.#runtime.config.address) return this.#passOn(link, message);
        if (!this.#isFrom(link, message.from)) return;
        this.#handovers.taken(message.id, message.from);
        return this.#clear();
    }
  }

  /** Whether a message to this broker may be from whom it says: who has a link that is not silent sends over that. */
  #isFrom(link: Link, from: Address): boolean {
    const direct = this.#mesh.linkTo(from);
    if (direct === undefined) return from !== this.#runtime.config.address;
    return direct === link || this.#mesh.isSilent(direct);
  }

  /** This broker shuts down: hands everything over to the next homes, as far as that does not take long. */
  async leave(): Promise<void> {
    const { clock, config, giveUp } = this.#runtime;
    const until = clock.now() + config.limits.viewInstallMs; // for so long a new home would wait for it
    this.#isLeaving = true;
    this.#handovers.add(await giveUp(() => false));
    while (clock.now() < until && !(this.#handovers.isEmpty && this.#mesh.holdings.isBackedUp())) {
      await new Promise<void>((resolve) => clock.schedule(LOOK_MS, resolve));
      this.#handovers.look();
    }
  }

  /** Leases for a subscription that is at home here, or will be soon. */
  #take(message: Leases): void {
    const { subscription, from, id } = message;
    if (!this.#isNext(subscription, from)) return; // one of the two does not know the newest view; it is sent again
    if (!this.#isLeaving) this.#runtime.takeOver(message);
    else {
      if (this.home(subscription) !== this.#runtime.config.address) this.#leavers.add(from);
      this.#handovers.add([message]);
    }
    this.#send({ type: 'TAKEN', ...this.#travelTo(from), id });
  }

  /**
   * Whether a subscription is at home here, or will be when that broker has left, and others that are gone; who has no
   * view yet cannot tell, and hands it on when it has.
   */
  #isNext(subscription: string, leaving: Address): boolean {
    const { view } = this;
    if (view === undefined) return true;
    const views = [
      view, without(view, (member) => member === leaving),
      without(view, (member) => member === leaving || this.#mesh.isGone(member)),
    ];
    return views.some((each) => homeOf(subscription, each) === this.#runtime.config.address);
  }

  /** Who is to have the leases of a subscription that was given up here. */
  #nextHome(subscription: string): Address | undefined {
    const { view } = this;
    if (view === undefined || !this.#isLeaving) return view && homeOf(subscription, view);
    const { address } = this.#runtime.config;
    return homeOf(subscription, without(view, (member) =>
      member === address || this.#leavers.has(member) || this.#mesh.isGone(member)));
  }

  /** Who is there, and not so far behind that its subscriptions would have to wait for it. */
  #present(): Address[] {
    const { config } = this.#runtime;
    const { homeSilenceMs, homeBehindMax } = config.limits;
    const members = new Set(this.view?.members);
    const isNear = (address: Address): boolean =>
      members.has(address) || this.#mesh.holdings.behind(address, homeBehindMax) <= homeBehindMax;
    return this.#mesh.holdings.present(homeSilenceMs).filter(isNear);
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
    this.#givenUp = view;
    this.#givenUpAt = this.#runtime.clock.now();
    this.#handovers.add(handovers);
    this.#clear();
  }

  /** Gives this broker's word on the view, once the next homes have the leases or take too long. */
  #clear(): void {
    const { clock, config, log } = this.#runtime;
    const view = this.#givenUp;
    if (view === undefined || view !== this.view) return;
    if (view !== this.#cleared) {
      if (!this.#handovers.isEmpty && clock.now() < this.#givenUpAt + config.limits.viewInstallMs) return;
      this.#cleared = view;
      this.#isFar = this.#hasMembersAfar(view);
      this.#say(view, log.vector.snapshot());
    } else if (!this.#isFar && this.#hasMembersAfar(view)) {
      this.#isFar = true;
      this.#say(view, []);
    }
  }

  /** Whether there are members without a link that may wait for this broker's word. */
  #hasMembersAfar({ members }: View): boolean {
    const isAfar = (member: Address): boolean =>
      member !== this.#runtime.config.address && this.#mesh.linkTo(member) === undefined && !this.#mesh.isGone(member);
    return members.some(isAfar);
  }

  #say({ coordinator, term, number }: View, stored: Word['stored']): void {
    const members = [this.#runtime.config.address];
    this.#views.learnSeen({ view: { coordinator, term, number }, members, stored, isFar: this.#isFar });
    this.#tell(this.#mesh.links());
  }

  #travelTo(to: Address): Travelling {
    return { from: this.#runtime.config.address, to, hops: HOPS_MAX };
  }

  /** Sends over the link with a broker, or another way. */
  #send(message: Leases | Taken): void {
    this.#mesh.route(message.to)?.send(message);
  }

  #passOn(from: Link, message: Leases | Taken): void {
    const link = message.hops > 0 ? this.#mesh.route(message.to) : undefined;
    if (link !== undefined && link !== from) link.send({ ...message, hops: message.hops - 1 });
  }

  /** Who uses the current view, as far as the neighbours have not been told. */
  #tell(links: Iterable<Link>): void {
    for (const link of links) {
      const word = link.isOpen ? this.#views.news(link.peer.address) : undefined;
      if (word !== undefined) link.send({ type: 'SEEN', ...word, stored: [...word.stored] });
    }
  }

  #install(): void {
    const { log, clock } = this.#runtime;
    if (this.#views.install(log.vector, (member) => !this.#mesh.isGone(member), clock.now())) this.#runtime.changed();
  }
}

function without(view: View, isOut: (member: Address) => boolean): View {
  return { ...view, members: view.members.filter((member) => !isOut(member)) };
}
