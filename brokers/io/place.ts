/**
 * Whether a store's files are still where they were opened.
 *
 * A file that is removed or replaced while it is open goes on without a name: whatever is written
 * to it, and synced, is gone when the process ends. So the files are known by device and inode, as
 * SQLite itself knows them (SQLITE_FCNTL_HAS_MOVED), and looked at while the broker runs. The lock
 * file is one of them: where that is gone, a second broker can take the folder.
 */
import { type BigIntStats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { messageOf, RumormillError } from '../core/error.ts';

export class Place {
  readonly #files: ReadonlyMap<string, string>;

  /** @param paths files that are open. @throws an error of the system */
  constructor(paths: readonly string[]) {
    this.#files = new Map(paths.map((path) => [path, identity(statSync(path, { bigint: true }))]));
  }

  /** @throws RumormillError STORE where one of the files was removed or replaced */
  check(): void {
    for (const [path, opened] of this.#files) {
      const found = statSync(path, { bigint: true, throwIfNoEntry: false });
      if (found === undefined) throw gone(path, 'is gone');
      if (identity(found) !== opened) throw gone(path, 'is another file');
    }
  }

  /** The same, without holding up anybody. @returns the size of each file, bytes, in their order */
  async look(): Promise<number[]> {
    const sizes: number[] = [];
    for (const [path, opened] of this.#files) sizes.push(await lookAt(path, opened));
    return sizes;
  }
}

async function lookAt(path: string, opened: string): Promise<number> {
  let found: BigIntStats;
  try {
    found = await stat(path, { bigint: true });
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw gone(path, isMissing ? 'is gone' : `cannot be found (${messageOf(cause)})`, cause);
  }
  if (identity(found) !== opened) throw gone(path, 'is another file');
  return Number(found.size);
}

function identity({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

function gone(path: string, what: string, cause?: unknown): RumormillError {
  const why = 'it was removed, moved or replaced while the broker ran';
  const lost = 'what was stored since may be lost';
  return new RumormillError('STORE', `${path} ${what}: ${why}; ${lost}`, { cause });
}
