import t from 'tap';
import { Ranges } from '../../../clients/command-line/ranges.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

const of = (...values: number[]): Ranges => {
  const ranges = new Ranges();
  for (const value of values) ranges.add(value);
  return ranges;
};

t.test('numbers as ranges', async (t) => {
  t.equal(String(of()), '');
  t.equal(of().first, undefined);
  t.equal(String(of(5)), '5');
  t.equal(String(of(5, 6, 7, 9)), '5 to 7, 9');
  t.equal(String(of(5, 7, 6, 6)), '5 to 7');
  t.equal(String(of(9, 5, 8, 4, 4)), '4 to 5, 8 to 9');
  t.equal(of(9, 5).first, 5);
  t.equal(
    String(of(...Array.from({ length: 21 }, (_, index) => 2 * index))),
    `${Array.from({ length: 20 }, (_, index) => 2 * index).join(', ')} and more`,
  );
});

t.test(`any order gives the same (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  for (let round = 0; round < 200; round += 1) {
    const values = Array.from({ length: 12 }, () => random.integer(1, 20));
    const sorted = [...new Set(values)].sort((a, b) => a - b);
    t.equal(String(of(...values)), String(of(...sorted)), String(values));
  }
});
