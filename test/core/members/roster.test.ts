import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import type { BrokerId } from '../../../brokers/core/mesh/identity.ts';
import type { Stamp } from '../../../brokers/core/log/stamp.ts';
import {
  type Change, encodeSaying, type MembersSaying, parseSaying, type SeatName,
} from '../../../brokers/core/members/change.ts';
import { Roster } from '../../../brokers/core/members/roster.ts';
import { origin } from '../../support/record.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

const address = (number: number): Address => parseAddress(`10.0.0.${number}:3000`);
const id = (number: number): BrokerId => number.toString(16).padStart(32, '0') as BrokerId;
const seat = (number: number, version = 1): SeatName => `${version}/${address(number)}` as SeatName;
const [A, B, C, D] = [address(1), address(2), address(3), address(4)] as const;
const FOUND: Change = { op: 'found', addresses: [A, B, C] };

let lamport = 0;
const said: [MembersSaying, Stamp][] = [];

function vote(number: number, version: number, change: Change, attempt = 1): [MembersSaying, Stamp] {
  const stamp = { lamport: (lamport += 1), origin: origin(address(number), number) };
  const claim = { id: id(number), address: address(number), row: address(number), version };
  return [{ say: 'vote', ...claim, attempt, change, known: [] }, stamp];
}

function roster(...sayings: [MembersSaying, Stamp][]): Roster {
  const made = new Roster();
  for (const [saying, stamp] of sayings) {
    made.hear(parseSaying(encodeSaying(saying))!, stamp);
    made.settle();
  }
  said.splice(0, said.length, ...sayings);
  return made;
}

const states = (of: Roster): string[] => of.seats().map(({ name, state }) => `${name} ${state}`);
const founding = [vote(1, 1, FOUND), vote(2, 1, FOUND)];

t.test('a mesh is founded once a majority of its rows has voted for them', async (t) => {
  const one = roster(founding[0]!);
  t.equal(one.version, 0);
  t.strictSame(one.slot.candidates.map(({ change }) => change), [FOUND]);
  const two = roster(...founding);
  t.equal(two.version, 1);
  t.strictSame(states(two), [`${seat(1)} in`, `${seat(2)} in`, `${seat(3)} in`]);
  t.strictSame(two.seats().map((each) => each.id), [id(1), id(2), undefined], 'the third is bound to nobody yet');
  t.strictSame(two.groups().map((group) => group.length), [3]);
  const three = roster(...founding, vote(3, 1, FOUND));
  t.equal(three.seatOf(id(3))?.name, seat(3), 'a late vote says who it is');
  t.equal(roster(vote(1, 1, { op: 'found', addresses: [A] })).version, 1, 'one alone');
});

t.test('who is invited counts for nothing before it has come', async (t) => {
  const invite = [1, 2].map((each) => vote(each, 2, { op: 'invite', address: D }));
  const invited = roster(...founding, ...invite);
  t.equal(invited.seatAt(D)?.state, 'invited');
  t.equal(invited.groups()[0]!.length, 3);
  const here: [MembersSaying, Stamp] = [
    { say: 'here', id: id(4), address: D, row: D, version: 2 }, { lamport: (lamport += 1), origin: origin(D, 4) },
  ];
  const join: Change = { op: 'join', seat: seat(4, 2), id: id(4) };
  const coming = roster(...founding, ...invite, here, vote(4, 3, join), vote(1, 3, join));
  t.equal(coming.version, 2, 'two of four');
  t.strictSame(coming.groups().map((group) => group.length), [3, 4], 'what is acknowledged needs both');
  const there = roster(...said, vote(2, 3, join));
  t.equal(there.version, 3);
  t.equal(there.seatAt(D)?.state, 'in');
  t.strictSame(there.groups().map((group) => group.length), [4]);
});

