import t from 'tap';
import { Catalog } from '../../../brokers/core/catalog/catalog.ts';
import { type Cursor, decodeCursor, encodeCursor } from '../../../brokers/core/read/cursor.ts';
import { Closings } from '../../../brokers/core/log/closings.ts';
import { LamportClock } from '../../../brokers/core/log/lamport.ts';
import { Log, type LogEvents } from '../../../brokers/core/log/log.ts';
import { Pages } from '../../../brokers/core/read/pages.ts';
import {
  earliestCursor, latestCursor, type ReadLimits, type ReadSource, readRange, readTopics,
} from '../../../brokers/core/read/reader.ts';
import { Copies } from '../../../brokers/core/log/copies.ts';
import {
  BATCH_MESSAGES_MAX, compareRecords, lastSeq, type Message, messagesOf, type Origin, placeBatch, type RecordBatch,
  type StoredBatch,
} from '../../../brokers/core/log/record.ts';
import { Turns } from '../../../brokers/core/turns.ts';
import { virtualIdentity, virtualSignatures } from '../../support/identity.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { RunningTime } from '../../../brokers/core/log/running-time.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { draft, origin, specimenBatch } from '../../support/record.ts';

const [a, b, c] = [origin('a:1'), origin('b:1'), origin('c:1')];
const NO_LIMITS: ReadLimits = { count: 1e6, bytes: 1e9, readBytes: 1e9 };
const NEWS: ReadonlySet<string> = new Set(['news']);

/** A batch whose payloads say what they are: origin and seq. */
function batch(from: Origin, seq: number, count = 1, topic = 'news', lamport = seq, size = 0): RecordBatch {
  const payloads = Array.from({ length: count }, (_, index) => `${from[0]}${seq + index}`.padEnd(size, '.'));
  return { ...draft(payloads, { topic }), origin: from, seq, lamport, deps: '', proof: '' };
}

interface Shelf extends ReadSource {
  readonly store: MemoryStore;
  readonly names: Catalog;
  put(...batches: readonly RecordBatch[]): Promise<void>;
}

/** A broker's log that takes in the batches that it is given, in that order. */
function shelf(name: Origin, tailBytesMax = 1e6): Shelf {
  const store = new MemoryStore(name);
  const clock = new ManualClock();
  const copies = new Copies(
    store,
    () => name,
    { dedupeWindowMs: 1000, dedupeIdsMax: 1000, dedupeOriginsMax: 10, repeatsMax: 1000 },
    new RunningTime(
      undefined, () => clock.now(), () => clock.wallTime(),
    ),
    new SeededRandom().word,
  );
  const events: LogEvents = {
    mark: (batches) => copies.mark(batches), committed: (batches) => copies.stored(batches), failed: () => undefined,
    drained: () => undefined,
  };
  const log = new Log(
    store,
    clock,
    new LamportClock(),
    {
      instance: Buffer.from(name).toString('hex').slice(0, 12), tailBytesMax, transactionBytesMax: 1e6,
      pendingBytesMax: 1e9, batchBytesMax: 1, transactionMessagesMax: 1e6, pendingMessagesMax: 1e6, batchWaitMs: 0,
      identity: virtualIdentity(), signatures: virtualSignatures(() => 0),
    },
    events,
  );
  return {
    log,
    store,
    copies,
    names: new Catalog(),
    closings: new Closings(),
    pages: new Pages(2),
    turns: new Turns(new ManualClock(), 8),
    async put(...batches) {
      for (const each of batches) log.receive([each], undefined);
      await clock.settle();
    },
  };
}

function payloads(messages: readonly Message[]): string {
  return messages.map(({ payload }) => String(payload).replace(/\.+$/, '')).join(' ');
}

async function read(
  shelf: Shelf, cursor: Cursor, limits: Partial<ReadLimits> = {}, topics = NEWS,
): Promise<[string, Cursor]> {
  const { messages, cursor: next } = await readTopics(shelf, topics, cursor, { ...NO_LIMITS, ...limits });
  return [payloads(messages), decodeCursor(encodeCursor(next))];
}

