/**
 * A file that holds a subscriber's cursor, so that the next run goes on where this one ended.
 *
 * It is rewritten whole: a temporary file beside it is synced, then renamed over it. So whenever the process or the
 * machine dies, the file holds the old cursor or the new one, never a part.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import { decodeCursor } from '../../brokers/core/read/cursor.ts';
import { messageOf, RumormillError } from '../../brokers/core/error.ts';

export class CursorFile {
  readonly #path: string;
  readonly #temporary: string;

  constructor(path: string) {
    this.#path = path;
    this.#temporary = `${path}.${process.pid}.tmp`;
  }

  /**
   * The cursor in the file; undefined if there is no file yet, or an empty one.
   * @throws RumormillError CONFIG if it cannot be read, or holds something else
   */
  async read(): Promise<string | undefined> {
    let text: string;
    try {
      text = (await readFile(this.#path, 'utf8')).trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw this.#error('cannot be read', error);
    }
    if (text === '') return undefined;
    try {
      decodeCursor(text);
    } catch (error) {
      throw this.#error('holds no cursor', error);
    }
    return text;
  }

  /** @throws RumormillError CONFIG if it cannot be written; what it held is still there */
  async write(cursor: string): Promise<void> {
    try {
      const file = await open(this.#temporary, 'w', 0o600); // what somebody reads is nobody else's business
      try {
        await file.writeFile(`${cursor}\n`);
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(this.#temporary, this.#path);
    } catch (error) {
      await rm(this.#temporary, { force: true });
      throw this.#error('cannot be written', error);
    }
  }

  #error(what: string, cause: unknown): RumormillError {
    return new RumormillError('CONFIG', `cursor file ${this.#path} ${what}: ${messageOf(cause)}`, { cause });
  }
}
