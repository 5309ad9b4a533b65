/**
 * Who reads the log: POLL, which waits for what comes, RANGE and LATEST, and those who have subscribed and are pushed
 * to (pushes.ts).
 */
import type { Cancellation } from '../core/cancellation.ts';
import { RumormillError } from '../core/error.ts';
import { CLOSED_TOPIC } from '../core/log/closings.ts';
import { type Cursor, decodeCursor } from '../core/read/cursor.ts';
import { LongPoll, type Waiter } from '../core/read/long-poll.ts';
import { Pages } from '../core/read/pages.ts';
import type { PubSub } from '../core/read/pub-sub.ts';
import {
  earliestCursor, latestCursor, readRange, type ReadLimits, ReadResult, type ReadSource, readTopics, shortCursor,
  storedTopics, wholeCursor,
} from '../core/read/reader.ts';
import type { Message, StoredBatch } from '../core/log/record.ts';
import type { Clock } from '../core/runtime.ts';
import type { RangeQuery } from '../core/log/store.ts';
import type { Vector } from '../core/log/version-vector.ts';
import type { Tally } from '../logging/tally.ts';
import { Pushes, type PushesRuntime, type Subscriber } from './pushes.ts';

/** What a POLL asks for. */
export interface PollRequest {
  readonly topics: readonly string[]; // each once
  readonly cursor: Cursor;
  readonly count: number;
  /** How long to wait for the first message, ms. */
  readonly blockMs: number;
}

/** A POLL until it is answered. */
class Poll implements Waiter {
  readonly request: PollRequest;
  readonly deadline: number;
  readonly cancellation: Cancellation;
  readonly answer: (result: ReadResult | Promise<never>) => void;
  cursor: Cursor;
  topics: Iterable<string> = []; // as stored, while it waits

  constructor(
    request: PollRequest, deadline: number, cancellation: Cancellation,
    answer: (result: ReadResult | Promise<never>) => void,
  ) {
    this.request = request;
    this.cursor = request.cursor;
    this.deadline = deadline;
    this.cancellation = cancellation;
    this.answer = answer;
  }
}

export interface ReadersRuntime extends PushesRuntime {
  readonly clock: Clock;
  readonly source: Omit<ReadSource, 'pages' | 'turns'>;
  readonly tally: Tally;
}

export class Readers {
  readonly pushes: Pushes;
  readonly #runtime: ReadersRuntime;
  readonly #source: ReadSource;
  readonly #waiters = new LongPoll<Poll>();
  #closing = false;

  constructor(runtime: ReadersRuntime) {
    this.#runtime = runtime;
    this.pushes = new Pushes(runtime);
    const pages = new Pages(runtime.limits.pagesMax);
    this.#source = { ...runtime.source, pages, turns: runtime.turns };
    runtime.budget.gauge('pages', () => pages.bytes, () => pages.clear());
  }

  /** Who has subscribed. */
  get pubSub(): PubSub<Subscriber> {
    return this.pushes.pubSub;
  }

  /** How many POLLs wait. */
  get waiting(): number {
    return this.#waiters.size;
  }