t.test('from the earliest all, from the latest what comes later', async (t) => {
  const one = shelf(a);
  await one.put(batch(b, 1, 2), batch(c, 1, 1, 'other'), batch(b, 3));
  const latest = latestCursor(one.log);
  t.strictSame(await read(one, latest), ['', latest]);
  const [text, cursor] = await read(one, earliestCursor(one.log));
  t.equal(text, 'b1 b2 b3');
  t.strictSame(cursor, latest, 'who has read to the end has read what is of no interest too');
  await one.put(batch(c, 2));
  t.strictSame((await read(one, latest))[0], 'c2');
  t.strictSame((await read(one, earliestCursor(one.log), {}, new Set(['other', 'none'])))[0], 'c1');
});

t.test('a covered range is passed over, and done with', async (t) => {
  const one = shelf(a);
  const covered = { ...batch(b, 2, 500), lengths: '[]', body: Buffer.alloc(0) };
  await one.put(batch(b, 1), covered, batch(b, 502));
  const [first, cursor] = await read(one, earliestCursor(one.log), { count: 1 });
  t.equal(first, 'b1');
  t.strictSame((await read(one, cursor, { count: 1 }))[0], 'b502');
  t.strictSame((await read(one, { ...cursor, vector: new Map([[b, 501]]), position: 77 }))[0], 'b502');
  const range = await readRange(one, { topic: 'news', from: 0, to: 1000, reverse: false }, NO_LIMITS);
  t.equal(payloads(range), 'b1 b502');
});

t.test('limits: COUNT cuts inside a batch, bytes between batches, and at least one message comes', async (t) => {
  const one = shelf(a);
  await one.put(batch(b, 1, 5, 'news', 1, 10), batch(c, 1, 2, 'news', 1, 10), batch(b, 6, 1, 'news', 6, 10));
  const cases: [limits: Partial<ReadLimits>, pages: string[]][] = [
    [{ count: 3 }, ['b1 b2 b3', 'b4 b5 c1', 'c2 b6']],
    [{ count: 5 }, ['b1 b2 b3 b4 b5', 'c1 c2 b6']],
    [{ bytes: 1 }, ['b1 b2 b3 b4 b5', 'c1 c2', 'b6']],
    [{ bytes: 70 }, ['b1 b2 b3 b4 b5 c1 c2', 'b6']],
    [{ bytes: 1, count: 2 }, ['b1 b2', 'b3 b4', 'b5', 'c1 c2', 'b6']],
    [{ readBytes: 1 }, ['b1 b2 b3 b4 b5', 'c1 c2', 'b6']],
  ];
  for (const [limits, pages] of cases) {
    let cursor = earliestCursor(one.log);
    const found: string[] = [];
    for (let text; text !== '' && found.length < 20; ) {
      [text, cursor] = await read(one, cursor, limits);
      if (text !== '') found.push(text);
    }
    t.strictSame(found, pages, JSON.stringify(limits));
    t.strictSame(cursor, latestCursor(one.log));
  }
});

t.test('a cut inside a batch is gone on from on another broker, which has another order', async (t) => {
  const [one, two] = [shelf(a), shelf(origin('z:1'))];
  await one.put(batch(b, 1, 3), batch(c, 1, 3));
  await two.put(batch(c, 1, 3), batch(b, 1, 3));
  let [text, cursor] = await read(one, earliestCursor(one.log), { count: 2 });
  t.equal(text, 'b1 b2');
  [text, cursor] = await read(two, cursor, { count: 4 });
  t.equal(text, 'c1 c2 c3 b3');
  t.strictSame((await read(one, cursor))[0], '');
});

