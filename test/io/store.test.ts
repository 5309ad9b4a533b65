import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { checkGroup } from '../../brokers/core/log/proof.ts';
import { validateBatch } from '../../brokers/core/log/batch-check.ts';
import {
  isCovered, lastSeq, type Origin, parseRepeats, placeBatch, type StoredBatch, type StoredColumns,
} from '../../brokers/core/log/record.ts';
import type { IdColumns, LamportPlace, LiveCount, Page, Store } from '../../brokers/core/log/store.ts';
import type { Stamp } from '../../brokers/core/log/stamp.ts';
import { systemSignatures } from '../../brokers/io/identity.ts';
import { Handle, READ_WRITE } from '../../brokers/io/sqlite.ts';
import { openStore } from '../../brokers/io/open-store.ts';
import { SCHEMA_VERSION } from '../../brokers/io/schema.ts';
import { temporaryFolder } from '../support/folder.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { SEED, SeededRandom } from '../support/random.ts';
import { draft, origin, specimenBatch } from '../support/record.ts';
import { history } from '../support/signed.ts';
import { execute, read } from '../support/sqlite.ts';

const ADDRESS = parseAddress('10.0.0.1:3000');
const [A, B] = [origin('10.0.0.1:3000', 1), origin('10.0.0.2:3000', 2)];
const ALL = 1_000_000_000; // bytes

/** The store of a folder; closed with the test if the test has not. */
async function open(t: Test, folder: string): Promise<Store> {
  const store = await openStore(folder, ADDRESS, new SeededRandom().word);
  let closed = false;
  const close = store.close.bind(store);
  store.close = async () => {
    if (!closed) await close();
    closed = true;
  };
  t.teardown(() => store.close());
  return store;
}

/** Batches in position order. Each is an origin, a topic and its payloads; seqs and Lamport timestamps follow on. */
function batches(rows: readonly (readonly [Origin, string, ...string[]])[], after = 0): StoredBatch[] {
  const seqs = new Map<Origin, number>();
  let lamport = 1;
  return rows.map(([from, topic, ...payloads], index) => {
    const seq = seqs.get(from) ?? 1;
    const batch = {
      ...draft(payloads, { topic }), origin: from, seq, lamport, deps: '', proof: '', position: after + index + 1,
      repeats: '',
      seen: 0,
    };
    seqs.set(from, lastSeq(batch) + 1);
    lamport += payloads.length;
    return batch;
  });
}

const SPECIMENS = batches([
  [A, 'news', 'a1', 'a2', 'a3'], // position 1, seq 1..3, Lamport 1..3
  [B, 'news', 'b1'], // 2, seq 1, Lamport 4
  [A, 'sport', 'a4', ''], // 3, seq 4..5, Lamport 5..6
  [B, 'news', 'b2', 'b3'], // 4, seq 2..3, Lamport 7..8
  [A, 'news', 'a6'], // 5, seq 6, Lamport 9
]);

const positions = (page: Page | readonly StoredColumns[]): number[] =>
  ('batches' in page ? page.batches : page).map(({ position }) => position);

async function readIds(store: Store, since: number): Promise<IdColumns[]> {
  const found: IdColumns[] = [];
  for await (const rows of store.readIds(since)) found.push(...rows);
  return found;
}

t.test('a new store is empty, and what it was given is there when it is opened again', async (t) => {
  const folder = join(temporaryFolder(t), 'deep', 'down');
  const store = await open(t, folder);
  t.match(store.state, { lamport: 0, term: 0, position: 0, vector: new Map() });
  t.match(store.state.origin, /^10\.0\.0\.1:3000\/[0-9a-f]{12}$/);
  await store.append(SPECIMENS.slice(0, 4));
  await store.append(SPECIMENS.slice(4));
  await store.saveClock(5, 2);
  await store.close();

  const again = await open(t, folder);
  t.strictSame(again.state, {
    origin: store.state.origin,
    owner: '',
    heads: new Map(),
    vector: new Map([
      [A, 6],
      [B, 3],
    ]),
    lamport: 9,
    newest: 9,
    term: 2,
    time: undefined,
    position: 5,
    life: 0,
    electors: undefined,
    lives: new Map(),
  });
  t.strictSame((await again.readAfter(0, undefined, ALL)).batches, SPECIMENS, 'field by field');
  await again.saveClock(2 ** 40, 2 ** 33);
  await again.close();
  const { lamport, term } = (await open(t, folder)).state;
  t.strictSame([lamport, term], [2 ** 40, 2 ** 33], 'beyond 32 bits; the clock is at least what was saved');
});

t.test('the lives of a store, and of others', async (t) => {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  const electors = { rows: [parseAddress('b:1')], needed: 1 };
  await store.saveName({ life: 7, electors });
  for (const life of [1, 2]) await store.saveLife(B, { life, holder: `process-${life}` });
  await store.close();
  const again = await open(t, folder);
  t.match(again.state, { life: 7, electors, lives: new Map([[B, { life: 2, holder: 'process-2' }]]) });
  await again.renew(A, 'owner');
  t.match(again.state, { origin: A, owner: 'owner', life: 1, electors: undefined });
  await again.close();
  t.match((await open(t, folder)).state, { origin: A, owner: '', life: 1, electors: undefined });
});

t.test('a transaction whose messages are all empty, or not here any more, is stored', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const written = [
    ...batches([
      [A, 'news', ''],
      [B, 'news', '', ''],
    ]),
    {
      ...specimenBatch({
        origin: A, seq: 2, count: 1, lamport: 9, lengths: '[]', meta: '', deps: '', proof: '', body: Buffer.alloc(0),
      }),
      position: 3,
      repeats: '',
      seen: 0,
    },
  ];
  await store.append(written);
  t.strictSame((await store.readAfter(0, undefined, ALL)).batches, written);
});

