/**
 * What one subscription has still to deliver: the log, read with one position over all topics that
 * are bound, from where nothing before is left to do.
 *
 * Memory holds one page of the log while it is read from, and its batch that is open. A page from
 * the disk is read ahead while the messages before it are worked on. What is not for the
 * subscription, or done, is passed over.
 */
import type { Ledger } from './acknowledger.ts';
import type { Limits } from '../config.ts';
import { firstLive, type TopicNames } from '../core/catalog/catalog.ts';
import type { LeaseEntry, Source } from '../core/queue/leases.ts';
import type { Log } from '../core/log/log.ts';
import { pageBytes } from '../core/read/pages.ts';
import { positionAfter } from '../core/read/reader.ts';
import { type Message, messagesOf, type Origin, parseRepeats, type StoredBatch } from '../core/log/record.ts';
import type { Repeats } from '../core/log/repeats.ts';
import { isFor, Routes } from '../core/queue/routes.ts';
import type { Page, Store } from '../core/log/store.ts';
import type { BindingStart } from '../core/catalog/subscription.ts';

export interface BacklogRuntime {
  readonly log: Log;
  readonly store: Store;
  readonly repeats: Repeats;
  readonly limits: Limits;
  readonly catalog: TopicNames;
}

/** A batch with its messages, those that are gone left out. */
export interface OpenBatch {
  readonly source: Source;
  readonly messages: readonly Message[]; // empty where the batch is covered
  readonly firstLive: number; // index
  readonly repeats: ReturnType<typeof parseRepeats>;
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
  #routes: Routes;
  #position = 0; // up to which everything has been passed
  #partial: Source | undefined; // the batch behind it, of which
  #index = 0; // so many messages have been passed too
  #stretch: Stretch | undefined;
  #open: OpenBatch | undefined;
  #stretchBefore: readonly StoredBatch[] = []; // of messages that are delivered again
  #bytesBefore = 0; // of them, read from the disk
  #openBefore: OpenBatch | undefined;
  #reading: Promise<void> | undefined;
  #generation = 0; // grows when the position moves back, so that what is being read is not for it any more
  #isUsed = false; // since the last tick

  constructor(runtime: BacklogRuntime, ledger: Ledger, routes: Routes) {
    this.#runtime = runtime;
    this.#ledger = ledger;
    this.#routes = routes;
    this.#rewind();
  }

  /** Everything that is the subscription's up to this position has been passed. */
  get position(): number {
    return this.#position;
  }

  /** Bytes of what was read from the disk. */
  get heldBytes(): number {
    return (this.#stretch?.bytes ?? 0) + this.#bytesBefore;
  }

  /** The bindings have changed: what was not looked for so far is, from where it may begin. */
  configure(routes: Routes): void {
    this.#routes = routes;
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
      if (this.#index >= messages.length) {
        this.#pass(source.position);
        continue;
      }
      const index = this.#index;
      const message = messages[index]!;
      if (this.#isDue(open, index) && !isTaken(source.origin, source.seq + index, source)) {
        return { source, index, message };
      }
      this.advance();
    }
    return 'pause';
  }

  /** The message that `next` returned has been taken. */
  advance(): void {
    this.#index += 1;
    this.#partial = this.#open?.source;
  }