t.test('a cursor ahead of this broker waits for it to catch up, and is sent only what is new', async (t) => {
  const [one, two] = [shelf(a), shelf(origin('z:1'))];
  await one.put(batch(b, 1), batch(b, 2), batch(c, 1));
  let [text, cursor] = await read(one, earliestCursor(one.log));
  await two.put(batch(b, 1), batch(a, 1, 1, 'other'));
  [text, cursor] = await read(two, cursor);
  t.equal(text, '');
  t.equal(cursor.vector.get(c), 1, 'what was read elsewhere is still read');
  t.equal(cursor.vector.get(a), 1, 'and what is of no interest is done with');
  await two.put(batch(b, 2), batch(b, 3), batch(c, 1, 1));
  [text, cursor] = await read(two, cursor);
  t.equal(text, 'b3');
});

t.test('a cursor of this store from a position that it does not have is looked up', async (t) => {
  const one = shelf(a);
  await one.put(batch(b, 1), batch(b, 2));
  t.strictSame((await read(one, { vector: new Map([[b, 1]]), instance: one.log.instance, position: 77 }))[0], 'b2');
});

t.test('messages that others find between two pages are not passed over', async (t) => {
  const one = shelf(a, 1); // everything from the store, asynchronously
  await one.put(batch(b, 1, 1, 'other'), batch(b, 2));
  const reading = readTopics(one, NEWS, earliestCursor(one.log), { ...NO_LIMITS, readBytes: 1 });
  await one.put(batch(c, 1), batch(b, 3));
  const first = await reading;
  t.equal(payloads(first.messages), 'b2');
  const second = await readTopics(one, NEWS, first.cursor, NO_LIMITS);
  t.equal(payloads(second.messages), 'c1 b3');
});

t.test('a page from the disk of which a part was taken is not read again', async (t) => {
  const one = shelf(a, 1);
  await one.put(batch(b, 1, 5), batch(b, 6, 1, 'other'), batch(b, 7, 3), batch(c, 1));
  let cursor = earliestCursor(one.log);
  for (const [text, reads] of [['b1 b2', 1], ['b3 b4', 1], ['b5 b7', 1], ['b8 b9', 1], ['c1', 1]] as const) {
    const { messages, cursor: next } = await readTopics(one, NEWS, cursor, { ...NO_LIMITS, count: 2 });
    t.strictSame([payloads(messages), one.store.reads], [text, reads]);
    cursor = next;
  }
  await one.put(batch(c, 2));
  t.strictSame([(await read(one, cursor))[0], one.store.reads], ['c2', 2], 'what came later is behind the page');
});

