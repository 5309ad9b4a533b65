/** What a test file has said: how many of its assertions passed, and how many failed. */

export interface Tally {
  readonly passed: number;
  readonly failed: number;
}

/**
 * Reads the last summary of a file's output, as in `# { total: 12, pass: 10, fail: 2 }`. A file that failed without a
 * failed assertion, or that did not come to its summary or to any assertion, counts as one that failed.
 */
export function tallyOf(output: string, succeeded: boolean): Tally {
  const summary = [...output.matchAll(/^# (\{ total: .*\})$/gm)].at(-1)?.[1] ?? '';
  const count = (name: string): number => Number(new RegExp(`\\b${name}: (\\d+)`).exec(summary)?.[1] ?? 0);
  const [passed, failed] = [count('pass'), count('fail')];
  const isWell = succeeded && passed + count('skip') > 0;
  return { passed, failed: isWell ? failed : Math.max(failed, 1) };
}
