import t from 'tap';
import { Catalog } from '../../../brokers/core/catalog/catalog.ts';
import type { Cursor } from '../../../brokers/core/read/cursor.ts';
import { LamportClock } from '../../../brokers/core/log/lamport.ts';
import { Log } from '../../../brokers/core/log/log.ts';
import { Pages } from '../../../brokers/core/read/pages.ts';
import { earliestCursor, readRange, readTopics } from '../../../brokers/core/read/reader.ts';
import { dateBatch, type Origin, parseRepeats, type StoredBatch } from '../../../brokers/core/log/record.ts';
import { FULL_TOPICS } from '../../../brokers/core/log/dedupe.ts';
import { Closings } from '../../../brokers/core/log/closings.ts';
import { Copies, type CopiesOptions } from '../../../brokers/core/log/copies.ts';
import { Turns } from '../../../brokers/core/turns.ts';
import { RunningTime } from '../../../brokers/core/log/running-time.ts';
import { virtualIdentity, virtualSignatures } from '../../support/identity.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { draft, origin } from '../../support/record.ts';

const [a, b, c] = [origin('a:1'), origin('b:1'), origin('c:1')];
const NEWS: ReadonlySet<string> = new Set(['news']);
const WINDOW_MS = 1000;
const OPTIONS: CopiesOptions = { dedupeWindowMs: WINDOW_MS, dedupeIdsMax: 100, dedupeOriginsMax: 10, repeatsMax: 100 };
const LIMITS = { count: 1000, bytes: 1e9, readBytes: 1e9 };
const LOG = {
  instance: 'aaaaaaaaaaaa', tailBytesMax: 1e6, transactionBytesMax: 1e6, pendingBytesMax: 1e9, batchBytesMax: 1,
  transactionMessagesMax: 1e6, pendingMessagesMax: 1e6, batchWaitMs: 0,
};

/** What time it is everywhere, ms; each broker's wall clock may say something else. */
let real = 0;

/** A broker's log with its copies, on a store that outlives it. */
class Shelf {
  readonly clock = new ManualClock();
  readonly store: MemoryStore;
  readonly log: Log;
  readonly copies: Copies;
  readonly names = new Catalog();
  readonly closings = new Closings();
  readonly pages = new Pages(2);
  readonly turns = new Turns(new ManualClock(), 8);
  readonly time: RunningTime;
  /** How far the wall clock is off. */
  wallOffsetMs: number;
  readonly #begun = real;

  static async open(
    name: Origin, options: Partial<CopiesOptions> = {}, store = new MemoryStore(name), wallOffsetMs = 0,
  ): Promise<Shelf> {
    const shelf = new Shelf(name, store, { ...OPTIONS, ...options }, wallOffsetMs);
    await shelf.copies.restore();
    return shelf;
  }

