import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import { Rows } from '../../../brokers/core/mesh/rows.ts';

const OPTIONS = { lookMs: 1000, lostAfterMs: 4000, provenAfterMs: 5000, namesMax: 3 };
const [self, a, b, c, x, y] = ['self:1', 'a:1', 'b:1', 'c:1', 'x:1', 'y:1'].map(parseAddress) as [
  Address, Address, Address, Address, Address, Address,
];
const HALF = (): number => 2 ** 31; // looks come after 0.75 of the time

function make(rows: readonly Address[], known: readonly Address[] = []): Rows {
  const made = new Rows(self, OPTIONS, HALF, (name) => known.includes(name));
  made.configure(rows);
  return made;
}

/** The seats as text: a name for a broker, with the row in front where it differs. */
function seats(rows: Rows, now = 0): string {
  const host = (address: Address): string => address.replace(':1', '');
  return rows.seats(now).map(({ row, broker }) =>
    (broker === row ? host(row) : `${host(row)}>${broker === undefined ? '?' : host(broker)}`)).join(' ');
}

t.test('each row is a seat, but for one\'s own', async (t) => {
  t.equal(seats(make([self, a, b])), 'a b');
  t.equal(seats(make([a, b, a])), 'a b', 'a row twice is one');
  t.equal(seats(make([])), '');
});

t.test('a row is fulfilled by whom it leads to', async (t) => {
  const rows = make([self, x, b]);
  rows.led(x, a, false, 0);
  t.equal(seats(rows), 'x>a b');
  rows.led(x, c, false, 1);
  t.equal(seats(rows), 'x>c b', 'now by somebody else');
  t.equal(rows.standsFor(x), c);
  rows.introduced(x);
  t.equal(seats(rows), 'x b', 'whoever goes by that name comes first');
});

t.test('a dead broker\'s name that leads to a live one: the dead one is missing', async (t) => {
  for (const order of [[self, a, b], [self, b, a]]) {
    const rows = make(order);
    rows.introduced(a);
    rows.led(b, a, false, 0);
    t.equal(seats(rows, 100_000), order[1] === a ? 'a b>?' : 'b>? a');
  }
});

t.test('a row that leads to oneself: missing where one has a row, else one\'s own', async (t) => {
  const listed = make([self, a, b]);
  listed.led(b, self, false, 0);
  t.equal(seats(listed), 'a b>?');
  const unlisted = make([x, a, b]);
  unlisted.led(x, self, false, 0);
  t.equal(seats(unlisted), 'a b');
  unlisted.led(b, self, false, 0);
  t.equal(seats(unlisted), 'a b>?');
  t.strictSame(unlisted.ownNames(), [x, b]);
});

t.test('two rows that lead to one broker: the second is missing', async (t) => {
  const rows = make([x, self, y, a]);
  rows.led(x, c, false, 0);
  rows.led(y, c, false, 0);
  t.equal(seats(rows, 100_000), 'x>c y>? a');
});

t.test('two rows are one once each look has shown so for a while, and that broker says it', async (t) => {
  const cases: [what: string, act: (rows: Rows) => void, after: string][] = [
    ['it says so', () => undefined, 'a'],
    ['it does not', (rows) => rows.led(x, a, false, 2500), 'a x>?'],
    ['a look was not answered', (rows) => rows.unanswered(x, false, 2500), 'a x>?'],
    ['somebody else answered', (rows) => rows.led(x, c, true, 2500), 'a x>?'],
    ['somebody went by that name', (rows) => rows.introduced(x), 'a x>?'],
  ];
  for (const [what, act, after] of cases) {
    const rows = make([self, a, x]);
    rows.led(x, a, true, 0);
    act(rows);
    rows.led(x, a, true, 2600);
    t.equal(seats(rows, 4999), 'a x>?', `${what}: not yet`);
    t.equal(seats(rows, 5000), after, what);
  }
});

