/**
 * One connection to an SQLite file, through the `sqlite3` package; the only file that knows that package.
 *
 * The package: parameters that are undefined or BigInt become NULL without an error; a statement that is not finalized
 * makes `close` fail.
 */
import { statfsSync } from 'node:fs';
import sqlite3 from 'sqlite3';
import { messageOf, RumormillError } from '../core/error.ts';

export const READ_ONLY = sqlite3.OPEN_READONLY;
export const READ_WRITE = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE;

const INDEX_STEP_BYTES = 32 * 1024; // by which SQLite lets the index of a WAL grow

export type Row = Record<string, unknown>;
export type Param = string | number | Uint8Array;

/** A connection, with promises and statements that are prepared once. */
export class Handle {
  readonly #file: string;
  readonly #db: sqlite3.Database;
  readonly #statements = new Map<string, Promise<sqlite3.Statement>>();

  static open(file: string, mode: number): Promise<Handle> {
    return new Promise((resolve, reject) => {
      const db = new sqlite3.Database(file, mode, (error) =>
        error ? reject(failure(error, file)) : resolve(new Handle(file, db)),
      );
    });
  }

  private constructor(file: string, db: sqlite3.Database) {
    this.#file = file;
    this.#db = db;
  }

  /**
   * How long it waits from now on for a lock that another connection has, on a thread of libuv's pool; the package's
   * own choice is a second.
   */
  waitForLocks(ms: number): void {
    this.#db.configure('busyTimeout', ms);
  }

  exec(sql: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#db.exec(sql, (error) => (error ? reject(failure(error, this.#file)) : resolve()));
    });
  }

  /** Rows of a statement that is used once. */
  all(sql: string): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      this.#db.all(sql, (error: Error | null, rows: Row[]) =>
        error ? reject(failure(error, this.#file)) : resolve(rows),
      );
    });
  }

  async run(sql: string, ...params: Param[]): Promise<void> {
    const statement = await this.#statement(sql);
    return new Promise((resolve, reject) => {
      statement.run(params, (error: Error | null) => (error ? reject(failure(error, this.#file)) : resolve()));
    });
  }

  async query(sql: string, ...params: Param[]): Promise<Row[]> {
    const statement = await this.#statement(sql);
    return new Promise((resolve, reject) => {
      statement.all(params, (error: Error | null, rows: Row[]) => (error ? reject(error) : resolve(rows)));
    });
  }

  async close(): Promise<void> {
    for (const prepared of this.#statements.values()) {
      const statement = await prepared;
      await new Promise<void>((resolve, reject) => {
        statement.finalize((error?: Error | null) => (error ? reject(error) : resolve()));
      });
    }
    await new Promise<void>((resolve, reject) => this.#db.close((error) => (error ? reject(error) : resolve())));
  }

  /**
   * What was begun with a statement that cannot be prepared is never called back by the package, so nothing is begun
   * before it is.
   */
  #statement(sql: string): Promise<sqlite3.Statement> {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const prepared = new Promise<sqlite3.Statement>((resolve, reject) => {
      const statement = this.#db.prepare(sql, (error: Error | null) => {
        if (error === null) return resolve(statement);
        this.#statements.delete(sql);
        reject(failure(error, this.#file));
      });
    });
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

/** Of a WAL whose index cannot grow, or that cannot be made, for want of room, SQLite tells only that it failed. */
function failure(error: Error, file: string): Error {
  const isVague = VAGUE.has(sqliteCode(error));
  return isVague && !hasRoom(file) ? Object.assign(error, { code: 'SQLITE_FULL' }) : error;
}

const VAGUE: ReadonlySet<string> = new Set(['SQLITE_IOERR', 'SQLITE_CANTOPEN']);

/** Whether the file could grow a little, and another one could be made beside it. */
function hasRoom(file: string): boolean {
  try {
    const { bavail, bsize, files, ffree } = statfsSync(file);
    return bavail * bsize >= INDEX_STEP_BYTES && (files === 0 || ffree > 0); // some count no files
  } catch {
    return true; // the file is gone: that is not for want of room
  }
}

export function sqliteCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** Whether an error of the file system says that there is no room: on the disk, or in a quota. */
export function isOutOfSpace(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(sqliteCode(error));
}

/** An error of the file system, as a RumormillError DISKFULL or STORE that begins with `what`. */
export function fileError(cause: unknown, what: string): RumormillError {
  return new RumormillError(isOutOfSpace(cause) ? 'DISKFULL' : 'STORE', `${what}: ${messageOf(cause)}`, { cause });
}

export function storeError(cause: unknown, file: string): RumormillError {
  if (cause instanceof RumormillError) return cause;
  const code = sqliteCode(cause);
  if (code === 'SQLITE_FULL') {
    return new RumormillError('DISKFULL', `no room on the disk (ENOSPC) for ${file}; nothing was stored`, { cause });
  }
  if (code === 'SQLITE_NOTADB') return new RumormillError('STORE', `${file} is not an SQLite database`, { cause });
  if (code === 'SQLITE_CANTOPEN' || code === 'SQLITE_READONLY') {
    return new RumormillError('STORE', `${file} cannot be opened for writing`, { cause });
  }
  return new RumormillError('STORE', `${file}: ${messageOf(cause)}`, { cause });
}