t.test('a member goes by a majority of those before and those after', async (t) => {
  const out: Change = { op: 'out', seat: seat(3) };
  t.equal(roster(...founding, vote(1, 2, out)).version, 1);
  const gone = roster(...founding, vote(1, 2, out), vote(2, 2, out));
  t.equal(gone.seat(seat(3))?.state, 'out');
  t.strictSame(gone.groups().map((group) => group.length), [2]);
  t.equal(gone.seatAt(C), undefined);
  const again = roster(...said, ...[1, 2].map((each) => vote(each, 3, { op: 'invite', address: C })));
  t.equal(again.seatAt(C)?.name, seat(3, 3), 'it may be invited anew, to another seat');
});

t.test('what makes no sense cannot be voted for', async (t) => {
  const one = roster(vote(1, 1, { op: 'found', addresses: [A] }));
  t.notOk(one.allows({ op: 'out', seat: seat(1) }), 'the last one');
  t.notOk(one.allows({ op: 'leave', seat: seat(1) }), 'the last one');
  t.notOk(one.allows(FOUND), 'founded twice');
  t.notOk(one.allows({ op: 'invite', address: A }), 'a member');
  t.notOk(one.allows({ op: 'out', seat: seat(2) }), 'nobody');
  t.notOk(one.allows({ op: 'join', seat: seat(1), id: id(2) }), 'one that is in');
  t.notOk(new Roster().allows({ op: 'invite', address: A }), 'before the mesh is founded');
  const three = roster(...founding, vote(3, 1, FOUND));
  t.notOk(three.allows({ op: 'rebind', seat: seat(1), id: id(2) }), 'an id has one seat');
  t.notOk(three.allows({ op: 'rebind', seat: seat(1), id: id(1) }), 'it has it already');
  t.ok(three.allows({ op: 'rebind', seat: seat(1), id: id(9) }));
});

t.test('an attempt that nobody can win any more is void, and the next one begins', async (t) => {
  const four: Change = { op: 'found', addresses: [A, B, C, D] };
  const start = [1, 2, 3, 4].map((each) => vote(each, 1, four));
  const [first, second]: Change[] = [{ op: 'out', seat: seat(1) }, { op: 'out', seat: seat(4) }];
  const split = [vote(1, 2, second!), vote(2, 2, second!), vote(3, 2, first!)];
  t.equal(roster(...start, ...split).slot.attempt, 1, 'the one whose vote is missing may decide');
  const over = roster(...start, ...split, vote(4, 2, first!));
  t.equal(over.version, 1);
  t.equal(over.slot.attempt, 2);
  t.strictSame(over.slot.candidates, []);
  const done = roster(...said, vote(1, 2, second!, 2), vote(2, 2, second!, 2), vote(3, 2, second!, 2));
  t.equal(done.version, 2);
  t.equal(done.seat(seat(4))?.state, 'out');
});

t.test('by force one goes without a vote, and nobody waits for its vote', async (t) => {
  const force = (number: number): [MembersSaying, Stamp] => [
    { say: 'forced', id: id(1), seat: seat(number), by: seat(1), reached: 1, known: [] },
    { lamport: (lamport += 1), origin: origin(A, 1) },
  ];
  const alone = roster(...founding, force(2), force(3));
  t.strictSame(states(alone), [`${seat(1)} in`, `${seat(2)} out`, `${seat(3)} out`]);
  t.equal(alone.version, 1, 'what was settled stays settled');
  const grown = roster(...said, vote(1, 2, { op: 'invite', address: D }));
  t.equal(grown.seatAt(D)?.state, 'invited');
  const join: Change = { op: 'join', seat: seat(2, 3), id: id(2) };
  const back = roster(...said, vote(1, 3, { op: 'invite', address: B }), vote(2, 3, join));
  t.strictSame(back.seatAt(B), {
    name: seat(2, 3), address: B, id: id(2), state: 'invited', since: 3,
  }, 'one that is back has a new seat');
});

