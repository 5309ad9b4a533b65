import t from 'tap';
import { SeqSet } from '../../../brokers/core/queue/seq-set.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

/** A set with these seqs. */
function setOf(...seqs: number[]): SeqSet {
  const set = new SeqSet();
  for (const seq of seqs) set.add(seq);
  return set;
}

t.test('runs: gap, length, gap, length, the first gap from seq 1', async (t) => {
  const cases: [seqs: number[], runs: number[]][] = [
    [[], []],
    [[1], [0, 1]],
    [[2, 1, 3], [0, 3]],
    [[5, 6, 9], [4, 2, 2, 1]],
    [[1023, 1024, 1025], [1022, 3]], // across the border of two chunks
    [[2 ** 40], [2 ** 40 - 1, 1]],
  ];
  for (const [seqs, runs] of cases) {
    t.strictSame(setOf(...seqs).runs(), runs);
    t.strictSame(SeqSet.parse(runs, Number.MAX_SAFE_INTEGER - 1).runs(), runs);
  }
});

t.test('a long run is as cheap as its text', async (t) => {
  const set = SeqSet.parse([9, 10_000_000], 10_000_009);
  t.equal(set.size, 10_000_000);
  t.strictSame(set.runs(), [9, 10_000_000]);
  set.dropUpTo(5_000_009);
  t.strictSame(set.runs(), [5_000_009, 5_000_000]);
});

t.test('a full chunk that all sets share is changed by none of them', async (t) => {
  const [a, b] = [new SeqSet(), new SeqSet()];
  a.addRun(1024, 1024);
  b.addAll(a);
  b.dropUpTo(1500);
  b.add(1400);
  t.equal(b.has(1401), false);
  t.equal(a.has(1401), true);
  t.strictSame(a.runs(), [1023, 1024]);
  const other = setOf(1024);
  other.addAll(a);
  other.addAll(setOf(1025));
  t.equal(other.size, 1024);
});

t.test('what is not the text of a set is refused', async (t) => {
  for (const bad of [
    undefined, null, 7, 'x', {}, [1], [-1, 1], [0, 0], [0, 1.5], [0, '1'], [0, 101], [99, 2], [0, 2 ** 53],
    [2 ** 53 - 1, 2 ** 53 - 1],
  ]) {
    t.throws(() => SeqSet.parse(bad, 100), { code: 'PROTOCOL' }, JSON.stringify(bad));
  }
  t.equal(SeqSet.parse([0, 100], 100).size, 100, 'up to the last one that may be');
});

t.test(`random operations against a set of numbers, seed ${SEED}`, async (t) => {
  const random = new SeededRandom();
  for (let run = 0; run < 30; run += 1) {
    let [set, model] = [new SeqSet(), new Set<number>()];
    const top = random.pick([40, 3000, 20_000]);
    for (let step = 0; step < 60; step += 1) {
      const seq = random.integer(1, top);
      switch (random.integer(0, 4)) {
        case 0:
          if (set.add(seq) === model.has(seq)) t.fail(`add ${seq} says the wrong thing`);
          model.add(seq);
          break;
        case 1: {
          const length = random.integer(1, top / 4);
          set.addRun(seq, length);
          for (let each = seq; each < seq + length; each += 1) model.add(each);
          break;
        }
        case 2: {
          const others = Array.from({ length: random.integer(1, 50) }, () => random.integer(1, top));
          set.addAll(setOf(...others));
          for (const each of others) model.add(each);
          break;
        }
        case 3:
          if (step % 7 > 0) break;
          set.dropUpTo(seq);
          model = new Set([...model].filter((each) => each > seq));
          break;
        default:
          if (set.countAbove(seq) !== [...model].filter((each) => each > seq).length) t.fail(`count above ${seq}`);
      }
    }
    const text = set.runs();
    t.equal(set.size, model.size);
    t.equal(new Set(Array.from({ length: top * 2 }, (_, seq) => seq).filter((seq) => set.has(seq))).size, model.size);
    t.strictSame([...model].every((seq) => set.has(seq)), true);
    set = SeqSet.parse(text, top * 2);
    t.strictSame(set.runs(), text);
    t.equal(set.size, model.size);
  }
});
