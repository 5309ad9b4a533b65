/**
 * Membership: which brokers there are, which of them live, whom to dial when.
 *
 * A broker is known because it is a member of the mesh, or a row names it (configured), or because it has come by
 * itself (learned). Configured ones are dialled for ever. A learned one is forgotten with its link, and is never
 * dialled: who is no member comes by itself, if it may.
 *
 *   alive    a link is up and something came over it within `suspectAfterMs`
 *   suspect  a link is up and silent for longer; or it was lost less than `deadAfterMs` ago and redialling was not
 *   refused yet
 *   dead     otherwise. A link silent for `deadAfterMs` is to be hung up: it is half-open, or the peer is paused
 *
 * If the mesh is larger than the fan-out (neighbours.ts), there is no link with most members, and all that is known
 * of them is hearsay (hearsay.ts). Since the link was lost, or if there was none, such a member is alive while it
 * was heard of within `deadAfterMs`, suspect for as long again, then dead. A dial that fails says dead at once, and so
 * does the member itself when it stops, until it is heard of again. So hearsay of a crash is up to 10 s late, while a
 * link tells of it at once. What people are shown and the choice of neighbours depend on it; who is given work depends
 * on more (mesh/overlay.ts, `isGone`).
 *
 * A row may name a broker otherwise than it names itself (`localhost` and `127.0.0.1`). Once a dial
 * has shown that, the row leads to that broker, and is looked at now and then instead of being
 * dialled (rows.ts, which also says whose disk counts).
 */
import type { Address } from '../address.ts';
import type { BrokerId } from './identity.ts';
import type { Neighbours } from './neighbours.ts';
import { Rows, type Seat } from './rows.ts';

export type MemberState = 'alive' | 'suspect' | 'dead';

export interface MembershipOptions {
  readonly suspectAfterMs: number;
  readonly deadAfterMs: number;
  readonly redialMinMs: number;
  readonly redialMaxMs: number;
  /** The same towards one that refuses us, or that we refuse: somebody has to mend that first. */
  readonly refusedRedialMaxMs: number;
  /** Between looks at where a name leads if no broker has it. */
  readonly rowLookMs: number;
  /** For how long two rows must have shown one broker before they are one. */
  readonly rowProvenMs: number;
  /** Most members known; those learned beyond it are ignored. */
  readonly membersMax: number;
  /** How long a neighbour that had links enough is not chosen again. */
  readonly fullMs: number;
}

export interface Member {
  readonly address: Address;
  linked: boolean;
  linkedAt: number;
  heardAt: number; // over a link
  heardOfAt: number; // from others; -Infinity for never
  refused: boolean; // since the link was lost or it was heard of, a dial failed or the peer said that it leaves
  fullUntil: number;
  dialling: boolean;
  dialAt: number;
  lookAt: number;
  backoffMs: number;
}

/** Who was at a name when it was dialled last. */
interface Sight {
  id: BrokerId | undefined;
  at: number;
  isWanted: boolean; // by another dial
}

export class Membership {
  readonly #self: Address;
  readonly #options: MembershipOptions;
  readonly #random: () => number;
  readonly #neighbours: Neighbours<Member> | undefined;
  readonly #members = new Map<Address, Member>();
  readonly #rows: Rows;
  #seats: readonly Seat[] = [];
  #configured: readonly Address[] = [];
  readonly #forgotten: Address[] = [];
  readonly #sights = new Map<Address, Sight>(); // of names that somebody asked about
  #isRecounted = false;

