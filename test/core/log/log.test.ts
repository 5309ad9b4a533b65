import t from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import { LamportClock } from '../../../brokers/core/log/lamport.ts';
import { Log, type LogOptions } from '../../../brokers/core/log/log.ts';
import {
  batchBytes, type Draft, lastLamport, lastSeq, messagesOf, type Origin, parseDeps, parseMeta, type RecordBatch,
  type StoredBatch,
} from '../../../brokers/core/log/record.ts';
import { virtualIdentity, virtualSignatures } from '../../support/identity.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { heapBytes } from '../../support/memory.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { draft, origin, specimenBatch } from '../../support/record.ts';

const [a, b, c] = [origin('a:1'), origin('b:1'), origin('c:1')];
const DISKFULL = new RumormillError('DISKFULL', 'no room');
const OPTIONS: LogOptions = {
  instance: 'aaaaaaaaaaaa', tailBytesMax: 1_000_000, transactionBytesMax: 1_000_000, pendingBytesMax: 1_000_000,
  batchBytesMax: 1, transactionMessagesMax: 1e6, pendingMessagesMax: 1e6, batchWaitMs: 0,
  identity: virtualIdentity(), signatures: virtualSignatures(() => 0),
};

/** A log on a store, and everything that happened to it, in order, as text. */
class Bench {
  readonly clock = new ManualClock();
  readonly lamport: LamportClock;
  readonly store: MemoryStore;
  readonly log: Log;
  readonly events: string[] = [];

  constructor(options: Partial<LogOptions> = {}, store = new MemoryStore(a)) {
    this.store = store;
    this.lamport = new LamportClock(store.state.lamport);
    this.log = new Log(store, this.clock, this.lamport, { ...OPTIONS, ...options }, {
      mark: (batches) => batches,
      committed: (batches) => this.events.push(`committed ${names(batches)} at ${this.log.position}`),
      failed: (error) => this.events.push(`failed ${error.code}`),
      drained: () => this.events.push('drained'),
    });
  }

  publish(name: string, changes: Partial<Draft> = {}): void {
    this.log.publish(draft([name], changes), {
      named: (batch) => this.events.push(`${name} named ${batch.seq} @${batch.lamport}`),
      stored: (batch) => this.events.push(`${name} stored ${batch.seq} at ${this.log.position}`),
      failed: (error) => this.events.push(`${name} failed ${error.code}`),
    });
  }

  receive(batch: RecordBatch): void {
    this.lamport.witness(lastLamport(batch)); // as gossip does
    this.log.receive([batch], undefined);
  }

  take(): string[] {
    return this.events.splice(0);
  }
}

function names(batches: readonly StoredBatch[]): string {
  return batches.map((batch) => `${batch.origin[0]}${batch.seq}`).join(' ');
}

function remote(from: Origin, seq: number, changes: Partial<RecordBatch> = {}): RecordBatch {
  return specimenBatch({
    origin: from, seq, count: 1, lamport: 100 + seq, deps: '', lengths: '[1]', meta: '', body: Buffer.from('x'),
    ...changes,
  });
}

function depsOf(bench: Bench): object[] {
  return bench.store.batches.map((batch) => Object.fromEntries(parseDeps(batch).map(([from, seq]) => [from[0], seq])));
}

t.test('what arrives together is one transaction; what arrives while it runs is the next one', async (t) => {
  const bench = new Bench();
  const release = bench.store.hold();
  bench.publish('one', { count: 3, lengths: '[1,1,1]' });
  bench.receive(remote(b, 1));
  bench.publish('two');
  t.strictSame(bench.take(), [], 'nothing before what is received together has been handled');
  await bench.clock.settle();
  t.strictSame(
    bench.take(), ['one named 1 @102', 'two named 4 @105'],
    'consecutive seqs and timestamps, a name only once the transaction is formed',
  );
  t.equal(bench.log.committingSince, bench.clock.now());
  bench.publish('three');
  bench.publish('four');
  await bench.clock.settle();
  t.strictSame(bench.take(), []);
  t.strictSame(
    [bench.log.position, bench.log.vector.get(a), bench.log.vector.get(b)], [0, 0, 0],
    'what is not on disk does not show',
  );
  t.strictSame(await bench.log.readAfter(0, undefined, 1e6), { batches: [], through: 0 });
  release();
  await bench.clock.settle();
  t.strictSame(bench.store.transactions, [3, 2]);
  t.strictSame(bench.take(), [
    'committed b1 a1 a4 at 3', 'one stored 1 at 3', 'two stored 4 at 3', 'three named 5 @106', 'four named 6 @107',
    'committed a5 a6 at 5', 'three stored 5 at 5', 'four stored 6 at 5',
  ]);
  t.strictSame([bench.log.pendingBytes, bench.log.committingSince], [0, undefined]);
});

