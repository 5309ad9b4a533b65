import t from 'tap';
import { tallyOf } from './tally.ts';

t.test('what a file has said is counted', async (t) => {
  const cases: [what: string, output: string, succeeded: boolean, passed: number, failed: number][] = [
    ['all passed', '# { total: 6, pass: 6 }\n# time=1ms\n', true, 6, 0],
    ['some failed', '# { total: 12, pass: 10, fail: 2 }\n', false, 10, 2],
    ['failed without a failed assertion', '# { total: 6, pass: 6 }\n', false, 6, 1],
    ['ended before its summary', 'ok 1 - a\n', false, 0, 1],
    ['nothing at all, and no failure', '', true, 0, 1],
    ['no assertion', '# { total: 0 }\n', true, 0, 1],
    ['all skipped, as on a machine without mounts', '# { total: 2, skip: 2 }\n', true, 0, 0],
    ['the last summary counts', '# { total: 1, pass: 1 }\n# { total: 3, pass: 3 }\n', true, 3, 0],
    ['a summary that a test quotes is none', '    # { total: 9, pass: 9 }\n# { total: 1, pass: 1 }\n', true, 1, 0],
  ];
  for (const [what, output, succeeded, passed, failed] of cases) {
    t.strictSame(tallyOf(output, succeeded), { passed, failed }, what);
  }
});
