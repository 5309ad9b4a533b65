/**
 * The reserve: a file of some size that is given up if a start finds the disk full, so that a
 * broker that was stopped can always be started and serve reads.
 *
 * Opening a store takes room: the index of the WAL, the WAL itself, a new name. When there is none,
 * the reserve's blocks are freed and the step is tried once more. While the reserve is not whole no
 * batch is written: room that comes back goes to the reserve first, so publishes never eat it up.
 * Its bytes are random, since some file systems store no zeros.
 *
 * What a broker that runs does on a full disk is in `host.ts` (`#failed`).
 */
import { randomBytes } from 'node:crypto';
import { statSync, truncateSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { isDiskFull } from '../core/error.ts';
import { fileError, isOutOfSpace } from './sqlite.ts';

const RESERVE_BYTES = 1024 * 1024; // a start took 200 KiB with a WAL of 64 MiB to read
const STEP_BYTES = 16 * 1024;

export class Reserve {
  readonly #file: string;
  #isWhole: boolean;
  #filling: Promise<void> | undefined;

  /** @param file need not be there before it is filled */
  constructor(file: string) {
    this.#file = file;
    this.#isWhole = sizeOf(file) >= RESERVE_BYTES;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  /**
   * Does a step of the start. Where that finds no room, the reserve is given up for it.
   * @throws what the step fails with
   */
  async orWithoutIt<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (!isDiskFull(error) || sizeOf(this.#file) === 0) throw error;
    }
    truncateSync(this.#file);
    this.#isWhole = false;
    return step();
  }

  /** Takes what room there is until it is whole. @throws RumormillError STORE */
  fill(): Promise<void> {
    if (this.#isWhole) return Promise.resolve();
    return (this.#filling ??= this.#fill().finally(() => (this.#filling = undefined)));
  }

  async #fill(): Promise<void> {
    try {
      const file = await open(this.#file, 'r+');
      try {
        for (let { size } = await file.stat(); size < RESERVE_BYTES; ) {
          size += (await file.write(randomBytes(STEP_BYTES), 0, STEP_BYTES, size)).bytesWritten;
        }
        await file.datasync(); // some file systems find out only then that there is no room
        this.#isWhole = true;
      } finally {
        await file.close();
      }
    } catch (error) {
      if (!isOutOfSpace(error)) throw fileError(error, `${this.#file} cannot be written`);
    }
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