t.test('where publishers come together, what the next rounds of I/O bring is part of the transaction while it makes it grow', async (t) => {
  const bench = new Bench();
  bench.publish('alone');
  await bench.clock.round();
  t.strictSame(bench.store.transactions, [1], 'who came alone the last time does not wait');
  bench.publish('one');
  bench.publish('another');
  await bench.clock.settle();
  for (const waiting of [1, 1, 2]) {
    for (let index = 0; index < waiting; index += 1) bench.publish('x');
    await bench.clock.round();
  }
  await bench.clock.round();
  bench.publish('after a quiet round');
  await bench.clock.settle();
  t.strictSame(bench.store.transactions, [1, 2, 5]);

  const release = bench.store.hold();
  bench.publish('running');
  bench.publish('with company');
  await bench.clock.settle();
  bench.publish('waiting');
  release();
  await bench.clock.round();
  bench.publish('back after its answer');
  await bench.clock.settle();
  t.strictSame(bench.store.transactions, [1, 2, 5, 2, 2], 'after a commit too');
});

t.test('a trickle does not hold a transaction up, and nothing holds up a full one', async (t) => {
  const bench = new Bench();
  for (let index = 0; index < 100; index += 1) bench.publish('x');
  for (let rounds = 0; rounds < 4; rounds += 1) {
    bench.publish('one more');
    await bench.clock.round();
  }
  t.strictSame(bench.store.transactions, [103]);

  for (const [limit, options] of Object.entries({
    messages: { transactionMessagesMax: 2 },
    bytes: { transactionBytesMax: 2 * batchBytes(draft(['x'])) },
  })) {
    const full = new Bench(options);
    full.publish('x');
    full.publish('x');
    await full.clock.round();
    t.strictSame(full.store.transactions, [2], limit);
  }
});

t.test('a transaction takes no more than its bytes, but one batch at least', async (t) => {
  const bytes = batchBytes(draft(['x'.repeat(100)]));
  const bench = new Bench({ transactionBytesMax: 2 * bytes });
  for (let index = 0; index < 5; index += 1) bench.publish('x'.repeat(100));
  bench.publish('x'.repeat(10_000));
  await bench.clock.settle();
  t.strictSame(bench.store.transactions, [2, 2, 2], 'the one that reaches the limit is still taken');
});

t.test('deps are what entered since the last own batch, and nothing else', async (t) => {
  const bench = new Bench();
  bench.publish('first');
  bench.receive(remote(b, 1));
  bench.receive(remote(b, 2));
  bench.publish('second');
  bench.publish('third');
  await bench.clock.settle();
  bench.receive(remote(c, 1));
  await bench.clock.settle();
  bench.receive(remote(b, 3));
  bench.publish('fourth');
  await bench.clock.settle();
  t.strictSame(
    depsOf(bench), [{}, {}, { b: 2 }, {}, {}, {}, {}, { c: 1, b: 3 }], 'batches of peers stand first in a transaction',
  );

  const again = new Bench({}, bench.store);
  again.publish('fifth');
  again.publish('sixth');
  await again.clock.settle();
  t.strictSame(depsOf(again).slice(-2), [{ b: 3, c: 1 }, {}], 'after a restart all that is foreign, once');
  t.strictSame(again.take().slice(0, 2), ['fifth named 5 @107', 'sixth named 6 @108'], 'seqs and time go on');
});

t.test('the next seq is accepted, not stored: a batch is taken in once; own records count when they are on disk', async (t) => {
  const bench = new Bench();
  t.strictSame([bench.log.nextSeq(a), bench.log.nextSeq(b)], [1, 1]);
  bench.receive(remote(b, 1, { count: 5 }));
  t.equal(bench.log.nextSeq(b), 6);
  t.throws(() => bench.receive(remote(b, 1)), /does not follow on/, 'twice');
  t.throws(() => bench.receive(remote(b, 7)), /does not follow on/, 'a hole');
  bench.publish('one');
  t.equal(bench.log.nextSeq(a), 1);
  await bench.clock.settle();
  t.equal(bench.log.nextSeq(a), 2, 'so that what depends on it can be stored');
  t.equal(new Bench({}, bench.store).log.nextSeq(a), 2);
});

