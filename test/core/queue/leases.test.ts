import t from 'tap';
import { decodeHandover, encodeHandover } from '../../../brokers/core/queue/handover.ts';
import {
  type HandedLease, type LeaseEntry, type LeasePolicy, type Source, tokenOf,
} from '../../../brokers/core/queue/lease.ts';
import { Leases } from '../../../brokers/core/queue/leases.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const HERE = '0123456789ab';
const A = origin('h:1', 1);
const POLICY: LeasePolicy = { visibilityMs: 1000, maxDeliveries: null, backoffMs: null, backoffMsMax: 60_000 };
const source = (position: number): Source => ({
  position, topic: 'news', origin: A, seq: position * 10, lamport: position * 10,
});
const make = (changes: Partial<LeasePolicy> = {}): Leases => new Leases(HERE, { ...POLICY, ...changes });

t.test('only the newest token of a message is good, while its lease runs', async (t) => {
  const leases = make();
  const entry = leases.lease(source(1), 3, 0, 'c', 0);
  t.match(entry, { origin: A, seq: 13, state: 'leased', deliveries: 1, consumer: 'c' });
  const first = tokenOf(entry);
  t.equal(leases.isGood(entry, first, 999), true);
  t.equal(leases.isGood(entry, first, 1000), false, 'it has run out, whether anybody looked or not');
  t.equal(leases.isGood(entry, { ...first, instance: 'ba9876543210' }, 0), false, 'of another process');
  t.strictSame(leases.expire(999), []);
  t.strictSame(leases.expire(1000), [entry]);
  t.equal(leases.nextReady, entry);
  leases.again(entry, 'd', 1500);
  t.match(entry, { deliveries: 2, consumer: 'd' });
  t.equal(leases.isGood(entry, first, 1600), false);
  t.equal(leases.isGood(entry, tokenOf(entry), 1600), true);
  leases.extend(entry, 5000, 1600);
  t.strictSame(leases.expire(6599), []);
  t.strictSame(leases.expire(6600), [entry]);
});

t.test('a negative acknowledgement: at once, after its delay, or by the backoff, which doubles up to its cap', async (t) => {
  const cases: [backoffMs: number | null, deliveries: number, delayMs: number | undefined, waits: number][] = [
    [null, 1, undefined, 0],
    [null, 1, 700, 700],
    [100, 1, undefined, 100],
    [100, 2, undefined, 200],
    [100, 5, undefined, 1600],
    [100, 200, undefined, 60_000],
    [100, 2, 0, 0],
  ];
  for (const [backoffMs, deliveries, delayMs, waits] of cases) {
    const leases = make({ backoffMs });
    const entry = leases.lease(source(1), 0, deliveries - 1, 'c', 0);
    leases.fail(entry, 10, delayMs);
    t.equal(entry.state, waits === 0 ? 'ready' : 'delayed');
    if (waits === 0) continue;
    leases.expire(10 + waits - 1);
    t.equal(entry.state, 'delayed', `${waits}`);
    t.strictSame(leases.expire(10 + waits), [], 'the end of a delay is no failure');
    t.equal(entry.state, 'ready');
  }
});

t.test('after as many deliveries as may be, a message is failed', async (t) => {
  const leases = make({ maxDeliveries: 2, backoffMs: 100 });
  const entry = leases.lease(source(1), 0, 0, 'c', 0);
  leases.expire(1000);
  t.equal(entry.state, 'delayed');
  leases.expire(1100);
  leases.again(entry, 'c', 1100);
  leases.fail(entry, 1200, 50);
  t.equal(entry.state, 'failed', 'a delay changes nothing about that');
  leases.exhausted(source(2), 0, 2);
  t.strictSame(leases.takeFailed().map(({ seq }) => seq), [10, 20], 'what failed at another home counts');
  t.strictSame(leases.takeFailed(), []);
  t.equal(leases.lowest, 1);
  leases.remove(entry);
  t.equal(leases.lowest, 2, 'until it is with the dead letters it holds up the floor');
  t.strictSame(leases.counts, { leased: 0, delayed: 0, ready: 0, failed: 1, gone: 1 });
});

