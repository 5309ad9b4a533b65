import t from 'tap';
import { Catalog, firstLive, type Said } from '../../../brokers/core/catalog/catalog.ts';
import {
  encodeOperation, type Operation, parseOperation, type Settings,
} from '../../../brokers/core/catalog/catalog-operation.ts';
import type { Origin } from '../../../brokers/core/log/record.ts';
import type { Stamp } from '../../../brokers/core/log/stamp.ts';
import {
  bind, create, drop, everything, randomOperation, remove, rename, SETTINGS, topic, unbind, update,
} from '../../support/catalog.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const [A, B] = [origin('a:1'), origin('b:1')];

function said(lamport: number, operation: Operation, from: Origin = A): Said {
  return { stamp: { lamport, origin: from }, operation };
}

/** A catalog of what these said one after another, from Lamport timestamp 1 on. */
function catalogOf(...operations: readonly Operation[]): Catalog {
  const catalog = new Catalog();
  catalog.apply(operations.map((operation, index) => said(index + 1, operation)));
  return catalog;
}

/** Topics that a subscription is bound to, with key and the number of starts where it is not one. */
function bindings(catalog: Catalog, name: string): string[] | undefined {
  return catalog
    .subscription(name)
    ?.bindings.map(
      ({ topic: to, key, starts }) =>
        `${to}${key === null ? '' : ` ${key}`}${starts.length === 1 ? '' : ` x${starts.length}`}`,
    );
}

t.test('topics and subscriptions come, change and go', async (t) => {
  const catalog = catalogOf(
    topic('news'), topic('logs', 'direct'), create('s'), bind('s', 'news', null, new Map([[B, 7]])),
    bind('s', 'logs', 'x'), bind('s', 'logs', 'y'),
  );
  t.strictSame(catalog.subscription('s'), {
    name: 's',
    since: { lamport: 3, origin: A },
    settings: { ...SETTINGS, transient: false },
    bindings: [
      { topic: 'news', storedTopics: ['news'], key: null, starts: [{ id: `4@${A}`, start: new Map([[B, 7]]) }] },
      { topic: 'logs', storedTopics: ['logs'], key: 'x', starts: [{ id: `5@${A}`, start: new Map() }] },
      { topic: 'logs', storedTopics: ['logs'], key: 'y', starts: [{ id: `6@${A}`, start: new Map() }] },
    ],
  });
  t.match(catalog.topic('logs'), { name: 'logs', type: 'direct', bindingCount: 2 });
  t.equal(catalog.isPlain, true);
  catalog.apply([said(7, unbind('s', 'logs', 'x')), said(8, update('s', { visibilityMs: 5 }))]);
  t.strictSame(bindings(catalog, 's'), ['news', 'logs y']);
  t.equal(catalog.subscription('s')?.settings.visibilityMs, 5);
  catalog.apply([said(9, remove('s'))]);
  t.equal(catalog.subscription('s'), undefined);
  t.equal(catalog.topic('logs')?.bindingCount, 0);
  catalog.apply([said(10, create('s'))]);
  t.match(catalog.subscription('s'), { since: { lamport: 10 }, settings: SETTINGS, bindings: [] }, 'another life');
  t.equal(catalog.subscriptionCount, 1);
});

t.test('a subscription is the same object until something of it changes', async (t) => {
  const catalog = catalogOf(create('s'), create('other'), bind('s', 'news'));
  const before = catalog.subscription('s');
  catalog.apply([
    said(10, update('other', { visibilityMs: 1 })), said(11, topic('else')), said(12, bind('other', 'news')),
  ]);
  t.equal(catalog.subscription('s'), before);
  catalog.apply([said(13, rename('news', 'latest'))]);
  t.not(catalog.subscription('s'), before);
});