t.test(`a reader that moves about misses nothing and gets nothing twice (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const topicsOf = { all: new Set(['news', 'sport', 'misc']), some: new Set(['news', 'sport']) };
  let [moves, cuts, total] = [0, 0, 0];
  for (let round = 0; round < 40; round += 1) {
    const history = new Map([a, b, c].map((from) => {
      let seq = 1;
      return [from, Array.from({ length: 30 }, () => {
        const made = batch(from, seq, random.integer(1, 6), random.pick([...topicsOf.all]), seq, random.pick([0, 50]));
        seq += made.count;
        return made;
      })];
    }));
    const shelves = [shelf(origin('x:1'), 1), shelf(origin('y:1'), 2000), shelf(origin('z:1'))];
    const rest = shelves.map(() => new Map([...history].map(([from, batches]) => [from, [...batches]])));
    const topics = random.pick(Object.values(topicsOf));
    let cursor = earliestCursor(shelves[0]!.log);
    const seen: string[] = [];
    const readSome = async (at: number): Promise<number> => {
      const limits = {
        count: random.integer(1, 8), bytes: random.pick([1, 100, 1e9]), readBytes: random.pick([1, 1000, 1e9]),
      };
      const result = await readTopics(shelves[at]!, topics, cursor, limits);
      if (result.messages.length > limits.count) t.fail(`${result.messages.length} messages, not ${limits.count}`);
      if (result.messages.length === limits.count) cuts += 1;
      cursor = decodeCursor(encodeCursor(result.cursor));
      seen.push(...result.messages.map(({ payload }) => String(payload)));
      moves += 1;
      return result.messages.length;
    };
    for (let step = 0; step < 300; step += 1) {
      const at = random.integer(0, 2);
      const queue = rest[at]!.get(random.pick([a, b, c]))!;
      if (random.integer(0, 1) === 0 && queue.length > 0) {
        await shelves[at]!.put(...queue.splice(0, random.integer(1, 4)));
      } else await readSome(at);
    }
    for (const [at, queues] of rest.entries()) {
      for (const queue of queues.values()) await shelves[at]!.put(...queue.splice(0));
    }
    while ((await readSome(0)) > 0);
    const expected = [...history.values()]
      .flat()
      .filter(({ topic }) => topics.has(topic))
      .flatMap((each) => messagesOf(each).map(({ payload }) => String(payload)));
    t.strictSame([...seen].sort(), expected.sort(), `round ${round}`);
    total += expected.length;
    for (const from of ['a', 'b', 'c']) {
      const seqs = seen.filter((payload) => payload.startsWith(from)).map((payload) => parseInt(payload.slice(1), 10));
      if (seqs.some((seq, index) => index > 0 && seq < seqs[index - 1]!)) {
        t.fail(`round ${round}: ${from} out of order`);
      }
    }
    t.strictSame(
      (await readTopics(shelves[1]!, topics, cursor, NO_LIMITS)).messages, [], 'elsewhere too there is nothing left',
    );
  }
  t.ok(moves > 5000 && cuts > 1000 && total > 5000, `${moves} reads, ${cuts} of them cut, ${total} messages`);
});

// RANGE

function query(from = 0, to = 1e9, reverse = false): { topic: string; from: number; to: number; reverse: boolean } {
  return { topic: 'news', from, to, reverse };
}

t.test('RANGE: in Lamport order, then broker order, across batches that overlap', async (t) => {
  const one = shelf(a);
  await one.put(
    batch(c, 1, 4, 'news', 10), batch(b, 1, 4, 'news', 11), batch(b, 5, 1, 'other', 20), batch(c, 5, 1, 'news', 14),
    batch(b, 6, 1, 'news', 21),
  );
  const cases: [from: number, to: number, reverse: boolean, count: number, expected: string][] = [
    [0, 99, false, 99, 'c1 b1 c2 b2 c3 b3 c4 b4 c5 b6'],
    [0, 99, true, 99, 'b6 c5 b4 c4 b3 c3 b2 c2 b1 c1'],
    [12, 13, false, 99, 'b2 c3 b3 c4'], // bounds inclusive, inside batches
    [12, 13, true, 99, 'c4 b3 c3 b2'],
    [12, 13, false, 1, 'b2'],
    [12, 13, true, 1, 'c4'],
    [0, 99, true, 1, 'b6'],
    [13, 13, false, 99, 'b3 c4'],
    [15, 20, false, 99, ''],
    [22, 99, true, 99, ''],
    [14, 13, false, 99, ''],
  ];
  for (const [from, to, reverse, count, expected] of cases) {
    for (const readBytes of [1, 1e9]) {
      const found = await readRange(one, query(from, to, reverse), { count, bytes: 1e9, readBytes });
      t.equal(
        payloads(found), expected, `${from} to ${to}${reverse ? ' reverse' : ''}, ${count}, ${readBytes} bytes a page`,
      );
    }
  }
});

t.test('RANGE: ties go by broker, also where they are on different pages', async (t) => {
  const one = shelf(a);
  await one.put(
    batch(c, 1, 1, 'news', 10), batch(b, 1, 1, 'news', 10), batch(origin('a:1', 9), 1, 1, 'news', 10),
    batch(b, 2, 1, 'news', 11),
  );
  for (const count of [1, 2, 3, 4]) {
    const forward = await readRange(one, query(), { count, bytes: 1e9, readBytes: 1 });
    t.equal(payloads(forward), ['a1', 'b1', 'c1', 'b2'].slice(0, count).join(' '));
    const reverse = await readRange(one, query(0, 10, true), { count, bytes: 1e9, readBytes: 1 });
    t.equal(payloads(reverse), ['c1', 'b1', 'a1'].slice(0, count).join(' '));
  }
});

t.test('RANGE: bytes cut, at least one message comes', async (t) => {
  const one = shelf(a);
  await one.put(batch(b, 1, 5, 'news', 1, 10));
  for (const [bytes, expected] of [
    [1, 'b1'], [19, 'b1'], [20, 'b1 b2'], [49, 'b1 b2 b3 b4'], [50, 'b1 b2 b3 b4 b5'],
  ] as const) {
    t.equal(payloads(await readRange(one, query(), { count: 99, bytes, readBytes: 1e9 })), expected, `${bytes} bytes`);
  }
});

t.test('keys and headers count too: those of empty messages fill a reply', async (t) => {
  const one = shelf(a);
  const meta = JSON.stringify({ keys: ['k'.repeat(100), null], headers: [['name', 'v'.repeat(100)], null] });
  for (const seq of [1, 3, 5]) await one.put({ ...batch(b, seq, 2), meta, body: Buffer.alloc(0), lengths: '[0,0]' });
  const lamports = (messages: readonly Message[]): number[] => messages.map(({ lamport }) => lamport);
  const poll = await readTopics(one, NEWS, earliestCursor(one.log), { count: 99, bytes: 600, readBytes: 1e9 });
  t.strictSame(lamports(poll.messages), [1, 2, 3, 4]);
  t.strictSame(lamports(await readRange(one, query(), { count: 99, bytes: 600, readBytes: 1e9 })), [1, 2, 3, 4]);
});

t.test('RANGE: behind what does not fit nothing fits, however small', async (t) => {
  const one = shelf(a);
  await one.put(
    { ...batch(b, 1, 2), body: Buffer.alloc(120, 'x'), lengths: '[60,60]' }, batch(b, 3, 1, 'news', 3),
    batch(b, 4, 1, 'news', 4),
  );
  for (const readBytes of [1, 300, 1e9]) {
    const found = await readRange(one, query(), { count: 99, bytes: 100, readBytes });
    t.strictSame(found.map(({ lamport }) => lamport), [1], `${readBytes} bytes a page`);
  }
});

t.test('RANGE: a long batch reaches far into those that begin after it', async (t) => {
  const one = shelf(a);
  const last = BATCH_MESSAGES_MAX + 9;
  await one.put(
    batch(c, 1, BATCH_MESSAGES_MAX, 'news', 10),
    ...Array.from({ length: 50 }, (_, index) => batch(b, index + 1, 1, 'news', 11 + 20 * index)),
  );
  const found = await readRange(one, query(0, 1e9, true), { count: 5, bytes: 1e9, readBytes: 1 });
  t.strictSame(found.map(({ lamport }) => lamport), [last, last - 1, last - 2, last - 3, last - 4]);
});

t.test('RANGE stops reading when it has what was asked for', async (t) => {
  const one = shelf(a);
  await one.put(...Array.from({ length: 2000 }, (_, index) => batch(b, index + 1, 1, 'news', index + 1)));
  let pages = 0;
  const { readRange: page } = one.store;
  one.store.readRange = (...args) => {
    pages += 1;
    return page.apply(one.store, args);
  };
  t.equal(payloads(await readRange(one, query(), { count: 3, bytes: 1e9, readBytes: 1000 })), 'b1 b2 b3');
  t.equal(pages, 1);
});

t.test('the newest message of a topic of tiny ones is not looked for among a million', async (t) => {
  const one = shelf(a);
  await one.put(
    ...Array.from({ length: 300 }, (_, index) =>
      batch(b, 1 + index * BATCH_MESSAGES_MAX, BATCH_MESSAGES_MAX, 'news', 1 + index * BATCH_MESSAGES_MAX),
    ),
  );
  let messages = 0;
  const { readRange: page } = one.store;
  one.store.readRange = async (...args) => {
    const batches = await page.apply(one.store, args);
    for (const { count } of batches) messages += count;
    return batches;
  };
  for (const reverse of [true, false]) {
    t.equal(
      payloads(await readRange(one, query(0, 1e9, reverse), { count: 1, bytes: 1e9, readBytes: 1e6 })),
      reverse ? 'b300000' : 'b1',
    );
  }
  t.ok(messages < 50_000, `batches of ${messages} messages were read`);
});

t.test('RANGE passes over repeats, however few messages are asked for', async (t) => {
  const one = shelf(a);
  const ids = (...each: string[]): Partial<RecordBatch> => ({ meta: JSON.stringify({ ids: each }) });
  await one.put(
    { ...batch(b, 1, 3), ...ids('x', 'y', 'z') },
    { ...batch(c, 1, 5, 'news', 11), ...ids('x', 'p', 'y', 'q', 'z') },
  );
  for (const count of [1, 2, 3, 4, 5, 9]) {
    const limits = { ...NO_LIMITS, count };
    t.equal(payloads(await readRange(one, query(), limits)), ['b1', 'b2', 'b3', 'c2', 'c4'].slice(0, count).join(' '));
    t.equal(
      payloads(await readRange(one, query(0, 1e9, true), limits)),
      ['c4', 'c2', 'b3', 'b2', 'b1'].slice(0, count).join(' '),
    );
    t.equal(payloads(await readRange(one, query(11, 15), limits)), ['c2', 'c4'].slice(0, count).join(' '));
  }
});

t.test(`RANGE is what a plain sort gives (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  let found = 0;
  for (let round = 0; round < 60; round += 1) {
    // Up to many overlapping batches, some at their longest, so that what waits to be merged is cut now and then.
    const counts = round % 10 === 0 ? [1, BATCH_MESSAGES_MAX] : [1, 2, 20];
    const one = shelf(origin('x:1'));
    const made: RecordBatch[] = [];
    for (const from of [a, b, c, origin('b:1', 7)]) {
      let [seq, lamport] = [1, 1];
      for (let index = 0; index < 20; index += 1) {
        lamport += random.integer(0, random.pick([0, 3, 200]));
        const next = batch(
          from, seq, random.pick(counts), random.pick(['news', 'news', 'other']), lamport, random.pick([0, 0, 30]),
        );
        made.push(next);
        seq += next.count;
        lamport += next.count;
      }
    }
    const queues = new Map(
      [a, b, c, origin('b:1', 7)].map((from) => [from, made.filter((each) => each.origin === from)]),
    );
    while ([...queues.values()].some((queue) => queue.length > 0)) {
      const queue = random.pick([...queues.values()].filter((each) => each.length > 0));
      await one.put(queue.shift()!);
    }
    const all = made
      .filter(({ topic }) => topic === 'news')
      .flatMap((each) => messagesOf(each).map((message) => ({ ...message, origin: each.origin })));
    all.sort(compareRecords);
    const most = Math.max(...made.map((each) => each.lamport + each.count));
    for (let ask = 0; ask < 20; ask += 1) {
      const [from, to, reverse] = [random.integer(0, most), random.integer(0, most), random.integer(0, 1) === 1];
      const limits = {
        count: random.pick([1, 2, 7, 100, 5000]), bytes: random.pick([1, 50, 1e9]),
        readBytes: random.pick([1, 2000, 1e9]),
      };
      const inRange = all.filter(({ lamport }) => lamport >= from && lamport <= to);
      let bytes = 0;
      const expected = (reverse ? inRange.reverse() : inRange).slice(0, limits.count);
      const end = expected.findIndex(({ payload }, index) => (bytes += payload.length) > limits.bytes && index > 0);
      if (end > 0) expected.length = end;
      const got = await readRange(one, query(from, to, reverse), limits);
      const [left, right] = [payloads(got), payloads(expected)];
      if (left !== right) {
        t.fail(
          `round ${round}: ${JSON.stringify([from, to, reverse, limits])}: ${left.slice(0, 200)} in place of ${right.slice(0, 200)}`,
        );
      }
      found += got.length;
    }
  }
  t.ok(found > 5000, `${found} messages`);
});

