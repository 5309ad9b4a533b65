import t from 'tap';
import { isCovered } from '../../brokers/core/log/record.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';

/** A message's topic and payload, of a reply that has messages in it. */
function told(reply: unknown): unknown {
  if (!Array.isArray(reply)) return reply;
  if (typeof reply[0] === 'string' && reply[0].includes('@')) return `${reply[1]} ${reply[5]}`;
  return typeof reply[0] === 'string' && Array.isArray(reply[1]) ? told(reply[1]) : reply.map(told);
}

t.test('TOPIC CREATE, GET, LIST', async (t) => {
  const client = (await VirtualBroker.start()).connect();
  t.strictSame(
    await client.ask('TOPIC LIST', 'TOPIC CREATE a', 'TOPIC CREATE b TYPE direct', 'topic create c type FANOUT'),
    [[], 'OK', 'OK', 'OK'],
  );
  const [lamport] = await client.ask('PUBLISH d 12345', 'PUBLISH a x', 'PUBLISH a yz');
  t.match(await client.ask('TOPIC LIST', 'TOPIC LIST [ad]'), [['a', 'b', 'c', 'd'], ['a', 'd']]);
  const [a, b, d] = (await client.ask('TOPIC GET a', 'TOPIC GET b', 'TOPIC GET d')) as unknown[][];
  t.match(a, ['topic', 'a', 'type', 'fanout', 'messages', 2, 'bytes', 3, 'bindings', 0, 'lamport', Number]);
  t.strictSame(b, ['topic', 'b', 'type', 'direct', 'messages', 0, 'bytes', 0, 'bindings', 0, 'lamport', null]);
  t.match(d, ['topic', 'd', 'type', 'fanout', 'messages', 1, 'bytes', 5, 'bindings', 0, 'lamport', Number]);
  t.equal(Number(a![11]) - Number(d![11]), 2);
  t.type(lamport, 'number');
  t.strictSame(
    await client.ask('TOPIC CREATE a', 'TOPIC CREATE b TYPE direct', 'TOPIC CREATE d TYPE fanout'), ['OK', 'OK', 'OK'],
    'the same again',
  );
  t.strictSame(
    await client.ask('TOPIC CREATE a TYPE direct', 'TOPIC CREATE b', 'TOPIC CREATE d TYPE direct', 'TOPIC GET e'),
    [
      '-EXISTS topic "a" is fanout', '-EXISTS topic "b" is direct', '-EXISTS topic "d" is fanout',
      '-NOTFOUND topic "e"',
    ],
  );
});

t.test('TOPIC: what is wrong gets an error', async (t) => {
  const client = (await VirtualBroker.start()).connect();
  const cases: [command: string, error: RegExp][] = [
    ['TOPIC', /^-ERR wrong number of arguments for TOPIC/],
    ['TOPIC NONSENSE a', /^-ERR unknown subcommand TOPIC "NONSENSE"; CREATE, GET, LIST, RENAME, DELETE$/],
    ['TOPIC constructor a', /^-ERR unknown subcommand/],
    ['TOPIC CREATE', /^-ERR wrong number of arguments for TOPIC; usage: TOPIC CREATE topic \[TYPE fanout\|direct\]$/],
    ['TOPIC CREATE a TYPE', /^-ERR option "TYPE" needs a value$/],
    ['TOPIC CREATE a TYPE headers', /^-ERR TYPE "headers" is not fanout or direct$/],
    ['TOPIC CREATE a KIND direct', /^-ERR unknown option "KIND" of TOPIC$/],
    ['TOPIC CREATE $a', /^-ERR topic name "\$a" is reserved: names that begin with \$ belong to the brokers$/],
    [`TOPIC CREATE ${'x'.repeat(256)}`, /^-TOOBIG topic name is over 255 bytes$/],
    ['TOPIC RENAME a b', /^-NOTFOUND topic "a"$/],
    ['TOPIC RENAME a $b', /^-ERR topic name "\$b" is reserved/],
    ['TOPIC RENAME $catalog b', /^-ERR topic name "\$catalog" is reserved/],
    ['TOPIC DELETE a', /^-NOTFOUND topic "a"$/],
    ['TOPIC DELETE $catalog', /^-ERR .* reserved/],
    ['PUBLISH $catalog {}', /^-ERR topic name "\$catalog" is reserved/],
  ];
  for (const [command, error] of cases) t.match(await client.ask(command, 'PING'), [error, 'PONG'], command);
  t.strictSame(
    await client.ask('TOPIC LIST', 'POLL $catalog CURSOR earliest'),
    [[], [((await client.ask('POLL a CURSOR latest')) as [[string]])[0][0], []]], 'nothing was said',
  );
});

t.test('records of the broker\'s own may be read, and are pushed to nobody', async (t) => {
  const virtual = await VirtualBroker.start();
  const [client, subscriber] = [virtual.connect(), virtual.connect()];
  await subscriber.ask('PSUBSCRIBE *');
  t.strictSame(await subscriber.ask('SUBSCRIBE a $catalog'), [
    '-ERR topic name "$catalog" is reserved: names that begin with $ belong to the brokers',
  ]);
  t.strictSame(await client.ask('TOPIC CREATE a'), ['OK']);
  t.match((await client.ask('LATEST $catalog')).map(told), [
    '$catalog {"op":"topic.create","topic":"a","type":"fanout"}',
  ]);
  t.strictSame(await client.ask('TOPIC LIST'), [['a']]);
  t.strictSame(await subscriber.replies(), []);
});

