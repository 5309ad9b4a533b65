import t from 'tap';
import { RumormillError } from '../brokers/core/error.ts';
import type { StoredBatch } from '../brokers/core/record.ts';
import { MemoryStore } from './support/memory-store.ts';
import { draft, origin } from './support/record.ts';
import { VirtualBroker } from './support/virtual-broker.ts';

const HERE = origin('localhost:3000');
const PEER = origin('peer:1');

t.test('records of the catalog that are no operations are passed over, whoever wrote them', async (t) => {
  const store = new MemoryStore(HERE);
  const payloads = ['nonsense', '{"op":"topic.create","topic":"a","type":"fanout"}', '{"op":"topic.delete","topics":["$catalog"]}', '\ufffd', ''];
  const batch: StoredBatch = { ...draft(payloads, { topic: '$catalog' }), origin: PEER, seq: 1, lamport: 7, deps: '', position: 1, repeats: '' };
  const covered: StoredBatch = { ...draft([], { topic: '$catalog' }), count: 3, origin: PEER, seq: 6, lamport: 12, deps: '', position: 2, repeats: '' };
  await store.append([batch, covered]);
  const { broker } = await VirtualBroker.start({}, store);
  t.strictSame([...broker.metadata.topics()].map(({ name }) => name), ['a']);
  t.strictSame([broker.metadata.isPlain, broker.metadata.vector], [true, new Map([[PEER, 8]])]);
});

t.test('what could not be stored was not said', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  virtual.store.failures.push(new RumormillError('DISKFULL', 'no room; nothing was stored'));
  t.strictSame(await client.ask('TOPIC CREATE a', 'TOPIC LIST', 'TOPIC CREATE a TYPE direct'), ['-DISKFULL no room; nothing was stored', [], 'OK']);
  const limited = (await VirtualBroker.start({ limits: { payloadBytesMax: 100 } })).connect();
  t.match(await limited.ask(`TOPIC CREATE ${'x'.repeat(90)}`, 'TOPIC CREATE a'), [/^-TOOBIG the record of it would have \d+ bytes, more than 100; nothing was stored$/, 'OK']);
});

t.test('an operation is acknowledged as publishes are by default, and decided on without waiting for that', async (t) => {
  const virtual = await VirtualBroker.start({ acks: 'quorum' });
  virtual.broker.configure(['localhost:3000', 'peer:1', 'other:1'].map((address) => origin(address).split('/')[0] as never));
  const [one, two] = [virtual.connect(), virtual.connect()];
  t.strictSame(await one.ask('TOPIC CREATE a'), []);
  t.strictSame(await two.ask('TOPIC CREATE a TYPE direct'), ['-EXISTS topic "a" is fanout']);
  await virtual.clock.advance(6000);
  t.match(await one.replies(), [/^-NOQUORUM /]);
  t.strictSame(await two.ask('TOPIC LIST'), [['a']], 'it counts all the same');
});

t.test('a broker that shuts down takes nothing more', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  const stopping = virtual.broker.stop();
  t.match(await client.ask('TOPIC CREATE a'), [/^-CLOSING /]);
  client.channel.cut();
  await virtual.clock.advance(10_000);
  await stopping;
});

t.test('operations are decided on one after another', async (t) => {
  const virtual = await VirtualBroker.start();
  const { metadata } = virtual.broker;
  const release = virtual.store.hold();
  const done = Promise.all([
    metadata.change(() => ({ op: 'topic.create', topic: 'a', type: 'fanout' })),
    metadata.change(() => (metadata.topic('a') === undefined ? { op: 'topic.create', topic: 'never', type: 'fanout' } : undefined)),
    t.rejects(metadata.change(() => ({ op: 'subscription.delete', name: 'x' })), { code: 'NOTFOUND' }),
    t.rejects(metadata.change(() => Promise.reject(new RumormillError('ERR', 'no'))), { code: 'ERR' }),
    metadata.change(() => ({ op: 'topic.create', topic: 'b', type: 'fanout' })),
  ]);
  await virtual.clock.settle();
  t.equal([...metadata.topics()].length, 0);
  release();
  for (let round = 0; round < 5; round += 1) await virtual.clock.settle();
  await done;
  t.strictSame([...metadata.topics()].map(({ name }) => name), ['a', 'b'], 'and those that are refused hold up nobody');
});
