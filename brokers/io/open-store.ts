/**
 * Opens the store of a broker: makes its folder, takes the lock, and tells what a person should know.
 */
import { resolve } from 'node:path';
import type { Address } from '../core/address.ts';
import { makeOrigin, type Origin } from '../core/log/record.ts';
import type { Logger, Random } from '../core/runtime.ts';
import type { Store } from '../core/log/store.ts';
import { idleStoresBeside, lockFolder, makeFile, prepareFolder, type StorePaths, storePaths } from './folder.ts';
import { Mark } from './mark.ts';
import { Reserve } from './reserve.ts';
import { prepareSchema } from './schema.ts';
import { Handle, READ_ONLY, READ_WRITE, storeError } from './sqlite.ts';
import { SqliteStore } from './store.ts';
import { Upkeep } from './upkeep.ts';

const OTHERS_MAX = 10; // named in one line
const LOCKED_MS = 60 * 60 * 1000; // for which a write waits while some tool holds the file's lock

/**
 * Opens, or creates, the store in a folder. `folder/broker.db` is left as it is if it cannot be
 * used.
 * @param logger told what a person should know about the folder
 * @throws RumormillError STORE or DISKFULL that says in one line what is in the way
 */
export async function openStore(
  folder: string, address: Address, random: Random, logger: Pick<Logger, 'warn'> = { warn: () => {} },
): Promise<Store> {
  const paths = storePaths(resolve(folder));
  prepareFolder(paths, logger);
  const lock = await lockFolder(paths);
  try {
    const reserve = new Reserve(paths.reserve);
    const open = (): Promise<Store> => openFiles(paths, lock, reserve, makeOrigin(address, random));
    const store = await reserve.orWithoutIt(open);
    await reserve.fill();
    if (store.state.position === 0) await warnOfOthers(paths, logger);
    return store;
  } catch (error) {
    await lock.close();
    throw error;
  }
}

async function openFiles(
  paths: StorePaths, lock: Handle, reserve: Reserve, origin: Origin,
): Promise<Store> {
  let mark: Mark | undefined;
  let writer: Handle | undefined;
  let checkpointer: Handle | undefined;
  let reader: Handle | undefined;
  try {
    writer = await Handle.open(paths.db, READ_WRITE);
    await prepareSchema(writer, paths.db, origin);
    for (const file of [paths.mark, paths.reserve]) makeFile(file); // not beside a file that is none of ours
    mark = await Mark.open(paths.mark);
    checkpointer = await Handle.open(paths.db, READ_WRITE);
    await Upkeep.configure(writer, checkpointer);
    reader = await Handle.open(paths.db, READ_ONLY);
    const store = await SqliteStore.load({ lock, mark, writer, checkpointer, reader }, paths, reserve);
    await writer.exec('BEGIN IMMEDIATE; ROLLBACK'); // one hears at once that a tool holds the lock
    writer.waitForLocks(LOCKED_MS);
    return store;
  } catch (cause) {
    for (const handle of [reader, checkpointer, writer, mark]) await handle?.close();
    throw storeError(cause, paths.db);
  }
}

/** On a host whose address has changed, what it had stored would seem to be gone. */
async function warnOfOthers(paths: StorePaths, logger: Pick<Logger, 'warn'>): Promise<void> {
  const { folder } = paths;
  const others = await idleStoresBeside(paths);
  if (others.length === 0) return;
  const event = 'this store is new and empty, and beside it are stores of other addresses on which no broker runs';
  const remedy = `if one of them was this broker's before its address changed: stop the broker, remove ${folder}, `
    + 'rename the former folder to that, and start it again';
  logger.warn(event, { folder, others: others.slice(0, OTHERS_MAX).join(' '), count: others.length, remedy });
}
