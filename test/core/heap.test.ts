import t from 'tap';
import { Heap } from '../../brokers/core/heap.ts';
import { SEED, SeededRandom } from '../support/random.ts';

t.test('an empty heap', async (t) => {
  const heap = new Heap<number>((a, b) => a < b);
  t.equal(heap.top, undefined);
  t.equal(heap.pop(), undefined);
  t.equal(heap.size, 0);
  heap.push(1);
  t.equal(heap.pop(), 1);
  t.equal(heap.pop(), undefined);
});

t.test(`it gives what a sorted list gives (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const heap = new Heap<number>((a, b) => a < b);
  let list: number[] = [];
  let wrong = 0;
  for (let round = 0; round < 20_000; round += 1) {
    if (round % 5000 === 4999) {
      heap.filter((value) => value % 3 !== 0);
      list = list.filter((value) => value % 3 !== 0);
    } else if (random.integer(0, 4) < 3) {
      const value = random.integer(0, 1000);
      heap.push(value);
      list.push(value);
    } else {
      list.sort((a, b) => a - b);
      if (heap.top !== list[0] || heap.pop() !== list.shift()) wrong += 1;
    }
    if (heap.size !== list.length) wrong += 1;
  }
  t.equal(wrong, 0);
});