t.test('a renamed topic: former names mean it, whatever is stored under them is its', async (t) => {
  const catalog = catalogOf(
    topic('a', 'direct'), create('s'), bind('s', 'a', 'k'), rename('a', 'b'), rename('a', 'c'), bind('s', 'a', 'l'),
    bind('s', 'b', 'l'),
  );
  for (const name of ['a', 'b', 'c']) {
    t.strictSame(catalog.storedTopics(name), ['a', 'b', 'c']);
    t.equal(catalog.shownTopic(name), 'c');
  }
  t.strictSame([catalog.storedTopics('d'), catalog.shownTopic('d'), catalog.isPlain], [['d'], 'd', false]);
  t.strictSame(bindings(catalog, 's'), ['c k', 'c l x2'], 'one binding, by whichever name');
  t.strictSame(catalog.subscription('s')?.bindings[0]?.storedTopics, ['a', 'b', 'c']);
  t.match(catalog.check(topic('a', 'direct')), { code: 'EXISTS', message: '"a" is a former name of topic "c"' });
  t.match(catalog.check(rename('d', 'b')), { code: 'EXISTS', message: '"b" is a former name of topic "c"' });
  t.match(catalog.check(rename('d', 'c')), { code: 'EXISTS', message: 'topic "c"' });
  t.equal(catalog.check(rename('c', 'a')), undefined, 'back to a name of its own');
  catalog.apply([said(20, rename('b', 'a'))]);
  t.strictSame([catalog.shownTopic('c'), catalog.storedTopics('a')], ['a', ['a', 'b', 'c']]);
  catalog.apply([said(21, drop('a', 'b', 'c'))]);
  t.strictSame([catalog.shownTopic('c'), catalog.storedTopics('a'), bindings(catalog, 's')], ['c', ['a'], []]);
});

t.test('two who rename onto one name: the first one has it', async (t) => {
  const catalog = catalogOf(topic('a'), topic('b'));
  catalog.apply([said(5, rename('b', 'c'), B)]);
  catalog.apply([said(5, rename('a', 'c'), A)]);
  t.strictSame([catalog.shownTopic('a'), catalog.shownTopic('b')], ['c', 'b']);
});

t.test('a deletion: what was before is dead, for ever, however late it comes', async (t) => {
  const catalog = catalogOf(topic('a', 'direct'), create('s'), bind('s', 'a', 'k'));
  catalog.apply([said(10, drop('a', 'z'), B)]);
  t.strictSame([catalog.topic('a'), bindings(catalog, 's'), catalog.isPlain], [undefined, [], false]);
  catalog.apply([said(6, topic('a', 'direct')), said(7, bind('s', 'a', 'l')), said(8, rename('a', 'b'))]);
  t.strictSame(
    [catalog.topic('a'), catalog.topic('b'), bindings(catalog, 's')], [undefined, undefined, []],
    'said before, heard later',
  );
  t.strictSame(catalog.deadBefore('z'), { lamport: 10, origin: B });
  catalog.apply([said(9, drop('a'))]);
  t.strictSame(catalog.deadBefore('a'), { lamport: 10, origin: B }, 'it only grows');
  catalog.apply([said(11, topic('a'))]);
  t.match(catalog.topic('a'), { type: 'fanout', bindingCount: 0 }, 'created again');
  t.strictSame(catalog.deadBefore('a'), { lamport: 10, origin: B });
  catalog.apply([said(12, drop('a'))]);
  t.strictSame(catalog.deadBefore('a'), { lamport: 12, origin: A });
});

t.test('dead messages of a batch are its first ones', async (t) => {
  const dead: Stamp = { lamport: 10, origin: B };
  const first = (from: Origin, lamport: number, count = 5): number => firstLive({ origin: from, lamport, count }, dead);
  t.equal(firstLive({ origin: A, lamport: 1, count: 5 }, undefined), 0);
  t.strictSame([first(A, 1), first(A, 6), first(A, 8), first(A, 10), first(A, 11)], [5, 5, 3, 1, 0]);
  t.strictSame(
    [first(B, 5), first(B, 6), first(B, 10)], [5, 4, 0],
    'of the origin itself, and of those above it, what has the same timestamp lives',
  );
});

