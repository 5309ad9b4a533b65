import t from 'tap';
import { SEED } from '../support/random.ts';
import { runSeed } from './run.ts';
import { runSeeds } from './seeds.ts';

const RUNS = 60; // seeds-later.test.ts goes on behind them

t.setTimeout(900_000); // a fraction of it if the machine has nothing else to do

t.test('one seed, one history', async (t) => {
  const [first, second] = [await runSeed({ seed: SEED }), await runSeed({ seed: SEED })];
  const other = await runSeed({ seed: SEED + 1 });
  t.strictSame(second.lines, first.lines);
  t.equal(second.events, first.events);
  t.strictSame(second.network, first.network);
  t.strictNotSame(other.lines, first.lines);
});

t.test(`nothing that was promised is broken, whatever goes wrong: ${RUNS} seeds from ${SEED}`, async (t) => {
  const { faults, queues } = await runSeeds(t, SEED, RUNS);
  for (const [kind, count] of Object.entries(faults)) t.ok(count > 0, `${kind} did happen`);
  const { againUnknown: _, ...wanted } = queues; // what is excused with that has become rare
  for (const [what, count] of Object.entries(wanted)) t.ok(count > 0, `queues: ${what}`);
});
