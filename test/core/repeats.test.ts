import t from 'tap';
import { Catalog } from '../../brokers/core/catalog.ts';
import type { Cursor } from '../../brokers/core/cursor.ts';
import { LamportClock } from '../../brokers/core/lamport.ts';
import { Log } from '../../brokers/core/log.ts';
import { Pages } from '../../brokers/core/pages.ts';
import { earliestCursor, readRange, readTopics } from '../../brokers/core/reader.ts';
import { type Origin, parseRepeats, type RecordBatch } from '../../brokers/core/record.ts';
import { FULL_TOPICS } from '../../brokers/core/dedupe.ts';
import { Repeats, type RepeatsOptions } from '../../brokers/core/repeats.ts';
import { Turns } from '../../brokers/core/turns.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { SEED, SeededRandom } from '../support/random.ts';
import { draft, origin } from '../support/record.ts';

const [a, b, c] = [origin('a:1'), origin('b:1'), origin('c:1')];
const NEWS: ReadonlySet<string> = new Set(['news']);
const WINDOW_MS = 1000;
const OPTIONS: RepeatsOptions = { dedupeWindowMs: WINDOW_MS, dedupeIdsMax: 100, repeatsMax: 100 };
const LIMITS = { count: 1000, bytes: 1e9, readBytes: 1e9 };
const LOG = { instance: 'aaaaaaaaaaaa', tailBytesMax: 1e6, transactionBytesMax: 1e6, pendingBytesMax: 1e9, batchBytesMax: 1, transactionMessagesMax: 1e6, pendingMessagesMax: 1e6, batchWaitMs: 0 };

/** A broker's log with its repeats, on a store that outlives it. */
class Shelf {
  readonly clock = new ManualClock();
  readonly store: MemoryStore;
  readonly log: Log;
  readonly repeats: Repeats;
  readonly names = new Catalog();
  readonly pages = new Pages(2);
  readonly turns = new Turns(new ManualClock(), 8);

  static async open(name: Origin, options: Partial<RepeatsOptions> = {}, store = new MemoryStore(name)): Promise<Shelf> {
    const shelf = new Shelf(name, store, { ...OPTIONS, ...options });
    await shelf.repeats.restore(0);
    return shelf;
  }

  private constructor(name: Origin, store: MemoryStore, options: RepeatsOptions) {
    this.store = store;
    this.repeats = new Repeats(store, () => name, options);
    this.log = new Log(store, this.clock, new LamportClock(store.state.lamport), { ...LOG, instance: Buffer.from(name).toString('hex').slice(0, 12) }, {
      mark: (batches) => this.repeats.mark(batches),
      committed: (batches) => this.repeats.stored(batches, 0),
      failed: (error) => {
        throw error;
      },
      drained: () => undefined,
    });
  }

  /** Publishes messages with these ids, one batch. Their payloads say where. */
  async publish(ids: readonly string[], time = 0, topic = 'news'): Promise<void> {
    const payloads = ids.map((id) => `${id} at ${this.log.origin[0]}`);
    this.log.publish(draft(payloads, { time, topic, meta: JSON.stringify({ ids }) }), { stored: () => undefined, failed: () => undefined });
    await this.clock.settle();
  }

  /** Takes in what another broker's store holds and this one does not, in its order. */
  async fetch(from: Shelf): Promise<void> {
    for (const { position: _, repeats: __, ...batch } of from.store.batches) this.#take(batch);
    await this.clock.settle();
  }

  #take(batch: RecordBatch): void {
    if (batch.seq === this.log.nextSeq(batch.origin) && batch.origin !== this.log.origin) this.log.receive(batch);
  }

  async read(cursor: Cursor = earliestCursor(this.log), count = 1000): Promise<[payloads: string[], cursor: Cursor]> {
    const { messages, cursor: next } = await readTopics(this, NEWS, cursor, { ...LIMITS, count });
    return [messages.map(({ payload }) => String(payload)), next];
  }

  has(id: string): boolean {
    return this.store.batches.some((batch) => batch.meta === JSON.stringify({ ids: [id] }));
  }

  get marked(): string[] {
    return this.store.batches.flatMap((batch) => [...parseRepeats(batch)].map(([index, [from, seq]]) => `${batch.origin[0]}${batch.seq + index}=${from[0]}${seq}`));
  }
}

