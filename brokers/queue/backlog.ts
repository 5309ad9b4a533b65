/**
 * What one subscription has still to deliver: the log, read with one position over all topics that
 * are bound, from a place before which nothing is left to do.
 *
 * Memory holds one page of the log while it is read from, and its batch that is open. A page from
 * the disk is read ahead while the messages before it are worked on. What is not for the
 * subscription, or done, is passed over.
 *
 * Always true:
 *   - `open` is the batch in which `place` is, or the next one behind it; nothing between is the subscription's.
 *   - `stretch` was read for this generation of `place`, and its batches before `at` have been opened or passed.
 *   - While `reading` is set, nothing else is read.
 */
import type { Ledger } from './acknowledger.ts';
import type { Limits } from '../config.ts';
import type { LeaseEntry, Source } from '../core/queue/lease.ts';
import { Place } from '../core/queue/place.ts';
import type { Log } from '../core/log/log.ts';
import { pageBytes } from '../core/read/pages.ts';
import { positionAfter } from '../core/read/reader.ts';
import type { Message, Origin } from '../core/log/record.ts';
import type { Routes } from '../core/queue/routes.ts';
import type { Page, Store } from '../core/log/store.ts';
import { LookBack } from './look-back.ts';
import { type OpenBatch, Opener, type OpenerRuntime } from './opener.ts';

export interface BacklogRuntime extends OpenerRuntime {
  readonly log: Log;
  readonly store: Store;
  readonly limits: Limits;
}

/** A message that the subscription has to deliver. */
export interface Due {
  readonly source: Source;
  readonly index: number;
  readonly message: Message;
}

/** The end of the log; something to wait for; or the reader has been at it for long enough. */
export type Pause = 'end' | 'pause' | Promise<void>;

interface Stretch {
  readonly page: Page;
  at: number; // index of the batch that comes next
  readonly bytes: number; // read from the disk for it alone
}

export class Backlog {
  readonly #runtime: BacklogRuntime;
  readonly #ledger: Ledger;
  readonly #opener: Opener;
  readonly #place = new Place();
  readonly #before: LookBack;
  #stretch: Stretch | undefined;
  #open: OpenBatch | undefined;
  #reading: Promise<void> | undefined;
  #isUsed = false; // since the last tick

  constructor(runtime: BacklogRuntime, ledger: Ledger, routes: Routes) {
    this.#runtime = runtime;
    this.#ledger = ledger;
    this.#opener = new Opener(runtime, ledger, routes);
    this.#before = new LookBack(runtime, this.#opener);
    this.#rewind();
  }

  /** Everything that is the subscription's up to this position has been passed. */
  get position(): number {
    return this.#place.position;
  }

