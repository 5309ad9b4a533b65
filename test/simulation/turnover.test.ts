import t from 'tap';
import { SEED } from '../support/random.ts';
import { runSeed } from './run.ts';

const RUNS = 4;

t.setTimeout(900_000); // a fraction of it if the machine has nothing else to do

t.test(`nothing that was promised is broken while machines come and go: ${RUNS} seeds from ${SEED}`, async (t) => {
  for (let seed = SEED; seed < SEED + RUNS; seed += 1) {
    const { violations, turnover } = await runSeed({ seed, turnover: true });
    t.strictSame(violations, [], `seed ${seed}`);
    t.ok(Object.values(turnover!).some((count) => count > 0), 'machines came and went');
  }
});