t.test('a renamed topic: readers follow, former names mean it', async (t) => {
  const virtual = await VirtualBroker.start();
  const [client, waiting, subscriber] = [virtual.connect(), virtual.connect(), virtual.connect()];
  await client.ask('PUBLISH a 1');
  t.strictSame(await waiting.ask('POLL a BLOCK 60000'), []);
  t.strictSame(await subscriber.ask('SUBSCRIBE a b', 'PSUBSCRIBE b*'), [
    ['subscribe', 'a', 1], ['subscribe', 'b', 2], ['psubscribe', 'b*', 3],
  ]);
  t.strictSame(await client.ask('TOPIC RENAME a b'), ['OK']);
  t.strictSame(await waiting.replies(), [], 'goes on waiting');
  await client.ask('PUBLISH b 2');
  t.strictSame((await waiting.replies()).map(told), [['b 2']]);
  t.strictSame(await subscriber.replies(), [
    ['message', 'a', '2'], ['message', 'b', '2'], ['pmessage', 'b*', 'b', '2'],
  ]);
  await client.ask('PUBLISH a 3');
  t.strictSame((await client.ask('POLL a CURSOR earliest', 'RANGE b', 'LATEST a', 'TOPIC LIST')).map(told), [
    ['b 1', 'b 2', 'b 3'], ['b 1', 'b 2', 'b 3'], 'b 3', ['b'],
  ]);
  t.match(await client.ask('TOPIC GET a'), [['topic', 'b', 'type', 'fanout', 'messages', 3, 'bytes', 3]]);
  await client.ask('PUBLISH c 4');
  t.strictSame(await client.ask('TOPIC CREATE a', 'TOPIC RENAME b c', 'TOPIC RENAME c a', 'TOPIC RENAME b b'), [
    '-EXISTS "a" is a former name of topic "b"', '-EXISTS topic "c"', '-EXISTS "a" is a former name of topic "b"', 'OK',
  ]);
  t.strictSame(
    (await client.ask('TOPIC RENAME b a', 'LATEST b')).map(told), ['OK', 'a 3'], 'back to a name of its own',
  );
});

t.test('a deleted topic: its messages are gone, and it starts empty', async (t) => {
  const virtual = await VirtualBroker.start();
  const [client, waiting] = [virtual.connect(), virtual.connect()];
  await client.ask('TOPIC CREATE a TYPE direct', 'PUBLISH a 1', 'TOPIC RENAME a b', 'PUBLISH b 2', 'PUBLISH other 3');
  await waiting.ask('POLL b BLOCK 60000');
  t.strictSame(await client.ask('TOPIC DELETE a'), ['OK'], 'by any of its names');
  t.strictSame((await client.ask('RANGE a', 'LATEST b', 'TOPIC LIST', 'TOPIC GET a', 'TOPIC DELETE b')).map(told), [
    [], null, ['other'], '-NOTFOUND topic "a"', '-NOTFOUND topic "b"',
  ]);
  await virtual.clock.advance(500);
  t.strictSame(
    virtual.store.batches.filter(({ topic }) => topic === 'a' || topic === 'b').map(isCovered), [true, true],
    'also on disk',
  );
  t.strictSame(await waiting.replies(), [], 'who waited goes on waiting');
  t.strictSame(
    await client.ask('TOPIC CREATE a', 'TOPIC CREATE b TYPE direct'), ['OK', 'OK'], 'two topics, of any type',
  );
  await client.ask('PUBLISH b 4');
  t.strictSame((await waiting.replies()).map(told), [['b 4']]);
  t.strictSame((await client.ask('POLL b CURSOR earliest', 'RANGE a', 'RANGE b')).map(told), [['b 4'], [], ['b 4']]);
  t.match(await client.ask('TOPIC GET b'), [['topic', 'b', 'type', 'direct', 'messages', 1, 'bytes', 1]]);
});

t.test('what is decided together is decided one after another', async (t) => {
  const { store, connect } = await VirtualBroker.start().then((virtual) => ({
    store: virtual.store,
    connect: () => virtual.connect(),
  }));
  const [one, two, three] = [connect(), connect(), connect()];
  const release = store.hold();
  one.send('TOPIC CREATE a');
  two.send('TOPIC CREATE a TYPE direct');
  three.send('TOPIC CREATE b TYPE direct', 'TOPIC RENAME a b');
  t.strictSame(
    [await one.replies(), await two.replies(), await three.replies()], [[], [], []], 'not before it is on disk',
  );
  release();
  t.strictSame(
    [await one.replies(), await two.replies(), await three.replies()],
    [['OK'], ['-EXISTS topic "a" is fanout'], ['OK', '-EXISTS topic "b"']],
  );
});

t.test('metadata outlives the process', async (t) => {
  const first = await VirtualBroker.start();
  const client = first.connect();
  await client.ask(
    'PUBLISH a 1', 'PUBLISH z 2', 'TOPIC RENAME a b', 'TOPIC DELETE z', 'SUBSCRIPTION CREATE s VISIBILITY 5',
    'BIND s a', 'SUBSCRIPTION CREATE t TRANSIENT',
  );
  const second = await VirtualBroker.start({}, first.store.copy());
  t.strictSame(
    (await second.connect().ask('TOPIC LIST', 'SUBSCRIPTION LIST', 'BINDINGS', 'LATEST a', 'LATEST z')).map(told),
    [['b'], ['s'], [['s', 'b', null]], 'b 1', null],
  );
  t.strictSame(second.broker.metadata.subscription('s'), first.broker.metadata.subscription('s'));
  t.strictSame(second.broker.metadata.vector, first.broker.metadata.vector);
  await second.clock.advance(500);
  t.strictSame(
    second.store.batches.filter(({ topic }) => topic === 'z').map(isCovered), [true], 'what was not swept is swept',
  );
});