  /** A message that has been delivered before, undefined where it is not the subscription's any more or done. */
  again(source: Source, index: number): Message | undefined | Promise<void> {
    this.#isUsed = true;
    const open = [this.#openBefore, this.#open].find((each) => each?.source.position === source.position);
    if (open !== undefined) {
      return index >= open.firstLive && this.#isDue(open, index) ? open.messages[index] : undefined;
    }
    const near = this.#stretchBefore.find(({ position }) => position >= source.position);
    if (near?.position === source.position) {
      this.#openBefore = this.#opened(near);
      return this.again(source, index);
    }
    const { log, limits } = this.#runtime;
    const reading = log.readAfter(source.position - 1, this.#routes.topics, limits.queueReadBytes);
    if (reading instanceof Promise) return reading.then((page) => this.#keepBefore(page, source, pageBytes(page)));
    this.#keepBefore(reading, source, 0);
    return this.again(source, index);
  }

  /** Everything up to a position is done. */
  skipTo(position: number): void {
    if (position <= this.#position) return;
    this.#pass(position);
    this.#stretch = undefined;
  }

  /** Gives back what is kept of the log where nobody has read on for a while. */
  tick(): void {
    if (!this.#isUsed && this.#reading === undefined) {
      this.#stretch = this.#open = this.#openBefore = undefined;
      this.#stretchBefore = [];
      this.#bytesBefore = 0;
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
    for (const entry of entries) {
      if (this.#hasPassed(entry)) count += entry.state === 'ready' ? 1 : 0;
      else if (entry.state !== 'ready') count -= 1;
    }
    const { log, store, limits } = this.#runtime;
    const [routes, after, { done }] = [this.#routes, this.#position, this.#ledger];
    const passed = new Map(after >= log.position ? log.vector.snapshot() : await store.vectorAt(after));
    if (this.#partial !== undefined) passed.set(this.#partial.origin, this.#partial.seq + this.#index - 1);
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

  #hasPassed({ source, seq }: LeaseEntry): boolean {
    if (source === undefined) return false;
    return (
      source.position <= this.#position ||
      (source.position === this.#partial?.position && seq - source.seq < this.#index)
    );
  }

  /** The batch to go on in, opened. */
  #current(): OpenBatch | 'end' | Promise<void> {
    for (;;) {
      if (this.#reading !== undefined) return this.#reading;
      if (this.#open !== undefined && this.#open.source.position > this.#position) return this.#open;
      const stretch = this.#stretch;
      const batch = stretch?.page.batches[stretch.at];
      if (batch !== undefined) {
        stretch!.at += 1;
        if (batch.position <= this.#position) continue;
        if (this.#partial?.position !== batch.position) {
          this.#pass(batch.position - 1);
        } // what lies between is not the subscription's
        return (this.#open = this.#opened(batch));
      }
      if (stretch !== undefined && stretch.page.through > this.#position) this.#pass(stretch.page.through);
      this.#stretch = undefined;
      if (this.#position >= this.#runtime.log.position) return 'end';
      if (this.#routes.topics.size === 0) this.skipTo(this.#runtime.log.position);
      else this.#read();
    }
  }

  #pass(position: number): void {
    this.#position = position;
    this.#index = 0;
    this.#partial = this.#open = undefined;
  }

  #keepBefore(page: Page, source: Source, bytes: number): void {
    this.#stretchBefore = page.batches;
    this.#bytesBefore = bytes;
    if (page.batches[0]?.position !== source.position) {
      this.#openBefore = { source, messages: [], firstLive: 0, repeats: new Map() };
    } // it is gone
  }

  #read(): void {
    const { log, limits } = this.#runtime;
    const generation = this.#generation;
    const take = (page: Page, bytes: number): void => {
      if (generation === this.#generation) this.#stretch = { page, at: 0, bytes };
    };
    const reading = log.readAfter(this.#position, this.#routes.topics, limits.queueReadBytes);
    if (reading instanceof Promise) this.#wait(reading.then((page) => take(page, pageBytes(page))));
    else take(reading, 0);
  }

  /** Moves back to where something may be left to do. */
  #rewind(): void {
    const { log, store } = this.#runtime;
    const generation = (this.#generation += 1);
    this.#stretch = this.#openBefore = undefined;
    this.#stretchBefore = [];
    this.#bytesBefore = 0;
    this.#pass(0);
    const place = (position: number): void => {
      if (generation === this.#generation) this.#pass(this.#routes.starts.length === 0 ? log.position : position);
    };
    this.#wait(positionAfter(log, store, this.#routes.settled(this.#ledger.done)).then(place));
  }

  #wait(reading: Promise<void>): void {
    const waiting = reading.finally(() => {
      if (this.#reading === waiting) this.#reading = undefined;
    });
    waiting.catch(() => undefined); // whoever goes on reading awaits it too, and has the error
    this.#reading = waiting;
  }

  #opened(batch: StoredBatch): OpenBatch {
    const { position, topic, origin, seq, lamport } = batch;
    const { catalog } = this.#runtime;
    const source: Source = { position, topic, origin, seq, lamport };
    const messages = messagesOf(batch);
    if (catalog.isPlain) return { source, messages, firstLive: 0, repeats: parseRepeats(batch) };
    const shown = catalog.shownTopic(topic);
    const named = shown === topic ? messages : messages.map((message) => ({ ...message, topic: shown }));
    return {
      source, messages: named, firstLive: firstLive(batch, catalog.deadBefore(topic)), repeats: parseRepeats(batch),
    };
  }

  #isDue({ source, messages, firstLive: live, repeats }: OpenBatch, index: number): boolean {
    const message = messages[index];
    if (message === undefined || index < live) return false;
    const starts = this.#routes.startsFor(source.topic, message.key);
    if (starts.length === 0) return false;
    const seq = source.seq + index;
    return isFor(starts, source.origin, seq) && !repeats.has(index) && !this.#isDone(source.origin, seq, starts);
  }

  /** A copy of it that is done, under whatever name, will do. */
  #isDone(origin: Origin, seq: number, starts: readonly BindingStart[]): boolean {
    if (this.#ledger.isDone(origin, seq, starts)) return true;
    return this.#runtime.repeats.copies(origin, seq).some((copy) => this.#ledger.isDone(copy.origin, copy.seq, starts));
  }
}