t.test('said at the same time, about one subscription', async (t) => {
  const cases: [name: string, said: readonly Said[], expected: unknown][] = [
    [
      'created twice: the life of the first, the settings of the later',
      [said(5, create('s', { visibilityMs: 1 }), A), said(5, create('s', { visibilityMs: 2 }), B)],
      { since: { lamport: 5, origin: A }, settings: { visibilityMs: 2 } },
    ],
    [
      'updated twice: the later holds, for what it changes',
      [
        said(1, create('s')), said(5, update('s', { visibilityMs: 1, from: 'earliest' }), A),
        said(5, update('s', { visibilityMs: 2 }), B),
      ],
      { settings: { visibilityMs: 2, from: 'earliest' } },
    ],
    [
      'updated, then deleted',
      [said(1, create('s')), said(5, update('s', { visibilityMs: 1 }), A), said(5, remove('s'), B)], undefined,
    ],
    [
      'deleted, then updated: stays deleted',
      [said(1, create('s')), said(5, remove('s'), A), said(5, update('s', { visibilityMs: 1 }), B)], undefined,
    ],
    [
      'deleted, then bound: stays deleted', [said(1, create('s')), said(5, remove('s'), A), said(5, bind('s', 'a'), B)],
      undefined,
    ],
    [
      'deleted, and created meanwhile by another that sorts before',
      [said(1, create('s')), said(5, create('s'), A), said(5, remove('s'), B)], undefined,
    ],
    [
      'deleted, then created', [said(1, create('s')), said(5, remove('s'), A), said(5, create('s'), B)],
      { since: { lamport: 5, origin: B }, bindings: [] },
    ],
    [
      'bound twice: two starts',
      [
        said(1, create('s')), said(5, bind('s', 'a', null, new Map([[A, 1]])), A),
        said(5, bind('s', 'a', null, new Map([[A, 2]])), B),
      ],
      {
        bindings: [
          {
            starts: [
              { id: `5@${A}`, start: new Map([[A, 1]]) },
              { id: `5@${B}`, start: new Map([[A, 2]]) },
            ],
          },
        ],
      },
    ],
    [
      'bound, then unbound', [said(1, create('s')), said(5, bind('s', 'a'), A), said(5, unbind('s', 'a'), B)],
      { bindings: [] },
    ],
  ];
  for (const [name, all, expected] of cases) {
    for (const order of [all, all.toReversed()]) {
      const catalog = new Catalog();
      for (const each of order) catalog.apply([each]);
      if (expected === undefined) t.equal(catalog.subscription('s'), undefined, name);
      else t.match(catalog.subscription('s'), expected, name);
    }
  }
});

t.test('dead letters cannot come back', async (t) => {
  const dead = (deadLetter: string): Partial<Settings> => ({ maxDeliveries: 3, deadLetter });
  const one = catalogOf(create('s', dead('dlq')), bind('s', 'a'));
  t.match(one.check(bind('s', 'dlq')), {
    code: 'ERR',
    message: /^dead letters of subscription "s" would come back to it/,
  });
  t.match(one.check(update('s', { deadLetter: 'a' })), { code: 'ERR' });
  t.match(one.check(create('s', dead('a'))), { code: 'ERR' }, 'as new settings of one that is there');
  t.equal(one.check(update('s', { deadLetter: 'b' })), undefined);
  t.match(one.check(rename('a', 'dlq')), {
    code: 'ERR',
    message: /^topic "dlq" would take dead letters of subscription "s" back to it$/,
  });
  t.equal(one.check(rename('a', 'b')), undefined);
  const two = catalogOf(
    create('s', dead('t')), bind('s', 'a'), create('x', dead('a')), create('y', dead('u')), bind('y', 't'), create('z'),
    bind('z', 'u'),
  );
  t.match(two.check(bind('x', 't')), { code: 'ERR' }, 'over another subscription');
  t.match(two.check(bind('x', 'u')), { code: 'ERR' }, 'over two');
  t.match(two.check(update('y', { deadLetter: 'a' })), { code: 'ERR' });
  t.equal(two.check(bind('z', 'a')), undefined, 'without dead letters it ends there');
  two.apply([said(20, rename('t', 'v'))]);
  t.match(two.check(bind('x', 'v')), { code: 'ERR' }, 'by another name');
  t.match(two.check(bind('s', 't')), { code: 'ERR' }, 'by a former name');
  t.match(two.check(update('z', { maxDeliveries: 1 })), { code: 'ERR', message: /^MAXDELIVERIES needs a DEADLETTER/ });
  two.apply([said(21, bind('x', 'v')), said(22, bind('s', 'v'))]);
  t.strictSame([bindings(two, 'x'), bindings(two, 's')], [[], ['a']], 'and is passed over where it was said elsewhere');
});

t.test('what is wrong is named', async (t) => {
  const catalog = catalogOf(create('s'), bind('s', 'a', 'k'));
  for (const operation of [update('x', {}), remove('x'), bind('x', 'a'), unbind('x', 'a')]) {
    t.match(catalog.check(operation), { code: 'NOTFOUND', message: 'subscription "x"' }, operation.op);
  }
  t.match(catalog.check(unbind('s', 'a')), {
    code: 'NOTFOUND',
    message: 'binding of subscription "s" to topic "a" without a key',
  });
  t.match(catalog.check(unbind('s', 'b', 'k')), {
    code: 'NOTFOUND',
    message: 'binding of subscription "s" to topic "b" with key "k"',
  });
  t.equal(catalog.check(unbind('s', 'a', 'k')), undefined);
});

