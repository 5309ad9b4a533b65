import t from 'tap';
import type { Origin } from '../../../brokers/core/log/record.ts';
import { countMissing, covers, EMPTY_VECTOR, VersionVector } from '../../../brokers/core/log/version-vector.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const [a, b, c] = [origin('a:1'), origin('b:1'), origin('c:1')];

t.test('entries only grow', async (t) => {
  const vector = new VersionVector([[a, 3]]);
  t.equal(vector.get(a), 3);
  t.equal(vector.get(b), 0);
  t.equal(vector.advance(a, 5), true);
  t.equal(vector.advance(a, 5), false);
  t.equal(vector.advance(a, 4), false);
  t.equal(vector.advance(b, 0), false, 'an origin at 0 is not in the vector');
  t.strictSame([...vector.entries()], [[a, 5]]);
});

t.test('merge is the least upper bound', async (t) => {
  const vector = new VersionVector([[a, 3], [b, 9]]);
  vector.merge(new Map([[a, 7], [b, 2], [c, 1]]));
  t.strictSame([...vector.entries()], [[a, 7], [b, 9], [c, 1]]);
});

t.test('a snapshot never changes, and is shared until something grows', async (t) => {
  const vector = new VersionVector([[a, 1]]);
  const first = vector.snapshot();
  vector.advance(a, 1);
  t.equal(vector.snapshot(), first, 'the same object');
  vector.advance(a, 2);
  t.not(vector.snapshot(), first);
  t.strictSame([...first], [[a, 1]]);
  t.strictSame([...vector.snapshot()], [[a, 2]]);
});

t.test('a vector is a copy of what it was made from', async (t) => {
  const entries = new Map([[a, 1]]);
  const vector = new VersionVector(entries);
  vector.advance(a, 2);
  t.equal(entries.get(a), 1);
});

t.test('covers and countMissing', async (t) => {
  const cases: [of: [Origin, number][], other: [Origin, number][], covers: boolean, missing: number][] = [
    [[], [], true, 0],
    [[[a, 1]], [], true, 1],
    [[], [[a, 1]], false, 0],
    [[[a, 5]], [[a, 5]], true, 0],
    [[[a, 5]], [[a, 6]], false, 0],
    [[[a, 5], [b, 2]], [[a, 3], [b, 2]], true, 2],
    [[[a, 5], [b, 2]], [[a, 3], [b, 4]], false, 2],
    [[[a, 5], [b, 2], [c, 4]], [[b, 1]], true, 10],
    [[], [[a, 0]], true, 0],
  ];
  for (const [of, other, covered, missing] of cases) {
    const [left, right] = [new Map(of), new Map(other)];
    t.strictSame([covers(left, right), countMissing(left, right)], [covered, missing], JSON.stringify([of, other]));
  }
  t.equal(EMPTY_VECTOR.size, 0);
});

t.test(`merge makes a vector that covers both and nothing more (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const draw = (): Map<Origin, number> => new Map([a, b, c].map((name) => [name, random.integer(0, 5)]));
  let broken = 0;
  for (let round = 0; round < 1000; round += 1) {
    const [left, right] = [draw(), draw()];
    const merged = new VersionVector(left);
    merged.merge(right);
    const union = merged.snapshot();
    const missing = countMissing(union, left);
    if (!covers(union, left) || !covers(union, right) || missing !== countMissing(right, left)) broken += 1;
    if (covers(left, right) !== (missing === 0)) broken += 1;
  }
  t.equal(broken, 0);
});
