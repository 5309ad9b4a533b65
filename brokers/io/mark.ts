/**
 * The mark: how far a store has come, kept outside its SQLite file.
 *
 * What was committed last is in the WAL, a file of its own. If that is deleted or damaged while the
 * broker is down, SQLite opens `broker.db` as it was before, without an error, and acknowledged
 * records are gone without a trace. So the newest position and Lamport timestamp are written to
 * `broker.mark` too. A store that is opened and has come less far has lost records: it says so, and
 * goes on under a new name (invariant 1).
 *
 * The mark is written after the commits that it tells of, so it never runs ahead. It is not synced,
 * and written every `BEAT_MS` at most: what was committed since, or in the seconds before a power
 * cut, is not proven. One write in place, of less than a sector: there is the mark before it or
 * after it. A store without a mark, as of an earlier version, proves nothing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { isCount, isObject, parseJson } from '../core/json.ts';
import { fileError, isOutOfSpace } from './sqlite.ts';

const BEAT_MS = 20;
/** Messages that may be stored after the last mark: their timestamps, which are in their ids, are not given again. */
const UNMARKED_MAX = 100_000;
const BYTES = 96; // of the file, always: nothing is ever cut off

export interface Progress {
  readonly position: number;
  readonly lamport: number;
}

export class Mark {
  readonly #path: string;
  readonly #file: FileHandle;
  #fault: unknown;
  #wanted: Progress | undefined;
  #isWriting = false;
  #written: Promise<void> = Promise.resolve();

  /**
   * @param path an existing file. Whether it stays there is for the caller to watch (place.ts)
   * @throws RumormillError STORE
   */
  static async open(path: string): Promise<Mark> {
    try {
      return new Mark(path, await open(path, 'r+'));
    } catch (error) {
      throw fileError(error, `${path} cannot be opened`);
    }
  }

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** Why it cannot be written, unless the disk is full; undefined while it can. */
  get fault(): unknown {
    return this.#fault;
  }

  /** Soon writes what is noted last. The first note after a quiet time is written at once. */
  note(progress: Progress): void {
    this.#wanted = progress;
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#written = this.#write();
  }

  /** Writes what was noted, and closes the file. */
  async close(): Promise<void> {
    await this.#written;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    try {
      while (this.#wanted !== undefined) {
        const text = `${JSON.stringify(this.#wanted).padEnd(BYTES - 1)}\n`;
        this.#wanted = undefined;
        await this.#file.write(text, 0);
        await wait(BEAT_MS);
      }
    } catch (error) {
      if (!isOutOfSpace(error)) this.#fault = fileError(error, `${this.#path} cannot be written`);
    } finally {
      this.#isWriting = false; // in the turn in which the loop found nothing more
    }
  }
}

/** What a mark says of a store. */
export interface Proof {
  /** If records are missing: a timestamp that neither they nor any later record had. */
  readonly lamport: number;
  /** Why records are missing, for people; undefined if nothing says so. */
  readonly loss: string | undefined;
}

/**
 * Compares a store that has come to a position with its mark.
 * @throws RumormillError STORE if the mark cannot be read
 */
export function compareMark(file: string, position: number): Proof {
  let text = '';
  try {
    if (existsSync(file)) text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw fileError(error, `${file} cannot be read`);
  }
  if (text === '') return { lamport: 0, loss: undefined };
  const mark = parseMark(text);
  if (mark === undefined) return { lamport: 0, loss: 'its broker.mark is damaged and proves nothing' };
  if (mark.position <= position) return { lamport: 0, loss: undefined };
  const loss = `it held ${mark.position} batches when it last ran, and holds ${position} now`;
  return { lamport: mark.lamport + UNMARKED_MAX, loss };
}

function parseMark(text: string): Progress | undefined {
  const mark = parseJson(text);
  return isObject(mark) && isCount(mark['position']) && isCount(mark['lamport'])
    ? { position: mark['position'], lamport: mark['lamport'] }
    : undefined;
}
