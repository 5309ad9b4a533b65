/**
 * The roster: who the members of the mesh are, made of all that was said in `$members`, in whatever order that came.
 *
 * The membership has versions, 1, 2, 3, ..., and one change leads from each to the next. Members vote for a change by a
 * record each, and a member votes only once it has the change on its own disk. So a change is settled once a majority
 * of the members before it, and a majority of those after it, have voted for it: any broker can see that from the log.
 * Of two changes to one version at most one is settled, since each member votes once and two majorities have a member
 * in common. Two versions that follow each other differ by one member, so a majority of the one and a majority of the
 * other overlap.
 *
 * If members have voted for so many changes that none of them can have a majority any more, that attempt at the version
 * is void, for good, and the next attempt may begin. That a change cannot win is seen by every broker from the same
 * records, as a change that has won is.
 *
 * A seat is the place of one member. Who has it is said by a key, its id. A seat that was given to an address only (a
 * row of globalState.csv, an invitation) is bound to the first id that claims it from there. Its address moves with its
 * id.
 *
 * A member that was put out by force counts no more, whatever is voted. Its vote is not needed any more: a majority
 * without it will do as well. That is where the promise that majorities overlap ends. Still all that have the same
 * records know the same members: what a member does by force is void if others, who did not know of it, have put out
 * that member, by a majority or by force. Of two that put out each other the one that reached more members stands, or
 * the first. A change that has a majority of all comes before one that has it without those put out by force.
 */
import type { Address } from '../address.ts';
import type { BrokerId } from '../mesh/identity.ts';
import { type Stamp, isBefore } from '../log/stamp.ts';
import {
  type Change, changeKey, type Claim, type Force, MEMBERS_MAX, type MembersSaying, type SeatName,
} from './change.ts';

export type SeatState = 'invited' | 'in' | 'leaving' | 'out';

export interface Seat {
  readonly name: SeatName;
  readonly address: Address;
  readonly id: BrokerId | undefined;
  readonly state: SeatState;
  /** The version since which it has this state. */
  readonly since: number;
}

/** A change that some have voted for. */
export interface Candidate {
  readonly change: Change;
  readonly voters: ReadonlySet<BrokerId>;
  /** Of the first vote for it. */
  readonly stamp: Stamp;
}

/** What is to be voted on next. */
export interface Slot {
  readonly version: number;
  readonly attempt: number;
  /** Those that make sense now, the most votes first, then the oldest. */
  readonly candidates: readonly Candidate[];
  /** Whether another one may be proposed: no member has voted for one of these. */
  readonly isOpen: boolean;
}

interface Tally {
  readonly change: Change;
  readonly voters: Set<BrokerId>;
  /** Seats put out by force that some of them knew of. */
  readonly known: Set<SeatName>;
  stamp: Stamp;
}

type Seats = ReadonlyMap<SeatName, Seat>;
type Claimed = readonly [claim: Claim, stamp: Stamp];

const NOBODY: ReadonlySet<SeatName> = new Set();

export class Roster {
  readonly #tallies = new Map<string, Map<string, Tally>>(); // by slot, then by the key of the change
  readonly #claims = new Map<BrokerId, Claimed[]>();
  readonly #claimsOf = new Map<Address, Claimed[]>(); // the same, by row
  readonly #forces: (Force & { readonly stamp: Stamp })[] = []; // the strongest first
  #forced: ReadonlySet<SeatName> = new Set(); // by those of them that are not void
  #reduced: readonly ReadonlySet<SeatName>[] = []; // what was out by force at some time: a majority without it will do
  #seats: Seats = new Map();
  #version = 0;
  #attempt = 1;
  #shownAs = ''; // all of it, when it was settled last