t.test('one that comes late takes back what is later, and nothing else', async (t) => {
  let carriedOut = 0;
  const counted = (lamport: number): Said => ({
    stamp: { lamport, origin: A },
    operation: Object.defineProperty(topic(`t${lamport}`), 'op', {
      get: () => {
        carriedOut += 1;
        return 'topic.create';
      },
    }),
  });
  const catalog = new Catalog();
  catalog.apply(Array.from({ length: 10_000 }, (_, index) => counted(10 * index)));
  const each = carriedOut / 10_000;
  carriedOut = 0;
  catalog.apply([counted(99_905)]);
  t.ok(carriedOut <= 20 * each, `${carriedOut / each} of 10,001 were carried out`);
});

t.test('what is not kept: its result stays, and one that belongs there is told', async (t) => {
  const catalog = new Catalog(false, 10);
  for (let index = 0; index < 1000; index += 1) {
    const [lamport, name] = [10 * index + 1, `s${index % 100}`];
    t.equal(catalog.apply([said(lamport, create(name)), said(lamport + 1, bind(name, 'a'))]).isTooLate, false);
    catalog.apply([said(lamport + 2, remove(name)), said(lamport + 3, drop('a'))]);
  }
  catalog.apply([said(20_000, create('s'))]);
  const { said: kept, subscriptions, topics, dead } = catalog.content();
  t.ok(kept.length <= 20, `${kept.length} of 4,001 are kept`);
  t.strictSame([subscriptions.length + topics.length, dead.length], [0, 1]);
  t.strictSame([...catalog.subscriptionNames()], ['s']);
  t.match(catalog.apply([said(9999, create('t'))]), { isTooLate: false, changed: true });
  const before = everything(catalog);
  t.match(catalog.apply([said(5, create('late'))]), { isTooLate: true, changed: false });
  t.match(catalog.apply([said(5, drop('z'))]), { isTooLate: true });
  t.strictSame(
    everything(catalog),
    {
      ...(before as object),
      dead: ['["a",{"lamport":9994,"origin":"a:1/000000000000"}]', '["z",{"lamport":5,"origin":"a:1/000000000000"}]'],
    },
    'but what is dead is dead',
  );
});

