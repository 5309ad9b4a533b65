/**
 * Bully election on broker order, with terms: the highest live address of a connected component
 * becomes coordinator.
 *
 * H. Garcia-Molina, "Elections in a Distributed Computing System", IEEE Transactions on Computers
 * C-31(1), 1982, section III. A broker that finds no coordinator asks everybody above it
 * (ELECTION). A broker that is there answers (OK) and takes over; one that hears nobody above it
 * announces itself (COORDINATOR). Where we differ, and why:
 *   - The paper has a synchronous network without partitions. Here partitions happen, so an
 *     announcement carries a term, which the winner makes one greater than any it has seen, and a
 *     lower term changes nothing. Of two announcements with one term (two sides of a partition) the
 *     higher address wins.
 *   - A broker that accepts an announcement passes it on, so that it reaches brokers without a link
 *     to the winner. One that hears a coordinator below itself starts an election: the bullying.
 *   - It bullies only once it has been up for `takeoverAfterMs`: until then it follows the
 *     coordinator below itself, so that a broker that crashes again and again changes nothing. For
 *     the same reason a broker that starts below nobody listens for `okTimeoutMs` before its first
 *     election, since those below it are not asked and may know a coordinator. If there is none,
 *     nobody waits for anything.
 *   - A broker above the caller that has a link with the coordinator says so, rather than hold an
 *     election that could only repeat it, unless the caller knows a higher term: then the old
 *     announcement would change nothing, and there must be a new one.
 *   - A broker that heard of the coordinator from others loses it with the link it heard it over:
 *     it cannot see it itself. And it does not believe in it again because of somebody who may have
 *     heard of it from us.
 *
 * One peer takes the term only so far (`Following`): towards a term beyond that this broker goes as far, and further
 * with time, or once most peers tell of it. So no peer can give a broker a term that makes others hang up on it.
 *
 * The core decides, the caller acts: effects are to be carried out in order, and `persist` must be
 * on disk before what follows it is sent, so that a restarted broker never announces an old term.
 *
 * Invariants: the term never falls; the coordinator, once known, is below oneself only before
 * `takeoverAfterMs`; there is at most one coordinator per term and component.
 */
import { type Address, compareAddresses } from '../address.ts';
import {
  checkGrowth, COUNTER_MAX, Following, type FollowingLimits, Growth, type GrowthLimits,
} from '../counter.ts';

export type BullyMessage =
  | { readonly type: 'ELECTION' | 'OK'; readonly term: number }
  | { readonly type: 'COORDINATOR'; readonly term: number; readonly address: Address };

export type BullyEffect =
  | { readonly type: 'persist'; readonly term: number }
  | { readonly type: 'send'; readonly to: Address; readonly message: BullyMessage }
  | { readonly type: 'started'; readonly term: number }
  | { readonly type: 'chosen'; readonly coordinator: Address; readonly term: number };

export interface BullyOptions {
  /** How long an OK may take. */
  readonly okTimeoutMs: number;
  /** How long a COORDINATOR may take after an OK. */
  readonly coordinatorTimeoutMs: number;
  /** How long a lost coordinator may take to come back before an election. */
  readonly graceMs: number;
  /** How long this broker must have been up to take over from a live coordinator below it. */
  readonly takeoverAfterMs: number;
  /**
   * To the farthest peer and back, ms, as far as it is known: what is awaited may take as much
   * longer. 0 by default.
   */
  readonly roundTripMs?: () => number;
  /** How far peers may take the term; without limit by default. */
  readonly termGrowth?: GrowthLimits;
  /** How far one peer may take it. */
  readonly termFollowing?: FollowingLimits;
}

/**
 * `listening`: before the first election, for a coordinator that there may be. `asking`: ELECTION
 * is out, no OK yet. `yielding`: somebody above answered, its announcement is awaited.
 */
type Phase = 'idle' | 'listening' | 'asking' | 'yielding';

const UNLIMITED = { atOnce: COUNTER_MAX, perSecond: COUNTER_MAX, savedMax: COUNTER_MAX };

