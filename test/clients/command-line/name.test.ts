/** Help texts name a program as it was started. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DIST } from '../../support/root.ts';

const COLUMNS_MAX = 100;
const PROGRAMS = ['clients/publisher', 'clients/subscriber', 'clients/admin', 'brokers/broker', 'brokers/cluster'];

function help(script: string): string {
  const { NODE_OPTIONS: _, ...env } = process.env;
  return execFileSync(process.execPath, [script, '--help'], { encoding: 'utf8', env });
}

t.test('the usage and the examples have the name by which a program was started, and fit a terminal', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rumormill-name-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const program of PROGRAMS) {
    const script = join(DIST, `${program}.js`);
    const [name, installed] = [program.replace(/.*\//, ''), `rumormill-${program.replace(/.*\//, '')}`];
    symlinkSync(script, join(folder, installed)); // as npm does
    for (const [path, expected] of [[script, name], [join(folder, installed), installed]] as const) {
      const text = help(path);
      t.match(text, new RegExp(`^Usage: ${expected} `), path);
      const examples = text.split('\n').filter((line) => line.startsWith('  $ '));
      t.strictSame(examples.filter((line) => !new RegExp(`\\$ (.*\\| )?${expected}( |$)`).test(line)), []);
      t.strictSame(text.split('\n').filter((line) => line.length > COLUMNS_MAX), [], `${expected}: long lines`);
    }
  }
});
