import t from 'tap';
import { SEED } from '../support/random.ts';
import { runSeed } from './run.ts';
import { Summary } from './summary.ts';

const RUNS = 200;

t.setTimeout(900_000); // a fraction of it where the machine has nothing else to do

t.test('one seed, one history', async (t) => {
  const [first, second, other] = [await runSeed({ seed: SEED }), await runSeed({ seed: SEED }), await runSeed({ seed: SEED + 1 })];
  t.strictSame(second.lines, first.lines);
  t.equal(second.events, first.events);
  t.strictSame(second.network, first.network);
  t.strictNotSame(other.lines, first.lines);
});

t.test(`nothing that was promised is broken, whatever goes wrong: ${RUNS} seeds from ${SEED}`, async (t) => {
  const summary = new Summary();
  const startedAt = performance.now();
  for (let seed = SEED; seed < SEED + RUNS; seed += 1) {
    const report = await runSeed({ seed });
    summary.add(report);
    t.strictSame(report.violations, [], `seed ${seed}`);
  }
  t.comment(summary.text((performance.now() - startedAt) / 1000));
  for (const [kind, count] of Object.entries(summary.faults)) t.ok(count > 0, `${kind} did happen`);
  for (const [what, count] of Object.entries(summary.queues)) t.ok(count > 0, `queues: ${what}`);
  t.ok(summary.calm >= 0.25, 'at least a quarter of each run was free of faults');
});
