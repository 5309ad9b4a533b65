import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import { type Member, Membership } from '../../../brokers/core/mesh/membership.ts';
import { Neighbours } from '../../../brokers/core/mesh/neighbours.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

const OPTIONS = {
  suspectAfterMs: 3000, deadAfterMs: 10_000, redialMinMs: 100, redialMaxMs: 800,
  refusedRedialMaxMs: 3200, membersMax: 4, fullMs: 30_000, rowLookMs: 1000, rowProvenMs: 5000,
};
const [self, a, b, c, alias] = ['10.0.0.1:3000', 'a:1', 'b:1', 'c:1', 'localhost:3000'].map(parseAddress) as [
  Address, Address, Address, Address, Address,
];
const HALF = (): number => 2 ** 31; // jitter in the middle: 0.75 of the backoff

function membership(rows: readonly Address[] = [], changes: Partial<typeof OPTIONS> = {}): Membership {
  const members = new Membership(self, { ...OPTIONS, ...changes }, HALF);
  members.configure(rows, 0);
  return members;
}

t.test('states', async (t) => {
  const members = membership([a]);
  const cases: [event: string, act: () => void, states: [now: number, state: string][]][] = [
    ['a row of the file', () => undefined, [[0, 'dead']]],
    [
      'a link',
      () => members.linkUp(a, 1000),
      [
        [1000, 'alive'], [3999, 'alive'], [4000, 'suspect'], [20_000, 'suspect'],
      ],
    ],
    [
      'something heard',
      () => members.heard(a, 5000),
      [
        [7999, 'alive'],
        [8000, 'suspect'],
      ],
    ],
    [
      'the link is lost',
      () => members.linkDown(a, false, 6000),
      [
        [6000, 'suspect'], [14_999, 'suspect'], [15_000, 'dead'],
      ],
    ],
    ['dialled in vain', () => members.dialFailed(a, 6100), [[6100, 'dead']]],
    ['back', () => members.linkUp(a, 7000), [[7000, 'alive']]],
    ['it says BYE', () => members.linkDown(a, true, 7500), [[7500, 'dead']]],
  ];
  for (const [event, act, states] of cases) {
    act();
    for (const [now, state] of states) t.equal(members.state(a, now), state, `${event}, at ${now}`);
  }
  t.equal(members.state(b, 0), 'dead', 'somebody unknown');
});

t.test('oneself is no member', async (t) => {
  const members = membership([self, a]);
  members.learn(self, 0);
  members.linkUp(self, 0);
  t.strictSame(members.all(), [a]);
  t.strictSame(members.configured(), [a]);
  t.strictSame(members.takeDials(0), [a]);
});

t.test('dials: each member at once, one at a time, not while it is linked', async (t) => {
  const members = membership([a, b]);
  t.strictSame(members.takeDials(0), [a, b]);
  t.strictSame(members.takeDials(0), [], 'no second one before the first is answered');
  members.linkUp(a, 10);
  members.dialFailed(b, 10);
  members.dialFailed(a, 10); // its dial met a link that was there already
  t.equal(members.state(a, 10), 'alive');
  t.strictSame(members.takeDials(10 + 74), []);
  t.strictSame(members.takeDials(10 + 75), [b]);
  members.linkDown(a, false, 200);
  t.strictSame(members.takeDials(274), []);
  t.strictSame(members.takeDials(275), [a]);
});

t.test('a link that the other side dialled answers our own dial', async (t) => {
  const members = membership([a]);
  members.takeDials(0);
  members.linkUp(a, 10);
  members.linkDown(a, false, 20);
  t.strictSame(members.takeDials(20 + 75), [a], 'or it would never be dialled again');
});