t.test('what is being acknowledged does not run out; if it cannot be written, all is as before', async (t) => {
  const leases = make();
  const entry = leases.lease(source(1), 0, 0, 'c', 0);
  leases.settle(entry);
  t.equal(leases.isGood(entry, tokenOf(entry), 1), false);
  t.strictSame(leases.expire(5000), []);
  leases.unsettle(entry);
  t.strictSame(leases.expire(5000), [entry]);
});

t.test('deliveries again that became ready together come by place, whatever failed first', async (t) => {
  const leases = make();
  const entries = [3, 1, 2].map((position) => leases.lease(source(position), 5, 0, 'c', 0));
  const second = leases.lease(source(1), 2, 0, 'c', 0);
  for (const entry of [...entries, second]) leases.fail(entry, 0);
  const order: number[] = [];
  for (let next = leases.nextReady; next !== undefined; next = leases.nextReady) {
    order.push(next.seq);
    leases.again(next, 'c', 0);
  }
  t.strictSame(order, [12, 15, 25, 35]);
});

t.test('leases move to another home: tokens stay good, and a message is not delivered before its lease has run out', async (t) => {
  const before = make();
  const [one, two, three] = [0, 1, 2].map((index) => before.lease(source(1), index, 0, 'c', 0)) as [
    LeaseEntry, LeaseEntry, LeaseEntry,
  ];
  before.fail(two, 0, 400);
  before.fail(three, 0);
  const text = encodeHandover(before.all(), 100);
  const next = new Leases('ba9876543210', POLICY);
  for (const handed of decodeHandover(text, { leasesMax: 100, remainingMsMax: 60_000 })) next.adopt(handed, 5000);
  t.equal(next.size, 3);
  next.expire(5000);
  t.match(next.get(A, three.seq), { state: 'ready', deliveries: 1 }, 'its deliveries count on');
  const handed = next.get(A, one.seq)!;
  t.equal(next.isGood(handed, tokenOf(one), 5899), true);
  t.equal(next.lowest, undefined);
  next.adopt({ ...handed, state: 'leased', remainingMs: 100_000 }, 5000);
  t.equal(handed.dueAt, 5900, 'told twice');
  t.strictSame(next.expire(5900), [handed]);
  t.equal(next.nextReady, undefined, 'not before its place is known');
  next.place(handed, source(4));
  t.equal(next.nextReady, handed);
  t.equal(next.lowest, 4);
  t.equal(encodeHandover([], 0), '');
  t.strictSame(decodeHandover('', { leasesMax: 1, remainingMsMax: 1 }), []);
  t.equal(decodeHandover(text, { leasesMax: 1, remainingMsMax: 5 })[0]!.remainingMs, 5);
  for (const bad of [
    'x', '7', '[7]', '{}', '[{}]', text.replace('leased', 'x'), text.replace(HERE, 'x'), text.replace('[10,', '["10",'),
    text.replace(A, 'x'),
  ]) {
    t.throws(() => decodeHandover(bad, { leasesMax: 100, remainingMsMax: 1 }), { code: 'PROTOCOL' }, bad);
  }
});

t.test('of what was told of one message more deliveries are newer, unless it was delivered here', async (t) => {
  const told = (deliveries: number): HandedLease => ({
    origin: A, seq: 10, deliveries, lease: deliveries, instance: HERE, consumer: 'c', state: 'leased', remainingMs: 100,
  });
  const leases = new Leases('ba9876543210', POLICY);
  for (const deliveries of [2, 1, 3]) leases.adopt(told(deliveries), 0);
  leases.putOff({ origin: A, seq: 10, attempts: 3, until: 1 });
  t.match(leases.get(A, 10), { deliveries: 3, state: 'leased' });
  leases.putOff({ origin: A, seq: 10, attempts: 4, until: 1000 });
  t.match(leases.get(A, 10), { deliveries: 4, state: 'delayed', dueAt: 1000 });
  t.equal(leases.size, 1);
  leases.settle(leases.get(A, 10)!);
  leases.adopt(told(5), 0);
  t.equal(leases.get(A, 10)!.deliveries, 4, 'it is being acknowledged');
  leases.unsettle(leases.get(A, 10)!);
  leases.place(leases.get(A, 10)!, source(1));
  leases.adopt(told(5), 0);
  t.equal(leases.get(A, 10)!.deliveries, 4, 'the reader has come to it');
});