t.test('every field comes back as it went in', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  const written: StoredBatch[] = [
    { ...specimenBatch({ seq: 1 }), position: 1, repeats: JSON.stringify({ 1: [B, 7] }), seen: 2 ** 43 },
    {
      ...specimenBatch({
        seq: 4, count: 1, lamport: 2 ** 45, time: 2 ** 41, topic: `dé'"; \u{1f600}`, lengths: '[256]', body: bytes,
      }),
      position: 2,
      repeats: '',
      seen: 0,
    },
    {
      ...specimenBatch({ seq: 5, count: 2, meta: '', deps: '', proof: '', lengths: '[0,0]', body: Buffer.alloc(0) }),
      position: 3,
      repeats: '', seen: 0,
    },
  ];
  await store.append(written);
  const { batches: found } = await store.readAfter(0, undefined, ALL);
  t.strictSame(found, written);
  for (const batch of found) t.ok(Buffer.isBuffer(batch.body));
});

t.test('readAfter: all topics, one, several, none', async (t) => {
  const store = await open(t, temporaryFolder(t));
  t.strictSame(await store.readAfter(0, undefined, ALL), { batches: [], through: 0 });
  await store.append(SPECIMENS);
  const cases: [after: number, topics: string[] | undefined, expected: number[]][] = [
    [0, undefined, [1, 2, 3, 4, 5]],
    [3, undefined, [4, 5]],
    [5, undefined, []],
    [0, ['news'], [1, 2, 4, 5]],
    [2, ['news'], [4, 5]],
    [0, ['sport', 'news'], [1, 2, 3, 4, 5]],
    [0, ['sport', 'nothing'], [3]],
    [0, ['nothing'], []],
    [0, ["new' OR 1 --"], []],
  ];
  for (const [after, topics, expected] of cases) {
    const page = await store.readAfter(after, topics, ALL);
    t.strictSame(positions(page), expected, `${after} ${String(topics)}`);
    t.equal(page.through, 5, 'all was searched');
  }
});

t.test('readAfter of many topics: a page grows with the root of their number', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const topics = Array.from({ length: 40 }, (_, index) => `topic-${index}`);
  await store.append(batches(Array.from({ length: 800 }, (_, index) => [A, topics[index % 40]!, 'x'.repeat(1000)])));
  const found: number[] = [];
  for (let at = 0; at < 800; ) {
    const page = await store.readAfter(at, topics, 4000);
    t.ok(page.batches.length > 0 && page.batches.length <= 4 * 6.4, `${page.batches.length} batches`);
    found.push(...positions(page));
    at = page.through;
  }
  t.strictSame(found, Array.from({ length: 800 }, (_, index) => index + 1));
});

t.test('readAfter by pages: at least one batch a page, and nothing missing up to `through`', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const many = batches(
    Array.from({ length: 50 }, (_, index) => [index % 3 === 0 ? B : A, ['x', 'y', 'z'][index % 3]!, 'p'.repeat(1000)]),
  );
  await store.append(many);
  for (const topics of [undefined, ['x'], ['x', 'y'], ['z', 'nothing', 'x']]) {
    for (const bytesMax of [1, 1200, 5000, 100_000]) {
      const seen: number[] = [];
      let [at, pages] = [0, 0];
      while (at < 50) {
        const page = await store.readAfter(at, topics, bytesMax);
        if (page.through <= at) throw new Error(`page after ${at} leads nowhere`);
        t.ok(page.batches.every(({ position }) => position > at && position <= page.through));
        t.ok(
          page.batches.length <= (topics?.length ?? 1) * (Math.ceil(bytesMax / 1200) + 1),
          `${page.batches.length} batches for ${bytesMax} bytes`,
        );
        seen.push(...positions(page));
        at = page.through;
        pages += 1;
      }
      const expected = many.filter(({ topic }) => topics?.includes(topic) ?? true).map(({ position }) => position);
      t.strictSame(seen, expected, `${String(topics)} by ${bytesMax} bytes`);
      if (bytesMax < 5000) t.ok(pages > 5, `${pages} pages`);
    }
  }
});

/** A store's answer for everything that a vector does not cover, of origins that it has or not. */
function covered(store: Store, vector: ReadonlyMap<Origin, number>, origins: readonly Origin[]): Promise<number> {
  return store.positionBefore(
    [...new Set([...origins, ...vector.keys()])].map((each) => [each, vector.get(each) ?? 0]),
  );
}

t.test('positionBefore: up to where nothing is lacking', async (t) => {
  const store = await open(t, temporaryFolder(t));
  t.equal(await store.positionBefore([[A, 5]]), 0, 'an empty store');
  await store.append(SPECIMENS);
  const cases: [vector: [Origin, number][], expected: number][] = [
    [[], 0],
    [[[A, 2]], 0], // in the middle of the first batch
    [[[A, 3]], 1],
    [[[A, 3], [B, 1]], 2],
    [[[A, 4], [B, 1]], 2], // in the middle of the third
    [[[A, 5], [B, 1]], 3],
    [[[A, 6], [B, 1]], 3],
    [[[A, 5], [B, 2]], 3], // in the middle of the fourth
    [[[A, 5], [B, 3]], 4],
    [[[A, 6], [B, 3]], 5],
    [[[A, 100], [B, 100]], 5], // a reader that is ahead of this broker
    [[[B, 3]], 0],
    [[[origin('unknown:1'), 7], [A, 3]], 1],
    [[[origin('unknown:1'), 7]], 0],
  ];
  for (const [vector, expected] of cases) {
    t.equal(await covered(store, new Map(vector), [A, B]), expected, JSON.stringify(vector));
  }
  t.equal(await store.positionBefore([[B, 0]]), 1, 'of these origins only');
  t.equal(await store.positionBefore([]), 5);
});

