/** The version of this package, as its package.json has it. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** @throws Error if there is no package.json above this file, or it has no version */
export function packageVersion(): string {
  let folder = import.meta.dirname; // deeper in dist/ than in the sources
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version?: unknown };
  if (typeof version !== 'string') throw new Error(`${folder}: package.json has no version`);
  return version;
}