  /** Something was said; `stamp` is of its record. `settle` has to follow. */
  hear(saying: MembersSaying, stamp: Stamp): void {
    if (saying.say === 'forced') return this.#force({ ...saying, stamp });
    this.#claim(saying, stamp);
    if (saying.say !== 'vote') return;
    const tallies = entry(this.#tallies, slotName(saying.version, saying.attempt), () => new Map<string, Tally>());
    const { change, id } = saying;
    const tally = entry(tallies, changeKey(change), () => ({ change, voters: new Set(), known: new Set(), stamp }));
    tally.voters.add(id);
    for (const seat of saying.known) tally.known.add(seat);
    if (isBefore(stamp, tally.stamp)) tally.stamp = stamp;
  }

  /** Takes in what was heard. Says whether anything of the members is otherwise than before. */
  settle(): boolean {
    const isVoid = new Set<Force>();
    do {
      const valid = this.#inForce(isVoid);
      this.#forced = new Set(valid.map(({ seat }) => seat));
      // what was settled stays so when somebody else is put out later
      this.#reduced = [NOBODY, this.#forced, ...valid.flatMap(({ seat, known }) =>
        [new Set(known), new Set([...known, seat])])];
    } while (!this.#replay(isVoid));
    const before = this.#shownAs;
    this.#shownAs = JSON.stringify([this.#version, this.#attempt, this.seats(), this.#candidates()]);
    return this.#shownAs !== before;
  }

