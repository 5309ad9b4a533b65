/**
 * Runs test files, compiled, each in a process of its own: `node build/test/run/run.js quick`, or `later`, or `all`.
 *
 * Files that fail are printed in full, and the slowest are named. The last line is `N passed, N failed`.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../support/root.ts';
import { filesOf, type Suite, SUITES } from './suites.ts';
import { type Tally, tallyOf } from './tally.ts';

const TEST_TIMEOUT_S = '120'; // of one test, if it sets no other: real brokers take longer than the 30 s of tap
const FILE_TIMEOUT_MS = 900_000;
const SLOWEST = 10;

interface Ended extends Tally {
  readonly file: string;
  readonly seconds: number;
}

function run(file: string): Promise<Ended> {
  const startedAt = performance.now();
  const script = join(ROOT, 'build', file.replace(/\.ts$/, '.js'));
  const child = spawn(process.execPath, ['--enable-source-maps', script], {
    cwd: ROOT,
    env: { ...process.env, TAP_TIMEOUT: TEST_TIMEOUT_S },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: FILE_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      const ended = { file, seconds: (performance.now() - startedAt) / 1000, ...tallyOf(output, code === 0) };
      if (ended.failed > 0) console.log(`${output}\n== ${file} failed, exit status ${code ?? signal}`);
      console.log(`${ended.failed > 0 ? 'not ok' : 'ok'} ${file} ${ended.seconds.toFixed(1)} s`);
      resolve(ended);
    });
  });
}

const suite = process.argv[2] as Suite;
if (!SUITES.includes(suite)) throw new Error(`name what to run: ${SUITES.join(', ')}`);
const waiting = filesOf(suite, ROOT);
const ended: Ended[] = [];

/** Runs one file after the other, until none waits. */
async function work(): Promise<void> {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) ended.push(await run(file));
}

await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work));
const slowest = ended.sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
console.log(`\nThe slowest of ${ended.length} files:`);
for (const { file, seconds } of slowest) console.log(`${seconds.toFixed(1).padStart(6)} s ${file}`);
const failures = ended.filter(({ failed }) => failed > 0);
if (failures.length > 0) console.log(`\nFailed: ${failures.map(({ file }) => file).join(', ')}`);
const sum = (name: keyof Tally): number => ended.reduce((total, tally) => total + tally[name], 0);
console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') > 0 ? 1 : 0;
