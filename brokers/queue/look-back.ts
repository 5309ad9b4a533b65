/** Finds the messages that a subscription delivers again: one page of the log, and the batch of it that is open. */
import type { Limits } from '../config.ts';
import type { Log } from '../core/log/log.ts';
import type { Message, StoredBatch } from '../core/log/record.ts';
import type { Source } from '../core/queue/lease.ts';
import { pageBytes } from '../core/read/pages.ts';
import type { Page } from '../core/log/store.ts';
import type { OpenBatch, Opener } from './opener.ts';

export interface LookBackRuntime {
  readonly log: Log;
  readonly limits: Limits;
}

export class LookBack {
  readonly #runtime: LookBackRuntime;
  readonly #opener: Opener;
  #batches: readonly StoredBatch[] = [];
  #bytes = 0;
  #open: OpenBatch | undefined;

  constructor(runtime: LookBackRuntime, opener: Opener) {
    this.#runtime = runtime;
    this.#opener = opener;
  }

  /** Bytes that were read from the disk and are kept. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /**
   * A message of a batch; undefined if it is not the subscription's any more, or done; a promise
   * while it is read: ask again then.
   * @param near the batch that the reader has open, which may be the one
   */
  find(source: Source, index: number, near: OpenBatch | undefined): Message | undefined | Promise<void> {
    const open = [this.#open, near].find((each) => each?.source.position === source.position);
    if (open !== undefined) {
      return index >= open.firstLive && this.#opener.isDue(open, index) ? open.messages[index] : undefined;
    }
    const next = this.#batches.find(({ position }) => position >= source.position);
    if (next?.position === source.position) {
      this.#open = this.#opener.open(next);
      return this.find(source, index, near);
    }
    const { log, limits } = this.#runtime;
    const reading = log.readAfter(source.position - 1, this.#opener.routes.topics, limits.queueReadBytes);
    if (reading instanceof Promise) {
      const kept = reading.then((page) => this.#keep(page, source, pageBytes(page)));
      kept.catch(() => undefined); // who waits for it gets the error; a PULL that has something already does not wait
      return kept;
    }
    this.#keep(reading, source, 0);
    return this.find(source, index, near);
  }

  /** Keeps nothing. */
  clear(): void {
    this.#batches = [];
    this.#bytes = 0;
    this.#open = undefined;
  }

  #keep(page: Page, source: Source, bytes: number): void {
    this.#batches = page.batches;
    this.#bytes = bytes;
    const isThere = page.batches[0]?.position === source.position;
    if (!isThere) this.#open = { source, messages: [], firstLive: 0, repeats: new Map() }; // it is gone
  }
}