  /** Seats that were put out by force. */
  get forced(): readonly SeatName[] {
    return [...this.#forced];
  }

  /** 0 before the mesh is founded. */
  get version(): number {
    return this.#version;
  }

  /** All that ever were, those out too. */
  seats(): readonly Seat[] {
    return [...this.#seats.values()].map((seat) => this.#shown(seat));
  }

  seat(name: SeatName): Seat | undefined {
    const seat = this.#seats.get(name);
    return seat && this.#shown(seat);
  }

  /** The seat of an id: that which it has, or else the last one that it had. */
  seatOf(id: BrokerId): Seat | undefined {
    const seats = this.seats().filter((seat) => seat.id === id);
    return seats.find(({ state }) => state !== 'out') ?? seats.at(-1);
  }

  /** The seat at an address, if it is not out. */
  seatAt(address: Address): Seat | undefined {
    return this.seats().find((seat) => seat.address === address && seat.state !== 'out');
  }

  /** Whether a seat was given to a name that nobody has yet. */
  isFree(name: Address): boolean {
    const seat = this.seatAt(name);
    return seat !== undefined && seat.id === undefined;
  }

  /** What is voted on now. */
  get slot(): Slot {
    const candidates = this.#candidates();
    const isOpen = !candidates.some((each) => each.change.op === 'found' || this.isWanted(each));
    return { version: this.#version + 1, attempt: this.#attempt, candidates, isOpen };
  }

  /** Whether a member has voted for a change. */
  isWanted({ voters }: Candidate): boolean {
    return this.#counted(this.#seats).some(({ id }) => id !== undefined && voters.has(id));
  }

  hasVoted(id: BrokerId, { version, attempt }: Slot): boolean {
    return [...(this.#tallies.get(slotName(version, attempt))?.values() ?? [])].some(({ voters }) => voters.has(id));
  }

  /**
   * Whose disks an acknowledgement needs: a majority of each of these groups. The first one is that of the members that
   * are in; there is another one for each change that is under way, of those that would be in after it.
   */
  groups(): readonly (readonly Seat[])[] {
    const after = this.#candidates().map(({ change }) => this.#applied(change)!);
    const isOf = ({ op }: Change): boolean => op !== 'invite' && op !== 'rebind';
    const relevant = after.filter((_, index) => isOf(this.#candidates()[index]!.change));
    return [this.#seats, ...relevant].map((seats) => this.#counted(seats));
  }

  /** Whether a change would make sense now. */
  allows(change: Change): boolean {
    return this.#applied(change) !== undefined;
  }

  #force(force: Force & { readonly stamp: Stamp }): void {
    this.#forces.push(force);
    this.#forces.sort((a, b) => b.reached - a.reached || (isBefore(a.stamp, b.stamp) ? -1 : 1));
  }

  /** What is done by force, but for what is void, or what a stronger one that puts out its sayer did not know of. */
  #inForce(isVoid: ReadonlySet<Force>): readonly Force[] {
    const valid: Force[] = [];
    for (const force of this.#forces) {
      const isOusted = valid.some(({ seat, known }) => seat === force.by && !known.includes(force.seat));
      if (!isVoid.has(force) && !isOusted) valid.push(force);
    }
    return valid;
  }

  /** Makes all versions from the first. False if some force turned out to be void: then it is to be done again. */
  #replay(isVoid: Set<Force>): boolean {
    [this.#seats, this.#version, this.#attempt] = [new Map(), 0, 1];
    this.#bind();
    for (;;) {
      const winner = this.#winner();
      if (winner === undefined && !this.#isVoid()) return true;
      if (winner === undefined) {
        this.#attempt += 1;
        continue;
      }
      const { change, known } = winner;
      const outvoted = 'seat' in change && (change.op === 'out' || change.op === 'leave')
        ? this.#forces.filter((force) => force.by === change.seat && !known.has(force.seat) && !isVoid.has(force)) : [];
      for (const force of outvoted) isVoid.add(force);
      if (outvoted.length > 0) return false;
      this.#seats = this.#applied(change)!;
      this.#version += 1;
      this.#attempt = 1;
      this.#bind();
    }
  }

  #applied(change: Change): Seats | undefined {
    return applied(this.#seats, change, this.#version + 1, this.#forced);
  }

  #shown(seat: Seat): Seat {
    const state = this.#forced.has(seat.name) ? 'out' : seat.state;
    return { ...seat, address: this.#addressOf(seat), state };
  }

  #counted(seats: Seats): Seat[] {
    return [...seats.values()].map((seat) => this.#shown(seat)).filter(({ state }) => state === 'in');
  }

  #claim({ id, address, row, version }: Claim, stamp: Stamp): void {
    const claimed: Claimed = [{ id, address, row, version }, stamp];
    entry(this.#claims, id, () => [] as Claimed[]).push(claimed);
    entry(this.#claimsOf, row, () => [] as Claimed[]).push(claimed);
  }

  /** Seats without an id get that of the first one that claims them from where they were given. */
  #bind(): void {
    const seats = new Map(this.#seats);
    for (const seat of seats.values()) {
      if (seat.id !== undefined || seat.state === 'out') continue;
      const id = this.#claimant(seat, seats);
      if (id !== undefined) seats.set(seat.name, { ...seat, id });
    }
    this.#seats = seats;
  }

  #claimant(seat: Seat, seats: Seats): BrokerId | undefined {
    const there = [...seats.values()].filter(({ state, name }) => state !== 'out' && !this.#forced.has(name));
    const taken = new Set(there.map(({ id }) => id));
    let first: Claimed | undefined;
    for (const claimed of this.#claimsOf.get(seat.address) ?? []) {
      const [{ id, version }, stamp] = claimed;
      if (version < seat.since || taken.has(id)) continue;
      if (first === undefined || isBefore(stamp, first[1])) first = claimed;
    }
    return first?.[0].id;
  }

  /** Where the newest claim of its id is from. */
  #addressOf({ id, address, name }: Seat): Address {
    if (id === undefined) return address;
    const given = givenIn(name);
    let newest: Claimed | undefined;
    for (const claimed of this.#claims.get(id) ?? []) {
      if (claimed[0].version < given) continue;
      if (newest === undefined || isBefore(newest[1], claimed[1])) newest = claimed;
    }
    return newest?.[0].address ?? address;
  }

  #tallied(): Tally[] {
    const tallies = this.#tallies.get(slotName(this.#version + 1, this.#attempt));
    return [...(tallies?.values() ?? [])].filter(({ change }) => this.allows(change));
  }

  #candidates(): Candidate[] {
    return this.#tallied().sort((a, b) => b.voters.size - a.voters.size || (isBefore(a.stamp, b.stamp) ? -1 : 1));
  }

  /** The change that is settled. There is one at most; if members have voted twice, any, but the same everywhere. */
  #winner(): Tally | undefined {
    const tallied = this.#tallied().sort((a, b) => (changeKey(a.change) < changeKey(b.change) ? -1 : 1));
    const hasWon = (reduced: readonly ReadonlySet<SeatName>[]) => ({ change, voters }: Tally): boolean =>
      this.#isMajority(change, (id) => voters.has(id), false, reduced);
    return tallied.find(hasWon([NOBODY])) ?? tallied.find(hasWon(this.#reduced));
  }

  /** Whether there are changes, and none of them can be settled any more. */
  #isVoid(): boolean {
    const tallied = this.#tallied();
    const hasVoted = (id: BrokerId): boolean => tallied.some(({ voters }) => voters.has(id));
    const mayWin = ({ change, voters }: Tally): boolean =>
      this.#isMajority(change, (id) => voters.has(id) || !hasVoted(id), true);
    return tallied.length > 0 && !tallied.some(mayWin);
  }

  /** Whether those of whom `votes` is true are a majority of the members before and after a change. */
  #isMajority(
    change: Change, votes: (id: BrokerId) => boolean, unbound = false, reduced = this.#reduced,
  ): boolean {
    const hasVoted = ({ id, name }: Seat): boolean =>
      (id === undefined ? unbound : votes(id) && !this.#isBack(name, id))
      || (change.op === 'rebind' && name === change.seat && votes(change.id));
    const isEnough = (seats: readonly Seat[]): boolean => 2 * seats.filter(hasVoted).length > seats.length;
    const [before, after] = [this.#seats, this.#boundAfter(change)].map(
      (seats) => [...seats.values()].filter(({ state }) => state === 'in'),
    ) as [Seat[], Seat[]];
    return reduced.some((out) => [before, after].every((seats) =>
      seats.length === 0 || isEnough(seats.filter(({ name }) => !out.has(name)))));
  }

  /** Whether one that was put out of a seat by force has another one now: it has one vote. */
  #isBack(name: SeatName, id: BrokerId): boolean {
    return this.#forced.has(name)
      && [...this.#seats.values()].some((seat) => seat.id === id && seat.name !== name && seat.state !== 'out');
  }

  /** Those who found a mesh say by their votes who they are. */
  #boundAfter(change: Change): Seats {
    const seats = this.#applied(change)!;
    if (change.op !== 'found') return seats;
    const bound = new Map(seats);
    for (const seat of seats.values()) bound.set(seat.name, { ...seat, id: this.#claimant(seat, bound) });
    return bound;
  }
}

/** The version in which a seat was given. */
export function givenIn(seat: SeatName): number {
  return Number(seat.slice(0, seat.indexOf('/')));
}

/**
 * The seats after a change, or undefined if it makes no sense. The address and the id of one that was put out by force
 * may have a seat again; else its seat is as it was voted, or what was settled before would not be so any more.
 */
function applied(seats: Seats, change: Change, version: number, forced: ReadonlySet<SeatName>): Seats | undefined {
  const after = new Map(seats);
  const give = (address: Address, state: SeatState): void => {
    const name = `${version}/${address}` as SeatName;
    after.set(name, { name, address, id: undefined, state, since: version });
  };
  if (change.op === 'found') {
    if (version !== 1) return undefined;
    for (const address of change.addresses) give(address, 'in');
    return after;
  }
  const voted = [...seats.values()].filter(({ state }) => state !== 'out');
  const there = voted.filter(({ name }) => !forced.has(name));
  if (version === 1) return undefined;
  if (change.op === 'invite') {
    if (there.length >= MEMBERS_MAX || there.some(({ address }) => address === change.address)) return undefined;
    give(change.address, 'invited');
    return after;
  }
  const seat = seats.get(change.seat);
  if (seat === undefined || seat.state === 'out') return undefined;
  const isLast = seat.state === 'in' && voted.filter(({ state }) => state === 'in').length === 1;
  const isElsewhere = 'id' in change && there.some(({ id, name }) => id === change.id && name !== seat.name);
  const to = { join: 'in', rebind: seat.state, leave: 'leaving', out: 'out' }[change.op] as SeatState;
  const from: readonly SeatState[] = { join: ['invited'], rebind: ['in', 'leaving', 'invited'], leave: ['in'],
    out: ['invited', 'in', 'leaving'] }[change.op] as SeatState[];
  if (!from.includes(seat.state) || isElsewhere || (isLast && to !== 'in')) return undefined;
  const id = 'id' in change ? change.id : seat.id;
  if (change.op === 'rebind' && id === seat.id) return undefined;
  after.set(seat.name, { ...seat, id, state: to, since: to === seat.state ? seat.since : version });
  return after;
}

function slotName(version: number, attempt: number): string {
  return `${version} ${attempt}`;
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