t.test('the latest cursor covers all, and is shared', async (t) => {
  const one = shelf(a);
  await one.put(batch(b, 1, 3));
  const cursor = latestCursor(one.log);
  t.equal(cursor.vector, latestCursor(one.log).vector, 'thousands of waiters hold one vector');
  t.equal((await readTopics(one, NEWS, cursor, NO_LIMITS)).cursor.vector, cursor.vector);
  t.equal(cursor.vector.get(b), lastSeq(batch(b, 1, 3)));
});

/**
 * Everything of a topic, by POLL and by RANGE in both directions; each message as its payload and the topic that it
 * shows.
 */
async function everyWay(
  one: Shelf, topic: string, limits: Partial<ReadLimits> = {},
): Promise<[polled: string, ranged: string, reversed: string]> {
  const text = (messages: readonly Message[]): string =>
    messages.map((message) => `${message.topic} ${String(message.payload)}`).join(', ');
  let cursor = earliestCursor(one.log);
  const polled: Message[] = [];
  for (;;) {
    const result = await readTopics(one, new Set([topic]), cursor, { ...NO_LIMITS, ...limits });
    polled.push(...result.messages);
    cursor = result.cursor;
    if (result.messages.length === 0) break;
  }
  const range = (reverse: boolean): Promise<Message[]> =>
    readRange(one, { topic, from: 0, to: 1e6, reverse }, { ...NO_LIMITS, readBytes: limits.readBytes ?? 1e9 });
  return [text(polled), text(await range(false)), text(await range(true))];
}

