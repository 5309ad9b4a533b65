/**
 * Which test files there are, and which of them `npm test` leaves out.
 *
 * The rule: `npm test` runs every test file but those of LATER, and `npm run test:all` runs them all. So a new file
 * runs in both until somebody names it here.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export const SUITES = ['quick', 'later', 'all'] as const;
export type Suite = (typeof SUITES)[number];

/** The files that are left out of `npm test`, each with the reason. */
export const LATER: Readonly<Record<string, string>> = {
  'test/simulation/seeds-later.test.ts': '140 seeds more',
  'test/processes/chaos.test.ts': 'ten seconds of load and faults on real brokers',
  'test/processes/clock.test.ts': 'twenty starts of brokers; the clock has tests of its own in core and simulation',
  'test/processes/consumers.test.ts': 'a whole mesh of consumers; consume.test.ts and the simulation have them too',
  'test/processes/disk.test.ts': 'full disks; store.test.ts and the simulation have them too',
  'test/processes/election.test.ts': 'waits until a coordinator is missed; the simulation elects in every seed',
  'test/processes/files.test.ts': 'thirty starts of brokers; place.test.ts and mark.test.ts have them without brokers',
  'test/processes/greedy.test.ts': 'fills the memory of a broker; longest.test.ts does so without sockets',
  'test/processes/help.test.ts': 'runs every example of --help in a process of its own',
  'test/processes/membership.test.ts': 'waits until a broker is taken for dead; names.test.ts has it in the simulation',
  'test/processes/origin.test.ts': 'backups put back, with many starts of brokers; the simulation has them too',
  'test/processes/queue.test.ts': 'three brokers for each test; the simulation has queues in every seed',
  'test/processes/quorum.test.ts': 'waits for three acknowledgements that do not come',
  'test/processes/refusal.test.ts': 'waits until brokers have dialled each other again',
  'test/processes/self-connect.test.ts': 'three hundred dials in a network of its own',
};

/** The test files of a suite, the longest first: what begins last should not be what takes longest. */
export function filesOf(suite: Suite, root: string): string[] {
  const names = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const tests = names.filter((name) => name.endsWith('.test.ts'));
  const files = tests.map((name) => `test/${name.replaceAll('\\', '/')}`).sort();
  const chosen = files.filter((file) => suite === 'all' || Object.hasOwn(LATER, file) === (suite === 'later'));
  return chosen.sort((a, b) => weightOf(b) - weightOf(a));
}

function weightOf(file: string): number {
  if (file.startsWith('test/simulation/seeds')) return 2;
  return file.startsWith('test/simulation/') || file.startsWith('test/processes/') ? 1 : 0;
}