t.test('what is done by force on both sides is settled by the records, in whatever order they come', async (t) => {
  const force = (by: number, of: number, reached: number, known: SeatName[] = []): [MembersSaying, Stamp] => [
    { say: 'forced', id: id(by), seat: seat(of), by: seat(by), reached, known },
    { lamport: (lamport += 1), origin: origin(address(by), by) },
  ];
  const both = (...sayings: [MembersSaying, Stamp][]): string[] => {
    const [there, back] = [roster(...sayings), roster(...[...sayings].reverse())].map(states);
    t.strictSame(there, back);
    return there!;
  };
  const out = (...numbers: number[]): string[] =>
    [1, 2, 3].map((number) => `${seat(number)} ${numbers.includes(number) ? 'out' : 'in'}`);
  t.strictSame(both(...founding, force(3, 1, 1), force(3, 2, 1, [seat(1)]), force(1, 3, 2)), out(3), 'more stand');
  t.strictSame(both(...founding, force(3, 1, 1), force(1, 3, 1)), out(1), 'else the first');
  t.strictSame(both(...founding, force(1, 2, 1), force(3, 1, 2, [seat(2)])), out(1, 2), 'who knew of it confirms it');
  const voted = [1, 2].map((number) => vote(number, 2, { op: 'out', seat: seat(3) }));
  t.strictSame(both(...founding, force(3, 1, 9), ...voted), out(3), 'a majority that did not know of it stands');
});

t.test('what was settled by force stays so when another one is put out', async (t) => {
  const force = (of: number, known: SeatName[]): [MembersSaying, Stamp] => [
    { say: 'forced', id: id(1), seat: seat(of), by: seat(1), reached: 1, known },
    { lamport: (lamport += 1), origin: origin(A, 1) },
  ];
  const five: Change = { op: 'found', addresses: [1, 2, 3, 4, 5].map(address) };
  const invite: Change = { op: 'invite', address: address(6) };
  const out = [force(3, []), force(4, [seat(3)])];
  roster(...[1, 2, 3].map((each) => vote(each, 1, five)), ...out, ...[1, 2].map((each) => vote(each, 2, invite)));
  t.equal(roster(...said).version, 2, 'two of the three that were left');
  t.equal(roster(...said, force(2, [seat(3), seat(4)])).version, 2);
});

t.test('a change that only a stranger wants keeps nobody from another one', async (t) => {
  const lost = roster(...founding, vote(7, 2, { op: 'rebind', seat: seat(1), id: id(7) }));
  t.equal(lost.slot.candidates.length, 1);
  t.ok(lost.slot.isOpen);
  t.notOk(roster(...founding, vote(2, 2, { op: 'invite', address: D })).slot.isOpen);
});

t.test('an address moves with its id, and a lost key is replaced by a vote', async (t) => {
  const moved = address(9);
  const here: [MembersSaying, Stamp] = [
    { say: 'here', id: id(1), address: moved, row: moved, version: 1 },
    { lamport: (lamport += 1), origin: origin(moved, 1) },
  ];
  const after = roster(...founding);
  after.hear(...here);
  t.ok(after.settle(), 'that is news');
  t.notOk(after.settle());
  t.equal(after.seatOf(id(1))?.address, moved);
  t.equal(after.seatAt(A), undefined);
  const anew: Change = { op: 'rebind', seat: seat(2), id: id(7) };
  const [saying, stamp] = vote(7, 2, anew);
  const rebound = roster(...founding, [{ ...saying, address: B, row: B } as MembersSaying, stamp], vote(1, 2, anew));
  t.equal(rebound.version, 2, 'it has the vote of its seat');
  t.equal(rebound.seatAt(B)?.id, id(7));
});

