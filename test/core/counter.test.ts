import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { Bully } from '../../brokers/core/mesh/bully.ts';
import {
  checkCounter, checkGrowth, COUNTER_MAX, COUNTER_SENSE_MAX, Following, Growth,
} from '../../brokers/core/counter.ts';
import { Hearsay } from '../../brokers/core/mesh/hearsay.ts';
import { Views } from '../../brokers/core/home/view.ts';
import { origin } from '../support/record.ts';

const [a, b] = [parseAddress('a:1'), parseAddress('b:1')];

t.test('any number up to 2^49 may be told, and beyond that those near to what is known', async (t) => {
  const open = 2 ** 49;
  for (const [told, known] of [
    [COUNTER_MAX, undefined], [0, 0], [open, 0], [open, open + 9], [open + 1, open - 1000], [open + 2 ** 32, open],
    [COUNTER_MAX, COUNTER_MAX - 1],
  ] as const) {
    t.doesNotThrow(() => checkCounter('beat', told, known), `${told} ${known}`);
  }
  for (const [told, known] of [
    [open + 2 ** 33, open], [COUNTER_MAX, 0], [COUNTER_MAX, open], [open + 2 ** 32, 7],
  ] as const) {
    t.throws(() => checkCounter('beat', told, known), {
      code: 'PROTOCOL',
      message: `beat ${told} is above ${open}, and ${known} is known here`,
    });
  }
});

t.test('a counter may be taken so far at once, and further with each second; beyond sense only by those who are there', async (t) => {
  const growth = new Growth({ atOnce: 100, perSecond: 10 }, 7, 1000);
  t.strictSame([growth.max(1000), growth.max(1099), growth.max(1100), growth.max(11_000)], [107, 107, 108, 207]);
  t.equal(growth.max(1e300), COUNTER_SENSE_MAX);
  growth.restart(1000, 5000);
  t.equal(growth.max(6000), 1110);
  t.equal(new Growth({ atOnce: 100, perSecond: 10 }, COUNTER_SENSE_MAX + 1, 0).max(0), COUNTER_SENSE_MAX + 101);
  t.equal(new Growth({ atOnce: 100, perSecond: 10 }, COUNTER_MAX - 1, 0).max(0), COUNTER_MAX);
  t.doesNotThrow(
    () => checkGrowth('term', 5, 5, new Growth({ atOnce: 0, perSecond: 0 }, 0, 0), 0),
    'what is known is no growth',
  );
});

t.test('one peer takes a counter only so far, however often it tells and comes back', async (t) => {
  const following = new Following({ perSecond: 10, savedMax: 100 });
  let known = 0;
  for (let message = 0; message < 100_000; message += 1) {
    known = following.follow('liar', known + 1000, known, message / 10); // 10 s
    if (message % 100 === 0) following.leave('liar');
  }
  t.ok(known > 190 && known <= 200, `${known}`);
  t.equal(following.follow('honest', known + 50, known, 10_000), known + 50, 'which is nothing that others pay for');
  t.equal(following.follow('honest', 7, known, 10_000), known, 'and it never falls');
});

t.test('what most peers have reached is followed at once, if they are two', async (t) => {
  const following = new Following({ perSecond: 0, savedMax: 0 });
  t.equal(following.follow('a', 1000, 0, 0), 0);
  t.equal(following.follow('b', 700, 0, 0), 700, 'both have');
  t.equal(following.follow('c', 900, 700, 0), 900, 'two of three have');
  following.leave('a');
  t.equal(following.follow('b', 1200, 900, 0), 900);
  following.leave('b');
  t.equal(following.follow('c', 5000, 900, 0), 900, 'one is not most');
});

t.test('an absurd number that a peer tells changes nothing', async (t) => {
  const absurd = { code: 'PROTOCOL', message: / is above \d+, and \d+ is known here/ };
  const bully = new Bully(
    a,
    3,
    {
      okTimeoutMs: 1, coordinatorTimeoutMs: 1, graceMs: 1, takeoverAfterMs: 0,
      termGrowth: { atOnce: 100, perSecond: 10 },
    },
    0,
  );
  bully.linkUp(b);
  for (const type of ['ELECTION', 'OK'] as const) t.throws(() => bully.receive(b, { type, term: 104 }, 0), absurd);
  for (let step = 0; step < 50; step += 1) {
    t.throws(() => bully.receive(b, { type: 'COORDINATOR', term: 114 + step, address: b }, 1000 + step), absurd);
  }
  t.strictSame([bully.term, bully.coordinator], [3, undefined]);
  t.strictSame(
    bully.receive(b, { type: 'COORDINATOR', term: 4, address: b }, 0).map(({ type }) => type), ['persist', 'chosen'],
    'and nothing is left to be done',
  );
  t.strictSame(
    bully.receive(b, { type: 'COORDINATOR', term: 113, address: b }, 1000).map(({ type }) => type),
    ['persist', 'chosen'], 'time brings more',
  );

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

t.test('at the end of all terms the highest address still becomes coordinator, and no term overflows', async (t) => {
  const bully = new Bully(
    b, COUNTER_MAX, { okTimeoutMs: 1, coordinatorTimeoutMs: 1, graceMs: 1, takeoverAfterMs: 0 }, 0,
  );
  bully.start(0);
  t.strictSame([bully.term, bully.coordinator], [COUNTER_MAX, b]);
});