export class Bully {
  readonly #self: Address;
  readonly #options: BullyOptions;
  readonly #takeoverAt: number;
  readonly #growth: Growth; // of the term
  readonly #following: Following;
  readonly #peers = new Set<Address>();
  readonly #answered = new Set<Address>(); // who said OK in this election
  #term: number;
  #coordinator: Address | undefined;
  #via: Address | undefined; // who told of the coordinator: itself, if there is a link
  #lost: { readonly term: number; readonly coordinator: Address } | undefined; // which the last election was to replace
  #phase: Phase = 'idle';
  #hasListened = false;
  #deadline = Infinity; // of the phase, or of a lost coordinator's grace
  #effects: BullyEffect[] = [];

  /** @param upSince when the broker started, ms on the clock of every `now` */
  constructor(self: Address, term: number, options: BullyOptions, upSince: number) {
    this.#self = self;
    this.#term = Math.min(term, COUNTER_MAX);
    this.#options = options;
    this.#growth = new Growth(options.termGrowth ?? UNLIMITED, this.#term, upSince);
    this.#following = new Following(options.termFollowing ?? UNLIMITED);
    this.#takeoverAt = upSince + options.takeoverAfterMs;
  }

  get term(): number {
    return this.#term;
  }

  get coordinator(): Address | undefined {
    return this.#coordinator;
  }

