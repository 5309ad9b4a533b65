import t from 'tap';
import { VirtualBroker } from '../support/virtual-broker.ts';

t.test('SUBSCRIPTION CREATE, UPDATE, LIST, DELETE', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  const settings = (name: string): unknown => virtual.broker.metadata.subscription(name)?.settings;
  t.strictSame(
    await client.ask(
      'SUBSCRIPTION CREATE a',
      'subscription create b visibility 5 maxdeliveries 3 deadletter dlq backoff 7 from EARLIEST',
    ),
    ['OK', 'OK'],
  );
  t.strictSame(settings('a'), {
    transient: false, visibilityMs: 30_000, maxDeliveries: null, deadLetter: null, backoffMs: null, from: 'latest',
  });
  const b = { transient: false, visibilityMs: 5, maxDeliveries: 3, deadLetter: 'dlq', backoffMs: 7, from: 'earliest' };
  t.strictSame(settings('b'), b);
  t.strictSame(await client.ask('SUBSCRIPTION LIST', 'SUBSCRIPTION LIST [b-z]'), [['a', 'b'], ['b']]);
  t.strictSame(
    await client.ask(
      'SUBSCRIPTION UPDATE b VISIBILITY 6',
      'SUBSCRIPTION UPDATE b MAXDELIVERIES 0 BACKOFF 0 FROM latest',
    ),
    ['OK', 'OK'],
  );
  t.strictSame(settings('b'), { ...b, visibilityMs: 6, maxDeliveries: null, backoffMs: null, from: 'latest' });
  t.strictSame(
    await client.ask(
      'SUBSCRIPTION DELETE b', 'SUBSCRIPTION LIST', 'SUBSCRIPTION DELETE b', 'SUBSCRIPTION UPDATE b VISIBILITY 1',
    ),
    ['OK', ['a'], '-NOTFOUND subscription "b"', '-NOTFOUND subscription "b"'],
  );
});

t.test('the same again is fine and writes nothing, other settings are refused', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  await client.ask('SUBSCRIPTION CREATE a VISIBILITY 5', 'PUBLISH news 1', 'BIND a news', 'TOPIC CREATE news');
  const written = virtual.store.batches.length;
  t.strictSame(
    await client.ask(
      'SUBSCRIPTION CREATE a VISIBILITY 5', 'SUBSCRIPTION UPDATE a VISIBILITY 5', 'BIND a news', 'TOPIC CREATE news',
    ),
    ['OK', 'OK', 'OK', 'OK'],
  );
  t.equal(virtual.store.batches.length, written);
  t.strictSame(
    await client.ask(
      'SUBSCRIPTION CREATE a', 'SUBSCRIPTION CREATE a VISIBILITY 5 TRANSIENT',
      'SUBSCRIPTION CREATE a VISIBILITY 5 MAXDELIVERIES 3 DEADLETTER d',
    ),
    [
      '-EXISTS subscription "a" has other settings: VISIBILITY 5',
      '-EXISTS subscription "a" has other settings: durable',
      '-EXISTS subscription "a" has other settings: MAXDELIVERIES none',
    ],
  );
});

