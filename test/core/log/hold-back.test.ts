import t from 'tap';
import { type Group, HoldBack } from '../../../brokers/core/log/hold-back.ts';
import { batchBytes, lastSeq, type Origin, parseDeps, type RecordBatch } from '../../../brokers/core/log/record.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin, specimenBatch } from '../../support/record.ts';

const [a, b, c] = [origin('a:1'), origin('b:1'), origin('c:1')];

function batch(from: Origin, seq: number, deps: Readonly<Record<string, number>> = {}, count = 1): RecordBatch {
  return specimenBatch({ origin: from, seq, count, deps: Object.keys(deps).length === 0 ? '' : JSON.stringify(deps) });
}

/** A hold-back and what it accepted. Fails where something is accepted before its turn. */
class Bench {
  readonly accepted: string[] = [];
  readonly dropped: Origin[] = [];
  readonly seqs = new Map<Origin, number>();
  readonly holdBack: HoldBack;

  constructor(bytesMax = 1e6) {
    this.holdBack = new HoldBack(
      (from) => this.next(from), (each) => this.#accept(each), bytesMax, (from) => this.dropped.push(from),
    );
  }

  next(from: Origin): number {
    return (this.seqs.get(from) ?? 0) + 1;
  }

  offer(each: RecordBatch, from = 'peer'): string {
    return this.holdBack.offer({ batches: [each], head: undefined }, from);
  }

  #accept({ batches: [first] }: Group): void {
    const each = first!;
    if (each.seq !== this.next(each.origin)) throw new Error(`${each.origin} ${each.seq} out of turn`);
    if (parseDeps(each).some(([from, seq]) => this.next(from) <= seq)) {
      throw new Error(`${each.origin} ${each.seq} before its deps`);
    }
    this.seqs.set(each.origin, lastSeq(each));
    this.accepted.push(`${each.origin[0]}${each.seq}`);
  }
}

t.test('what follows on and lacks nothing is accepted at once', async (t) => {
  const bench = new Bench();
  t.equal(bench.offer(batch(a, 1, {}, 3)), 'accepted');
  t.equal(bench.offer(batch(b, 1, { [a]: 3 })), 'accepted');
  t.equal(bench.offer(batch(a, 1, {}, 3)), 'duplicate');
  t.equal(bench.offer(batch(a, 5)), 'dropped', 'a hole');
  t.strictSame(bench.accepted, ['a1', 'b1']);
  t.equal(bench.holdBack.bytes, 0);
});

t.test('what lacks something waits, with all of its origin behind it, and comes in its order', async (t) => {
  const bench = new Bench();
  t.strictSame([
    bench.offer(batch(c, 1, { [b]: 2 })),
    bench.offer(batch(c, 2)), // lacks nothing itself, but its turn is after c1
    bench.offer(batch(b, 1, { [a]: 1 })),
    bench.offer(batch(b, 2)),
    bench.offer(batch(c, 4)), // a hole behind c2
    bench.offer(batch(c, 2)),
  ], ['held', 'held', 'held', 'held', 'dropped', 'duplicate']);
  t.equal(
    bench.holdBack.bytes,
    2 * batchBytes(batch(b, 2)) + batchBytes(batch(c, 1, { [b]: 2 })) + batchBytes(batch(b, 1, { [a]: 1 })),
  );
  t.strictSame(bench.accepted, []);
  t.equal(bench.offer(batch(a, 1)), 'accepted');
  t.strictSame(bench.accepted, ['a1', 'b1', 'b2', 'c1', 'c2'], 'what one makes ready makes others ready');
  t.equal(bench.holdBack.bytes, 0);
});

t.test('part of what is held may become ready', async (t) => {
  const bench = new Bench();
  bench.offer(batch(b, 1, { [a]: 1 }));
  bench.offer(batch(b, 2, { [a]: 2 }));
  bench.offer(batch(a, 1));
  t.strictSame(bench.accepted, ['a1', 'b1']);
  t.equal(bench.offer(batch(b, 3)), 'held', 'behind b2');
  bench.offer(batch(a, 2));
  t.strictSame(bench.accepted, ['a1', 'b1', 'a2', 'b2', 'b3']);
});

t.test('what does not fit is dropped, and comes again', async (t) => {
  const bytes = batchBytes(batch(b, 1, { [a]: 1 }));
  const bench = new Bench(2 * bytes);
  t.equal(bench.offer(batch(b, 1, { [a]: 1 })), 'held');
  t.equal(bench.offer(batch(b, 2, { [a]: 1 })), 'held');
  t.equal(bench.offer(batch(b, 3)), 'dropped');
  t.equal(bench.offer(batch(c, 1, { [a]: 1 })), 'dropped');
  t.equal(bench.offer(batch(a, 1)), 'accepted', 'what is ready needs no room');
  t.strictSame(bench.accepted, ['a1', 'b1', 'b2']);
  t.equal(bench.offer(batch(b, 3)), 'accepted');
  t.equal(bench.offer(batch(c, 1, { [a]: 1 })), 'accepted');
});

