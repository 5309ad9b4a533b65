import t from 'tap';
import { SEED, SeededRandom } from '../support/random.ts';
import { Heap } from './heap.ts';

t.test(`comes out in order, whatever goes in between (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  for (let round = 0; round < 200; round += 1) {
    const heap = new Heap<number>((a, b) => a < b);
    const expected: number[] = [];
    for (let step = 0; step < random.integer(0, 100); step += 1) {
      if (random.integer(0, 2) > 0) {
        const value = random.integer(0, 50);
        heap.push(value);
        expected.push(value);
        expected.sort((a, b) => a - b);
      } else {
        if (heap.first !== expected[0]) t.fail(`round ${round}: first is ${heap.first}, not ${expected[0]}`);
        const [popped, wanted] = [heap.pop(), expected.shift()];
        if (popped !== wanted) t.fail(`round ${round}: ${popped}, not ${wanted}`);
      }
    }
    while (expected.length > 0) if (heap.pop() !== expected.shift()) t.fail(`round ${round}: the rest`);
    if (heap.pop() !== undefined) t.fail(`round ${round}: more than went in`);
  }
  t.pass('200 rounds');
});
