/**
 * Command line of the mutation check: `npm run mutants`. Runs the simulation on copies of the compiled brokers with one
 * deliberate bug each, seed after seed until a checker finds it, or the test that is named. Exit status 1 if a mutant
 * survives, or if the brokers fail without one.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { type Mutant, MUTANTS } from './mutant.ts';

const RUNS = 200;
const BUILD = fileURLToPath(new URL('../..', import.meta.url));
const MUTANT_MS_MAX = 600_000; // a mutant may loop for ever

const { only } = new Command('mutants')
  .description('Runs the simulation with deliberate bugs in the brokers, and says which seed finds each.')
  .option('--only <text>', 'the mutants whose names contain it')
  .parse()
  .opts<{ only?: string }>();

/** Makes a patched copy of the build. @throws Error where a patch does not match exactly once */
function makeCopy({ name: mutant, patches }: Mutant): string {
  const folder = join(BUILD, 'mutant');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const name of ['brokers', 'clients', 'test']) cpSync(join(BUILD, name), join(folder, name), { recursive: true });
  for (const [file, from, to] of patches) {
    const path = join(folder, 'brokers', file);
    const parts = readFileSync(path, 'utf8').split(from);
    if (parts.length !== 2) {
      throw new Error(`'${mutant}': a patch of ${file} matches ${parts.length - 1} times: ${from}`);
    }
    writeFileSync(path, parts.join(to));
  }
  return folder;
}

interface Find {
  readonly seed: string;
  readonly what: string;
}

/** What found the mutant: seed and violations, or what the test said; undefined if nothing did. */
function hunt(mutant: Mutant): Find | undefined {
  const folder = makeCopy(mutant);
  return mutant.test === undefined ? storm(folder, mutant.turnover) : test(folder, mutant.test);
}

function test(folder: string, name: string): Find | undefined {
  const { stdout, status } = spawnSync(process.execPath, [join(folder, 'test', `${name}.test.js`)], {
    encoding: 'utf8',
    timeout: MUTANT_MS_MAX,
  });
  const [, what] = /^ *not ok \d+ - (.*)$/m.exec(stdout) ?? [];
  return status === 0 ? undefined : { seed: 'test', what: what ?? 'ended without a word' };
}

function storm(folder: string, turnover = false): Find | undefined {
  const more = turnover ? ['--turnover'] : [];
  const args = [join(folder, 'test/simulation/sim.js'), '--runs', String(RUNS), '--until-failure', ...more];
  const { stdout, stderr, status, error } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: MUTANT_MS_MAX,
  });
  const [, seed, what] = /^FAILED npm run sim -- --seed (\d+) --runs 1(?: --turnover)?: (.*)$/m.exec(stdout) ?? [];
  if (seed !== undefined && what !== undefined) return { seed, what };
  if (status === 0) return undefined;
  return { seed: '?', what: (error?.message ?? stderr.trim().split('\n').at(-1)) || 'ended without a word' };
}

// or it would copy the sources
if (!import.meta.url.endsWith('.js')) throw new Error('works on the compiled brokers; use npm run mutants');
const mutants = MUTANTS.filter(({ name }) => name.includes(only ?? ''));
for (const mutant of mutants) makeCopy(mutant); // a patch that does not match is found out before hours have passed
let survivors = 0;
const sound = only === undefined ? hunt({ name: 'none', patches: [] }) : undefined;
if (sound !== undefined) throw new Error(`without any mutant, seed ${sound.seed} fails: ${sound.what}`);
for (const name of new Set(mutants.flatMap((mutant) => mutant.test ?? []))) {
  const failed = test(makeCopy({ name: 'none', patches: [] }), name);
  if (failed !== undefined) throw new Error(`without any mutant, ${name} fails: ${failed.what}`);
}
const width = Math.max(...mutants.map(({ name }) => name.length));
console.log(`${'mutant'.padEnd(width)}  seed  violated`);
for (const mutant of mutants) {
  const found = hunt(mutant);
  if (found === undefined) survivors += 1;
  console.log(
    `${mutant.name.padEnd(width)}  ${(found?.seed ?? '-').padStart(4)}  ${(found?.what ?? `SURVIVED ${mutant.test ?? `${RUNS} seeds`}`).slice(0, 160)}`,
  );
}
rmSync(join(BUILD, 'mutant'), { recursive: true, force: true });
console.log(`${mutants.length - survivors} of ${mutants.length} found`);
process.exitCode = survivors === 0 ? 0 : 1;
