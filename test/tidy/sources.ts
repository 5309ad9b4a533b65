/** The files that the rules are about, by their paths: relative to the repository, with slashes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../support/root.ts';

export type Texts = ReadonlyMap<string, string>;

/** Every TypeScript file of these folders. */
export function readSources(...folders: readonly string[]): Texts {
  return read(folders.flatMap((folder) => under(folder)).filter((path) => path.endsWith('.ts')));
}

/** Every document. */
export function readDocuments(): Texts {
  const top = readdirSync(ROOT).filter((name) => name.endsWith('.md'));
  return read([...top, ...['brokers', 'clients', 'test'].flatMap(under).filter((path) => path.endsWith('.md'))]);
}

function under(folder: string): string[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return names.map((name) => `${folder}/${name.replaceAll('\\', '/')}`).sort();
}

function read(paths: readonly string[]): Texts {
  return new Map(paths.map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]));
}
