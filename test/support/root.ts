/** Where the repository lies, for tests as they stand and for compiled ones alike: those stand deeper, in build/. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

function findRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

export const ROOT = findRoot();
/** The build that tests of real processes run. Set DIST to run another one. */
export const DIST = process.env['DIST'] ?? join(ROOT, 'dist');
