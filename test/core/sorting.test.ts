import t from 'tap';
import { sortSteps } from '../../brokers/core/sorting.ts';
import { SEED, SeededRandom } from '../support/random.ts';

t.test(`as sort has it, in steps (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  for (const length of [0, 1, 2, 255, 256, 257, 1000, 5000]) {
    const texts = Array.from({ length }, () => random.pick(['', 'a', '\ufffd', '\u{1f600}']) + random.integer(0, 3000));
    const steps = sortSteps(texts);
    let count = 0;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) count += 1;
    t.strictSame(step.value, [...texts].sort());
    t.ok(count >= length / 256, `${count} steps for ${length}`);
  }
});