t.test('drop lets go of one origin, clear of all', async (t) => {
  const bench = new Bench();
  bench.offer(batch(b, 1, { [a]: 1 }));
  bench.offer(batch(c, 1, { [a]: 1 }));
  bench.holdBack.drop(b);
  bench.holdBack.drop(b);
  t.equal(bench.holdBack.bytes, batchBytes(batch(c, 1, { [a]: 1 })));
  t.equal(bench.offer(batch(b, 1, { [a]: 1 })), 'held', 'held anew');
  bench.holdBack.clear();
  t.equal(bench.holdBack.bytes, 0);
  bench.offer(batch(a, 1));
  t.strictSame(bench.accepted, ['a1']);
});

t.test('who fills the room with what never becomes ready gives way to others, the newest first', async (t) => {
  const size = batchBytes(batch(c, 1, { [a]: 1 }));
  const bench = new Bench(10 * size);
  const made = Array.from({ length: 100 }, (_, index) => origin('m:1', index + 1));
  const fates = made.map((each) => bench.offer(batch(each, 1, { [a]: 9 }), 'liar'));
  t.strictSame(fates.slice(0, 11), [...Array(10).fill('held'), 'dropped']);
  t.strictSame(bench.dropped, [], 'it drops nothing of others');
  t.equal(bench.offer(batch(b, 1, { [a]: 1 }), 'honest'), 'held');
  t.equal(bench.offer(batch(c, 1, { [a]: 1 }), 'honest'), 'held');
  t.strictSame(bench.dropped, [made[9], made[8]]);
  t.equal(bench.offer(batch(made[50]!, 1, { [a]: 9 }), 'liar'), 'dropped');
  bench.offer(batch(a, 1));
  t.strictSame(bench.accepted, ['a1', 'b1', 'c1']);
  bench.holdBack.clear();
  t.equal(bench.holdBack.bytes, 0);
});

t.test(`random histories in random orders (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const origins = [a, b, c, origin('d:1')];
  let held = 0;
  for (let round = 0; round < 200; round += 1) {
    // A history: each batch depends on what its origin knows, which is random but grows.
    const history: RecordBatch[] = [];
    const heads = new Map(origins.map((from) => [from, 0]));
    for (let index = 0; index < 40; index += 1) {
      const from = random.pick(origins);
      const deps = Object.fromEntries(
        origins
          .filter((other) => other !== from && heads.get(other)! > 0 && random.integer(0, 2) === 0)
          .map((other) => [other, random.integer(1, heads.get(other)!)]),
      );
      const count = random.integer(1, 3);
      history.push(batch(from, heads.get(from)! + 1, deps, count));
      heads.set(from, heads.get(from)! + count);
    }
    // Each origin's batches in order, the origins interleaved at random, sometimes twice.
    const bench = new Bench(random.pick([1000, 1e6]));
    for (let tries = 0; bench.accepted.length < history.length; tries += 1) {
      if (tries === 1000) throw new Error('no progress');
      const queues = origins.map((from) =>
        history.filter((each) => each.origin === from && each.seq >= bench.next(from)),
      );
      if (tries > 0) for (const from of origins) bench.holdBack.drop(from); // a new graft
      while (queues.some((queue) => queue.length > 0)) {
        const next = random.pick(queues.filter((queue) => queue.length > 0)).shift()!;
        if (bench.offer(next) === 'held') held += 1;
        if (random.integer(0, 9) === 0) bench.offer(next);
      }
    }
    if (new Set(bench.accepted).size !== history.length) t.fail(`round ${round}: ${bench.accepted.length} accepted`);
    if (bench.holdBack.bytes !== 0) t.fail(`round ${round}: ${bench.holdBack.bytes} bytes are held`);
  }
  t.ok(held > 1000, `${held} were held`);
});

t.test('what waits for thousands of origins looks at each of them once', async (t) => {
  const many = Array.from({ length: 2000 }, (_, index) => origin('d:1', index + 1));
  const seqs = new Map<Origin, number>();
  let [asked, accepted] = [0, 0];
  const holdBack = new HoldBack((from) => {
    asked += 1;
    return (seqs.get(from) ?? 0) + 1;
  }, ({ batches: [first] }) => {
    accepted += 1;
    seqs.set(first!.origin, first!.seq);
  }, 1e9, () => t.fail('there is room'));
  const offer = (each: RecordBatch): string => holdBack.offer({ batches: [each], head: undefined }, 'peer');
  offer(batch(a, 1, Object.fromEntries(many.map((each) => [each, 1]))));
  for (const each of many) offer(batch(each, 1));
  t.equal(accepted, many.length + 1);
  t.ok(asked < 10 * many.length, `${asked} looks`);
});