t.test('two brokers that take one id before they hear of each other: each delivers its own, once', async (t) => {
  const [left, right] = [await Shelf.open(a), await Shelf.open(b)];
  await left.publish(['x', 'y']);
  await right.publish(['z', 'x']);
  await Promise.all([left.fetch(right), right.fetch(left)]);
  t.strictSame([left.marked, right.marked], [['b2=a1'], ['a1=b2']]);
  t.strictSame((await left.read())[0], ['x at a', 'y at a', 'z at b']);
  t.strictSame((await right.read())[0], ['z at b', 'x at b', 'y at a']);
  const range = await readRange(left, { topic: 'news', from: 0, to: 100, reverse: false }, LIMITS);
  t.strictSame(range.map(({ payload }) => String(payload)), ['x at a', 'z at b', 'y at a'], 'RANGE shows it once too');
});

t.test('a reader that moves gets one copy, whichever it had', async (t) => {
  const [left, right, third] = [await Shelf.open(a), await Shelf.open(b), await Shelf.open(c)];
  await left.publish(['x']);
  await right.publish(['x']);
  const [, cursor] = await left.read();
  await third.fetch(right);
  await third.fetch(left);
  await Promise.all([left.fetch(right), right.fetch(left)]);
  t.strictSame((await right.read(cursor))[0], []);
  t.strictSame((await third.read(cursor))[0], [], 'at a third broker, which stored the other copy first');
  t.strictSame((await left.read(cursor))[0], []);
  t.strictSame((await third.read())[0], ['x at b']);
});

t.test('what arrives together in one transaction is marked too', async (t) => {
  const [left, right, third] = [await Shelf.open(a), await Shelf.open(b), await Shelf.open(c)];
  await left.publish(['x']);
  await right.publish(['x']);
  for (const shelf of [left, right]) third.log.receive(shelf.store.batches[0]!);
  await third.clock.settle();
  t.strictSame(third.store.transactions, [2]);
  t.strictSame(third.marked, ['b1=a1']);
});

t.test('a copy that came while its twin waited for its name is one', async (t) => {
  const [left, right] = [await Shelf.open(a), await Shelf.open(b)];
  await right.publish(['x']);
  left.log.receive(right.store.batches[0]!);
  await left.publish(['x']); // its id was claimed before; the transaction has both
  t.strictSame(left.marked, ['a1=b1']);
  const third = await Shelf.open(c);
  await third.fetch(left);
  t.strictSame(third.marked, ['a1=b1']);
});

t.test('an id used again once the window is over is a new message everywhere', async (t) => {
  const [left, right, third] = [await Shelf.open(a), await Shelf.open(b), await Shelf.open(c)];
  await left.publish(['x'], 0);
  await right.fetch(left);
  await right.publish(['x'], WINDOW_MS);
  await left.publish(['x'], 2.5 * WINDOW_MS); // knows only its own
  for (const shelf of [left, right]) await third.fetch(shelf);
  await left.fetch(right);
  await right.fetch(left);
  for (const shelf of [left, right, third]) {
    t.strictSame(shelf.marked, []);
    t.equal((await shelf.read())[0].length, 3);
  }
});

t.test('a copy from a broker that was away is found on disk, after a restart too', async (t) => {
  for (const restart of [false, true]) {
    const [away, here] = [await Shelf.open(a), await Shelf.open(b, { dedupeIdsMax: 2 })];
    await away.publish(['x']);
    await here.publish(['x']);
    for (let number = 0; number < 10; number += 1) await here.publish([`other ${number}`]);
    const later = restart ? await Shelf.open(b, { dedupeIdsMax: 2 }, here.store) : here;
    await later.fetch(away);
    t.strictSame(later.marked, ['a1=b1']);
    t.equal((await later.read())[0].length, 11);
  }
});