  private constructor(name: Origin, store: MemoryStore, options: CopiesOptions, wallOffsetMs: number) {
    this.store = store;
    this.wallOffsetMs = wallOffsetMs;
    this.time = new RunningTime(store.state.time, () => real - this.#begun, () => this.wall);
    this.copies = new Copies(store, () => name, options, this.time, new SeededRandom().word);
    this.log = new Log(
      store,
      this.clock,
      new LamportClock(store.state.lamport),
      {
        ...LOG, identity: virtualIdentity(), signatures: virtualSignatures(() => 0),
        instance: Buffer.from(name).toString('hex').slice(0, 12),
      },
      {
        mark: (batches) => this.copies.mark(batches),
        committed: (batches) => this.copies.stored(batches),
        failed: (error) => {
          throw error;
        },
        drained: () => undefined,
      },
    );
  }

  get wall(): number {
    return 1e12 + real + this.wallOffsetMs;
  }

  /** Another life of it; the wall clock may be another one. Peers have missed it for so long. */
  async restart(
    missedMs?: number, wallOffsetMs = this.wallOffsetMs, options: Partial<CopiesOptions> = {},
  ): Promise<Shelf> {
    const next = await Shelf.open(this.log.origin, options, this.store, wallOffsetMs);
    if (missedMs !== undefined) await next.copies.missed(missedMs);
    return next;
  }

  /** Publishes messages with these ids, one batch. Their payloads say where. */
  async publish(ids: readonly string[], topic = 'news'): Promise<void> {
    const payloads = ids.map((id) => `${id} at ${this.log.origin[0]}`);
    this.log.publish(draft(payloads, { time: this.wall, topic, meta: JSON.stringify({ ids }) }), {
      stored: () => undefined,
      failed: () => undefined,
    });
    await this.clock.settle();
  }

  /** Takes in what another broker's store holds and this one does not, in its order. */
  async fetch(from: Shelf): Promise<void> {
    for (const batch of from.store.batches) this.take(batch, from);
    await this.clock.settle();
  }

  take({ position: _, repeats: __, seen = 0, ...batch }: StoredBatch, from: Shelf): void {
    if (batch.seq !== this.log.nextSeq(batch.origin) || batch.origin === this.log.origin) return;
    this.log.receive([dateBatch(batch, this.time.at(from.time.age(seen)))], undefined);
  }

  async read(cursor: Cursor = earliestCursor(this.log), count = 1000): Promise<[payloads: string[], cursor: Cursor]> {
    const { messages, cursor: next } = await readTopics(this, NEWS, cursor, { ...LIMITS, count });
    return [messages.map(({ payload }) => String(payload)), next];
  }

  has(id: string): boolean {
    return this.store.batches.some((batch) => batch.meta === JSON.stringify({ ids: [id] }));
  }

  get marked(): string[] {
    return this.store.batches.flatMap((batch) =>
      [...parseRepeats(batch)].map(([index, [from, seq]]) => `${batch.origin[0]}${batch.seq + index}=${from[0]}${seq}`),
    );
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
  for (const shelf of [left, right]) third.take(shelf.store.batches[0]!, shelf);
  await third.clock.settle();
  t.strictSame(third.store.transactions, [2]);
  t.strictSame(third.marked, ['b1=a1']);
});

t.test('a copy that came while its twin waited for its name is one', async (t) => {
  const [left, right] = [await Shelf.open(a), await Shelf.open(b)];
  await right.publish(['x']);
  left.take(right.store.batches[0]!, right);
  await left.publish(['x']); // its id was claimed before; the transaction has both
  t.strictSame(left.marked, ['a1=b1']);
  const third = await Shelf.open(c);
  await third.fetch(left);
  t.strictSame(third.marked, ['a1=b1']);
});

t.test('an id used again once the window is over is a new message everywhere', async (t) => {
  const [left, right, third] = [await Shelf.open(a), await Shelf.open(b), await Shelf.open(c)];
  await left.publish(['x']);
  await right.fetch(left);
  real += WINDOW_MS;
  await right.publish(['x']);
  real += 1.5 * WINDOW_MS;
  await left.publish(['x']); // knows only its own
  for (const shelf of [left, right]) await third.fetch(shelf);
  await left.fetch(right);
  await right.fetch(left);
  for (const shelf of [left, right, third]) {
    t.strictSame(shelf.marked, []);
    t.equal((await shelf.read())[0].length, 3);
  }
});

const YEAR_MS = 365 * 24 * 3600 * 1000;

t.test('whosever wall clock is wrong, ahead or behind, jumping or over restarts: an id is stored by all, published once, and delivered once', async (t) => {
  for (const wrong of [0, 1, 2]) {
    for (const offset of [YEAR_MS, -YEAR_MS, 300_000, -300_000]) {
      const names = [a, b, c];
      let shelves = await Promise.all(
        names.map((name, index) => Shelf.open(name, {}, new MemoryStore(name), index === wrong ? offset : 0)),
      );
      const meet = async (): Promise<void> => {
        for (const shelf of shelves) for (const other of shelves) await shelf.fetch(other);
      };
      await shelves[0]!.publish(['x']);
      await shelves[2]!.publish(['y']);
      await meet();
      real += 100;
      await shelves[0]!.publish(['z']); // and again elsewhere, before it is known there
      await shelves[1]!.publish(['z']);
      await meet();
      shelves[wrong]!.wallOffsetMs *= 2;
      await shelves[wrong]!.publish(['own']);
      await meet();
      for (let life = 0; life < 3; life += 1) {
        real += 100;
        shelves = await Promise.all(
          shelves.map((shelf, index) => shelf.restart(100, index === wrong ? offset * (life - 1) : 0)),
        );
        for (const shelf of shelves) {
          for (const id of ['x', 'y', 'z', 'own']) {
            t.equal(
              shelf.copies.claim('news', id), false,
              `${id} at ${shelf.log.origin}, ${wrong} is wrong by ${offset}, life ${life}`,
            );
          }
        }
      }
      for (const shelf of shelves) {
        t.strictSame((await shelf.read())[0].map((payload) => payload.split(' ')[0]).sort(), ['own', 'x', 'y', 'z']);
      }
      real += WINDOW_MS;
      for (const shelf of shelves) {
        for (const id of ['x', 'y', 'z', 'own']) t.equal(shelf.copies.claim('news', id), true, 'after the window');
      }
    }
  }
});

t.test('a publish that is tried again on the other side of a long partition is one message, and an id used anew there is another, whatever the clocks', async (t) => {
  for (const [offset, goesOn] of [
    [0, 5], [YEAR_MS, 5], [-YEAR_MS, 5], [300_000, 5], [0, 2 * WINDOW_MS], [YEAR_MS, 2 * WINDOW_MS],
    [-300_000, 2 * WINDOW_MS],
  ] as const) {
    const [left, right] = [await Shelf.open(a, {}, new MemoryStore(a), offset), await Shelf.open(b)];
    await left.publish(['x']);
    real += goesOn;
    await right.publish(['x']);
    real += 50 * WINDOW_MS;
    await Promise.all([left.fetch(right), right.fetch(left)]);
    for (const shelf of [left, right]) {
      t.equal((await shelf.read())[0].length, goesOn === 5 ? 1 : 2, `${offset} ${goesOn}`);
    }
  }
});

t.test('a publish that is tried again while its broker is down for long is one message', async (t) => {
  const [down, up] = [await Shelf.open(a), await Shelf.open(b)];
  await down.publish(['x']);
  await up.publish(['x']);
  real += 50 * WINDOW_MS;
  const back = await down.restart(50 * WINDOW_MS);
  await Promise.all([back.fetch(up), up.fetch(back)]);
  for (const shelf of [back, up]) t.equal((await shelf.read())[0].length, 1);
});

t.test('a store that has lost its newest records, as with a WAL, still knows and says how old the others are', async (t) => {
  let [cut, other] = [await Shelf.open(a), await Shelf.open(b)];
  for (let life = 0; life < 2; life += 1) cut = await cut.restart(0);
  for (const id of ['x', 'lost']) await cut.publish([id]);
  cut = await Shelf.open(a, {}, cut.store.withoutNewest(1));
  real += 10;
  await cut.publish(['y']);
  for (const id of ['x', 'y']) await other.publish([id]);
  cut = await cut.restart(0);
  await Promise.all([other.fetch(cut), cut.fetch(other)]);
  for (const shelf of [cut, other]) t.equal((await shelf.read())[0].length, 2);
});

t.test('how long a broker ran is known after it was killed, though it had published no ids for long', async (t) => {
  let [killed, other] = [await Shelf.open(a), await Shelf.open(b)];
  await killed.publish(['x']);
  await other.publish(['x']);
  for (let minute = 0; minute < 30; minute += 1) {
    real += 60_000;
    await killed.copies.expire();
  }
  real += WINDOW_MS / 4;
  killed = await killed.restart(0);
  await Promise.all([other.fetch(killed), killed.fetch(other)]);
  for (const shelf of [killed, other]) t.equal((await shelf.read())[0].length, 1);
});

t.test('an old record that comes by catching up does not make an id known that is used anew', async (t) => {
  const [here, away] = [await Shelf.open(a), await Shelf.open(b)];
  await here.publish(['report']);
  real += 10 * WINDOW_MS;
  await away.fetch(here);
  t.equal(away.copies.claim('news', 'report'), true);
});

t.test('an id that was out of the window before a restart is not known after it', async (t) => {
  const shelf = await Shelf.open(a);
  await shelf.publish(['x']);
  real += WINDOW_MS;
  await shelf.copies.close();
  t.equal((await shelf.restart()).copies.claim('news', 'x'), true);
  const again = await Shelf.open(b);
  await again.publish(['x']);
  real += WINDOW_MS - 1;
  await again.copies.close();
  const later = await again.restart();
  t.equal(later.copies.claim('news', 'x'), false);
  real += 1;
  t.equal(later.copies.claim('news', 'x'), true, 'what was left of the window is over');
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

t.test('what stores knew is remembered of the latest that published ids, and read again for others', async (t) => {
  const shelf = await Shelf.open(c, { dedupeIdsMax: 2, dedupeOriginsMax: 2 });
  let [reads, searches] = [0, 0];
  const { lastDeps, findIds } = shelf.store;
  shelf.store.lastDeps = (...query) => {
    reads += 1;
    return lastDeps.apply(shelf.store, query);
  };
  shelf.store.findIds = (...query) => {
    searches += 1;
    return findIds.apply(shelf.store, query);
  };
  const others = await Promise.all([1, 2, 3, 4, 5].map((tag) => Shelf.open(origin('d:1', tag))));
  for (const [index, other] of others.entries()) { // one after another, as the names that a broker's stores have had
    await other.fetch(shelf);
    for (const round of ['first', 'second', 'third']) await other.publish([`${round} ${index}`]);
    await shelf.fetch(other);
  }
  t.equal(reads, 0, 'of a new store nothing has to be read');
  t.equal(searches, 0);
  await others[0]!.publish(['one more']);
  await shelf.fetch(others[0]!);
  t.equal(reads, 1);
  await others[0]!.publish(['and another']);
  await shelf.fetch(others[0]!);
  t.equal(reads, 1, 'once');
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
  t.notOk(again.copies.claim('news', 'x'), 'and the id is still known');
});

t.test(`readers that move about get every id once (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  for (let run = 0; run < 30; run += 1) {
    const shelves = await Promise.all(
      [a, b, c].map((name) => Shelf.open(name, { dedupeIdsMax: random.pick([2, 100]), repeatsMax: 1000 })),
    );
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
      else if (!shelf.has(id) && shelf.copies.claim('news', id)) {
        published.add(id);
        await shelf.publish([id]);
      }
      // As the client does, it goes on at a broker that has not yet what it has read only with what is new to both.
      const reader = random.pick(shelves);
      const behind = [...(cursor?.vector ?? [])].some(([from, seq]) => reader.log.vector.get(from) < seq);
      if (!behind) await read(reader);
    }
    for (let round = 0; round < 2; round += 1) {
      for (const shelf of shelves) for (const other of shelves) await shelf.fetch(other);
    }
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
  await one.publish(['s'], 'sport');
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
  for (let index = 0; index < 2 * FULL_TOPICS; index += 1) await one.publish(['y'], `t${index}`);
  const two = await Shelf.open(b);
  await two.publish(['x']);
  const again = await Shelf.open(a, { dedupeIdsMax: 2 }, one.store);
  await again.fetch(two);
  t.strictSame((await again.read())[0], ['x at a']);
});
