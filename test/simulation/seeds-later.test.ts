import t from 'tap';
import { SEED } from '../support/random.ts';
import { runSeeds } from './seeds.ts';

const [FIRST, RUNS] = [SEED + 60, 140]; // behind those of seeds.test.ts

t.setTimeout(900_000); // a fraction of it if the machine has nothing else to do

t.test(`nothing that was promised is broken, whatever goes wrong: ${RUNS} seeds from ${FIRST}`, async (t) => {
  await runSeeds(t, FIRST, RUNS);
});
