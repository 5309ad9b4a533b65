import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageVersion } from '../../brokers/io/version.ts';
import { ROOT } from '../support/root.ts';

t.test('the version is that of package.json', async (t) => {
  t.match(readFileSync(join(ROOT, 'package.json'), 'utf8'), `"version": "${packageVersion()}"`);
  t.match(packageVersion(), /^\d+\.\d+\.\d+/);
});