t.test('BIND, UNBIND, BINDINGS', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  await client.ask(
    'SUBSCRIPTION CREATE s', 'SUBSCRIPTION CREATE e FROM earliest', 'TOPIC CREATE d TYPE direct', 'PUBLISH f 1',
  );
  const vector = virtual.broker.vector();
  t.strictSame(await client.ask('BIND s f', 'BIND s d KEY k', 'BIND s d KEY l', 'BIND e f'), ['OK', 'OK', 'OK', 'OK']);
  t.strictSame(await client.ask('BINDINGS', 'BINDINGS e'), [
    [
      ['s', 'f', null], ['s', 'd', 'k'], ['s', 'd', 'l'], ['e', 'f', null],
    ],
    [['e', 'f', null]],
  ]);
  const starts = (name: string): unknown[] =>
    virtual.broker.metadata.subscription(name)!.bindings.map(({ starts: [first] }) => first!.start);
  t.strictSame([starts('s')[0], starts('e')], [vector, [new Map()]]);
  t.match(await client.ask('TOPIC GET f'), [
    ['topic', 'f', 'type', 'fanout', 'messages', 1, 'bytes', 1, 'bindings', 2],
  ]);
  t.strictSame(
    await client.ask(
      'BIND s f KEY k', 'BIND s d', 'BIND s nothing', 'BIND nobody f', 'BIND s $catalog', 'UNBIND s d KEY m',
      'UNBIND nobody d',
    ),
    [
      '-ERR topic "f" is fanout: a binding to it cannot have a KEY',
      '-ERR topic "d" is direct: a binding to it needs a KEY', '-NOTFOUND topic "nothing"',
      '-NOTFOUND subscription "nobody"',
      '-ERR topic name "$catalog" is reserved: names that begin with $ belong to the brokers',
      '-NOTFOUND binding of subscription "s" to topic "d" with key "m"', '-NOTFOUND subscription "nobody"',
    ],
  );
  t.strictSame(await client.ask('UNBIND s d KEY k', 'TOPIC RENAME f g', 'TOPIC DELETE d', 'BINDINGS', 'BINDINGS x'), [
    'OK', 'OK', 'OK', [['s', 'g', null], ['e', 'g', null]], '-NOTFOUND subscription "x"',
  ]);
});

t.test('FROM a cursor: a binding begins where it says', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  await client.ask('PUBLISH a 1');
  const vector = virtual.broker.vector();
  const [[cursor]] = (await client.ask('POLL a CURSOR latest')) as [[string]];
  await client.ask('PUBLISH a 2', `SUBSCRIPTION CREATE s FROM ${cursor}`, 'BIND s a');
  t.strictSame(virtual.broker.metadata.subscription('s')?.bindings[0]?.starts[0]?.start, vector);
});

t.test('what is wrong gets an error', async (t) => {
  const client = (await VirtualBroker.start()).connect();
  await client.ask(
    'PUBLISH a 1', 'SUBSCRIPTION CREATE s MAXDELIVERIES 3 DEADLETTER dlq', 'BIND s a', 'SUBSCRIPTION CREATE t',
    'PUBLISH dlq 1',
  );
  const cases: [command: string, error: RegExp][] = [
    ['SUBSCRIPTION NONSENSE x', /^-ERR unknown subcommand SUBSCRIPTION "NONSENSE"; /],
    ['SUBSCRIPTION CREATE', /^-ERR wrong number of arguments for SUBSCRIPTION; usage: SUBSCRIPTION CREATE name/],
    ['SUBSCRIPTION UPDATE s', /^-ERR wrong number of arguments for SUBSCRIPTION; usage: SUBSCRIPTION UPDATE name/],
    ['SUBSCRIPTION CREATE x VISIBILITY 0', /^-ERR VISIBILITY "0" is not an integer from 1 to 86400000$/],
    [
      'SUBSCRIPTION CREATE x MAXDELIVERIES 3',
      /^-ERR MAXDELIVERIES needs a DEADLETTER topic, or messages would be lost$/,
    ],
    ['SUBSCRIPTION UPDATE t MAXDELIVERIES 3', /^-ERR MAXDELIVERIES needs a DEADLETTER topic/],
    ['SUBSCRIPTION UPDATE t TRANSIENT', /^-ERR a subscription cannot become TRANSIENT$/],
    ['SUBSCRIPTION CREATE x DEADLETTER $acks', /^-ERR topic name "\$acks" is reserved/],
    ['SUBSCRIPTION CREATE x FROM yesterday', /^-ERR "yesterday" is not a cursor; /],
    ['SUBSCRIPTION CREATE x COLOUR red', /^-ERR unknown option "COLOUR" of SUBSCRIPTION$/],
    [`SUBSCRIPTION CREATE ${'x'.repeat(256)}`, /^-TOOBIG subscription name is over 255 bytes$/],
    ['SUBSCRIPTION UPDATE s DEADLETTER a', /^-ERR dead letters of subscription "s" would come back to it/],
    ['BIND s dlq', /^-ERR dead letters of subscription "s" would come back to it/],
    ['BIND s', /^-ERR wrong number of arguments for BIND; usage: BIND name topic \[KEY key\]$/],
    [`BIND s a KEY ${'x'.repeat(1025)}`, /^-TOOBIG key is over 1024 bytes$/],
    ['BIND s a COLOUR red', /^-ERR unknown option "COLOUR" of BIND$/],
  ];
  for (const [command, error] of cases) t.match(await client.ask(command, 'PING'), [error, 'PONG'], command);
  t.strictSame(await client.ask('SUBSCRIPTION LIST', 'BINDINGS'), [['s', 't'], [['s', 'a', null]]]);
});

