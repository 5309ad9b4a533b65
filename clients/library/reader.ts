/**
 * A reader: what `client.subscribe` returns. It polls again and again, as an async iterable of messages or of batches.
 * It reads topics from a cursor of its own and is not a subscription: it takes nothing from anyone.
 *
 * While a batch is handled, the next one is already fetched. A reader goes on from its cursor on any broker that
 * answers, so it misses nothing and repeats nothing when a broker dies. If two brokers took one retried publish, it
 * gives out one of the two messages (repeats.ts). `latest` is turned into a cursor at once, so that nothing is missed
 * if the first broker dies before it has a message.
 */
import type { Message, PollResult } from './message.ts';
import type { PollQuery } from './poll.ts';
import { Repeats } from './repeats.ts';

export interface SubscribeOptions {
  /** `latest` (the default), `earliest`, or a cursor. */
  readonly from?: string;
  readonly signal?: AbortSignal;
  /** Most messages in one batch, 1 to 10,000. Default 1,000. */
  readonly count?: number;
  /** End after this many messages in all; no batch goes beyond. Default: never. */
  readonly limit?: number;
}

const COUNT = 1_000;
const BLOCK_MS = 25_000;

export class Reader implements AsyncIterable<Message> {
  readonly #topics: readonly string[];
  readonly #options: SubscribeOptions;
  readonly #poll: (query: PollQuery) => Promise<PollResult>;
  readonly #close: () => void;
  readonly #repeats = new Repeats();
  #cursor: string;

  /** @param poll rejects with the signal's reason once the reader's signal is aborted */
  constructor(
    topics: readonly string[], options: SubscribeOptions, poll: (query: PollQuery) => Promise<PollResult>,
    close: () => void,
  ) {
    this.#topics = topics;
    this.#options = options;
    this.#cursor = options.from ?? 'latest';
    this.#poll = poll;
    this.#close = close;
  }

  /**
   * Where to resume: behind every batch that was consumed to its end. In the middle of a batch it is before the batch,
   * so that resuming repeats a part of it and loses nothing. To have it exact, consume `batches()`.
   */
  get cursor(): string {
    return this.#cursor;
  }

  /** Messages as they come, until the signal is aborted, the limit is reached or the loop is left. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined> {
    for await (const { messages } of this.batches()) yield* messages;
  }

  /** What each poll brought, never empty. When the next batch is asked for, `cursor` is behind this one. */
  async *batches(): AsyncGenerator<PollResult, void, undefined> {
    const { signal, count = COUNT, limit = Infinity } = this.#options;
    try {
      if (!(limit > 0)) return; // of a poll ahead that nobody awaits, the failure would end the process
      if (this.#cursor === 'latest') this.#cursor = (await this.#poll(this.#query(1, 0))).cursor;
      let next = this.#poll(this.#query(Math.min(count, limit), BLOCK_MS));
      for (let left = limit; left > 0; ) {
        const { cursor, messages: polled } = await next;
        const messages = this.#repeats.without(polled);
        left -= messages.length;
        if (left > 0) next = this.#poll({ ...this.#query(Math.min(count, left), BLOCK_MS), cursor });
        next.catch(() => undefined); // it is awaited above, unless the loop is left before
        if (messages.length > 0) yield { cursor, messages };
        this.#cursor = cursor;
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error; // an aborted reader ends as a loop that is left does
    } finally {
      this.#close();
    }
  }

  #query(count: number, blockMs: number): PollQuery {
    return { topics: this.#topics, cursor: this.#cursor, count, blockMs };
  }
}

/** @deprecated The former name of a reader. */
export type Subscription = Reader;
