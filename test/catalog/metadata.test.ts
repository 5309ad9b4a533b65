import t from 'tap';
import { makeConfig } from '../../brokers/config.ts';
import { Catalog, type Said } from '../../brokers/core/catalog/catalog.ts';
import { CATALOG_TOPIC, encodeOperation, type Operation } from '../../brokers/core/catalog/catalog-operation.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { LamportClock } from '../../brokers/core/log/lamport.ts';
import { Log } from '../../brokers/core/log/log.ts';
import { compareRecords, type RecordBatch, type StoredBatch } from '../../brokers/core/log/record.ts';
import type { Page } from '../../brokers/core/log/store.ts';
import { Turns } from '../../brokers/core/turns.ts';
import { Metadata } from '../../brokers/catalog/metadata.ts';
import { virtualIdentity, virtualSignatures } from '../support/identity.ts';
import { everything, randomOperation } from '../support/catalog.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { SEED, SeededRandom } from '../support/random.ts';
import { catalogBatches, draft, origin } from '../support/record.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';

const HERE = origin('localhost:3000');
const PEER = origin('peer:1');

t.test('records of the catalog that are no operations are passed over, whoever wrote them', async (t) => {
  const store = new MemoryStore(HERE);
  const payloads = [
    'nonsense', '{"op":"topic.create","topic":"a","type":"fanout"}', '{"op":"topic.delete","topics":["$catalog"]}',
    '\ufffd', '',
  ];
  const batch: StoredBatch = {
    ...draft(payloads, { topic: '$catalog' }), origin: PEER, seq: 1, lamport: 7, deps: '', proof: '', position: 1,
    repeats: '',
  };
  const covered: StoredBatch = {
    ...draft([], { topic: '$catalog' }), count: 3, origin: PEER, seq: 6, lamport: 12, deps: '', proof: '', position: 2,
    repeats: '',
  };
  await store.append([batch, covered]);
  const { broker } = await VirtualBroker.start({}, store);
  t.strictSame([...broker.metadata.topics()].map(({ name }) => name), ['a']);
  t.strictSame([broker.metadata.isPlain, broker.metadata.vector], [true, new Map([[PEER, 8]])]);
});

t.test('what could not be stored was not said', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  virtual.store.failures.push(new RumormillError('DISKFULL', 'no room; nothing was stored'));
  t.strictSame(await client.ask('TOPIC CREATE a', 'TOPIC LIST', 'TOPIC CREATE a TYPE direct'), [
    '-DISKFULL no room; nothing was stored', [], 'OK',
  ]);
  const limited = (await VirtualBroker.start({ limits: { payloadBytesMax: 100 } })).connect();
  t.match(await limited.ask(`TOPIC CREATE ${'x'.repeat(90)}`, 'TOPIC CREATE a'), [
    /^-TOOBIG the record of it would have \d+ bytes, more than 100; nothing was stored$/,
    'OK',
  ]);
});

t.test('an operation is acknowledged as publishes are by default, and decided on without waiting for that', async (t) => {
  const virtual = await VirtualBroker.start({ acks: 'quorum' });
  virtual.broker.configure(
    ['localhost:3000', 'peer:1', 'other:1'].map((address) => origin(address).split('/')[0] as never),
  );
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
    metadata.change(() =>
      metadata.topic('a') === undefined ? { op: 'topic.create', topic: 'never', type: 'fanout' } : undefined,
    ),
    t.rejects(
      metadata.change(() => ({ op: 'subscription.delete', name: 'x' })),
      { code: 'NOTFOUND' },
    ),
    t.rejects(
      metadata.change(() => Promise.reject(new RumormillError('ERR', 'no'))),
      { code: 'ERR' },
    ),
    metadata.change(() => ({ op: 'topic.create', topic: 'b', type: 'fanout' })),
  ]);
  await virtual.clock.settle();
  t.equal([...metadata.topics()].length, 0);
  release();
  for (let round = 0; round < 5; round += 1) await virtual.clock.settle();
  await done;
  t.strictSame([...metadata.topics()].map(({ name }) => name), ['a', 'b'], 'and those that are refused hold up nobody');
});