t.test('positionBefore does what a walk through the log does', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const random = new SeededRandom();
  const origins = [A, B, origin('10.0.0.3:3000', 3)];
  const many = batches(
    Array.from({ length: 60 }, () => [
      random.pick(origins), 'news', ...new Array<string>(random.integer(1, 4)).fill('x'),
    ]),
  );
  await store.append(many);
  for (let round = 0; round < 300; round += 1) {
    const vector = new Map(origins.map((each) => [each, random.integer(0, 60)]));
    const first = many.find((batch) => lastSeq(batch) > vector.get(batch.origin)!);
    const expected = first === undefined ? 60 : first.position - 1;
    if (await covered(store, vector, origins) !== expected) t.fail(`${JSON.stringify([...vector])}: not ${expected}`);
  }
});

t.test('readRange: forward, reverse, borders in the middle of a batch, by pages', async (t) => {
  const store = await open(t, temporaryFolder(t));
  await store.append(SPECIMENS);
  const cases: [from: number, to: number, expected: number[]][] = [
    [0, 100, [1, 2, 4, 5]],
    [3, 8, [1, 2, 4]],
    [4, 4, [2]],
    [8, 8, [4]], // the second message of its batch
    [5, 6, []], // the other topic
    [10, 100, []],
    [9, 4, []],
  ];
  for (const [from, to, expected] of cases) {
    for (const reverse of [false, true]) {
      const ordered = reverse ? [...expected].reverse() : expected;
      const query = { topic: 'news', from, to, reverse };
      t.strictSame(positions(await store.readRange(query, undefined, ALL)), ordered, JSON.stringify(query));
      const seen: number[] = [];
      for (let previous: StoredBatch | undefined; ; ) {
        const [next, ...more] = await store.readRange(query, previous, 1);
        if (next === undefined) break;
        t.strictSame(more, [], 'one at a time');
        seen.push(next.position);
        previous = next;
      }
      t.strictSame(seen, ordered, `${JSON.stringify(query)} by pages`);
    }
  }
});

t.test('readRange goes by Lamport timestamp and not by arrival; equal ones by arrival', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const stamps = [50, 10, 30, 10, 20];
  await store.append(stamps.map((lamport, index) => ({
    ...draft(['x']), origin: origin('10.0.0.9:1', index), seq: 1, lamport, deps: '', proof: '', position: index + 1,
    repeats: '',
  })));
  const query = { topic: 'news', from: 0, to: 100, reverse: false };
  t.strictSame(positions(await store.readRange(query, undefined, ALL)), [2, 4, 5, 3, 1]);
  t.strictSame(positions(await store.readRange({ ...query, reverse: true }, undefined, ALL)), [1, 3, 5, 4, 2]);
});

t.test('readIds: what has dedupe ids, since a point of running time, in position order', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const ids = (since: number): Promise<IdColumns[]> => readIds(store, since);
  t.strictSame(await ids(0), []);
  const metas = [
    { ids: ['id "1"', null] }, { keys: ['k', 'l'] },
    { keys: ['k', null], headers: [null, ['"ids":', 'x']], ids: [null, 'é\n'] }, undefined,
  ];
  const written = batches([
    [A, 'news', 'x', 'y'], [B, 'news', 'x', 'y'], [B, 'it\'s "odd"', 'x', 'y'], [A, 'news', 'x', 'y'],
  ]).map((batch, index) => ({
    ...batch, seen: 2 ** 43 - index, meta: metas[index] === undefined ? '' : JSON.stringify(metas[index]),
  }));
  await store.append(written);
  const [one, two] = [
    { origin: A, seq: 1, lamport: 1, seen: 2 ** 43, topic: 'news', ids: ['id "1"', null] },
    { origin: B, seq: 3, lamport: 5, seen: 2 ** 43 - 2, topic: 'it\'s "odd"', ids: [null, 'é\n'] },
  ];
  t.strictSame(await ids(0), [one, two]);
  t.strictSame(await ids(2 ** 43 - 2), [one, two], 'inclusive');
  t.strictSame(await ids(2 ** 43 - 1), [one]);
  t.strictSame(await ids(2 ** 43 + 1), []);
});

t.test('readIds reads many pages, each id once', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const count = 20_000;
  for (let at = 0; at < count; at += 2000) {
    await store.append(Array.from({ length: 2000 }, (_, index): StoredBatch => {
      const seq = at + index + 1;
      return {
        ...draft(['x']), origin: A, seq, lamport: seq, deps: '', proof: '', position: seq, repeats: '',
        seen: 1000 + (seq % 7),
        meta: `{"ids":["${seq}"]}`,
      };
    }));
  }
  let seen = 0;
  for await (const rows of store.readIds(0)) {
    for (const { seq, ids } of rows) if (seq !== (seen += 1) || ids[0] !== String(seq)) t.fail(`${seq} after ${seen}`);
  }
  t.equal(seen, count);
});

t.test('the running time is kept, and goes on to the newest record with ids', async (t) => {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  t.equal(store.state.time, undefined);
  await store.saveTime({ now: 5000, wall: 9000, pauses: [[7, 8]] });
  await store.append(
    batches([
      [A, 'news', 'x'], [A, 'news', 'x'], [A, 'news', 'x'],
    ]).map((batch, index) => ({ ...batch, seen: 4990 + 20 * index, meta: index < 2 ? '{"ids":["x"]}' : '' })),
  );
  await store.close();
  t.strictSame((await open(t, folder)).state.time, { now: 5010, wall: 9010, pauses: [[7, 8]] });
});

t.test('findIds: by topic, id and time, in position order', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const rows = [['one', 'two'], [null, 'one'], ['three', 'one']] as const;
  const written = batches([[A, 'news', 'x', 'y'], [B, 'news', 'x', 'y'], [A, 'sport', 'x', 'y']]);
  await store.append(
    written.map((batch, index) => ({ ...batch, seen: 100 + index, meta: JSON.stringify({ ids: rows[index] }) })),
  );
  t.strictSame(await store.findIds('news', ['one', 'three', `it's "odd"`], 0, 1000), [
    { id: 'one', origin: A, seq: 1, seen: 100 },
    { id: 'one', origin: B, seq: 2, seen: 101 },
  ]);
  t.strictSame(
    await store.findIds('news', ['one'], 101, 101), [{ id: 'one', origin: B, seq: 2, seen: 101 }],
    'bounds are inclusive',
  );
  t.strictSame(await store.findIds('sport', ['three'], 0, 1000), [{ id: 'three', origin: A, seq: 3, seen: 102 }]);
  t.strictSame(await store.findIds('news', ['nobody'], 0, 1000), []);
});