t.test('the backoff doubles up to its most, with jitter, and begins anew after a link', async (t) => {
  const random = new SeededRandom();
  const members = new Membership(self, OPTIONS, random.word);
  members.configure([a], 0);
  let now = 0;
  const waits: number[] = [];
  for (let round = 0; round < 7; round += 1) {
    members.takeDials(now);
    members.dialFailed(a, now);
    const failed = now;
    while (members.takeDials(now).length === 0) now += 1;
    waits.push(now - failed);
    members.dialFailed(a, now);
    members.linkUp(a, now);
    now += OPTIONS.suspectAfterMs;
    members.linkDown(a, false, now); // it lasted: back to the least, doubled from there
    for (let step = 0; step < round; step += 1) members.dialFailed(a, now);
    now += 10_000;
  }
  for (const [round, wait] of waits.entries()) {
    const most = Math.min(OPTIONS.redialMaxMs, OPTIONS.redialMinMs * 2 ** (round === 0 ? 0 : round));
    t.ok(wait >= most / 2 && wait <= most, `round ${round}: ${wait} ms of ${most} (seed ${SEED})`);
  }
});

t.test('who refuses, or is refused, is dialled less and less often', async (t) => {
  const refusals: [string, (members: Membership, now: number) => void][] = [
    ['instead of a handshake', (members, now) => members.dialFailed(a, now, true)],
    ['after it', (members, now) => {
      members.linkUp(a, now);
      members.linkDown(a, false, now + 1, true);
    }],
  ];
  for (const [what, refuse] of refusals) {
    const members = membership([a]);
    const dials: number[] = [];
    for (let now = 0; now < 20_000; now += 10) {
      if (members.takeDials(now).length === 0) continue;
      dials.push(now);
      refuse(members, now);
    }
    t.equal(dials.length, 13, `${what}: at ${dials.join()}`); // doubling from 75 ms to 2400 ms
  }
});

t.test('settled when every dial has been answered, however', async (t) => {
  t.equal(membership().settled(10), true, 'nobody to dial');
  const answers: [string, (members: Membership) => void][] = [
    ['failed', (members) => members.dialFailed(alias, 5)],
    ['linked', (members) => members.linkUp(alias, 5)],
    ['oneself', (members) => members.led(alias, self, false, 5)],
    ['another one, linked', (members) => {
      members.led(alias, a, false, 5);
      members.linkUp(a, 5);
    }],
    ['another one, dialled under both names', (members) => {
      members.led(alias, a, false, 5);
      t.equal(members.settled(10), false, 'its own dial is still to be answered');
      members.dialFailed(alias, 5); // the link under this name closes
      members.takeDials(5);
      members.dialFailed(a, 6);
    }],
    ['taken out of the file', (members) => {
      members.configure([], 5);
      members.dialFailed(alias, 6);
    }],
    ['taken out and put in again', (members) => {
      members.configure([], 5);
      members.configure([alias], 6);
      t.equal(members.settled(10), false);
      t.strictSame(members.takeDials(6), [alias]);
      members.dialFailed(alias, 7);
    }],
  ];
  for (const [what, answer] of answers) {
    const members = membership([alias]);
    t.equal(members.settled(10), false, `${what}: not dialled yet`);
    members.takeDials(0);
    t.equal(members.settled(10), false, `${what}: not answered yet`);
    answer(members);
    t.equal(members.settled(10), true, what);
  }
});

t.test('a row that comes later is dialled before all is settled again; who is only heard of is not dialled', async (t) => {
  const members = membership([a]);
  members.takeDials(0);
  members.dialFailed(a, 0);
  members.learn(b, 1);
  t.equal(members.settled(10), true);
  t.strictSame(members.takeDials(10).filter((each) => each === b), []);
  members.configure([a, b], 10);
  t.equal(members.settled(10), false);
  t.ok(members.takeDials(10).includes(b));
});

