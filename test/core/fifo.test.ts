import t from 'tap';
import { Fifo } from '../../brokers/core/fifo.ts';
import { SEED, SeededRandom } from '../support/random.ts';

t.test('an empty one', async (t) => {
  const fifo = new Fifo<number>();
  t.strictSame([fifo.size, fifo.first, fifo.shift(), fifo.size], [0, undefined, undefined, 0]);
});

t.test(`it gives what an array gives (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const [fifo, array] = [new Fifo<number>(), [] as number[]];
  let wrong = 0;
  for (let round = 0; round < 50_000; round += 1) {
    const growing = Math.floor(round / 10_000) % 2 === 0;
    if (random.integer(0, 9) < (growing ? 7 : 3)) {
      fifo.push(round);
      array.push(round);
    } else if (fifo.first !== array[0] || fifo.shift() !== array.shift()) wrong += 1;
    if (fifo.size !== array.length) wrong += 1;
  }
  t.equal(wrong, 0);
});