t.test('a transaction that fails leaves no trace: names and accepted seqs are free again, what is local behind it has its turn', async (t) => {
  const bench = new Bench();
  bench.receive(remote(b, 1));
  bench.publish('before');
  await bench.clock.settle();
  bench.take();
  const release = bench.store.hold();
  bench.store.failures.push(DISKFULL);
  bench.receive(remote(b, 2));
  bench.publish('lost');
  await bench.clock.settle();
  bench.receive(remote(b, 3));
  bench.publish('kept');
  t.equal(bench.log.nextSeq(b), 4);
  const forms = bench.log.pendingBytes;
  release();
  await bench.clock.settle();
  t.strictSame(
    bench.take(),
    [
      'lost named 2 @103', 'failed DISKFULL', 'lost failed DISKFULL', 'kept named 2 @104', 'committed a2 at 3',
      'kept stored 2 at 3',
    ],
    'the seq is used again, the timestamp is not',
  );
  t.strictSame(depsOf(bench), [{}, { b: 1 }, {}], 'what was lost is no dep');
  t.equal(bench.log.nextSeq(b), 2, 'what waited of peers is to be fetched again');
  t.ok(forms > 0 && bench.log.pendingBytes === 0);
  bench.receive(remote(b, 2));
  bench.publish('after');
  await bench.clock.settle();
  t.strictSame(depsOf(bench).slice(-1), [{ b: 2 }]);
});

t.test('what a failed transaction would have declared is declared by the next one', async (t) => {
  const bench = new Bench();
  bench.receive(remote(b, 1));
  await bench.clock.settle();
  bench.store.failures.push(DISKFULL);
  bench.publish('lost');
  await bench.clock.settle();
  bench.publish('next');
  await bench.clock.settle();
  t.strictSame(depsOf(bench), [{}, { b: 1 }]);
});

t.test('full at its limit, drained at half of it, each said once', async (t) => {
  const bytes = batchBytes(draft(['x']));
  const bench = new Bench({ pendingBytesMax: 4 * bytes, transactionBytesMax: bytes });
  const release = bench.store.hold();
  for (const [index, full] of [false, false, false, true, true].entries()) {
    bench.publish('x');
    t.equal(bench.log.full, full, `${index + 1} of 4`);
  }
  await bench.clock.settle();
  release();
  await bench.clock.settle();
  const events = bench.take().map((event) => event.replace(/x named.*/, 'named').replace(/committed .*/, 'committed'));
  t.strictSame(events.filter((event) => event === 'drained').length, 1);
  t.equal(
    events.slice(0, events.indexOf('drained')).filter((event) => event === 'committed').length, 2,
    'with the third of five: two wait',
  );
  t.equal(bench.log.full, false);
});

t.test('a failed transaction drains too', async (t) => {
  const bench = new Bench({ pendingBytesMax: 1 });
  bench.store.failures.push(DISKFULL);
  bench.publish('x');
  t.equal(bench.log.full, true);
  await bench.clock.settle();
  t.strictSame(bench.take(), ['x named 1 @1', 'drained', 'failed DISKFULL', 'x failed DISKFULL']);
});

t.test('idle comes when all is written, also what came meanwhile', async (t) => {
  const bench = new Bench();
  await bench.log.idle();
  const release = bench.store.hold();
  bench.publish('one');
  let idle = false;
  void bench.log.idle().then(() => (idle = true));
  await bench.clock.settle();
  bench.publish('two');
  t.equal(idle, false);
  release();
  await bench.clock.settle();
  t.equal(idle, true);
  t.equal(bench.store.batches.length, 2);
});