t.test(`findIds, asked while batches come, is what a store in memory says (seed ${SEED})`, async (t) => {
  const [store, memory, random] = [await open(t, temporaryFolder(t)), new MemoryStore(A), new SeededRandom()];
  const rows = Array.from(
    { length: 300 },
    () =>
      [
        random.pick([A, B]), random.pick(['news', 'sport']), ...Array.from({ length: random.integer(1, 4) }, () => 'x'),
      ] as const,
  );
  const written = batches(rows).map((batch, index): StoredBatch => ({
    ...batch,
    seen: 1_000_000 + index * 500 + random.integer(-20_000, 20_000),
    meta:
      random.integer(0, 3) === 0
        ? ''
        : JSON.stringify({
            ids: Array.from({ length: batch.count }, () => random.pick([null, `id ${random.integer(0, 30)}`])),
          }),
  }));
  let found = 0;
  for (let at = 0; at < written.length; at += 5) {
    for (const each of [store, memory]) await each.append(written.slice(at, at + 5));
    const from = 1_000_000 + random.integer(0, at * 500);
    const query = [
      random.pick(['news', 'sport', 'none']), ['id 1', 'id 2', 'id 29'], from, from + random.integer(0, 40_000),
    ] as const;
    const [mine, theirs] = [await store.findIds(...query), await memory.findIds(...query)];
    if (JSON.stringify(mine) !== JSON.stringify(theirs)) {
      t.fail(`${query.join(' ')}: ${JSON.stringify(mine)} in place of ${JSON.stringify(theirs)}`);
    }
    found += mine.length;
  }
  t.ok(found > 20, `${found} found`);
});

t.test('readRepeats and lastDeps: the newest', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const written = batches(Array.from({ length: 6 }, () => [A, 'news', 'x'])).map((batch, index) => ({
    ...batch, deps: index < 3 ? '' : JSON.stringify({ [B]: index }),
    repeats: index % 2 === 0 ? '' : '{"0":["h:1/000000000000",1]}',
  }));
  await store.append(written);
  t.strictSame(positions(await store.readRepeats(2)), [4, 6]);
  t.strictSame(positions(await store.readRepeats(10)), [2, 4, 6]);
  t.notOk('body' in (await store.readRepeats(2))[0]!, 'no payloads: many of them do not fit into memory');
  t.strictSame(await store.lastDeps(A, 2), [[[B, 5]], [[B, 4]]]);
  t.strictSame((await store.lastDeps(A, 9)).length, 6);
  t.strictSame(await store.lastDeps(B, 9), []);
});

t.test('the vector at a position, and counts, are what a store in memory says', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const random = new SeededRandom();
  const rows = Array.from(
    { length: 120 },
    () =>
      [
        random.pick([A, A, B]), random.pick(['news', 'sport']),
        ...Array.from({ length: random.integer(1, 4) }, () => 'x'),
      ] as const,
  );
  const written = batches(rows).map((batch): StoredBatch => {
    if (random.integer(0, 9) === 0) return { ...batch, lengths: '[]', body: Buffer.alloc(0) };
    const keys = Array.from({ length: batch.count }, () => random.pick(['k', 'l', null]));
    return {
      ...batch,
      meta: random.integer(0, 3) === 0 ? '' : JSON.stringify({ keys }),
      repeats: random.integer(0, 3) > 0 ? '' : JSON.stringify({ [batch.count - 1]: [B, 1] }),
    };
  });
  await store.append(written);
  const memory = new MemoryStore(A);
  await memory.append(written);
  const wrong = new Set<string>();
  for (let position = 0; position <= 121; position += 1) {
    const [mine, theirs] = [await store.vectorAt(position), await memory.vectorAt(position)];
    if (JSON.stringify([...mine].sort()) !== JSON.stringify([...theirs].sort())) wrong.add(`vector at ${position}`);
    const after = random.integer(0, 119);
    const query = {
      topic: random.pick(['news', 'sport', 'x']),
      keys: random.pick([undefined, ['k'], ['k', 'l', 'm']]),
      after,
      until: random.integer(after, 120),
      settled: new Map([
        [A, random.integer(0, 200)],
        [B, random.integer(0, 50)],
      ]),
      batchesMax: random.pick([1, 7, 1000]),
    };
    if (JSON.stringify(await store.count(query)) !== JSON.stringify(await memory.count(query))) {
      wrong.add(JSON.stringify(query));
    }
  }
  t.strictSame([...wrong], []);
});

t.test('acknowledgements are kept by subscription, with the position up to which they hold', async (t) => {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  t.strictSame(await store.loadAcks(), { states: [], position: 0 });
  await store.saveAcks({ states: [['a', '{"it\'s":1}'], ['b', '{}']], position: 7 }, []);
  await store.saveAcks({ states: [['a', '{"x":2}']], position: 9 }, ['b', 'c']);
  await store.close();
  t.strictSame(await (await open(t, folder)).loadAcks(), { states: [['a', '{"x":2}']], position: 9 });
});

t.test('a store is not opened while another program holds the lock of the file, and says so', async (t) => {
  const folder = temporaryFolder(t);
  await (await open(t, folder)).close();
  const tool = await Handle.open(join(folder, 'broker.db'), READ_WRITE);
  t.teardown(() => tool.close());
  await tool.exec('BEGIN IMMEDIATE');
  await t.rejects(open(t, folder), { code: 'STORE', message: /broker\.db: SQLITE_BUSY: database is locked/ });
  await tool.exec('ROLLBACK');
  t.ok(await open(t, folder));
});