t.test('a row that leads to a broker of another name stands for it: one member, one seat', async (t) => {
  const members = membership([alias]);
  members.takeDials(0);
  members.led(alias, a, false, 1);
  members.linkUp(a, 1);
  t.strictSame(members.all(), [a]);
  t.strictSame(members.seats, [{ row: alias, broker: a }]);
  t.strictSame(members.configured(), [a]);
  members.learn(alias, 2);
  t.strictSame(members.configure([alias], 3), [], 'still named, by its alias');
  t.strictSame(members.all(), [a]);
  t.strictSame(members.configure([], 4), [a]);
  members.linkDown(a, false, 5);
  t.strictSame(members.all(), []);
});

t.test('a row that leads to a broker with a row of its own is missing, and shown as dead', async (t) => {
  const members = membership([alias, a]);
  members.takeDials(0);
  members.linkUp(a, 1);
  members.led(alias, a, false, 1);
  t.strictSame(members.all(), [alias, a]);
  t.strictSame(members.seats, [{ row: alias, broker: undefined }, { row: a, broker: a }]);
  t.strictSame(members.configured(), [alias, a], 'it can be asked for by its own name only');
  t.equal(members.state(alias, 2), 'dead');
  t.ok(members.settled(2));
  t.strictSame(members.takeDials(100_000), [], 'it is looked at, not dialled');
  t.equal(members.takeLook(1500), alias);
  t.equal(members.takeLook(1500), undefined, 'no second look before the first is answered');
  members.led(alias, alias, false, 1501);
  t.strictSame(members.seats, [{ row: alias, broker: alias }, { row: a, broker: a }], 'its own broker is there');
  t.strictSame(members.takeDials(1502), [alias]);
});

t.test('a row that leads to this very broker is looked at, and ends with the first look that fails', async (t) => {
  const members = membership([alias, a]);
  members.takeDials(0);
  members.led(alias, self, false, 1);
  members.dialFailed(alias, 1);
  t.strictSame([members.configured(), members.ownNames()], [[a], [alias]]);
  members.learn(alias, 2);
  members.configure([alias, a], 3);
  t.strictSame(members.all(), [a]);
  t.ok(members.takeRecounted());
  t.equal(members.takeLook(1000), alias);
  members.unanswered(alias, false, 1001);
  t.strictSame([members.configured(), members.ownNames()], [[alias, a], []]);
  t.ok(members.takeRecounted());
  t.notOk(members.takeRecounted());
  t.strictSame(members.takeDials(1001), [alias]);
});

t.test('in a mesh larger than the fan-out, a row of which nobody heard is looked at', async (t) => {
  const neighbours = new Neighbours<Member>(self, 2);
  const members = new Membership(self, OPTIONS, HALF, neighbours);
  members.configure([a, b, alias], 0);
  members.linkUp(a, 0);
  members.heardOf(b, 0);
  t.equal(members.takeLook(OPTIONS.deadAfterMs - 1), undefined, 'others may tell of it yet');
  t.equal(members.takeLook(OPTIONS.deadAfterMs), alias);
  t.equal(members.takeLook(OPTIONS.deadAfterMs), undefined);
  members.led(alias, c, false, OPTIONS.deadAfterMs);
  t.strictSame(members.configured(), [a, b, c]);
});

t.test('a broker that answers under its own name has none but that', async (t) => {
  const members = membership([a]);
  members.takeDials(0);
  members.led(a, a, false, 1);
  members.linkUp(a, 1);
  t.strictSame(members.all(), [a]);
  t.equal(members.settled(10), true);
});

t.test('the file: new rows are dialled, those taken out are no members', async (t) => {
  const members = membership([a, b]);
  members.linkUp(b, 0);
  members.learn(c, 0);
  t.strictSame(members.configure([a, c], 1), [b], 'although it is linked');
  t.strictSame(members.all(), [a, b, c], 'until its link is closed');
  t.strictSame(members.configured(), [a, c], 'who was learned before counts now');
  members.linkDown(b, false, 2);
  members.heard(b, 2);
  t.strictSame(members.all(), [a, c]);
  members.linkUp(b, 3);
  t.strictSame([members.all(), members.configured()], [[a, c, b], [a, c]], 'it may join, and is not counted');
});