t.test('reading: from the tail where it reaches back so far, else from the store', async (t) => {
  const bytes = batchBytes(draft(['0']));
  const bench = new Bench({ tailBytesMax: 3 * bytes });
  for (let index = 0; index < 8; index += 1) bench.publish(String(index), { topic: index % 2 === 0 ? 'even' : 'odd' });
  await bench.clock.settle();
  const positions = async (
    from: number, topic: string | undefined, bytesMax: number,
  ): Promise<[number[], number, number]> => {
    const before = bench.store.reads;
    const { batches, through } = await bench.log.readAfter(
      from,
      topic === undefined ? undefined : new Set([topic]),
      bytesMax,
    );
    return [batches.map(({ position }) => position), through, bench.store.reads - before];
  };
  const cases: [
    from: number, topic: string | undefined, bytesMax: number, positions: number[], through: number, reads: number,
  ][] = [
    [8, undefined, 1e6, [], 8, 0],
    [7, undefined, 1e6, [8], 8, 0],
    [5, undefined, 1e6, [6, 7, 8], 8, 0],
    [4, undefined, 1e6, [5, 6, 7, 8], 8, 1], // 5 has left the tail
    [0, undefined, 1e6, [1, 2, 3, 4, 5, 6, 7, 8], 8, 1],
    [5, undefined, 1, [6], 6, 0], // at least one
    [5, undefined, bytes + 1, [6, 7], 7, 0],
    [5, 'even', 1, [7], 7, 0], // passes over what is not asked for
    [5, 'even', 1e6, [7], 8, 0], // the end was searched too
    [5, 'none', 1, [], 8, 0],
    [7, 'even', 1e6, [], 8, 0],
    [0, 'odd', 1, [2], 2, 1],
    [0, 'odd', 1e6, [2, 4, 6, 8], 8, 1],
  ];
  for (const [from, topic, bytesMax, expected, through, reads] of cases) {
    t.strictSame(
      await positions(from, topic, bytesMax), [expected, through, reads],
      `after ${from}, ${topic ?? 'all'}, ${bytesMax} bytes`,
    );
  }
});

t.test('after a restart the tail is empty, and the store serves', async (t) => {
  const bench = new Bench();
  for (let index = 0; index < 3; index += 1) bench.publish('x');
  await bench.clock.settle();
  const again = new Bench({}, bench.store);
  t.equal(again.log.position, 3);
  t.equal((await again.log.readAfter(2, undefined, 1e6)).batches.length, 1);
  t.equal(bench.store.reads, 1);
  t.strictSame(again.log.readAfter(3, undefined, 1e6), { batches: [], through: 3 }, 'at its end at once');
  again.publish('y');
  await again.clock.settle();
  t.match(again.log.readAfter(3, undefined, 1e6), { batches: [{ position: 4 }], through: 4 });
});

t.test('what has left the tail takes no memory', async (t) => {
  const bench = new Bench({ tailBytesMax: 4_000_000, pendingBytesMax: 1e9 });
  bench.store.append = () => Promise.resolve(); // keeps nothing
  const before = heapBytes();
  for (let index = 0; index < 100; index += 1) {
    bench.publish('', { body: Buffer.alloc(1_000_000) });
    await bench.clock.settle();
  }
  t.equal(bench.log.position, 100);
  const kept = heapBytes() - before;
  t.ok(kept < 40_000_000, `${kept} bytes are kept of 100 MB with a tail of 4 MB`);
});