t.test('a write waits while another program holds the lock of the file', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'broker.db');
  const store = await open(t, folder);
  const tool = await Handle.open(file, READ_WRITE);
  const impatient = await Handle.open(file, READ_WRITE);
  impatient.waitForLocks(1500); // longer than the package lets a write wait by itself
  t.teardown(() => Promise.all([tool, impatient].map((handle) => handle.close())));
  await tool.exec('BEGIN IMMEDIATE');
  let isStored = false;
  const stored = store.append(SPECIMENS.slice(0, 1)).then(() => (isStored = true));
  await t.rejects(impatient.exec('BEGIN IMMEDIATE'), { code: 'SQLITE_BUSY' });
  t.equal(isStored, false);
  await tool.exec('ROLLBACK');
  await stored;
  t.equal((await store.readAfter(0, undefined, ALL)).batches.length, 1);
});

/** A folder with a store of this version, which these statements turn into one of an earlier version. */
async function earlierFolder(t: Test, sql: string): Promise<string> {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  await store.append(SPECIMENS);
  await store.saveClock(77, 3);
  await store.close();
  await execute(join(folder, 'broker.db'), sql);
  return folder;
}

const TO_VERSION_7 = `ALTER TABLE batches DROP COLUMN proof; PRAGMA user_version = 7;`;
const TO_VERSION_6 = `${TO_VERSION_7} DROP TABLE catalog; ALTER TABLE broker DROP COLUMN catalog; ALTER TABLE broker DROP COLUMN cataloged; PRAGMA user_version = 6;`;
const TO_VERSION_5 = `${TO_VERSION_6} DROP INDEX batches_with_ids; ALTER TABLE broker DROP COLUMN running; ALTER TABLE batches DROP COLUMN seen;
  CREATE INDEX batches_with_ids ON batches (time) WHERE meta LIKE '%"ids":%'; PRAGMA user_version = 5;`;
const TO_VERSION_4 = `${TO_VERSION_5} DROP TABLE lives; ALTER TABLE broker DROP COLUMN life; ALTER TABLE broker DROP COLUMN electors; PRAGMA user_version = 4;`;
const TO_VERSION_3 = `${TO_VERSION_4} DROP VIEW topic_batches; DROP VIEW unindexed_batches; DROP TRIGGER index_topics; DROP TABLE topic_index; ALTER TABLE broker DROP COLUMN indexed;
  CREATE INDEX batches_by_topic ON batches (topic); CREATE INDEX batches_by_lamport ON batches (topic, lamport, count); PRAGMA user_version = 3;`;
const TO_VERSION_2 = `${TO_VERSION_3} DROP TABLE acknowledgements; ALTER TABLE broker DROP COLUMN acknowledged; PRAGMA user_version = 2;`;
const TO_VERSION_1 = `${TO_VERSION_2} DROP VIEW messages; DROP INDEX batches_with_repeats; ALTER TABLE batches DROP COLUMN repeats;
  CREATE VIEW messages AS SELECT 1; PRAGMA user_version = 1;`;

t.test('a file of the fifth version is taken over: its ids are there, as old as their origins said', async (t) => {
  const folder = await earlierFolder(
    t,
    `UPDATE batches SET meta = '{"ids":["x","y","z"]}' WHERE position = 1; ${TO_VERSION_5}`,
  );
  const store = await open(t, folder);
  t.equal(store.state.time, undefined);
  const [first] = SPECIMENS;
  t.match(await readIds(store, 0), [{ seq: 1, ids: ['x', 'y', 'z'], seen: first!.time }]);
  t.strictSame(await store.findIds('news', ['y'], first!.time, first!.time), [
    { id: 'y', origin: A, seq: 2, seen: first!.time },
  ]);
});

t.test('a file of the seventh version is taken over: what is stored has no proofs', async (t) => {
  const store = await open(t, await earlierFolder(t, TO_VERSION_7));
  t.match(store.state, { position: 5, heads: new Map() });
  t.strictSame((await store.readAfter(0, undefined, ALL)).batches.map(({ proof }) => proof), ['', '', '', '', '']);
});

t.test('the heads of origins are there again, also where the messages of a batch are not', async (t) => {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  const { groups, head } = history([['one'], ['two', 'three']]);
  const signed = groups.flat().map((batch, index) => placeBatch(batch, index + 1));
  await store.append(signed);
  await store.cover('news', { lamport: 100, origin: A }, { lamport: 0, position: 0 }, 10);
  await store.close();
  const again = await open(t, folder);
  t.strictSame([...again.state.heads], [[signed[0]!.origin, head]]);
  const { batches: covered } = await again.readAfter(0, undefined, ALL);
  t.ok(covered.every(isCovered));
  t.strictSame(checkGroup(covered, undefined, systemSignatures), head, 'and they prove themselves');
});

t.test('a file of the sixth version is taken over', async (t) => {
  const folder = await earlierFolder(t, TO_VERSION_6);
  const store = await open(t, folder);
  t.strictSame(await store.loadCatalog(), { position: 0, lines: [] }, 'so that all is read from the log');
  t.strictSame(await read(join(folder, 'broker.db'), 'PRAGMA user_version'), [{ user_version: SCHEMA_VERSION }]);
});

t.test('a file of the fourth version is taken over', async (t) => {
  const folder = await earlierFolder(t, TO_VERSION_4);
  const store = await open(t, folder);
  t.match(store.state, { lamport: 77, position: 5, life: 0, electors: undefined, lives: new Map() });
  await store.saveLife(B, { life: 1, holder: 'one' });
  t.strictSame(await read(join(folder, 'broker.db'), 'PRAGMA user_version'), [{ user_version: SCHEMA_VERSION }]);
});

