/**
 * The checker of runs in which machines come and go: what each disk said of the members at each time, which
 * acknowledgements that allows, and whether all agree.
 *
 * Who is a member is taken from the records on the disks. That a change was settled by majorities, and which disks an
 * acknowledgement needs, is counted here anew.
 */
import type { Address } from '../../brokers/core/address.ts';
import { messagesOf, payloadText, type StoredBatch } from '../../brokers/core/log/record.ts';
import { type Change, changeKey, MEMBERS_TOPIC, parseSaying } from '../../brokers/core/members/change.ts';
import { Roster, type Seat } from '../../brokers/core/members/roster.ts';
import type { Violation } from './checker.ts';
import type { DiskEvent } from './disk.ts';
import type { History } from './history.ts';
import type { MembersHistory } from './members-history.ts';

const HEARD_MS = 3000; // after which a broker has hung up on one that is no member any more
const DIALS_MS = 500; // after which one that is no member any more is not dialled

/** What a disk says of the members from some time on. */
interface Known {
  readonly at: number;
  readonly version: number;
  readonly seats: readonly Seat[];
  /** Those whose disks an acknowledgement needs, before and after each change that is under way. */
  readonly groups: readonly (readonly Address[])[];
}

export class Memberships {
  readonly #known = new Map<Address, Known[]>();

  /** @param rows of the brokers before they know more */
  constructor(disks: readonly DiskEvent[], rows: readonly Address[]) {
    const rosters = new Map<Address, Roster>();
    for (const { kind, disk, at, batches } of disks) {
      const own = batches.filter(({ topic }) => topic === MEMBERS_TOPIC);
      if (kind === 'replaced' || !rosters.has(disk)) rosters.set(disk, new Roster());
      else if (own.length === 0) continue;
      const roster = rosters.get(disk)!;
      for (const batch of own) hear(roster, batch);
      roster.settle();
      const known = this.#known.get(disk) ?? [];
      known.push({ at, version: roster.version, seats: roster.seats(), groups: groupsOf(roster, rows) });
      this.#known.set(disk, known);
    }
  }

  /** What a disk said between two times. */
  between(disk: Address, from: number, to: number): readonly Known[] {
    const known = this.#known.get(disk) ?? [];
    return known.filter(({ at }, index) => at <= to && (known[index + 1]?.at ?? Infinity) >= from);
  }

  /** Whether these disks are enough for an acknowledgement of a broker between two times. */
  areEnough(
    level: 'quorum' | 'all', holders: ReadonlySet<Address>, broker: Address, from: number, to: number,
  ): boolean {
    const isEnough = (group: readonly Address[]): boolean => {
      const count = group.filter((address) => holders.has(address)).length;
      return level === 'all' ? count === group.length : 2 * count > group.length;
    };
    return this.between(broker, from, to).some(({ groups }) => groups.every(isEnough));
  }

  /** Since when, in the end, a disk has not had a member at an address. */
  withoutSince(disk: Address, address: Address): number {
    const isThere = ({ seats }: Known): boolean =>
      seats.some((seat) => seat.address === address && seat.state !== 'out');
    const known = this.#known.get(disk) ?? [];
    return known[known.findLastIndex(isThere) + 1]?.at ?? Infinity;
  }
}

/** Whether who is a member was decided as it should be, and all know the same. */
export function checkMembers(history: History, members: MembersHistory, memberships: Memberships): Violation[] {
  return [
    ...checkVotes(history, members), ...checkAgreement(history, memberships),
    ...checkGone(history, members, memberships), ...checkDials(members, memberships),
  ];
}

/** A change is settled by a majority of the members before it, and one of those after it. */
function checkVotes({ disks, brokers }: History, { rows }: MembersHistory): Violation[] {
  const violations: Violation[] = [];
  const batches = disks.filter(({ disk }) => disk === brokers[0]).flatMap((event) => event.batches)
    .filter(({ topic }) => topic === MEMBERS_TOPIC);
  const roster = new Roster();
  const votes = new Map<string, Set<string>>(); // ids, by version and change
  const reduced: (readonly string[])[] = [[]]; // who was out by force, as somebody who put out another one knew
  for (const batch of batches) {
    const before = roster.seats();
    const { version } = roster;
    for (const message of messagesOf(batch)) {
      const saying = parseSaying(payloadText(message));
      if (saying?.say === 'forced') reduced.push(saying.known, [...saying.known, saying.seat]);
      if (saying?.say !== 'vote') continue;
      const key = `${saying.version} ${changeKey(saying.change)}`;
      votes.set(key, (votes.get(key) ?? new Set()).add(saying.id));
    }
    hear(roster, batch);
    roster.settle();
    if (roster.version !== version + 1 || version === 0) continue;
    const both = [before, roster.seats()].map((seats) => seats.filter(({ state }) => state === 'in'));
    const hasVoted = (voters: ReadonlySet<string>, name: string): boolean =>
      both.flat().some((seat) => seat.name === name && seat.id !== undefined && voters.has(seat.id));
    const isMost = (voters: ReadonlySet<string>, seats: readonly Seat[]): boolean =>
      2 * seats.filter(({ name }) => hasVoted(voters, name)).length > seats.length;
    const { forced } = roster; // they are shown as out, and voters may not have known it
    const all = both.map((seats, index) => [...seats, ...[before, roster.seats()][index]!
      .filter(({ name, state }) => forced.includes(name) && state === 'out')]);
    const isBy = (voters: ReadonlySet<string>): boolean => both.every((seats) => isMost(voters, seats))
      || reduced.some((out) => all.every((seats) => isMost(voters, seats.filter(({ name }) => !out.includes(name)))));
    const candidates = [...votes].filter(([key]) => key.startsWith(`${version + 1} `));
    if (!candidates.some(([, voters]) => isBy(voters))) {
      violations.push({ kind: 'members', what: `version ${version + 1} came about without majorities` });
    }
  }
  if (roster.version === 0) violations.push({ kind: 'members', what: `${rows.join()} never founded a mesh` });
  return violations;
}

