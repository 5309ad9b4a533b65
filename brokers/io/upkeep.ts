/**
 * The upkeep of a store: moves what is in the WAL into the tables, indexes what came, and keeps the
 * WAL short, while commits go on.
 *
 * A reader that stays keeps the WAL from starting again, so it grows. Once the reader has gone, the
 * next commit that starts it again cuts it to `journal_size_limit`. If no commit comes, `looked`
 * empties it.
 */
import { type Handle, sqliteCode } from './sqlite.ts';

const CHECKPOINT = 'PRAGMA wal_checkpoint(PASSIVE)';
const EMPTY = 'PRAGMA wal_checkpoint(TRUNCATE)'; // does nothing if somebody reads
/** A quarter of what SQLite itself lets come together: a commit meanwhile waits less for the disk. */
const CHECKPOINT_BYTES = 1024 * 1024;
const CHECKPOINT_PAGES_MAX = 16_000; // in the WAL; then a commit waits until they are moved
const WAL_BYTES_MAX = 32 * 1024 * 1024; // that the file keeps; under load it comes to less

/** What passes: there is no room, or a tool has the file for itself. */
const PASSING: ReadonlySet<string> = new Set(['SQLITE_FULL', 'SQLITE_BUSY']);

export class Upkeep {
  readonly #writer: Handle;
  readonly #checkpointer: Handle;
  readonly #index: string;
  /** About what was written since the last one began. One follows the first write, for what an earlier process left. */
  #bytes = CHECKPOINT_BYTES;
  #bytesSeen = 0;
  #running: Promise<void> | undefined;
  #fault: unknown;

  /** @param index the statement that indexes what came */
  constructor(writer: Handle, checkpointer: Handle, index: string) {
    this.#writer = writer;
    this.#checkpointer = checkpointer;
    this.#index = index;
  }

  /** Settings of the connections. */
  static async configure(writer: Handle, checkpointer: Handle): Promise<void> {
    await writer.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES_MAX}`);
    await writer.exec(`PRAGMA journal_size_limit = ${WAL_BYTES_MAX}`);
    checkpointer.waitForLocks(0); // else it would hold up commits while it waits for a reader
  }

  /** Why it failed; undefined while it has not. */
  get fault(): unknown {
    return this.#fault;
  }

  /** A commit brought about so many bytes into the WAL. */
  wrote(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes >= CHECKPOINT_BYTES) this.#begin(() => this.#writer.run(this.#index));
  }

  /** To be told now and then how large the WAL is: empties one that is too large, if nothing was written meanwhile. */
  looked(walBytes: number): void {
    const isQuiet = this.#bytes === this.#bytesSeen;
    this.#bytesSeen = this.#bytes;
    if (isQuiet && walBytes > WAL_BYTES_MAX) this.#begin(() => this.#checkpointer.exec(EMPTY));
  }

  /** Resolves when none is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  #begin(then: () => Promise<void>): void {
    if (this.#running !== undefined) return;
    this.#bytes = 0;
    this.#running = this.#move(then).finally(() => (this.#running = undefined));
  }

  /**
   * Moves what is in the WAL into the tables while commits go on, and what they bring meanwhile
   * between two of them: only when everything is moved does the WAL start again. What passes is put
   * off, and the WAL grows until a commit finds no room either. Any other error fails the next write.
   */
  async #move(then: () => Promise<void>): Promise<void> {
    try {
      await this.#checkpointer.exec(CHECKPOINT);
      await this.#writer.exec(CHECKPOINT);
      await then();
    } catch (error) {
      if (!PASSING.has(sqliteCode(error))) this.#fault = error;
    }
  }
}