t.test(`a catalog that is made of what one was goes on as it does (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  let late = 0;
  for (let round = 0; round < 300; round += 1) {
    const all = randomSaid(random, random.integer(2, 60)).sort((x, y) => x.stamp.lamport - y.stamp.lamport);
    const most = random.pick([0, 3, 100]);
    const cut = random.integer(0, all.length);
    const one = new Catalog(false, most);
    for (const each of shuffled(random, all.slice(0, cut))) one.apply([each]);
    const other = new Catalog(false, most, one.content());
    t.strictSame(everything(other), everything(one)) || t.bailout(`round ${round}`);
    for (const each of shuffled(random, all.slice(cut))) {
      const { isTooLate, names } = one.apply([each]);
      if (isTooLate) late += 1;
      t.strictSame(
        { ...other.apply([each]), names: [...names].sort() },
        { ...one.apply([]), isTooLate, changed: !isTooLate, names: [...names].sort() }, 'the same is told',
      ) || t.bailout('told');
    }
    t.strictSame(everything(other), everything(one)) || t.bailout(`round ${round}, later`);
  }
  t.ok(late > 50, `${late} came too late`);
});

/** Operations of some brokers, many about the same things. */
function randomSaid(random: SeededRandom, count: number): Said[] {
  const stamps = new Set<string>();
  const all: Said[] = [];
  while (all.length < count) {
    const each = said(random.integer(1, count), randomOperation(random), random.pick([A, B, origin('a:1', 5)]));
    const stamp = `${each.stamp.lamport}@${each.stamp.origin}`;
    if (!stamps.has(stamp)) all.push(each);
    stamps.add(stamp);
  }
  return all;
}

function shuffled<T>(random: SeededRandom, values: readonly T[]): T[] {
  const rest = [...values];
  return Array.from(values, () => rest.splice(random.integer(0, rest.length - 1), 1)[0]!);
}

t.test(`whatever the order of arrival, the catalog is the same (SEED=${SEED})`, async (t) => {
  const random = new SeededRandom();
  let passedOver = 0;
  for (let round = 0; round < 300; round += 1) {
    const all = randomSaid(random, random.integer(2, 60));
    const inOrder = new Catalog();
    for (const each of all.toSorted(
      (x, y) => x.stamp.lamport - y.stamp.lamport || (x.stamp.origin < y.stamp.origin ? -1 : 1),
    )) {
      if (inOrder.check(each.operation) !== undefined) passedOver += 1;
      inOrder.apply([each]);
    }
    const expected = everything(inOrder);
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const catalog = new Catalog();
      const arriving = shuffled(random, [...all, ...all.filter(() => random.integer(0, 9) === 0)]); // some twice
      let deadest = new Map<string, Stamp>();
      while (arriving.length > 0) {
        catalog.apply(arriving.splice(0, random.integer(1, 5)));
        for (const [name, { lamport }] of deadest) {
          if (catalog.deadBefore(name)!.lamport < lamport) t.fail('a dead message lives again');
        }
        deadest = new Map(catalog.buried());
      }
      if (JSON.stringify(everything(catalog)) !== JSON.stringify(expected)) {
        t.strictSame(everything(catalog), expected, `round ${round}, attempt ${attempt}`);
      }
    }
  }
  t.ok(passedOver > 1000, `${passedOver} operations were passed over`);
});

t.test('operations as JSON: there and back', async (t) => {
  const all = [
    topic('a', 'direct'),
    rename('a', 'b'),
    drop('a', 'b'),
    create('s', { maxDeliveries: 3, deadLetter: 'd', backoffMs: 5, from: 'x' }),
    update('s', { visibilityMs: 1 }),
    update('s', {}),
    remove('s'),
    bind(
      's',
      'a',
      'k',
      new Map([
        [A, 7],
        [B, 0],
      ]),
    ),
    bind('s', 'a'),
    unbind('s', 'a'),
    unbind('s', '__proto__', ''),
  ];
  for (const operation of all) t.strictSame(parseOperation(encodeOperation(operation)), operation);
});

t.test('what is no operation', async (t) => {
  const settings = JSON.stringify(SETTINGS);
  const wrong = [
    '',
    'x',
    'null',
    '[]',
    '7',
    '{}',
    '{"op":"constructor"}',
    '{"op":"topic.create","topic":"a"}',
    '{"op":"topic.create","topic":"a","type":"x"}',
    '{"op":"topic.create","topic":"$acks","type":"fanout"}',
    '{"op":"topic.create","topic":"","type":"fanout"}',
    '{"op":"topic.rename","topic":"a"}',
    '{"op":"topic.rename","topic":"a","to":"$x"}',
    '{"op":"topic.rename","topic":"$catalog","to":"x"}',
    '{"op":"topic.delete","topics":["$catalog"]}',
    '{"op":"topic.delete","topics":["a",7]}',
    '{"op":"topic.delete","topics":[]}',
    '{"op":"topic.delete","topics":"a"}',
    '{"op":"subscription.create","name":"s"}',
    '{"op":"subscription.create","name":"s","settings":{}}',
    `{"op":"subscription.create","settings":${settings}}`,
    `{"op":"subscription.create","name":7,"settings":${settings}}`,
    `{"op":"subscription.create","name":"s","settings":${settings.replace('30000', '0')}}`,
    `{"op":"subscription.create","name":"s","settings":${settings.replace('30000', '1.5')}}`,
    '{"op":"subscription.update","name":"s"}',
    '{"op":"subscription.update","name":"s","settings":{"visibilityMs":null}}',
    '{"op":"subscription.update","name":"s","settings":{"deadLetter":"$acks"}}',
    '{"op":"subscription.update","name":"s","settings":{"from":""}}',
    '{"op":"subscription.delete"}',
    '{"op":"bind","name":"s","topic":"a","key":null}',
    '{"op":"bind","name":"s","topic":"a","key":null,"start":{"x":1}}',
    `{"op":"bind","name":"s","topic":"a","start":{}}`,
    `{"op":"bind","name":"s","topic":"a","key":null,"start":{"${A}":-1}}`,
    `{"op":"bind","name":"s","topic":"a","key":7,"start":{}}`,
    '{"op":"unbind","name":"s","topic":"a"}',
    `{"op":"topic.create","topic":"${'x'.repeat(70_000)}","type":"fanout"}`,
  ];
  for (const text of wrong) t.equal(parseOperation(text), undefined, text.slice(0, 80));
  t.match(
    parseOperation('{"op":"subscription.update","name":"s","settings":{"visibilityMs":5,"x":1},"y":2}'),
    { settings: { visibilityMs: 5 } }, 'what a later version may add does no harm',
  );
});