t.test('another name of one\'s own is proven by another broker that comes by it, again and again', async (t) => {
  const looked = (rows: Rows, untilMs: number, reachedUntilMs: number): Rows => {
    for (let now = 0; now <= untilMs; now += 1000) {
      if (now <= reachedUntilMs) rows.reached(x, now);
      rows.led(x, self, false, now);
    }
    return rows;
  };
  t.equal(seats(looked(make([self, a, x]), 20_000, -1), 20_000), 'a x>?', 'alone');
  t.equal(seats(looked(make([self, a, x]), 6000, 6000), 6000), 'a', 'from the second look on');
  t.equal(seats(looked(make([self, a, x]), 9000, 6000), 9000), 'a');
  t.equal(seats(looked(make([self, a, x]), 10_000, 6000), 10_000), 'a x>?', 'nobody came by it for three looks');
});

t.test('two rows are never one where a broker of the other name is known', async (t) => {
  const rows = make([self, a, x], [x]);
  rows.led(x, a, true, 0);
  t.equal(seats(rows, 100_000), 'a x>?');
});

t.test('a row by whose name a broker was known is another\'s only once that is proven', async (t) => {
  for (const [what, know] of [['now', true], ['before', false]] as const) {
    const rows = make([x, c], know ? [] : [x]);
    if (know) rows.introduced(x);
    rows.led(x, a, false, 0);
    t.equal(seats(rows, 100_000), 'x>? c', `${what}: somebody who joined answers to it`);
    rows.led(x, a, true, 1000);
    t.equal(seats(rows, 5999), 'x>? c');
    t.equal(seats(rows, 6000), 'x>a c', `${what}: its broker has another name`);
  }
});

t.test('a lead ends when nobody has answered for a while; that to oneself at once', async (t) => {
  const rows = make([x, y, a]);
  rows.led(x, b, false, 0);
  rows.led(y, self, false, 0);
  t.ok(rows.unanswered(y, false, 1000));
  t.notOk(rows.unanswered(x, false, 1000));
  t.equal(seats(rows), 'x>b y a');
  rows.led(x, b, false, 2000);
  t.notOk(rows.unanswered(x, false, 5999));
  t.ok(rows.unanswered(x, false, 6000));
  t.equal(seats(rows), 'x y a');
  t.notOk(rows.unanswered(a, false, 6000), 'which led nowhere');
});

t.test('while no name server answers, a lead to another broker stays, and that to oneself does not', async (t) => {
  const rows = make([x, y, a]);
  rows.led(x, b, true, 0);
  rows.led(y, self, false, 0);
  for (let now = 1000; now < 20_000; now += 1000) rows.unanswered(x, true, now);
  rows.unanswered(y, true, 1000);
  t.equal(seats(rows), 'x>b y a');
  t.ok(rows.unanswered(x, false, 23_000));
  const listed = make([x, b]);
  listed.led(x, b, true, 0);
  listed.unanswered(x, true, 1000);
  listed.led(x, b, true, 2000);
  t.equal(seats(listed, 6999), 'x>? b', 'and proves nothing');
});

t.test('a row that was taken out leads nowhere', async (t) => {
  const rows = make([x, a]);
  rows.led(x, self, false, 0);
  t.strictSame(rows.ownNames(), [x]);
  rows.configure([a]);
  t.strictSame([rows.ownNames(), rows.isLead(x), rows.takeLook(100_000)], [[], false, undefined]);
});

t.test('looks: each name in its time, the one that waits longest first', async (t) => {
  const rows = make([x, y]);
  rows.led(x, a, false, 0);
  rows.led(y, b, false, 10);
  t.equal(rows.takeLook(749), undefined);
  t.equal(rows.takeLook(800), x);
  t.equal(rows.takeLook(800), y);
  t.equal(rows.takeLook(10_000), undefined, 'each is to be answered first');
  rows.unanswered(y, false, 1000);
  rows.led(x, a, false, 1001);
  t.equal(rows.takeLook(5000), y);
});

t.test('a broker that has another name now takes along the names that led to it', async (t) => {
  const rows = make([x, c]);
  rows.led(x, a, true, 0);
  rows.led(a, b, true, 10);
  t.equal(seats(rows), 'x>b c');
  t.equal(rows.standsFor(a), b, 'what is told of it by its old name');
});

t.test('of names that no row has only so many are remembered', async (t) => {
  const rows = make([x]);
  const others = ['d:1', 'e:1', 'f:1', 'g:1'].map(parseAddress);
  for (const name of others) rows.led(name, a, false, 0);
  t.strictSame(others.map((name) => rows.isLead(name)), [true, true, true, false]);
  rows.led(x, a, false, 0);
  t.ok(rows.isLead(x));
});