  latestCursor(): Cursor {
    return latestCursor(this.#source.log);
  }

  /** The cursor that a text is. @throws RumormillError ERR for what is none, or names far more stores than there are */
  parseCursor(text: string): Cursor {
    const { log, closings } = this.#source;
    const cursor = decodeCursor(text, log.vector.size);
    return wholeCursor(closings, cursor) ?? cursor;
  }

  /** What the reader with this cursor has read. @throws RumormillError ERR; TRYAGAIN if that is not known here yet */
  parseRead(text: string): Vector {
    const { vector, after } = this.parseCursor(text);
    if (after === undefined) return vector;
    throw new RumormillError('TRYAGAIN', `this broker has yet to fetch closing ${after}, by which the cursor goes`);
  }

  earliestCursor(): Cursor {
    return earliestCursor(this.#source.log);
  }

  /**
   * The next messages of the topics after a cursor; waits for the first one, until its time is up or it is cancelled.
   */
  poll(request: PollRequest, cancellation: Cancellation): Promise<ReadResult> {
    return new Promise(
      (answer) => void this.#read(new Poll(request, this.#runtime.clock.now() + request.blockMs, cancellation, answer)),
    );
  }

  /**
   * Answers a POLL, or makes it wait. Whoever waits for long is an entry here and no function that is halfway through:
   * thousands of them should weigh little.
   */
  async #read(poll: Poll): Promise<void> {
    const { request, deadline, cancellation } = poll;
    const { log, closings } = this.#source;
    try {
      for (;;) {
        const isOver = (): boolean =>
          this.#runtime.clock.now() >= deadline || cancellation.cancelled || this.#closing;
        const whole = wholeCursor(closings, poll.cursor);
        if (whole === undefined) {
          this.#runtime.tally.warn('a reader waits for a closing that is not here yet', { closing: poll.cursor.after });
          if (isOver()) return poll.answer(new ReadResult([], poll.cursor)); // as if it were ahead of this broker
          return this.#wait(poll, [CLOSED_TOPIC]);
        }
        const result = await this.#reading(request.count, (limits) =>
          readTopics(this.#source, new Set(request.topics), whole, limits),
        );
        if (result.slices.length > 0 || isOver()) {
          return poll.answer(new ReadResult(result.slices, shortCursor(closings, result.cursor)));
        }
        poll.cursor = result.cursor;
        if (result.cursor.position >= log.position) return this.#wait(poll, this.#stored(request.topics));
      }
    } catch (error) {
      poll.answer(Promise.reject(error));
    }
  }

  /** As the topics are stored. A Set for each POLL would weigh as much as the rest of it. */
  #stored(topics: readonly string[]): Iterable<string> {
    const { names } = this.#source;
    return names.isPlain ? topics : storedTopics(names, new Set(topics));
  }

  #wait(poll: Poll, topics: Iterable<string>): void {
    poll.topics = topics;
    poll.cancellation.onCancel = () => this.#wake(poll);
    this.#waiters.add(poll);
  }

  #wake(poll: Poll): void {
    this.#waiters.remove(poll);
    poll.cancellation.onCancel = undefined;
    void this.#read(poll);
  }

  range(query: RangeQuery, count: number): Promise<Message[]> {
    return this.#reading(count, (limits) => readRange(this.#source, query, limits));
  }

  /** Batches are on disk: who waits for one of their topics reads on; who subscribed gets the messages pushed. */
  committed(batches: readonly StoredBatch[]): void {
    for (const waiter of this.#waiters.woken(new Set(batches.map((batch) => batch.topic)))) this.#wake(waiter);
    this.pushes.committed(batches);
  }

  /** Some topics, or any, were renamed or deleted: those who wait for them may have to wait for others. */
  namesChanged(names: ReadonlySet<string> | undefined): void {
    const waiters = names === undefined ? [...this.#waiters.all()] : this.#waiters.woken(names);
    for (const waiter of waiters) this.#wake(waiter);
  }

  /** Answers those whose time is up. */
  expire(now: number): void {
    for (const waiter of this.#waiters.expire(now)) this.#wake(waiter);
  }

  /** Answers everybody who waits; nobody waits any more. */
  close(): void {
    this.#closing = true;
    for (const waiter of [...this.#waiters.all()]) this.#wake(waiter);
  }

  /** Reads as much as the memory has room for. A store that cannot be read cannot be trusted either. */
  async #reading<T>(count: number, read: (limits: ReadLimits) => Promise<T>): Promise<T> {
    const { limits: { replyBytesMax, readBytesMax }, budget, storeFailed } = this.#runtime;
    const bytes = budget.replyBytes(replyBytesMax);
    budget.promise(bytes);
    try {
      return await read({ count, bytes, readBytes: Math.min(bytes, readBytesMax) });
    } catch (error) {
      storeFailed(error);
      throw error;
    } finally {
      budget.promise(-bytes);
    }
  }
}
