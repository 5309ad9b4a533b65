import t from 'tap';
import { Fifo } from '../../brokers/core/fifo.ts';
import { SEED, SeededRandom } from '../support/random.ts';

t.test('an empty one', async (t) => {
  const queue = new Fifo<number>();
  t.strictSame([queue.length, queue.first, queue.shift(), queue.length], [0, undefined, undefined, 0]);
});

t.test('first in, first out, however long, and what is put before it comes first', async (t) => {
  const queue = new Fifo<number>();
  t.equal(queue.shift(), undefined);
  for (let each = 0; each < 5000; each += 1) queue.push(each);
  for (let each = 0; each < 3000; each += 1) t.equal(queue.shift(), each) || t.bailout('order');
  queue.prepend([-2, -1]);
  t.strictSame([queue.length, queue.first, queue.last], [2002, -2, 4999]);
  t.strictSame(queue.clear().slice(0, 3), [-2, -1, 3000]);
  t.strictSame([queue.length, queue.first, queue.last], [0, undefined, undefined]);
});

t.test(`it gives what an array gives (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const [queue, array] = [new Fifo<number>(), [] as number[]];
  let wrong = 0;
  for (let round = 0; round < 50_000; round += 1) {
    const growing = Math.floor(round / 10_000) % 2 === 0;
    if (random.integer(0, 9) < (growing ? 7 : 3)) {
      queue.push(round);
      array.push(round);
    } else if (queue.first !== array[0] || queue.shift() !== array.shift()) wrong += 1;
    if (queue.length !== array.length) wrong += 1;
  }
  t.equal(wrong, 0);
});