t.test('one that is taken out and added again before its link is closed is linked as before', async (t) => {
  const members = membership([a, b]);
  members.linkUp(b, 0);
  members.configure([a], 1);
  members.configure([a, b], 2);
  t.ok(members.isLinked(b));
  t.strictSame(members.silent(10_000), [b], 'so it is missed');
});

t.test('silent links are to be hung up', async (t) => {
  const members = membership([a, b]);
  members.linkUp(a, 0);
  members.linkUp(b, 0);
  members.heard(b, 1);
  t.strictSame(members.silent(9999), []);
  t.strictSame(members.silent(10_000), [a]);
  members.linkDown(a, false, 10_000);
  t.strictSame(members.silent(10_001), [b]);
});

t.test('a broker that is no member is forgotten with its link, and not dialled; hearsay of one is ignored', async (t) => {
  const members = membership([a]);
  members.linkUp(c, 0);
  members.heardOf(b, 0);
  t.strictSame(members.all(), [a, c]);
  t.strictSame(members.takeDials(0), [a]);
  members.linkDown(c, false, 100_000);
  t.strictSame(members.all(), [a]);
  t.strictSame(members.takeForgotten(), [c]);
  members.configure([a, b], 100_000);
  members.configure([a], 100_000);
  t.strictSame([members.all(), members.takeForgotten()], [[a], [b]]);
});

t.test('no more than so many are learned; what the file names is always known', async (t) => {
  const members = membership([a], { membersMax: 2 });
  members.learn(b, 0);
  members.learn(c, 0);
  t.strictSame(members.all(), [a, b]);
  members.configure([a, c], 0);
  t.strictSame(members.all(), [a, b, c]);
});

t.test('a broker that changes its name, and changes it back, is still the one of its row', (t) => {
  const later = OPTIONS.rowProvenMs; // by then the row is known to be the same host's
  for (const [what, back] of [
    ['it is dialled', (members: Membership, now: number) => members.led(b, alias, false, now)],
    ['it dials', (members: Membership, now: number) => members.linkUp(alias, now)],
  ] as const) {
    const members = membership([alias, c]);
    members.linkUp(alias, 1);
    members.linkDown(alias, true, 10);
    members.led(alias, a, true, 11);
    t.strictSame(members.seats[0], { row: alias, broker: undefined }, 'somebody of another name, at first');
    members.linkUp(a, 11);
    members.led(alias, a, true, 11 + later);
    t.strictSame(members.configured(), [a, c], 'another name');
    members.linkDown(a, true, 20 + later);
    members.led(a, b, true, 21 + later);
    members.led(alias, b, true, 22 + later);
    members.led(alias, b, true, 22 + 2 * later);
    t.strictSame(members.configured(), [b, c], 'a third one');
    t.strictSame(members.all().toSorted(), [b, c].toSorted());
    members.linkUp(b, 23 + 2 * later);
    members.linkDown(b, true, 29 + 2 * later);
    back(members, 30 + 2 * later);
    t.strictSame(members.configured(), [alias, c], `the one of its row, ${what}`);
    members.linkUp(alias, 30 + 2 * later);
    t.equal(members.state(alias, 30 + 2 * later), 'alive');
    t.strictSame(members.configure([c], 40 + 2 * later), [alias], 'and it goes with its row');
  }
  t.end();
});

t.test('a broker that introduces itself by the name of a row is its broker, and not this one', (t) => {
  const members = membership([alias, c]);
  members.led(alias, self, false, 5);
  members.linkUp(alias, 6);
  t.strictSame(members.configured(), [alias, c]);
  members.led(alias, self, false, 7);
  t.strictSame(members.configured(), [alias, c], 'as long as there is a link with it');
  members.linkDown(alias, false, 8);
  members.led(alias, self, false, 9);
  t.strictSame(members.seats, [{ row: alias, broker: undefined }, { row: c, broker: c }], 'then it is missing');
  t.end();
});
