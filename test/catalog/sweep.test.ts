import t from 'tap';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { Catalog } from '../../brokers/core/catalog/catalog.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { isCovered, type Origin, type StoredBatch } from '../../brokers/core/log/record.ts';
import { Sweep } from '../../brokers/catalog/sweep.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { draft, origin } from '../support/record.ts';

const [A, B] = [origin('a:1'), origin('b:1')];

class FailingStore extends MemoryStore {
  readonly coverFailures: RumormillError[] = [];

  override async cover(...args: Parameters<MemoryStore['cover']>): ReturnType<MemoryStore['cover']> {
    const failure = this.coverFailures.shift();
    if (failure !== undefined) throw failure;
    return super.cover(...args);
  }
}

/** A store with batches of one message each, a sweep over it two batches a tick, and a way to delete topics. */
function setUp(): {
  store: FailingStore;
  failed: unknown[];
  put: (from: Origin, topic: string, lamport: number) => Promise<void>;
  remove: (lamport: number, ...topics: string[]) => void;
  ticks: () => Promise<number>;
  sweep: Sweep;
} {
  const store = new FailingStore(A);
  const names = new Catalog();
  const clock = new ManualClock();
  const failed: unknown[] = [];
  const sweep = new Sweep({
    limits: { ...DEFAULT_LIMITS, sweepBatchesMax: 2 }, store, names, storeFailed: (error) => failed.push(error),
  });
  return {
    store,
    failed,
    sweep,
    put: async (from, topic, lamport) => {
      const batch: StoredBatch = {
        ...draft(['x'], { topic }),
        origin: from,
        seq: (store.state.vector.get(from) ?? 0) + 1,
        lamport,
        deps: '', proof: '',
        position: store.batches.length + 1,
        repeats: '',
      };
      await store.append([batch]);
      sweep.committed([batch]);
    },
    remove: (lamport, ...topics) => {
      names.apply([{ stamp: { lamport, origin: A }, operation: { op: 'topic.delete', topics } }]);
      sweep.deleted(names.buried().keys());
    },
    ticks: async () => {
      let ticks = 0;
      while (sweep.isPending && ticks < 100) {
        ticks += 1;
        sweep.tick();
        await clock.settle();
      }
      return ticks;
    },
  };
}

function left(store: MemoryStore): string[] {
  return store.batches.filter((batch) => !isCovered(batch)).map(({ topic, lamport }) => `${topic} ${lamport}`);
}

t.test('a few batches a tick, until nothing dead is left', async (t) => {
  const { store, put, remove, ticks } = setUp();
  for (let lamport = 1; lamport <= 5; lamport += 1) await put(A, lamport === 3 ? 'y' : 'x', lamport);
  await put(A, 'x', 11);
  t.equal(await ticks(), 0);
  remove(10, 'x', 'z');
  t.equal(await ticks(), 4, 'three times something of x, once nothing of z');
  t.strictSame(left(store), ['y 3', 'x 11']);
  remove(20, 'x', 'y');
  await ticks();
  t.strictSame(left(store), []);
});

t.test('what comes late is swept too', async (t) => {
  const { store, put, remove, ticks } = setUp();
  for (const lamport of [1, 2, 3, 4, 5]) await put(A, 'x', lamport);
  remove(10, 'x');
  await ticks();
  await put(B, 'x', 4);
  await put(B, 'x', 20);
  await put(B, 'y', 1);
  t.strictSame(left(store), ['x 4', 'x 20', 'y 1']);
  t.equal(await ticks(), 2, 'from its place on, not from the start');
  t.strictSame(left(store), ['x 20', 'y 1']);
});

t.test('what comes late while it is being swept is not forgotten', async (t) => {
  const { store, sweep, put, remove, ticks } = setUp();
  for (const lamport of [3, 4, 5]) await put(A, 'x', lamport);
  remove(10, 'x');
  sweep.tick();
  await put(B, 'x', 1);
  await ticks();
  t.strictSame(left(store), []);
});

t.test('a full disk passes, anything else does not', async (t) => {
  const { store, failed, put, remove, ticks } = setUp();
  await put(A, 'x', 1);
  store.coverFailures.push(new RumormillError('DISKFULL', 'no room'), new RumormillError('DISKFULL', 'no room'));
  remove(10, 'x');
  t.equal(await ticks(), 3);
  t.strictSame([left(store), failed], [[], []]);
  await put(A, 'x', 2);
  store.coverFailures.push(new RumormillError('STORE', 'broken'));
  await ticks();
  t.match(failed, [{ code: 'STORE' }]);
});