  /** Bytes of what was read from the disk. */
  get heldBytes(): number {
    return (this.#stretch?.bytes ?? 0) + this.#before.heldBytes;
  }

  /** The bindings have changed: what was not looked for so far is looked for, from the place where it may begin. */
  configure(routes: Routes): void {
    this.#opener.routes = routes;
    this.#rewind();
  }

  /**
   * The next message that is due, or why there is none now.
   * @param isTaken whether it has been delivered before and is looked after elsewhere
   */
  next(isTaken: (origin: Origin, seq: number, source: Source) => boolean): Due | Pause {
    this.#isUsed = true;
    for (let passed = 0; passed < this.#runtime.limits.queueScanMax; passed += 1) {
      const open = this.#current();
      if (open === 'end' || open instanceof Promise) return open;
      const { source, messages } = open;
      const { index } = this.#place;
      const message = messages[index];
      if (message === undefined) {
        this.#pass(source.position);
        continue;
      }
      const isDue = this.#opener.isDue(open, index);
      if (isDue && !isTaken(source.origin, source.seq + index, source)) return { source, index, message };
      this.#place.advance(source);
    }
    return 'pause';
  }

  /** The message that `next` returned has been taken. */
  advance({ source }: Due): void {
    this.#place.advance(source);
  }

  /**
   * A message that has been delivered before; undefined if it is not the subscription's any more, or
   * done; a promise while it is read: ask again then.
   */
  again(source: Source, index: number): Message | undefined | Promise<void> {
    this.#isUsed = true;
    return this.#before.find(source, index, this.#open);
  }

  /** Everything up to a position is done. */
  skipTo(position: number): void {
    if (position <= this.#place.position) return;
    this.#pass(position);
    this.#stretch = undefined;
  }

  /** Gives back what is kept of the log if nobody has read on for a while. */
  tick(): void {
    if (!this.#isUsed && this.#reading === undefined) {
      this.#stretch = this.#open = undefined;
      this.#before.clear();
    }
    this.#isUsed = false;
  }

  /**
   * How many messages wait to be delivered, for the first time or again; counted in steps.
   * @param entries what was delivered before
   */
  async count(entries: Iterable<LeaseEntry>): Promise<number> {
    while (this.#reading !== undefined) await this.#reading;
    let count = 0;
    for (const { source, seq, state } of entries) {
      if (source !== undefined && this.#place.has(source, seq)) count += state === 'ready' ? 1 : 0;
      else if (state !== 'ready') count -= 1;
    }
    const { log, store, limits } = this.#runtime;
    const [{ routes }, after, { done }] = [this.#opener, this.#place.position, this.#ledger];
    const passed = this.#place.vector(after >= log.position ? log.vector.snapshot() : await store.vectorAt(after));
    const until = log.position;
    const settled = new Map(passed);
    for (const topic of routes.topics) {
      const bounds = routes.settledOf(topic, done);
      for (const [origin, seq] of passed) bounds.set(origin, Math.max(seq, bounds.get(origin) ?? 0));
      for (const [origin, seq] of bounds) settled.set(origin, Math.max(seq, settled.get(origin) ?? 0));
      for (let at = after; at < until; ) {
        const counted = await store.count({
          topic, keys: routes.keysOf(topic), after: at, until, settled: bounds, batchesMax: limits.countBatchesMax,
        });
        count += counted.messages;
        at = counted.through;
      }
    }
    for (const origin of done.origins()) count -= done.countAbove(origin, settled.get(origin) ?? 0);
    return Math.max(0, count);
  }

  /** The batch to go on in, opened. */
  #current(): OpenBatch | 'end' | Promise<void> {
    const { log } = this.#runtime;
    for (;;) {
      const { position } = this.#place;
      if (this.#reading !== undefined) return this.#reading;
      if (this.#open !== undefined && this.#open.source.position > position) return this.#open;
      const stretch = this.#stretch;
      const batch = stretch?.page.batches[stretch.at];
      if (batch !== undefined) {
        stretch!.at += 1;
        if (batch.position <= position) continue;
        if (!this.#place.isIn(batch.position)) this.#pass(batch.position - 1); // nothing between is the subscription's
        return (this.#open = this.#opener.open(batch));
      }
      if (stretch !== undefined && stretch.page.through > position) this.#pass(stretch.page.through);
      this.#stretch = undefined;
      if (this.#place.position >= log.position) return 'end';
      if (this.#opener.routes.topics.size === 0) this.skipTo(log.position);
      else this.#read();
    }
  }

  #pass(position: number): void {
    this.#place.pass(position);
    this.#open = undefined;
  }

  #read(): void {
    const { log, limits } = this.#runtime;
    const { position, generation } = this.#place;
    const take = (page: Page, bytes: number): void => {
      if (generation === this.#place.generation) this.#stretch = { page, at: 0, bytes };
    };
    const reading = log.readAfter(position, this.#opener.routes.topics, limits.queueReadBytes);
    if (reading instanceof Promise) this.#wait(reading.then((page) => take(page, pageBytes(page))));
    else take(reading, 0);
  }

  /** Moves back to the place where something may be left to do. */
  #rewind(): void {
    const { log, store } = this.#runtime;
    this.#stretch = this.#open = undefined;
    this.#before.clear();
    this.#place.rewind();
    const { generation } = this.#place;
    const { routes } = this.#opener;
    const found = (position: number): void => {
      if (generation === this.#place.generation) this.#pass(routes.starts.length === 0 ? log.position : position);
    };
    this.#wait(positionAfter(log, store, routes.settled(this.#ledger.done)).then(found));
  }

  #wait(reading: Promise<void>): void {
    const waiting = reading.finally(() => {
      if (this.#reading === waiting) this.#reading = undefined;
    });
    waiting.catch(() => undefined); // who goes on reading awaits it too, and gets the error
    this.#reading = waiting;
  }
}
