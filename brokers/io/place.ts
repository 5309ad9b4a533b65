/**
 * Whether a store's files are still where they were opened.
 *
 * A file that is removed or replaced while it is open goes on without a name: whatever is written
 * to it, and synced, is gone when the process ends. So the files are known by device and inode, as
 * SQLite itself knows them (SQLITE_FCNTL_HAS_MOVED), and looked at while the broker runs. The lock
 * file is one of them: if that is gone, a second broker can take the folder.
 */
import { type BigIntStats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { RumormillError } from '../core/error.ts';
import { fileError } from './sqlite.ts';

export class Place {
  readonly #files: ReadonlyMap<string, string>;
  #fault: RumormillError | undefined; // the first one: those that follow from it say no more

  /** @param paths files that are open. @throws an error of the system */
  constructor(paths: readonly string[]) {
    this.#files = new Map(paths.map((path) => [path, identity(statSync(path, { bigint: true }))]));
  }

  /** @throws RumormillError STORE if one of the files was removed or replaced */
  check(): void {
    for (const [path, opened] of this.#files) {
      this.#compare(path, opened, statSync(path, { bigint: true, throwIfNoEntry: false }));
    }
  }

  /** The same, without holding up anybody. @returns the size of each file, bytes, in their order */
  async look(): Promise<number[]> {
    const sizes: number[] = [];
    for (const [path, opened] of this.#files) {
      sizes.push(Number(this.#compare(path, opened, await statOf(path)).size));
    }
    return sizes;
  }

  #compare(path: string, opened: string, found: BigIntStats | undefined): BigIntStats {
    if (found === undefined) this.#fault ??= gone(path, 'is gone');
    else if (identity(found) !== opened) this.#fault ??= gone(path, 'is another file');
    if (this.#fault !== undefined) throw this.#fault;
    return found!;
  }
}

/** What is there; undefined if nothing is. */
async function statOf(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(cause, `${path} cannot be found`);
  }
}

function identity({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

function gone(path: string, what: string): RumormillError {
  const why = 'it was removed, moved or replaced while the broker ran';
  const lost = 'what was stored since may be lost';
  return new RumormillError('STORE', `${path} ${what}: ${why}; ${lost}`);
}
