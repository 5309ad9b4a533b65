/**
 * Command line of the simulation: `npm run sim -- --seed 1 --runs 1000`. A failing run prints one line that replays it.
 * Exit status 1 if one failed.
 */
import { Command, InvalidArgumentError } from 'commander';
import { askEverything } from './limits.ts';
import { type Report, runSeed } from './run.ts';
import { Summary } from './summary.ts';

interface Options {
  readonly seed: number;
  readonly runs: number;
  readonly brokers?: number;
  readonly fanout?: number;
  readonly turnover?: boolean;
  readonly strict?: boolean;
  readonly verbose?: boolean;
  readonly untilFailure?: boolean;
}

const options = new Command('sim')
  .description('Runs whole brokers on a virtual network, clock and disk, with faults, and checks what they promise.')
  .option('--seed <n>', 'of the first run; the others follow', count(0), 1)
  .option('--runs <n>', 'how many', count(1), 100)
  .option('--brokers <n>', 'in each run (default: 3 to 5, as the seed says)', count(3))
  .option('--fanout <n>', 'links that each keeps (default: as the seed says)', count(2))
  .option('--turnover', 'machines come and go')
  .option('--until-failure', 'stop at the first run that fails')
  .option('--strict', 'ask also what the brokers are known not to do yet')
  .option('--verbose', 'print what happened in each run')
  .parse()
  .opts<Options>();

function count(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= min) return value;
    throw new InvalidArgumentError(`not an integer from ${min}`);
  };
}

function failureLine({ seed, violations }: Report): string {
  const kinds = [...new Set(violations.map(({ kind }) => kind))].join(', ');
  const given = (['brokers', 'fanout'] as const)
    .map((name) => (options[name] === undefined ? '' : ` --${name} ${options[name]}`))
    .join('');
  const more = `${given}${options.turnover === true ? ' --turnover' : ''}${options.strict === true ? ' --strict' : ''}`;
  return `FAILED npm run sim -- --seed ${seed} --runs 1${more}: ${kinds}: ${violations[0]!.what.split('\n')[0]}`;
}

if (options.strict === true) askEverything();
const summary = new Summary();
const startedAt = performance.now();
for (let seed = options.seed; seed < options.seed + options.runs; seed += 1) {
  const { brokers, fanout, turnover } = options;
  const report = await runSeed({ seed, brokers, fanout, turnover });
  summary.add(report);
  if (options.verbose === true) for (const line of report.lines) console.log(line);
  if (report.violations.length === 0) continue;
  process.exitCode = 1;
  if (options.verbose === true || options.runs === 1) {
    for (const { kind, what } of report.violations) console.log(`${kind}: ${what}`);
  }
  console.log(failureLine(report));
  if (options.untilFailure === true) break;
}
console.log(summary.text((performance.now() - startedAt) / 1000));