/** A store that counts what is read of the records about topics and subscriptions. */
class CountingStore extends MemoryStore {
  operationsRead = 0;

  override async readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page> {
    const page = await super.readAfter(position, topics, bytesMax);
    if (topics?.[0] === CATALOG_TOPIC) this.operationsRead += page.batches.reduce((sum, { count }) => sum + count, 0);
    return page;
  }
}

/** Operations that make topics and subscriptions and delete most of them, as one broker says them. */
async function sayMuch(store: MemoryStore, count: number): Promise<void> {
  const settings = { visibilityMs: 1, maxDeliveries: null, deadLetter: null, backoffMs: null, from: 'latest' };
  const all = Array.from({ length: count }, (_, index): Operation[] => [
    { op: 'topic.create', topic: `t${index}`, type: 'fanout' },
    { op: 'subscription.create', name: `s${index}`, settings },
    { op: 'bind', name: `s${index}`, topic: `t${index}`, key: null, start: new Map() },
    ...(index % 100 === 0
      ? []
      : ([
          { op: 'subscription.delete', name: `s${index}` },
          { op: 'topic.delete', topics: [`t${index}`] },
        ] as const)),
  ]).flat();
  await store.append(catalogBatches(all));
}

t.test('what was created and deleted leaves no trace after a restart', async (t) => {
  const store = new CountingStore(origin('localhost:3000'));
  await sayMuch(store, 2000);
  const limits = { catalogTailMax: 100 };
  const first = await VirtualBroker.start({ limits }, store);
  const [topics, subscriptions] = [[...first.broker.metadata.topics()].length, first.broker.metadata.subscriptionCount];
  t.strictSame([topics, subscriptions], [20, 20]);
  t.equal(store.operationsRead, 9960, 'read once');
  const lines = store.catalog.lines.filter((line) => !line.startsWith('["dead"'));
  t.ok(lines.length <= 1 + 20 + 20 + 200, `${lines.length} lines are kept`);
  for (let life = 0; life < 2; life += 1) {
    store.operationsRead = 0;
    const { broker } = await VirtualBroker.start({ limits }, store);
    t.strictSame([[...broker.metadata.topics()].length, broker.metadata.subscriptionCount], [20, 20]);
    t.strictSame(
      [...broker.metadata.subscriptionNames()].sort(),
      [...first.broker.metadata.subscriptionNames()].sort(),
    );
    t.equal(store.operationsRead, 0, 'nothing of it is read again');
  }
});

t.test('what is kept and damaged is made anew from the log', async (t) => {
  const store = new CountingStore(origin('localhost:3000'));
  await sayMuch(store, 200);
  const limits = { catalogTailMax: 100 };
  await VirtualBroker.start({ limits }, store);
  for (const lines of [['['], ['["version",99]'], store.catalog.lines.slice(1)]) {
    store.catalog = { ...store.catalog, lines };
    const { broker } = await VirtualBroker.start({ limits }, store);
    t.equal(broker.metadata.subscriptionCount, 2);
  }
});

/** A store whose reads take up to three rounds of I/O, so that more may be written meanwhile. */
class SlowStore extends MemoryStore {
  readonly clock = new ManualClock();
  readonly #random: SeededRandom;
  /** How often the catalog's records were read from the first one on. */
  remakes = 0;

  constructor(random: SeededRandom) {
    super(HERE);
    this.#random = random;
  }

  override async readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page> {
    if (position === 0 && this.catalog.position > 0) this.remakes += 1;
    const page = await super.readAfter(position, topics, bytesMax);
    for (let rounds = this.#random.integer(0, 3); rounds > 0; rounds -= 1) {
      await new Promise<void>((resolve) => this.clock.defer(resolve));
    }
    return page;
  }
}