t.test('a file of the third version is taken over, with all that was written', async (t) => {
  const folder = await earlierFolder(t, TO_VERSION_3);
  const store = await open(t, folder);
  t.strictSame(positions(await store.readAfter(0, ['news'], ALL)), [1, 2, 4, 5]);
  t.strictSame(
    positions(await store.readRange({ topic: 'sport', from: 0, to: 100, reverse: false }, undefined, ALL)),
    [3],
  );
  const file = join(folder, 'broker.db');
  t.strictSame(await read(file, 'SELECT count(*) AS n, (SELECT indexed FROM broker) AS indexed FROM topic_index'), [
    { n: 5, indexed: 5 },
  ]);
  t.strictSame(await read(file, 'PRAGMA user_version'), [{ user_version: SCHEMA_VERSION }]);
});

t.test('a file of the second version is taken over', async (t) => {
  const folder = await earlierFolder(t, TO_VERSION_2);
  const store = await open(t, folder);
  t.match(store.state, { lamport: 77, term: 3, position: 5 });
  await store.saveAcks({ states: [['a', '{}']], position: 5 }, []);
  t.strictSame(await store.loadAcks(), { states: [['a', '{}']], position: 5 });
  t.strictSame(await read(join(folder, 'broker.db'), 'PRAGMA user_version'), [{ user_version: SCHEMA_VERSION }]);
});

t.test('a file of the first version is taken over', async (t) => {
  const folder = await earlierFolder(t, TO_VERSION_1);
  const store = await open(t, folder);
  t.strictSame((await store.readAfter(0, undefined, ALL)).batches.map(({ repeats }) => repeats), ['', '', '', '', '']);
  const file = join(folder, 'broker.db');
  t.equal((await read(file, 'SELECT payload FROM messages')).length, 9);
  t.strictSame(await read(file, 'PRAGMA user_version'), [{ user_version: SCHEMA_VERSION }]);
});

t.test('an append that cannot be stores nothing of itself, and the store goes on', async (t) => {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  await store.append(SPECIMENS.slice(0, 2));
  // the second one is there already
  const twice = [{ ...SPECIMENS[2]!, position: 3 }, { ...SPECIMENS[0]!, position: 4 }];
  await t.rejects(store.append(twice), { code: 'STORE' });
  t.strictSame(positions(await store.readAfter(0, undefined, ALL)), [1, 2]);
  await store.append(SPECIMENS.slice(2));
  await store.close();
  const { position, vector } = (await open(t, folder)).state;
  t.strictSame([position, vector], [5, new Map([[A, 6], [B, 3]])]);
});

t.test('appends and reads beside each other see what was committed before', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const many = batches(Array.from({ length: 200 }, () => [A, 'news', 'x']));
  let committed = 0;
  const writing = (async () => {
    for (const batch of many) {
      await store.append([batch]);
      committed = batch.position;
    }
  })();
  while (committed < 200) {
    const before = committed;
    const page = await store.readAfter(0, undefined, ALL);
    if (page.through < before || page.batches.length < page.through) t.fail(`${page.batches.length} read of ${before}`);
  }
  await writing;
  t.equal((await store.readAfter(0, undefined, ALL)).batches.length, 200);
});

t.test('checkpoints run beside the appends, and the WAL begins anew however much is written', async (t) => {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  const payload = 'x'.repeat(256 * 1024);
  const count = 256; // 64 MiB
  const reads: Promise<Page>[] = [];
  for (const batch of batches(Array.from({ length: count }, () => [A, 'news', payload] as const))) {
    await store.append([batch]);
    if (batch.position % 16 === 0) reads.push(Promise.resolve(store.readAfter(batch.position - 1, undefined, ALL)));
  }
  for (const [index, page] of (await Promise.all(reads)).entries()) t.equal(positions(page)[0], 16 * (index + 1));
  const walBytes = statSync(join(folder, 'broker.db-wal')).size;
  t.ok(walBytes < 24 * 1024 * 1024, 'as long as what is written during a few checkpoints', { walBytes });
  await store.close();
  t.notOk(readdirSync(folder).includes('broker.db-wal'), 'all of it is moved at the end');
  const again = await open(t, folder);
  t.equal(again.state.vector.get(A), count);
});

t.test(`the batches of a topic are found, whether they are indexed yet or not (SEED=${SEED})`, async (t) => {
  const random = new SeededRandom();
  const folder = temporaryFolder(t);
  const topics = ['a', 'b', 'c', 'rare'];
  const rows = Array.from(
    { length: 240 },
    () => [random.pick([A, B]), random.pick(topics.slice(0, 3)), 'x', 'y'] as const,
  );
  const all = batches([...rows, [A, 'rare', 'x']]).map((batch) => ({ ...batch, lamport: random.integer(1, 300) }));
  // first the names of the origins, at last too few to be indexed
  for (const [from, to] of [[0, 30], [30, 200], [200, 241]] as const) {
    const store = await open(t, folder);
    await store.append(all.slice(from, to));
    await store.close();
  }
  t.strictSame(
    await read(join(folder, 'broker.db'), 'SELECT indexed, (SELECT count(*) FROM topic_index) AS n FROM broker'),
    [{ indexed: 200, n: 200 }],
  );
  const store = await open(t, folder);
  const memory = new MemoryStore(A);
  await memory.append(all);
  t.strictSame(await store.readTopics('', 10), topics);
  t.strictSame(await store.readTopics('b', 10), ['c', 'rare']);
  t.strictSame(await store.readTopics('', 3), ['a', 'b', 'c']);
  for (const topic of topics) {
    const mine = all.filter((batch) => batch.topic === topic);
    for (let round = 0; round < 50; round += 1) {
      const after = random.integer(0, 241);
      const seen: number[] = [];
      for (let position = after; position < 241; ) {
        const page = await store.readAfter(position, [topic], random.integer(1, 5000));
        seen.push(...positions(page));
        position = page.through;
      }
      t.strictSame(seen, positions(mine).filter((position) => position > after), `${topic} after ${after}`);
      const from = random.integer(0, 300);
      const query = { topic, from, to: random.integer(from, 300), reverse: random.integer(0, 1) === 1 };
      const sorted = mine
        .filter(({ lamport, count }) => lamport <= query.to && lamport + count > from)
        .sort((x, y) => x.lamport - y.lamport || x.position - y.position);
      const ranged: StoredBatch[] = [];
      for (let next; (next = await store.readRange(query, ranged.at(-1), random.integer(1, 5000))).length > 0;) {
        ranged.push(...next);
      }
      t.strictSame(positions(ranged), positions(query.reverse ? sorted.reverse() : sorted), JSON.stringify(query));
      const dead = { lamport: from, origin: A };
      t.strictSame(
        await store.countLive(topic, dead, after, 1000), await memory.countLive(topic, dead, after, 1000),
        `${topic} alive after ${after}`,
      );
      const counted = { topic, keys: undefined, after, until: 241, settled: new Map(), batchesMax: 1000 };
      t.strictSame(await store.count(counted), await memory.count(counted), `${topic} counted after ${after}`);
    }
    const dead = { lamport: 150, origin: A };
    for (const each of [store, memory]) await each.cover(topic, dead, { lamport: 0, position: 0 }, 1000);
  }
  const { batches: stored } = await store.readAfter(0, undefined, ALL);
  t.strictSame(
    stored.map((batch) => isCovered(batch)), memory.batches.map((batch) => isCovered(batch)),
    'what is dead is found too',
  );
});

