import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT } from '../support/root.ts';
import { filesOf, LATER } from './suites.ts';

t.test('each test file runs in test:all, and either in npm test or later', async (t) => {
  const [all, quick, later] = [filesOf('all', ROOT), filesOf('quick', ROOT), filesOf('later', ROOT)];
  t.strictSame([...quick, ...later].sort(), [...all].sort(), 'nothing falls between, nothing runs twice');
  t.ok(quick.includes('test/run/suites.test.ts'), 'a file that nobody names runs in npm test');
  t.strictSame([...later].sort(), Object.keys(LATER).sort(), 'what is named is there');
  for (const [file, reason] of Object.entries(LATER)) t.ok(reason.length > 0, file);
});

t.test('both commands run what their names say', async (t) => {
  const manifest = readFileSync(join(ROOT, 'package.json'), 'utf8');
  const { scripts } = JSON.parse(manifest) as { scripts: Record<string, string> };
  for (const [name, suite] of [['test', 'quick'], ['test:later', 'later'], ['test:all', 'all']] as const) {
    t.equal(scripts[name], `node build/test/run/run.js ${suite}`);
    t.equal(scripts[`pre${name}`], scripts['pretest'], 'after a build');
  }
  const ci = readFileSync(join(ROOT, '.ci/run'), 'utf8');
  for (const command of ['tests npm test', 'tests npm run test:later']) t.ok(ci.includes(`\n${command}\n`), command);
});