/** Log and metadata on a store, as a broker has them; a turn is over as soon as it may be. */
async function life(store: SlowStore, catalogTailMax: number): Promise<{ log: Log; metadata: Metadata }> {
  const { clock } = store;
  const fail = (error: unknown): never => {
    throw error;
  };
  const config = makeConfig({ limits: { catalogTailMax, readBytesMax: 500 } });
  const lamport = new LamportClock(store.state.lamport);
  const log: Log = new Log(
    store,
    clock,
    lamport,
    { instance: 'aaaaaaaaaaaa', identity: virtualIdentity(), signatures: virtualSignatures(() => 0), ...config.limits },
    {
      mark: (batches) => batches, committed: (batches) => metadata.committed(batches), failed: fail,
      drained: () => undefined,
    },
  );
  const nothing = (): void => undefined;
  const metadata = new Metadata({
    config,
    clock,
    store,
    log,
    lamport,
    turns: new Turns(clock, 0),
    logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
    publisher: { publishOwn: nothing, acknowledge: nothing },
    swept: nothing,
    storeFailed: fail,
    changed: nothing,
  });
  const restored = metadata.restore();
  await clock.settle();
  await restored;
  return { log, metadata };
}

interface Arrival {
  readonly said: Said;
  readonly batch: RecordBatch;
}

/** What three brokers say, each in the order of its own clock, as it may arrive at a fourth. */
function randomArrivals(random: SeededRandom): Arrival[] {
  const lines = [origin('a:1'), origin('a:1', 5), PEER].map((from) => {
    let lamport = 0;
    return Array.from({ length: random.integer(0, 60) }, (_, index): Arrival => {
      const operation = randomOperation(random);
      lamport += random.integer(1, 3);
      const batch = {
        ...draft([encodeOperation(operation)], { topic: CATALOG_TOPIC }), origin: from, seq: index + 1, lamport,
        deps: '', proof: '',
      };
      return { said: { stamp: { lamport, origin: from }, operation }, batch };
    });
  });
  const arrivals: Arrival[] = [];
  while (lines.some((line) => line.length > 0)) arrivals.push(...random.pick(lines).splice(0, random.integer(1, 8)));
  return arrivals;
}

t.test(`whatever the order of arrival, and however often it starts, a broker knows what follows from the order of the stamps (SEED=${SEED})`, async (t) => {
  const random = new SeededRandom();
  const counts = { remakes: 0, kept: 0 };
  for (let round = 0; round < 100; round += 1) {
    const arriving = randomArrivals(random);
    const arrived: Said[] = [];
    const store = new SlowStore(random);
    const tailMax = random.pick([1, 2, 5, 100]);
    let { log, metadata } = await life(store, tailMax);
    const compare = async (): Promise<void> => {
      await store.clock.settle();
      const expected = new Catalog();
      for (const each of arrived.sort((x, y) => compareRecords(x.stamp, y.stamp))) expected.apply([each]);
      t.strictSame(everything(metadata), everything(expected), `round ${round}`) || t.bailout(`round ${round}`);
    };
    while (arriving.length > 0) {
      for (const { batch, said } of arriving.splice(0, random.integer(1, 6))) {
        log.receive([batch], undefined);
        arrived.push(said);
      }
      for (let rounds = random.integer(0, 3); rounds > 0; rounds -= 1) await store.clock.round();
      if (random.integer(0, 7) > 0) continue;
      await compare();
      if (random.integer(0, 1) === 0) await metadata.keep(random.integer(0, 1) === 0); // else it is as after a crash
      if (store.catalog.position > 0) counts.kept += 1;
      ({ log, metadata } = await life(store, tailMax));
      await compare();
    }
    await compare();
    t.strictSame(metadata.vector, new Map(log.vector.snapshot()));
    counts.remakes += store.remakes;
  }
  t.ok(counts.remakes > 50 && counts.kept > 50, JSON.stringify(counts));
});