t.test(`random publishes, receipts and full disks (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const bench = new Bench({ transactionBytesMax: 800, tailBytesMax: 2000, batchBytesMax: 500 });
  const fates = new Map<string, string[]>();
  let [published, received, failed, read] = [0, 0, 0, 0];
  let release: (() => void) | undefined;
  for (let step = 0; step < 5000; step += 1) {
    const action = random.integer(0, 9);
    if (action < 4) {
      const name = `m${published}`;
      const fate: string[] = [];
      fates.set(name, fate);
      published += 1;
      const payloads = Array.from({ length: random.integer(1, 5) }, () => name);
      bench.log.publish(draft(payloads, { topic: random.pick(['news', 'news', 'sport']) }), {
        stored: ({ seq, lamport }) =>
          fate.push(isStored(bench.store, seq, lamport, payloads) ? 'stored' : 'stored nowhere'),
        failed: ({ code }) => fate.push(code),
      });
    } else if (action < 7) {
      const from = random.pick([b, c]);
      bench.receive(remote(from, bench.log.nextSeq(from), { count: random.integer(1, 3) }));
      received += 1;
    } else if (action === 7) {
      if (random.integer(0, 3) === 0) bench.store.failures.push(DISKFULL);
      release ??= bench.store.hold();
    } else {
      release?.();
      release = undefined;
      await bench.clock.settle();
    }
    const from = random.integer(Math.max(0, bench.log.position - 20), bench.log.position);
    const page = await bench.log.readAfter(from, undefined, random.pick([1, 500, 1e6]));
    const expected = bench.store.batches.slice(from, from + page.batches.length);
    if (page.batches.some((batch, index) => batch.position !== expected[index]?.position)) {
      t.fail(`step ${step}: reads something else`);
    }
    if (page.through > bench.log.position && page.batches.length === 0) {
      t.fail(`step ${step}: reads further than there is`);
    }
    read += page.batches.length;
  }
  release?.();
  await bench.clock.settle();
  failed = bench.take().filter((event) => event.startsWith('failed')).length;
  t.ok(
    [...fates.values()].every((fate) => fate.length === 1 && ['stored', 'DISKFULL'].includes(fate[0]!)),
    'every draft has one fate',
  );
  const own = bench.store.batches.filter((batch) => batch.origin === a);
  const order = own.flatMap((batch) =>
    messagesOf(batch).map(({ payload }) => Number(Buffer.from(payload).toString().slice(1))),
  );
  t.strictSame(order, order.toSorted((x, y) => x - y), 'in the order in which they were published');
  t.equal(new Set(order).size, [...fates.values()].filter(([fate]) => fate === 'stored').length);
  t.ok(own.length < 0.9 * new Set(order).size, 'some were joined');
  t.strictSame(new Map(bench.log.vector.entries()), new Map(bench.store.state.vector), 'the vector is what is on disk');
  t.ok(
    published > 1000 && received > 1000 && failed > 50 && read > 1000,
    `${published} published, ${received} received, ${failed} failed, ${read} read`,
  );
});

/** Whether the messages with these names on have these payloads. */
function isStored(store: MemoryStore, seq: number, lamport: number, payloads: readonly string[]): boolean {
  const batch = store.batches.find((each) => each.origin === a && each.seq <= seq && lastSeq(each) >= seq);
  if (batch === undefined || batch.lamport - batch.seq !== lamport - seq) return false;
  const messages = messagesOf(batch, seq - batch.seq, seq - batch.seq + payloads.length);
  return messages.map(({ payload }) => Buffer.from(payload).toString()).join() === payloads.join();
}

t.test('drafts of one topic that stand next to each other become one batch; what a connection publishes keeps its order', async (t) => {
  const bench = new Bench({ batchBytesMax: 1_000_000 });
  bench.publish('alone');
  await bench.clock.settle();
  bench.take();
  const meta = JSON.stringify({ keys: ['k', null] });
  bench.log.publish(draft(['one', 'two'], { meta }), {
    stored: ({ seq, lamport }) => bench.events.push(`stored ${seq} @${lamport}`),
    failed: () => undefined,
  });
  bench.receive(remote(b, 1));
  bench.publish('three', { meta: JSON.stringify({ ids: ['id'] }) });
  bench.publish('four', { topic: 'sport' });
  bench.publish('five');
  await bench.clock.settle();
  t.strictSame(bench.take(), [
    'three named 4 @104', 'four named 5 @105', 'five named 6 @106', 'committed b1 a2 a5 a6 at 5',
    'stored 2 @102', 'three stored 4 at 5', 'four stored 5 at 5', 'five stored 6 at 5',
  ]);
  const joined = bench.store.batches[2]!;
  t.strictSame(parseMeta(joined), { keys: ['k', null, null], ids: [null, null, 'id'] });
  t.strictSame(messagesOf(joined).map(({ payload }) => Buffer.from(payload).toString()), ['one', 'two', 'three']);
  t.strictSame(depsOf(bench).slice(1), [{}, { b: 1 }, {}, {}], 'what a peer sent comes first');
});

t.test('a batch is joined up to its limits', async (t) => {
  const counts = async (batchBytesMax: number, drafts: readonly Draft[]): Promise<number[]> => {
    const bench = new Bench({ batchBytesMax });
    for (const each of drafts) bench.log.publish(each, { stored: () => undefined, failed: () => undefined });
    await bench.clock.settle();
    return bench.store.batches.map(({ count }) => count);
  };
  const many = Array.from({ length: 5 }, () => draft(new Array<string>(400).fill('')));
  t.strictSame(await counts(1e6, many), [800, 800, 400], 'messages');
  const big = draft(['x'.repeat(1000)]);
  t.strictSame(await counts(2 * batchBytes(big), [big, big, big]), [2, 1], 'bytes');
});

t.test('a transaction takes no more messages than it may; beyond the buffer publishers have to wait', async (t) => {
  const bench = new Bench({ transactionMessagesMax: 3, pendingMessagesMax: 6 });
  const release = bench.store.hold();
  for (let index = 0; index < 6; index += 1) {
    t.equal(bench.log.full, false, `${index} wait`);
    bench.publish(`m${index}`);
  }
  t.equal(bench.log.full, true);
  await bench.clock.settle();
  release();
  await bench.clock.settle();
  t.strictSame(bench.store.transactions, [3, 3]);
  t.equal(bench.take().filter((event) => event === 'drained').length, 1);
  t.equal(bench.log.full, false);
});

t.test('a buffer that is full waits for no company: nobody else may come', async (t) => {
  const bench = new Bench({ batchWaitMs: 10, transactionMessagesMax: 5000, pendingMessagesMax: 1 });
  bench.publish('one');
  await bench.clock.settle();
  t.strictSame(bench.store.transactions, [1]);
  t.equal(bench.log.full, false);
});

t.test('the first batch waits for company, but not for longer than it may, nor when a peer sends something or there is enough', async (t) => {
  const bench = new Bench({ batchWaitMs: 10, transactionMessagesMax: 3 });
  bench.publish('one');
  await bench.clock.advance(9);
  t.strictSame(bench.store.transactions, []);
  bench.publish('two');
  await bench.clock.advance(1);
  t.strictSame(bench.store.transactions, [2]);
  bench.publish('three');
  bench.receive(remote(b, 1));
  await bench.clock.settle();
  t.strictSame(bench.store.transactions, [2, 2], 'a peer waits for an acknowledgement');
  for (const name of ['four', 'five', 'six']) bench.publish(name);
  await bench.clock.settle();
  t.strictSame(bench.store.transactions, [2, 2, 3], 'it is full');
  await bench.clock.advance(100);
  t.strictSame(bench.store.transactions, [2, 2, 3], 'a timer that was called off does nothing');
  bench.publish('seven');
  await bench.clock.advance(10);
  t.strictSame(bench.store.transactions, [2, 2, 3, 1]);
});

t.test('while its origin is not settled, local batches wait and those of peers enter', async (t) => {
  const bench = new Bench();
  bench.publish('old');
  await bench.clock.settle();
  const next = new Bench({}, bench.store);
  next.log.hold();
  next.publish('one');
  next.publish('two');
  next.receive(remote(b, 1));
  await next.clock.settle();
  t.strictSame(next.take(), ['committed b1 at 2']);
  t.ok(next.log.isWanted);
  next.log.settle(a, '');
  t.notOk(next.log.isHeld);
  await next.clock.settle();
  t.strictSame(next.take(), [
    'one named 2 @102', 'two named 3 @103', 'committed a2 a3 at 4', 'one stored 2 at 4', 'two stored 3 at 4',
  ]);
  t.strictSame(depsOf(next).slice(2), [{ b: 1 }, {}]);
  t.equal(next.log.pendingBytes, 0);
});

t.test('under a new origin seqs begin anew, and the first record depends on all of the old origin', async (t) => {
  const bench = new Bench();
  bench.publish('old', { count: 3, lengths: '[1,1,1]' });
  await bench.clock.settle();
  const next = new Bench({}, bench.store);
  next.log.hold();
  next.publish('one');
  const renewed = origin('a:1', 1);
  next.log.settle(renewed, 'owner');
  await next.clock.settle();
  t.strictSame(next.take(), ['one named 1 @4', 'committed a1 at 2', 'one stored 1 at 2']);
  t.equal(next.store.batches[1]!.origin, renewed);
  t.strictSame(parseDeps(next.store.batches[1]!), [[a, 3]]);
  t.strictSame([...next.log.vector.entries()], [[a, 3], [renewed, 1]]);
});

t.test('what waits for an origin that cannot be saved is refused', async (t) => {
  const bench = new Bench({ pendingBytesMax: 1 });
  bench.log.hold();
  bench.publish('one');
  t.ok(bench.log.full);
  bench.log.refuseHeld(DISKFULL);
  t.strictSame(bench.take(), ['drained', 'one failed DISKFULL']);
  t.notOk(bench.log.isWanted);
  t.equal(bench.log.pendingBytes, 0);
});

t.test('a new origin that comes while a batch of a peer is being written depends on the old one all the same', async (t) => {
  const bench = new Bench();
  bench.publish('old');
  await bench.clock.settle();
  const next = new Bench({}, bench.store);
  next.log.hold();
  const release = next.store.hold();
  next.receive(remote(b, 1));
  await next.clock.settle();
  next.publish('one');
  next.log.settle(origin('a:1', 1), 'owner');
  release();
  await next.clock.settle();
  t.strictSame(parseDeps(next.store.batches[2]!), [[b, 1], [a, 1]]);
});
