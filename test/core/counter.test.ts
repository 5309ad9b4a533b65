import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { Bully } from '../../brokers/core/bully.ts';
import { checkCounter, COUNTER_MAX, COUNTER_OPEN_MAX } from '../../brokers/core/counter.ts';
import { Hearsay } from '../../brokers/core/hearsay.ts';
import { LamportClock } from '../../brokers/core/lamport.ts';
import { Views } from '../../brokers/core/view.ts';
import { origin } from '../support/record.ts';

const [a, b] = [parseAddress('a:1'), parseAddress('b:1')];

t.test('any number up to half of what can be counted may be told, and beyond that those near to what is known', async (t) => {
  const half = COUNTER_OPEN_MAX;
  for (const [told, known] of [[COUNTER_MAX, undefined], [0, 0], [half, 0], [half, half + 9], [half + 1, half - 1000], [half + 2 ** 32, half], [COUNTER_MAX, COUNTER_MAX - 1]] as const) {
    t.doesNotThrow(() => checkCounter('term', told, known), `${told} ${known}`);
  }
  for (const [told, known] of [[half + 2 ** 33, half], [COUNTER_MAX, 0], [COUNTER_MAX, half], [half + 2 ** 32, 7]] as const) {
    t.throws(() => checkCounter('term', told, known), { code: 'PROTOCOL', message: `term ${told} is above ${half}, and ${known} is known here` });
  }
});

t.test('an absurd number that a peer tells changes nothing', async (t) => {
  const absurd = { code: 'PROTOCOL', message: / is above 499999999999999, and \d+ is known here/ };
  const clock = new LamportClock(1005);
  t.throws(() => clock.witnessPeer(COUNTER_MAX), absurd);
  t.equal(clock.time, 1005);
  clock.witnessPeer(1007);
  t.equal(clock.increment(), 1008);
  const young = new LamportClock(5);
  young.witnessPeer(COUNTER_OPEN_MAX + 9);
  t.equal(young.time, COUNTER_OPEN_MAX + 9, 'who has just come joins a mesh that was pushed far');

  const bully = new Bully(a, 3, { okTimeoutMs: 1, coordinatorTimeoutMs: 1, graceMs: 1, takeoverAfterMs: 0 }, 0);
  bully.linkUp(b);
  for (const type of ['ELECTION', 'OK'] as const) t.throws(() => bully.receive(b, { type, term: COUNTER_MAX }, 0), absurd);
  t.throws(() => bully.receive(b, { type: 'COORDINATOR', term: COUNTER_MAX, address: b }, 0), absurd);
  t.strictSame([bully.term, bully.coordinator], [3, undefined]);
  t.strictSame(bully.receive(b, { type: 'COORDINATOR', term: 4, address: b }, 0).map(({ type }) => type), ['persist', 'chosen'], 'and nothing is left to be done');

  const views = new Views(a, 1000);
  t.equal(views.learn({ coordinator: b, term: 1, number: 1, members: [b] }), true);
  for (const [term, number] of [[COUNTER_MAX, 1], [1, COUNTER_MAX]] as const) {
    t.throws(() => views.learn({ coordinator: b, term, number, members: [b] }), absurd);
  }
  t.equal(views.learn({ coordinator: b, term: 1, number: 2, members: [a, b] }), true);

  const hearsay = new Hearsay(() => origin('a:1', 1), 10);
  t.throws(() => hearsay.learn(b, [[origin('a:1', 2), COUNTER_MAX]]), absurd);
  t.strictSame(hearsay.origin(a), origin('a:1', 1));
});