t.test('there are limits', async (t) => {
  const client = (await VirtualBroker.start({ limits: { subscriptionsMax: 2, bindingsMax: 2 } })).connect();
  await client.ask('PUBLISH a 1', 'PUBLISH b 1', 'PUBLISH c 1');
  t.strictSame(
    await client.ask(
      'SUBSCRIPTION CREATE s', 'SUBSCRIPTION CREATE t TRANSIENT', 'SUBSCRIPTION CREATE u', 'SUBSCRIPTION CREATE s',
    ),
    ['OK', 'OK', '-ERR there are 2 subscriptions, the maximum', 'OK'],
  );
  t.strictSame(await client.ask('BIND s a', 'BIND s b', 'BIND s c', 'BIND s a', 'BIND t a', 'BIND t b', 'BIND t c'), [
    'OK',
    'OK',
    '-ERR subscription "s" has 2 bindings, the maximum',
    'OK',
    'OK',
    'OK',
    '-ERR subscription "t" has 2 bindings, the maximum',
  ]);
});

t.test('a transient subscription: in memory only, but it follows its topics', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  const { metadata } = virtual.broker;
  await client.ask('PUBLISH a 1', 'TOPIC RENAME a b');
  const written = virtual.store.batches.length;
  t.strictSame(
    await client.ask(
      'SUBSCRIPTION CREATE s TRANSIENT VISIBILITY 5', 'BIND s a', 'SUBSCRIPTION UPDATE s VISIBILITY 6',
      'SUBSCRIPTION CREATE s TRANSIENT VISIBILITY 6',
    ),
    ['OK', 'OK', 'OK', 'OK'],
  );
  t.equal(virtual.store.batches.length, written);
  t.match(metadata.subscription('s'), {
    settings: { transient: true, visibilityMs: 6 },
    bindings: [{ topic: 'b', storedTopics: ['a', 'b'], key: null }],
  });
  t.strictSame(await client.ask('SUBSCRIPTION LIST', 'BINDINGS', 'TOPIC RENAME b c', 'BINDINGS'), [
    ['s'], [['s', 'b', null]], 'OK', [['s', 'c', null]],
  ]);
  t.match(await client.ask('TOPIC GET c'), [
    ['topic', 'c', 'type', 'fanout', 'messages', 1, 'bytes', 1, 'bindings', 1],
  ]);
  t.strictSame(await client.ask('SUBSCRIPTION CREATE s VISIBILITY 6'), [
    '-EXISTS subscription "s" has other settings: TRANSIENT',
  ]);
  t.strictSame(
    await client.ask(
      'TOPIC DELETE c', 'BINDINGS', 'SUBSCRIPTION DELETE s', 'SUBSCRIPTION LIST', 'SUBSCRIPTION DELETE s',
    ),
    ['OK', [], 'OK', [], '-NOTFOUND subscription "s"'],
  );
  await client.ask('SUBSCRIPTION CREATE s TRANSIENT');
  metadata.forget('s');
  t.equal(metadata.subscription('s'), undefined);
});
