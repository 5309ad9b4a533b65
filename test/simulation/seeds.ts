/** What the tests of many seeds share: each seed is a history of its own, and none may break what was promised. */
import type { Test } from 'tap';
import { runSeed } from './run.ts';
import { Summary } from './summary.ts';

/** Runs the seeds from `first`, and says what happened in them. */
export async function runSeeds(t: Test, first: number, count: number): Promise<Summary> {
  const summary = new Summary();
  const startedAt = performance.now();
  for (let seed = first; seed < first + count; seed += 1) {
    const report = await runSeed({ seed });
    summary.add(report);
    t.strictSame(report.violations, [], `seed ${seed}`);
  }
  t.comment(summary.text((performance.now() - startedAt) / 1000));
  t.ok(summary.calm >= 0.25, 'at least a quarter of each run was free of faults');
  return summary;
}