t.test('the disk is not searched for what the origin knew of', async (t) => {
  const [left, right] = [await Shelf.open(a, { dedupeIdsMax: 2 }), await Shelf.open(b, { dedupeIdsMax: 2 })];
  let searches = 0;
  for (const shelf of [left, right]) {
    const { findIds } = shelf.store;
    shelf.store.findIds = (...query) => {
      searches += 1;
      return findIds.apply(shelf.store, query);
    };
  }
  for (let round = 0; round < 300; round += 1) {
    await left.publish([`left ${round}`]);
    await right.fetch(left);
    await right.publish([`right ${round}`]);
    await left.fetch(right);
  }
  t.equal(searches, 0);
  const again = await Shelf.open(a, { dedupeIdsMax: 2 }, left.store);
  await right.publish(['one more']);
  await again.fetch(right);
  t.equal(searches, 0, 'nor after a restart, since deps are declared anew now and then');
});

t.test('marks outlive a restart', async (t) => {
  const [left, right] = [await Shelf.open(a), await Shelf.open(b)];
  await left.publish(['x']);
  await right.publish(['x']);
  await right.fetch(left);
  const [, cursor] = await left.read();
  const again = await Shelf.open(b, {}, right.store);
  t.strictSame((await again.read())[0], ['x at b']);
  t.strictSame((await again.read(cursor))[0], []);
  t.notOk(again.repeats.claim('news', 'x', 0), 'and the id is still known');
});

t.test(`readers that move about get every id once (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  for (let run = 0; run < 30; run += 1) {
    const shelves = await Promise.all([a, b, c].map((name) => Shelf.open(name, { dedupeIdsMax: random.pick([2, 100]), repeatsMax: 1000 })));
    const published = new Set<string>();
    const got: string[] = [];
    let cursor: Cursor | undefined;
    const read = async (shelf: Shelf): Promise<void> => {
      const [payloads, next] = await shelf.read(cursor, random.integer(1, 5));
      got.push(...payloads.map((payload) => payload.split(' at ')[0]!));
      cursor = next;
    };
    for (let round = 0; round < 60; round += 1) {
      const [shelf, other] = [random.pick(shelves), random.pick(shelves)];
      const id = `id ${random.integer(1, 40)}`;
      if (random.integer(0, 2) === 0) await shelf.fetch(other);
      else if (!shelf.has(id) && shelf.repeats.claim('news', id, 0)) {
        published.add(id);
        await shelf.publish([id]);
      }
      // As the client does, it goes on at a broker that has not yet what it has read only with what is new to both.
      const reader = random.pick(shelves);
      const behind = [...(cursor?.vector ?? [])].some(([from, seq]) => reader.log.vector.get(from) < seq);
      if (!behind) await read(reader);
    }
    for (let round = 0; round < 2; round += 1) for (const shelf of shelves) for (const other of shelves) await shelf.fetch(other);
    const seen = got.length;
    for (let before = -1; before !== got.length; ) {
      before = got.length;
      await read(shelves[run % 3]!);
    }
    if (new Set(got).size !== got.length) t.fail(`run ${run}: an id twice (${seen} before the end)`);
    if (new Set(got).size !== published.size) t.fail(`run ${run}: ${published.size - new Set(got).size} ids missing`);
  }
});

t.test('over a restart: a copy of what a topic remembers no more is looked for on disk, though older ids of another topic are remembered', async (t) => {
  const one = await Shelf.open(a, { dedupeIdsMax: 2 });
  await one.publish(['s'], 0, 'sport');
  for (const id of ['x', 'y', 'z']) await one.publish([id]);
  const two = await Shelf.open(b);
  await two.publish(['x']);
  const again = await Shelf.open(a, { dedupeIdsMax: 2 }, one.store);
  await again.fetch(two);
  t.strictSame((await again.read())[0], ['x at a', 'y at a', 'z at a']);
});

t.test('over a restart: a copy of what is remembered no more, since other topics have so many ids, is looked for on disk', async (t) => {
  const one = await Shelf.open(a, { dedupeIdsMax: 2 });
  await one.publish(['x']);
  for (let index = 0; index < 2 * FULL_TOPICS; index += 1) await one.publish(['y'], 0, `t${index}`);
  const two = await Shelf.open(b);
  await two.publish(['x']);
  const again = await Shelf.open(a, { dedupeIdsMax: 2 }, one.store);
  await again.fetch(two);
  t.strictSame((await again.read())[0], ['x at a']);
});