t.test('the view `messages` shows one row a message to any SQLite tool, while the broker runs too', async (t) => {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  await store.append([
    { ...specimenBatch({ seq: 1, origin: A }), position: 1, repeats: '' },
    {
      ...specimenBatch({
        seq: 4, count: 3, lamport: 50, meta: '', topic: 'plain', lengths: '[2,3,5]', body: Buffer.from('éxyztwice'),
        origin: A,
      }),
      position: 2,
      repeats: JSON.stringify({ 2: [B, 1] }),
    },
    {
      ...specimenBatch({ seq: 7, count: 9, lamport: 60, meta: '', lengths: '[]', body: Buffer.alloc(0), origin: A }),
      position: 3, repeats: '',
    },
  ]);
  const file = join(folder, 'broker.db');
  const sql =
    'SELECT lamport, topic, key, headers, CAST(payload AS TEXT) AS payload, typeof(payload) AS type, origin, seq, time FROM messages ORDER BY lamport';
  const common = { type: 'blob', origin: A, time: '2023-11-14 22:13:20' };
  const expected = [
    { lamport: 41, topic: 'news', key: 'k', headers: '["a","1","a","2"]', payload: 'one', seq: 1, ...common },
    { lamport: 42, topic: 'news', key: null, headers: null, payload: '', seq: 2, ...common },
    { lamport: 43, topic: 'news', key: '', headers: '[]', payload: 'three', seq: 3, ...common },
    { lamport: 50, topic: 'plain', key: null, headers: null, payload: 'é', seq: 4, ...common },
    { lamport: 51, topic: 'plain', key: null, headers: null, payload: 'xyz', seq: 5, ...common },
  ];
  t.same(await read(file, sql), expected, 'while it is open');
  await store.close();
  t.same(await read(file, sql), expected, 'when it is closed');
  t.strictSame(await read(file, "SELECT lamport, payload FROM messages WHERE topic = 'plain' AND lamport = 51"),
    [{ lamport: 51, payload: Buffer.from('xyz') }], 'as the README has it');
});

t.test('what is kept of topics and subscriptions, in place of what was kept before', async (t) => {
  const folder = temporaryFolder(t);
  let store = await open(t, folder);
  t.strictSame(await store.loadCatalog(), { position: 0, lines: [] });
  const lines = Array.from({ length: 2500 }, (_, index) => `["${index}\ufffd"]`);
  await store.saveCatalog(7, lines);
  await store.saveCatalog(9, lines.slice(1));
  await store.close();
  store = await open(t, folder);
  t.strictSame(await store.loadCatalog(), { position: 9, lines: lines.slice(1) });
  t.strictSame(await read(join(folder, 'broker.db'), 'SELECT count(*) AS n FROM catalog'), [{ n: 2499 }]);
});

t.test('the names under which batches are stored, some at a time', async (t) => {
  const store = await open(t, temporaryFolder(t));
  t.strictSame(await store.readTopics('', 10), []);
  await store.append(batches([[A, 'b', '1'], [A, 'a', '2'], [B, 'b', '3'], [B, '$catalog', '4'], [A, 'c', '5']]));
  t.strictSame(await store.readTopics('', 10), ['$catalog', 'a', 'b', 'c']);
  t.strictSame(await store.readTopics('', 2), ['$catalog', 'a']);
  t.strictSame(await store.readTopics('a', 2), ['b', 'c']);
  t.strictSame(await store.readTopics('c', 2), []);
});