  /**
   * The broker has started and met whom it could: it holds an election, unless one is under way or
   * has told it of a coordinator.
   */
  start(now: number): BullyEffect[] {
    if (this.#phase === 'idle' && this.#coordinator === undefined) this.#begin(now);
    return this.#take();
  }

  linkUp(peer: Address): BullyEffect[] {
    this.#peers.add(peer);
    if (peer === this.#coordinator) {
      this.#via = peer;
      this.#rest();
    }
    if (this.#coordinator !== undefined && this.#deadline === Infinity) this.#announce(peer); // who doubts tells nobody
    return this.#take();
  }

  /** `leaving`: the peer said that it shuts down, so nobody waits for it to come back. */
  linkDown(peer: Address, leaving: boolean, now: number, teller: string = peer): BullyEffect[] {
    this.#peers.delete(peer);
    this.#following.leave(teller);
    if (peer === this.#via && this.#phase === 'idle') {
      if (leaving) this.#elect(now);
      else this.#deadline = now + this.#options.graceMs + 2 * this.#roundTripMs; // to connect, and for the handshake
    }
    return this.#take();
  }

  /**
   * @param teller who `from` is, whatever its address
   * @throws RumormillError PROTOCOL for a term that no mesh counts to, and that most peers have not
   */
  receive(from: Address, message: BullyMessage, now: number, teller: string = from): BullyEffect[] {
    checkGrowth('term', message.term, this.#term, this.#growth, now, () => this.#following.common());
    const term = Math.min(message.term, this.#following.follow(teller, message.term, this.#term, now));
    switch (message.type) {
      case 'ELECTION':
        this.#onElection(from, term, now);
        break;
      case 'OK':
        this.#answered.add(from);
        if (this.#phase === 'asking') {
          this.#wait('yielding', now + this.#options.coordinatorTimeoutMs + 2 * this.#roundTripMs);
        }
        break;
      case 'COORDINATOR':
        this.#onCoordinator(from, message.address, term, now);
        break;
    }
    return this.#take();
  }

  /** To be called now and then: times out what takes too long. */
  tick(now: number): BullyEffect[] {
    if (now >= this.#deadline) {
      if (this.#phase === 'asking') this.#win();
      else this.#elect(now);
    } else if (this.#isBelow(this.#coordinator) && this.#phase === 'idle' && now >= this.#takeoverAt) this.#elect(now);
    return this.#take();
  }

  get #roundTripMs(): number {
    return this.#options.roundTripMs?.() ?? 0;
  }

  get #okTimeoutMs(): number {
    return this.#options.okTimeoutMs + this.#roundTripMs;
  }

  #isBelow(coordinator: Address | undefined): boolean {
    return coordinator !== undefined && compareAddresses(coordinator, this.#self) < 0;
  }

  /** An election; the first one only after those below have had the time to tell of a coordinator. */
  #begin(now: number): void {
    const above = [...this.#peers].some((peer) => compareAddresses(peer, this.#self) > 0);
    const isNew = !this.#hasListened && now < this.#takeoverAt && this.#coordinator === undefined;
    this.#hasListened = true;
    if (isNew && !above && this.#peers.size > 0) this.#wait('listening', now + this.#okTimeoutMs);
    else this.#elect(now);
  }

  #elect(now: number): void {
    const above = [...this.#peers].filter((peer) => compareAddresses(peer, this.#self) > 0);
    if (this.#coordinator !== undefined) this.#lost = { term: this.#term, coordinator: this.#coordinator };
    this.#coordinator = this.#via = undefined;
    this.#answered.clear();
    this.#effects.push({ type: 'started', term: this.#term });
    if (above.length === 0) return this.#win();
    for (const peer of above) this.#send(peer, { type: 'ELECTION', term: this.#term });
    this.#wait('asking', now + this.#okTimeoutMs);
  }

  #onElection(from: Address, term: number, now: number): void {
    if (compareAddresses(from, this.#self) > 0) return; // who asks upwards was never meant for us
    const outdated = term > this.#term;
    const live =
      this.#coordinator === this.#self || (this.#coordinator !== undefined && this.#peers.has(this.#coordinator));
    // from one that we may not take over ourselves yet: no OK
    const isTakeover = live && compareAddresses(from, this.#coordinator!) > 0;
    this.#setTerm(term);
    if (!isTakeover) this.#send(from, { type: 'OK', term: this.#term });
    if (live && !outdated) this.#announce(from);
    else if (this.#phase === 'idle' && !isTakeover) this.#begin(now);
  }

  #onCoordinator(from: Address, address: Address, term: number, now: number): void {
    const known = this.#coordinator;
    const stale =
      term < this.#term || (term === this.#term && known !== undefined && compareAddresses(address, known) < 0);
    if (stale) {
      if (known !== undefined) this.#announce(from);
      return;
    }
    if (term === this.#term && (address === known || this.#isEcho(from, address))) return;
    const follows = compareAddresses(address, this.#self) > 0 || (this.#isBelow(address) && now < this.#takeoverAt);
    if (!follows) {
      this.#setTerm(term);
      // Our own announcement, of an earlier life, is answered by our election: the first one, or one that is under way,
      // or a new one.
      if (this.#phase === 'idle' && (address !== this.#self || known !== undefined)) this.#elect(now);
      return;
    }
    this.#choose(address, term, from);
    for (const peer of this.#peers) if (peer !== from && peer !== address) this.#announce(peer);
  }

  /**
   * Whether this is the coordinator that was lost, from somebody who may have heard of it from us:
   * who answered us has a link with it.
   */
  #isEcho(from: Address, address: Address): boolean {
    return (
      this.#lost?.term === this.#term &&
      this.#lost.coordinator === address &&
      from !== address &&
      !this.#answered.has(from)
    );
  }

  #win(): void {
    // at the end of all terms the higher address still wins
    this.#choose(this.#self, Math.min(this.#term + 1, COUNTER_MAX), undefined);
    for (const peer of this.#peers) this.#announce(peer);
  }

  #choose(coordinator: Address, term: number, via: Address | undefined): void {
    this.#setTerm(term);
    this.#coordinator = coordinator;
    this.#via = via !== undefined && this.#peers.has(coordinator) ? coordinator : via;
    this.#rest();
    this.#effects.push({ type: 'chosen', coordinator, term });
  }

  #setTerm(term: number): void {
    if (term <= this.#term) return;
    this.#term = term;
    this.#effects.push({ type: 'persist', term });
  }

  #announce(to: Address): void {
    this.#send(to, { type: 'COORDINATOR', term: this.#term, address: this.#coordinator! });
  }

  #send(to: Address, message: BullyMessage): void {
    this.#effects.push({ type: 'send', to, message });
  }

  #wait(phase: Phase, deadline: number): void {
    this.#phase = phase;
    this.#deadline = deadline;
  }

  #rest(): void {
    this.#wait('idle', Infinity);
  }

  #take(): BullyEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}