t.test('a renamed topic is read under all its names, and shows the last', async (t) => {
  for (const tailBytesMax of [1e6, 1]) {
    const one = shelf(a, tailBytesMax);
    await one.put(batch(b, 1, 1, 'old', 1), batch(b, 2, 1, 'other', 2));
    one.names.apply([{ stamp: { lamport: 3, origin: b }, operation: { op: 'topic.rename', topic: 'old', to: 'new' } }]);
    await one.put(batch(b, 3, 2, 'new', 4), batch(c, 1, 1, 'old', 5));
    for (const name of ['old', 'new']) {
      t.strictSame(await everyWay(one, name), [
        'new b1, new b3, new b4, new c1', 'new b1, new b3, new b4, new c1', 'new c1, new b4, new b3, new b1',
      ]);
    }
    t.strictSame(await everyWay(one, 'other'), ['other b2', 'other b2', 'other b2']);
  }
});

t.test('what is dead is passed over, and done with', async (t) => {
  for (const tailBytesMax of [1e6, 1]) {
    const one = shelf(a, tailBytesMax);
    await one.put(
      batch(b, 1, 3, 'news', 1), batch(b, 4, 3, 'news', 9), batch(c, 1, 2, 'news', 10), batch(a, 1, 2, 'news', 10),
      batch(b, 7, 1, 'else', 1),
    );
    one.names.apply([{ stamp: { lamport: 10, origin: b }, operation: { op: 'topic.delete', topics: ['news'] } }]);
    const left = ['news b5, news b6, news c1, news c2, news a2', 'news b5, news a2, news b6, news c1, news c2'];
    const [polled, ranged, reversed] = await everyWay(one, 'news', { count: 1 });
    t.strictSame(
      [polled, ranged], [left[0], 'news b5, news c1, news a2, news b6, news c2'],
      'what is above the deletion in the order of all records lives',
    );
    t.equal(reversed, 'news c2, news b6, news a2, news c1, news b5');
    t.strictSame((await read(one, earliestCursor(one.log), {}, new Set(['news', 'else'])))[1].vector.get(b), 7);
    one.names.apply([{ stamp: { lamport: 100, origin: b }, operation: { op: 'topic.delete', topics: ['news'] } }]);
    t.strictSame(await everyWay(one, 'news'), ['', '', '']);
    t.strictSame(await read(one, earliestCursor(one.log)), ['', latestCursor(one.log)]);
  }
});