/** In the end those are members that are there, all are in, and everybody knows the same of them. */
function checkAgreement({ brokers, views }: History, memberships: Memberships): Violation[] {
  const violations: Violation[] = [];
  const expected = [...brokers].sort().join(' ');
  for (const broker of brokers) {
    const { seats } = memberships.between(broker, Infinity, Infinity)[0] ?? { seats: [] };
    const there = seats.filter(({ state }) => state !== 'out');
    const named = there.map(({ address, state }) => (state === 'in' ? address : `${address} (${state})`));
    const found = named.sort().join(' ');
    if (found !== expected) {
      violations.push({ kind: 'members', what: `${broker} has ${found} for the members, which are ${expected}` });
    }
    const homes = views.findLast((view) => view.broker === broker)?.members ?? [];
    const strangers = homes.filter((home) => !brokers.includes(home));
    if (strangers.length > 0) {
      violations.push({ kind: 'members', what: `${broker} has homes at ${strangers.join()}, which are no members` });
    }
  }
  return violations;
}

/** One that is gone leads nobody and has no homes, once all that stay have known it for a while. */
function checkGone(
  { brokers, terms, views }: History, { gone }: MembersHistory, memberships: Memberships,
): Violation[] {
  const violations: Violation[] = [];
  for (const address of gone) {
    const since = HEARD_MS + Math.max(...brokers.map((broker) => memberships.withoutSince(broker, address)));
    for (const broker of brokers) {
      const violated = (what: string): void =>
        void violations.push({ kind: 'gone', what: `${broker} ${what} ${address}, which is no member any more` });
      if (terms.some((term) => term.broker === broker && term.at > since && term.coordinator === address)) {
        violated('follows');
      }
      if (views.some((view) => view.broker === broker && view.at > since && view.members.includes(address))) {
        violated('gives work to');
      }
    }
  }
  return violations;
}

/** A broker dials nobody who was a member, and is none any more as its own disk says; unless a person tells it to. */
function checkDials({ dials, guides, gone }: MembersHistory, memberships: Memberships): Violation[] {
  const violations = new Map<string, Violation>();
  for (const { from, to, at } of dials) {
    if (!gone.includes(to) || guides.get(from)?.includes(to) === true) continue;
    const known = memberships.between(from as Address, at - DIALS_MS, at);
    const isOut = ({ version, seats }: Known): boolean =>
      version > 0 && !seats.some((seat) => seat.address === to && seat.state !== 'out');
    if (known.length === 0 || !known.every(isOut)) continue;
    violations.set(`${from} ${to}`, { kind: 'dialled', what: `${from} dials ${to} at ${at}, which is no member` });
  }
  return [...violations.values()];
}

function hear(roster: Roster, batch: StoredBatch): void {
  for (const message of messagesOf(batch)) {
    const saying = parseSaying(payloadText(message));
    if (saying !== undefined) roster.hear(saying, { lamport: message.lamport, origin: batch.origin });
  }
}

function groupsOf(roster: Roster, rows: readonly Address[]): Address[][] {
  if (roster.version === 0) return [[...rows]];
  const isIn = ({ state }: Seat): boolean => state === 'in';
  const counted = new Map(roster.seats().filter(isIn).map(({ name, address }) => [name, address]));
  const after = (change: Change): Address[] => {
    const seats = new Map(counted);
    if (change.op === 'join') seats.set(change.seat, roster.seat(change.seat)!.address);
    else if (change.op === 'leave' || change.op === 'out') seats.delete(change.seat);
    return [...seats.values()];
  };
  return [[...counted.values()], ...roster.slot.candidates.map(({ change }) => after(change))];
}