  /**
   * @param random uniform in 0..2^32-1, for the jitter of redialling
   * @param neighbours chooses whom to have links with; by default everybody
   * @param isKnown whether a broker ever went by a name, as far as the log or others tell
   */
  constructor(
    self: Address, options: MembershipOptions, random: () => number, neighbours?: Neighbours<Member>,
    isKnown: (name: Address) => boolean = () => false,
  ) {
    this.#rows = new Rows(self, {
      lookMs: options.rowLookMs, lostAfterMs: options.deadAfterMs, provenAfterMs: options.rowProvenMs,
      namesMax: options.membersMax,
    }, random, isKnown);
    this.#self = self;
    this.#neighbours = neighbours;
    this.#options = options;
    this.#random = random;
  }

  /** Takes over the rows of globalState.csv. Returns the brokers that are not members any more. */
  configure(rows: readonly Address[], now: number): Address[] {
    const before = this.#configured;
    this.#rows.configure(rows);
    this.#settleRows(now);
    const removed = before.filter((address) => !this.#isConfigured(address));
    for (const address of removed) if (!this.isLinked(address)) this.#remove(address); // else once its link is closed
    return removed;
  }

  /** A peer told us of a broker. */
  learn(address: Address, now: number): void {
    if (this.#members.size < this.#options.membersMax) this.#add(this.#rows.standsFor(address), now);
  }

  /**
   * A dial of `dialled`, or a look at it, reached the broker that calls itself `actual`.
   * @param isOwn whether that broker, another one, says itself that the name leads to it
   */
  led(dialled: Address, actual: Address, isOwn: boolean, now: number): void {
    const member = this.#members.get(dialled);
    if (dialled !== actual && member?.linked === true) return; // there is a broker with that name itself
    this.#rows.led(dialled, actual, isOwn, now);
    this.#settleRows(now);
    if (dialled !== actual) {
      if (member !== undefined) Object.assign(member, { dialling: false, dialAt: now, refused: true });
      if (!this.#configured.includes(dialled)) this.#remove(dialled);
    }
    if (this.#isConfigured(actual)) this.#add(actual, now);
  }

  /** A dial of a name, or a look at it, has shown a broker that proved to have this id. */
  saw(name: Address, id: BrokerId, now: number): void {
    const sight = this.#sights.get(name);
    if (sight !== undefined) Object.assign(sight, { id, at: now });
  }

  /** The id that a dial of a name has shown lately. If none has, undefined, and the name is looked at soon. */
  sightOf(name: Address, now: number): BrokerId | undefined {
    for (const [each, { at }] of this.#sights) if (now - at >= this.#options.deadAfterMs) this.#sights.delete(each);
    const sight = this.#sights.get(name);
    if (sight === undefined) this.#sights.set(name, { id: undefined, at: now, isWanted: true });
    return sight?.id;
  }

  /** Another broker has reached this one by a name. */
  reached(name: Address, now: number): void {
    this.#rows.reached(name, now);
  }

  /**
   * A look at a name was not answered.
   * @param isUnresolved whether no name server was there to say where it leads
   */
  unanswered(name: Address, isUnresolved: boolean, now: number): void {
    if (this.#rows.unanswered(name, isUnresolved, now)) this.#settleRows(now);
  }

  linkUp(address: Address, now: number): void {
    this.#rows.introduced(address);
    this.#settleRows(now);
    this.learn(address, now);
    const member = this.#members.get(address);
    if (member === undefined) return;
    Object.assign(member, { linked: true, linkedAt: now, dialling: false, heardAt: now, refused: false });
  }

  linkDown(address: Address, leaving: boolean, now: number, isRefused = false): void {
    const member = this.#members.get(address);
    if (member === undefined) return;
    if (!this.#isConfigured(address)) return this.#remove(address); // it comes by itself if it may
    Object.assign(member, { linked: false, refused: leaving });
    // One that went as soon as it came may have been refused: it does not come again and again.
    if (now - member.linkedAt >= this.#options.suspectAfterMs) member.backoffMs = this.#options.redialMinMs;
    this.#redialLater(member, now, isRefused);
  }

  heard(address: Address, now: number): void {
    const member = this.#members.get(address);
    if (member !== undefined) member.heardAt = now;
  }

  /** Others say that it is alive. */
  heardOf(address: Address, now: number): void {
    if (!this.#isConfigured(this.#rows.standsFor(address))) return; // one that is no member is not dialled
    this.learn(address, now);
    const member = this.#members.get(this.#rows.standsFor(address));
    if (member !== undefined && !member.linked && this.#neighbours !== undefined) {
      Object.assign(member, { heardOfAt: now, refused: false });
    }
  }

  /** Others say that it has stopped. */
  left(address: Address): void {
    const member = this.#members.get(this.#rows.standsFor(address));
    if (member?.linked === false) member.refused = true;
  }

  /** A neighbour hung up, or is hung up, because it or we have links enough. */
  full(address: Address, now: number): void {
    const member = this.#members.get(address);
    if (member !== undefined) Object.assign(member, { heardOfAt: now, fullUntil: now + this.#options.fullMs });
  }

  /** Those to dial now. Each must be answered by `dialFailed`, `led` or `linkUp`. */
  takeDials(now: number): Address[] {
    const due = this.#wanted(now).filter((member) => !member.linked && !member.dialling && member.dialAt <= now
      && !this.#rows.isLead(member.address));
    for (const member of due) member.dialling = true;
    return due.map((member) => member.address);
  }

  /** A name to look at now: to be dialled only to see who is there. To be answered by `led` or `unanswered`. */
  takeLook(now: number): Address | undefined {
    for (const [name, sight] of this.#sights) {
      if (!sight.isWanted) continue;
      sight.isWanted = false;
      return name;
    }
    return this.#rows.takeLook(now) ?? this.#takeUnheard(now)?.address;
  }

  /** A row that nothing was heard of, in a mesh where it may never be dialled for a link. */
  #takeUnheard(now: number): Member | undefined {
    const { deadAfterMs, rowProvenMs } = this.#options;
    if (this.#neighbours === undefined) return undefined;
    const isUnheard = ({ linked, dialling, heardAt, heardOfAt }: Member): boolean =>
      !linked && !dialling && heardOfAt === -Infinity && now - heardAt >= 2 * deadAfterMs;
    const unheard = this.#configured.map((address) => this.#members.get(address)!)
      .find((member) => member.lookAt <= now && isUnheard(member) && !this.#rows.isLead(member.address));
    if (unheard !== undefined) unheard.lookAt = now + rowProvenMs;
    return unheard;
  }

  /** Whether everybody who is wanted as a neighbour has been dialled, and every dial so far has been answered. */
  settled(now: number): boolean {
    return this.#wanted(now).every((member) => member.linked || (!member.dialling && member.dialAt > -Infinity));
  }

  /** @param isRefused whether a broker was there, and one of the two would not have the other */
  dialFailed(address: Address, now: number, isRefused = false): void {
    const member = this.#members.get(address);
    if (member === undefined) return;
    member.dialling = false;
    if (member.linked) return;
    member.refused = true;
    this.#redialLater(member, now, isRefused);
  }

  /** Linked members that have been silent for too long: their links are to be closed. */
  silent(now: number): Address[] {
    return [...this.#members.values()]
      .filter((member) => member.linked && now - member.heardAt >= this.#options.deadAfterMs)
      .map((member) => member.address);
  }

  /** Those that are forgotten since this was last asked. */
  takeForgotten(): Address[] {
    return this.#forgotten.splice(0);
  }

  /** How many `all` are. */
  get size(): number {
    return this.#members.size;
  }

  /** Everybody but oneself, in the order in which they became known. */
  all(): Address[] {
    return [...this.#members.keys()];
  }

  /** What quorums are counted of, besides oneself. */
  get seats(): readonly Seat[] {
    return this.#seats;
  }

  /** The same as names, each once: of the broker that has the seat, or of the row if that is missing. */
  configured(): readonly Address[] {
    return this.#configured;
  }

  /** Whether this broker itself has a row. */
  get hasOwnRow(): boolean {
    return this.#rows.has(this.#self) || this.#rows.ownNames().length > 0;
  }

  /** Whether a row is this broker's, or leads to it. */
  isRow(address: Address): boolean {
    return this.#isConfigured(address);
  }

  /** The names that lead to a broker, its own first. */
  namesOf(address: Address): Address[] {
    return [address, ...this.#rows.leadingTo(address)];
  }

  /** For how long nothing was heard of a broker with which there was a link before, ms. */
  missedMs(address: Address, now: number): number | undefined {
    const member = this.#members.get(address);
    return member === undefined || member.linkedAt === -Infinity ? undefined : Math.floor(now - member.heardAt);
  }

  isLinked(address: Address): boolean {
    return this.#members.get(address)?.linked ?? false;
  }

  /** Names that lead to this broker, besides its own. */
  ownNames(): Address[] {
    return this.#rows.ownNames();
  }

  /** Whether the seats have changed since this was last asked. */
  takeRecounted(): boolean {
    const isRecounted = this.#isRecounted;
    this.#isRecounted = false;
    return isRecounted;
  }

  state(address: Address, now: number): MemberState {
    const member = this.#members.get(address);
    if (member === undefined) return 'dead';
    const silence = now - member.heardAt;
    if (member.linked) return silence < this.#options.suspectAfterMs ? 'alive' : 'suspect';
    if (member.heardOfAt >= member.heardAt && !member.refused) return this.#hearsayState(now - member.heardOfAt);
    return !member.refused && silence < this.#options.deadAfterMs ? 'suspect' : 'dead';
  }

  /** Whether a member can be given work: it was heard of lately, and nothing says since that it went. */
  isPresent(address: Address, now: number, silenceMs: number): boolean {
    const member = this.#members.get(address);
    if (member === undefined || (member.refused && !member.linked)) return false;
    return now - member.heardAt < silenceMs || (!member.linked && this.state(address, now) === 'alive');
  }

  #hearsayState(silence: number): MemberState {
    if (silence < this.#options.deadAfterMs) return 'alive';
    return silence < 2 * this.#options.deadAfterMs ? 'suspect' : 'dead';
  }

  /** Those who should have a link and may not have one; nobody is dialled only because he was heard of. */
  #wanted(now: number): Member[] {
    const wanted = this.#neighbours?.wanted(now) ?? [...this.#members.values()];
    return wanted.filter(({ address }) => this.#isConfigured(address));
  }

  #remove(address: Address): void {
    const member = this.#members.get(address);
    if (member === undefined) return;
    this.#members.delete(address);
    this.#forgotten.push(address);
    this.#neighbours?.remove(member);
  }

  /** Where rows lead may have changed: who has which seat, and who is a member for it. */
  #settleRows(now: number): void {
    const seats = this.#rows.seats(now);
    this.#isRecounted ||= JSON.stringify(seats) !== JSON.stringify(this.#seats);
    this.#seats = seats;
    this.#configured = seats.map(({ row, broker }) => broker ?? row);
    for (const address of this.#configured) this.#add(address, now);
  }

  #isConfigured(address: Address): boolean {
    return this.#rows.has(address) || this.#configured.includes(address);
  }

  #add(address: Address, now: number): void {
    if (address === this.#self || this.#members.has(address)) return;
    const member: Member = {
      address,
      linked: false,
      linkedAt: -Infinity,
      heardAt: now - this.#options.deadAfterMs, // dead until heard, and forgotten in time if never
      heardOfAt: -Infinity,
      refused: false,
      fullUntil: -Infinity,
      dialling: false,
      dialAt: -Infinity,
      lookAt: -Infinity,
      backoffMs: this.#options.redialMinMs,
    };
    this.#members.set(address, member);
    this.#neighbours?.add(member);
  }

  /** Doubling, with jitter of up to half, so that a mesh that starts together does not dial in step. */
  #redialLater(member: Member, now: number, isRefused: boolean): void {
    const { redialMaxMs, refusedRedialMaxMs } = this.#options;
    member.backoffMs = Math.min(member.backoffMs, isRefused ? refusedRedialMaxMs : redialMaxMs);
    member.dialAt = now + member.backoffMs * (0.5 + this.#random() / 2 ** 33);
    member.backoffMs *= 2;
  }
}