t.test('deliveries that failed elsewhere count, for the limit too', async (t) => {
  const leases = new Leases(HERE, { ...POLICY, maxDeliveries: 3 });
  const [one, two] = [0, 1].map((index) => leases.lease(source(1), index, 0, 'c', 0)) as [LeaseEntry, LeaseEntry];
  for (const entry of [one, two]) leases.fail(entry, 0, 0);
  leases.raise(one, 2);
  leases.raise(two, 3);
  t.strictSame(leases.takeFailed(), [two]);
  t.equal(leases.nextReady, one);
  leases.again(one, 'c', 0);
  t.equal(one.deliveries, 3);
});

t.test('no lease of a process has the number of another, also when it has been the home before', async (t) => {
  const given = { count: 0 };
  const numbers = [1, 2].map(() => new Leases(HERE, POLICY, given).lease(source(1), 0, 0, 'c', 0).lease);
  t.strictSame(numbers, [1, 2]);
});

t.test('who has been ready for longest is delivered again first, so that a message that fails again and again holds up nobody', async (t) => {
  const leases = make();
  const [poison, other] = [leases.lease(source(1), 0, 0, 'c', 0), leases.lease(source(9), 0, 0, 'd', 0)];
  leases.fail(poison, 0);
  leases.again(leases.nextReady!, 'c', 0);
  leases.fail(other, 0);
  leases.fail(poison, 0); // at the same time by the clock: the one in front comes first, once
  t.equal(leases.nextReady, poison);
  leases.again(poison, 'c', 0);
  leases.fail(poison, 0);
  t.equal(leases.nextReady, other);
});

/** What a message is in the model: the same by the letter, with a list in place of every index. */
interface Model {
  seq: number;
  state: string;
  deliveries: number;
  dueAt: number;
  readySince: number; // leases given before
}