t.test(`RANGE under several names at any limits is the beginning of RANGE without (SEED=${SEED})`, async (t) => {
  const random = new SeededRandom();
  for (let round = 0; round < 100; round += 1) {
    const one = shelf(a, 1);
    const next = new Map<Origin, { seq: number; lamport: number }>();
    for (let count = random.integer(1, 30); count > 0; count -= 1) {
      const from = random.pick([b, c]);
      const { seq, lamport } = next.get(from) ?? { seq: 1, lamport: 1 };
      const [size, gap] = [random.integer(1, 5), random.integer(0, 3)];
      next.set(from, { seq: seq + size, lamport: lamport + gap + size });
      await one.put(batch(from, seq, size, random.pick(['x', 'y', 'z']), lamport + gap, random.integer(2, 50)));
    }
    one.names.apply(
      ['y', 'z'].map((to, index) => ({
        stamp: { lamport: index + 1, origin: a },
        operation: { op: 'topic.rename', topic: 'x', to },
      })),
    );
    one.names.apply([
      { stamp: { lamport: random.integer(1, 20), origin: c }, operation: { op: 'topic.delete', topics: ['dead'] } },
    ]);
    const reverse = random.integer(0, 1) === 1;
    const query = { topic: 'y', from: 0, to: 1e6, reverse };
    const all = await readRange(one, query, NO_LIMITS);
    t.equal(all.length, [...next.values()].reduce((sum, { seq }) => sum + seq - 1, 0));
    const limits = { count: random.integer(1, 40), bytes: random.integer(1, 300), readBytes: random.integer(1, 2000) };
    const some = await readRange(one, query, limits);
    t.strictSame(some, all.slice(0, some.length), `round ${round}`);
    const cutOff = all[some.length];
    const bytes = some.reduce((sum, { payload }) => sum + payload.length, 0);
    t.ok(
      cutOff === undefined || some.length === limits.count || bytes + cutOff.payload.length > limits.bytes,
      'and no less than fits',
    );
  }
});

t.test('of a page of many tiny messages a RANGE makes hardly more than it wants', async (t) => {
  let made = 0;
  const tiny = (lamport: number, count: number): StoredBatch => {
    const lengths = JSON.stringify(new Array<number>(count).fill(0));
    const batch = specimenBatch({
      seq: lamport, lamport, count, lengths: '', meta: '', body: Buffer.alloc(0), deps: '', proof: '',
    });
    return Object.defineProperty(placeBatch(batch, lamport), 'lengths', {
      get: () => {
        made += 1;
        return lengths;
      },
    });
  };
  const pages = [[tiny(1, 1)], Array.from({ length: 500 }, (_, index) => tiny(2 + 1000 * index, 1000)), []];
  const store = { readRange: () => Promise.resolve(pages.shift()!) } as unknown as MemoryStore;
  const found = await readRange(
    { store, names: new Catalog() }, { topic: 'news', from: 0, to: 1e9, reverse: false },
    { count: 3000, bytes: 1e9, readBytes: 1e9 },
  );
  t.strictSame(found.map(({ lamport }) => lamport), Array.from({ length: 3000 }, (_, index) => index + 1));
  t.ok(made < 20, `of 501 batches ${made} were gone through`);
});
