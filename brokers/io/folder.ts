/**
 * The folder of one store: made for its user alone, held by one broker at a time, and told apart
 * from the stores that lie beside it.
 *
 * Messages are as private as their readers want them to be, so a folder has mode 0700 and each file
 * 0600, those of earlier versions too. SQLite gives the files that it makes beside `broker.db` the
 * mode of that one.
 *
 * Files that SQLite has open are never opened and closed by anybody else in this process: with that,
 * POSIX drops every lock that the process has on them (https://sqlite.org/howtocorrupt.html, section
 * 2.2). They are looked at by name, or made if there are none yet.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { messageOf, RumormillError } from '../core/error.ts';
import type { Logger } from '../core/runtime.ts';
import { fileError, Handle, READ_ONLY, READ_WRITE, sqliteCode, storeError } from './sqlite.ts';

const FOLDER_MODE = 0o700;
export const FILE_MODE = 0o600;
export const OTHERS = 0o077; // the permissions of group and world
const BESIDE_MAX = 1000; // folders beside a store that are looked at

/** The paths of a store's files. */
export interface StorePaths {
  readonly folder: string; // absolute
  readonly db: string;
  readonly wal: string;
  readonly shm: string;
  readonly lock: string;
  readonly mark: string; // mark.ts
  readonly reserve: string; // reserve.ts
  readonly key: string; // identity.ts
}

export function storePaths(folder: string): StorePaths {
  const at = (name: string): string => join(folder, name);
  const [db, wal, shm] = [at('broker.db'), at('broker.db-wal'), at('broker.db-shm')];
  const [lock, mark, reserve, key] = [at('broker.lock'), at('broker.mark'), at('broker.reserve'), at('broker.key')];
  return { folder, db, wal, shm, lock, mark, reserve, key };
}

/**
 * Makes the folder and the files that SQLite is to open, and takes the permissions of others away
 * from what is there, except from a key: what others could read is no secret any more.
 * @throws RumormillError STORE or DISKFULL that says in one line what is in the way
 */
export function prepareFolder({ folder, lock, db, key }: StorePaths, logger: Pick<Logger, 'warn'>): void {
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (cause) {
    throw fileError(cause, `data folder ${folder} cannot be made`);
  }
  for (const file of [lock, db]) makeFile(file);
  try {
    makePrivate(folder, FOLDER_MODE);
    for (const name of readdirSync(folder)) {
      if (name.startsWith('broker.') && name !== basename(key)) makePrivate(join(folder, name), FILE_MODE);
    }
  } catch (error) {
    const reason = messageOf(error);
    logger.warn('others may read the data folder, and this user cannot change it', { folder, reason });
  }
}

/** Makes an empty file if there is none. @throws RumormillError STORE or DISKFULL */
export function makeFile(file: string): void {
  try {
    if (!existsSync(file)) closeSync(openSync(file, 'wx', FILE_MODE));
  } catch (cause) {
    throw fileError(cause, `${file} cannot be made`);
  }
}

function makePrivate(path: string, mode: number): void {
  if ((statSync(path).mode & OTHERS) !== 0) chmodSync(path, mode);
}

/**
 * Keeps a second broker out of the folder for as long as the handle is open: an exclusive SQLite
 * lock on an empty file, which the system releases however the process ends.
 * @throws RumormillError STORE
 */
export async function lockFolder({ folder, lock: file }: StorePaths): Promise<Handle> {
  let lock: Handle | undefined;
  try {
    lock = await Handle.open(file, READ_WRITE);
    // without a file beside it, for which there may be no room
    await lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return lock;
  } catch (cause) {
    await lock?.close();
    if (sqliteCode(cause) === 'SQLITE_BUSY') {
      throw new RumormillError('STORE', `another broker is running on data folder ${folder}`, { cause });
    }
    throw storeError(cause, file);
  }
}

/** The folders beside this one that hold a store on which no broker runs, in order. */
export async function idleStoresBeside({ folder }: StorePaths): Promise<string[]> {
  const parent = dirname(folder);
  const entries = readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== basename(folder));
  const found: string[] = [];
  for (const { name } of entries.slice(0, BESIDE_MAX)) {
    const paths = storePaths(join(parent, name));
    const size = statSync(paths.db, { throwIfNoEntry: false })?.size ?? 0;
    if (size > 0 && !(await isInUse(paths))) found.push(paths.folder);
  }
  return found.sort();
}

/** Whether a broker holds the lock. One that starts meanwhile waits for the moment that this takes. */
async function isInUse({ lock: file }: StorePaths): Promise<boolean> {
  if (!existsSync(file)) return false;
  let lock: Handle | undefined;
  try {
    lock = await Handle.open(file, READ_ONLY);
    lock.waitForLocks(0);
    await lock.all('SELECT 1 FROM sqlite_schema');
    return false;
  } catch {
    return true; // or it cannot be opened, so that it is nothing for this user to advise on
  } finally {
    await lock?.close();
  }
}