t.test(`what lives of a topic is counted, and what is dead is covered, some batches at a time (SEED=${SEED})`, async (t) => {
  const random = new SeededRandom();
  const file = temporaryFolder(t);
  const store = await open(t, file);
  const memory = new MemoryStore(A);
  const rows = Array.from({ length: 120 }, (): [Origin, string, ...string[]] => [
    random.pick([A, B]), random.pick(['x', 'x', 'y']),
    ...Array.from({ length: random.integer(1, 5) }, () => 'z'.repeat(random.integer(0, 9))),
  ]);
  const all = batches(rows).map((batch) => {
    const lamport = batch.origin === A ? batch.lamport : batch.lamport + 3;
    const repeats =
      random.integer(0, 3) > 0
        ? ''
        : JSON.stringify(
            Object.fromEntries(
              rows[batch.position - 1]!.slice(2).flatMap((_, index) => (random.integer(0, 1) ? [[index, [A, 1]]] : [])),
            ),
          );
    return { ...batch, lamport, repeats: repeats === '{}' ? '' : repeats };
  });
  for (const each of [store, memory]) await each.append(all);
  const counted = async (each: Store, topic: string, dead: Stamp | undefined): Promise<unknown> => {
    const pages: LiveCount[] = [];
    for (let after: number | undefined = 0; after !== undefined; after = pages.at(-1)!.through) {
      pages.push(await each.countLive(topic, dead, after, 20));
    }
    return pages;
  };
  const stamps = [
    undefined,
    { lamport: 1, origin: A },
    ...Array.from({ length: 30 }, () => ({
      lamport: random.integer(1, 400),
      origin: random.pick([A, B, origin('10.0.0.1:3000', 9)]),
    })),
  ];
  for (const dead of stamps) {
    t.strictSame(await counted(store, 'x', dead), await counted(memory, 'x', dead), JSON.stringify(dead));
  }
  for (const dead of (stamps.slice(1) as Stamp[]).filter(({ lamport }) => lamport < 200).slice(0, 5)) { // some live on
    const before = await counted(store, 'x', dead);
    for (const each of [store, memory]) {
      let after: LamportPlace | undefined = { lamport: 0, position: 0 };
      while (after !== undefined) after = await each.cover('x', dead, after, 7);
    }
    t.strictSame(await counted(store, 'x', dead), before, 'nothing that lives is covered');
    const { batches: stored } = await store.readAfter(0, undefined, ALL);
    t.strictSame(
      stored.map((batch) => ({ ...batch, body: String(batch.body) })),
      memory.batches.map((batch) => ({ ...batch, body: Buffer.from(batch.body).toString() })),
    );
    for (const batch of stored) validateBatch(batch, DEFAULT_LIMITS);
    t.equal(
      stored.filter((batch) => isCovered(batch)).length,
      all.filter((batch) => memory.batches[batch.position - 1]!.lengths === '[]').length,
    );
  }
  t.strictSame(await store.cover('x', { lamport: 10, origin: A }, { lamport: 1e6, position: 0 }, 7), undefined);
  t.ok(
    memory.batches.some((batch) => isCovered(batch)) &&
      memory.batches.some((batch) => batch.topic === 'x' && !isCovered(batch)),
    'some of each',
  );
  const live = memory.batches.reduce(
    (sum, batch) => sum + (isCovered(batch) ? 0 : batch.count - parseRepeats(batch).size),
    0,
  );
  t.strictSame(
    await read(join(file, 'broker.db'), 'SELECT count(*) AS n FROM messages'), [{ n: live }],
    'the view shows none of them',
  );
});

t.test('much that is dead is covered a few megabytes at a time', async (t) => {
  const store = await open(t, temporaryFolder(t));
  const big = 'x'.repeat(1024 * 1024);
  await store.append(batches(Array.from({ length: 12 }, (): [Origin, string, string] => [A, 'x', big])));
  const dead = { lamport: 1000, origin: B };
  t.strictSame(await store.cover('x', dead, { lamport: 0, position: 0 }, 100), { lamport: 8, position: 8 });
  t.strictSame((await store.countLive('x', undefined, 0, 100)).bytes, 4 * big.length);
  t.strictSame(await store.cover('x', dead, { lamport: 8, position: 8 }, 100), undefined);
  t.strictSame((await store.countLive('x', undefined, 0, 100)), { messages: 0, bytes: 0, through: undefined });
});

t.test('a file that cannot be used is refused and left as it is, byte for byte', async (t) => {
  const made = temporaryFolder(t);
  await (await open(t, made)).close();
  const mine = join(made, 'broker.db');
  const foreign = join(temporaryFolder(t), 'foreign.db');
  await execute(foreign, "CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')");
  await execute(mine, `PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
  const cases: [name: string, bytes: Buffer, message: RegExp][] = [
    [
      'newer version',
      readFileSync(mine),
      new RegExp(
        `broker\\.db has version ${SCHEMA_VERSION + 1}, this broker reads up to ${SCHEMA_VERSION}; use a newer broker$`,
      ),
    ],
    ['no database', Buffer.alloc(8192, 'Dear diary. '), /broker\.db is not an SQLite database$/],
    ['a few bytes', Buffer.from('xy'), /broker\.db is not an SQLite database$/],
    ['of another program', readFileSync(foreign), /broker\.db is an SQLite file of another program$/],
  ];
  for (const [name, bytes, message] of cases) {
    const folder = temporaryFolder(t);
    const file = join(folder, 'broker.db');
    writeFileSync(file, bytes);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await t.rejects(openStore(folder, ADDRESS, new SeededRandom().word), { code: 'STORE', message }, name);
    }
    t.ok(readFileSync(file).equals(bytes), `${name}: untouched`);
    t.strictSame(
      readdirSync(folder).filter((other) => !other.startsWith('broker.lock')), ['broker.db'],
      `${name}: nothing beside it`,
    );
  }
});

t.test('a folder that cannot be used', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'file'), 'in the way');
  await t.rejects(openStore(join(folder, 'file'), ADDRESS, new SeededRandom().word), {
    code: 'STORE',
    message: /^data folder .*file cannot be made: /,
  });
  await t.rejects(openStore(join(folder, 'file', 'below'), ADDRESS, new SeededRandom().word), {
    code: 'STORE',
    message: /cannot be made/,
  });
  mkdirSync(join(folder, 'taken', 'broker.db'), { recursive: true });
  await t.rejects(openStore(join(folder, 'taken'), ADDRESS, new SeededRandom().word), {
    code: 'STORE',
    message: /broker\.db cannot be opened for writing$/,
  });
});

t.test('one broker a folder, until it is closed', async (t) => {
  const folder = temporaryFolder(t);
  const store = await open(t, folder);
  const message = `another broker is running on data folder ${folder}`;
  await t.rejects(openStore(folder, ADDRESS, new SeededRandom().word), { code: 'STORE', message });
  await store.append(SPECIMENS);
  await store.close();
  const next = await open(t, folder);
  t.equal(next.state.position, 5);
  t.equal(next.state.origin, store.state.origin);
});