t.test(`random operations against a list (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const wrong = new Set<string>();
  for (let run = 0; run < 20; run += 1) {
    const policy = { ...POLICY, maxDeliveries: random.pick([null, 3]), backoffMs: random.pick([null, 50]) };
    const leases = make(policy);
    let list: Model[] = [];
    let [now, position, given] = [0, 0, 0];
    const failModel = (model: Model, delayMs?: number): void => {
      const wait = delayMs ?? (policy.backoffMs === null ? 0 : policy.backoffMs * 2 ** (model.deliveries - 1));
      if (policy.maxDeliveries !== null && model.deliveries >= policy.maxDeliveries) model.state = 'failed';
      else
        Object.assign(
          model,
          wait > 0 ? { state: 'delayed', dueAt: now + wait } : { state: 'ready', readySince: given },
        );
    };
    for (let step = 0; step < 600; step += 1) {
      const leased = list.filter(({ state, dueAt }) => state === 'leased' && dueAt > now);
      const chosen = leased.length > 0 ? random.pick(leased) : undefined;
      const entry = chosen && leases.get(A, chosen.seq)!;
      switch (random.integer(0, 6)) {
        case 0:
        case 1:
          position += 1;
          leases.lease(source(position), 0, 0, 'c', now);
          given += 1;
          list.push({ seq: position * 10, state: 'leased', deliveries: 1, dueAt: now + 1000, readySince: 0 });
          break;
        case 2:
          if (entry === undefined) break;
          leases.remove(entry);
          list = list.filter((each) => each !== chosen);
          break;
        case 3: {
          const delayMs = random.pick([undefined, 0, 300]);
          if (entry === undefined) break;
          leases.fail(entry, now, delayMs);
          failModel(chosen!, delayMs);
          break;
        }
        case 4:
          if (entry === undefined) break;
          leases.extend(entry, 2000, now);
          chosen!.dueAt = now + 2000;
          break;
        case 5: {
          now += random.integer(0, 400);
          leases.expire(now);
          for (const model of list.filter(
            ({ state, dueAt }) => (state === 'leased' || state === 'delayed') && dueAt <= now,
          )) {
            if (model.state === 'leased') failModel(model);
            else Object.assign(model, { state: 'ready', readySince: given });
          }
          break;
        }
        default: {
          const next = leases.nextReady;
          const ready = list
            .filter(({ state }) => state === 'ready')
            .sort((a, b) => a.readySince - b.readySince || a.seq - b.seq)[0];
          if (next?.seq !== ready?.seq) wrong.add('next');
          if (next === undefined || ready === undefined) break;
          leases.again(next, 'c', now);
          given += 1;
          Object.assign(ready, { state: 'leased', deliveries: ready.deliveries + 1, dueAt: now + 1000 });
        }
      }
      if (
        list.some(
          (model) =>
            leases.get(A, model.seq)?.state !== model.state ||
            leases.get(A, model.seq)?.deliveries !== model.deliveries,
        )
      ) {
        wrong.add('state');
      }
      if (leases.size !== list.length) wrong.add('size');
      if (leases.lowest !== list.map(({ seq }) => seq / 10).sort((a, b) => a - b)[0]) wrong.add('lowest');
    }
  }
  t.strictSame([...wrong], []);
});

t.test('an expiry at the very time of the backoff\'s end: each step on its own', async (t) => {
  const leases = make({ backoffMs: 100 });
  const entry = leases.lease(source(1), 0, 0, 'c', 0);
  t.strictSame(leases.expire(10_000), [entry]);
  t.equal(entry.state, 'delayed', 'the backoff counts from when the failure was seen');
});

t.test('a message that waits to be delivered again when the limit falls below its deliveries is failed at once', async (t) => {
  const leases = make();
  const [twice, once, unplaced] = [
    leases.lease(source(1), 0, 1, 'c', 0), leases.lease(source(1), 1, 0, 'c', 0), { origin: A, seq: 99 },
  ];
  leases.adopt(
    { ...unplaced, deliveries: 7, instance: HERE, lease: 1, consumer: 'c', state: 'leased', remainingMs: 1000 },
    0,
  );
  leases.expire(1000);
  t.strictSame(leases.takeFailed(), []);
  leases.policy = { ...POLICY, maxDeliveries: 2 };
  t.strictSame(leases.takeFailed(), [twice], 'what has no place yet is looked at when it gets one');
  t.equal(leases.nextReady, once);
  leases.revive(twice);
  t.equal(leases.takeFailed().length, 1, 'the limit holds');
  leases.policy = { ...POLICY, maxDeliveries: 3 };
  leases.revive(twice);
  t.equal(leases.nextReady, twice);
});

t.test('a message that was handed over on its last delivery, or whose limit falls while it is delayed, is failed when its delay ends, and that is told', async (t) => {
  const leases = make({ maxDeliveries: 3, backoffMs: 100 });
  leases.adopt(
    { origin: A, seq: 13, deliveries: 3, instance: HERE, lease: 1, consumer: 'c', state: 'leased', remainingMs: 500 },
    0,
  );
  const handed = leases.get(A, 13)!;
  t.strictSame(leases.expire(500), [handed], 'its lease runs out before the reader comes to it');
  leases.place(handed, source(1));
  t.equal(handed.state, 'delayed');
  t.strictSame(leases.expire(900), [], 'no delivery has failed');
  t.strictSame(leases.takeFailed(), [handed]);

  const other = leases.lease(source(2), 0, 1, 'c', 1000);
  leases.fail(other, 1000);
  leases.policy = { ...leases.policy, maxDeliveries: 2 };
  leases.expire(1200);
  t.strictSame(leases.takeFailed(), [other]);

  leases.adopt(
    { origin: A, seq: 33, deliveries: 3, instance: HERE, lease: 2, consumer: 'c', state: 'delayed', remainingMs: 0 },
    2000,
  );
  leases.expire(2000);
  leases.place(leases.get(A, 33)!, source(3));
  t.equal(leases.takeFailed()[0]?.seq, 33, 'also where the reader comes to it later');
});