t.test('what does not fit was never said', async (t) => {
  const [fits] = vote(1, 2, { op: 'out', seat: seat(3) }) as [object, Stamp];
  const bad: unknown[] = [
    1, null, [], {}, { ...fits, say: 'other' }, { ...fits, id: 'x' }, { ...fits, id: undefined },
    { ...fits, address: '10.0.0.1' }, { ...fits, address: 'A'.repeat(300) }, { ...fits, row: 1 },
    { ...fits, version: 0 },
    { ...fits, version: 1.5 }, { ...fits, attempt: 0 }, { ...fits, change: { op: 'out', seat: '0/10.0.0.1:3000' } },
    { ...fits, change: { op: 'out', seat: '1/nobody' } }, { ...fits, change: { op: 'found', addresses: [] } },
    { ...fits, change: { op: 'found', addresses: [A, A] } }, { ...fits, change: { op: 'join', seat: seat(1) } },
    { ...fits, say: 'forced', seat: 7 }, { say: 'forced', seat: seat(1) },
  ];
  for (const each of bad) t.equal(parseSaying(JSON.stringify(each)), undefined, JSON.stringify(each));
  t.equal(parseSaying('{'), undefined);
});

t.test('whatever comes in whatever order: one change a version, the same everywhere, majorities overlap', async (t) => {
  for (let seed = SEED; seed < SEED + 100; seed += 1) {
    const random = new SeededRandom(seed);
    const brokers = [1, 2, 3, 4, 5, 6].map((number) => ({ number, roster: new Roster(), heard: [0, 0, 0, 0, 0, 0] }));
    const logs: [MembersSaying, Stamp][][] = brokers.map(() => []); // what each has said
    const settled = new Map<number, string[]>(); // by version: who was in
    const hear = ({ roster: its, heard }: (typeof brokers)[number], from: number, count: number): void => {
      const news = logs[from]!.slice(heard[from], heard[from]! + count);
      heard[from]! += news.length;
      for (const each of news) its.hear(...each);
      if (news.length === 0 || !its.settle()) return;
      const now = its.groups()[0]!.map(({ name }) => name);
      t.strictSame(settled.get(its.version) ?? now, now, `seed ${seed}: two versions ${its.version}`);
      settled.set(its.version, now);
    };
    const wish = ({ number, roster: its }: (typeof brokers)[number]): Change => {
      if (its.version === 0) return { op: 'found', addresses: random.pick([[A, B, C], [A, B, C, D]]) };
      const mine = its.seatAt(address(number));
      if (mine?.state === 'invited') return { op: 'join', seat: mine.name, id: id(number) };
      const { name } = random.pick(its.seats());
      return random.pick<Change>([
        { op: 'invite', address: address(random.integer(1, 6)) }, { op: 'out', seat: name },
        { op: 'leave', seat: name },
      ]);
    };
    for (let step = 0; step < 400; step += 1) {
      const broker = random.pick(brokers);
      hear(broker, random.integer(0, 5), random.integer(0, 3));
      const { slot } = broker.roster;
      const candidate = random.pick([...slot.candidates.map(({ change }) => change), wish(broker)]);
      if (random.integer(0, 3) > 0 || broker.roster.hasVoted(id(broker.number), slot)) continue;
      if (!broker.roster.allows(candidate)) continue;
      logs[broker.number - 1]!.push(vote(broker.number, slot.version, candidate, slot.attempt));
      hear(broker, broker.number - 1, 1);
    }
    const all = new Roster();
    for (const each of logs.toReversed().flat()) all.hear(...each);
    all.settle();
    for (const broker of brokers) {
      for (const from of logs.keys()) hear(broker, from, Infinity);
      t.strictSame(states(broker.roster), states(all), `seed ${seed}: all agree`);
    }
    for (const [version, after] of settled) {
      const before = settled.get(version - 1) ?? [];
      const needed = Math.floor(before.length / 2) + Math.floor(after.length / 2) + 2;
      const union = new Set([...before, ...after]).size;
      if (version > 1 && settled.has(version - 1)) t.ok(union < needed, `seed ${seed}: overlap at ${version}`);
    }
    t.ok(all.version > 0, `seed ${seed}: founded, version ${all.version}`);
  }
});
