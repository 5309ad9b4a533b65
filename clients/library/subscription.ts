/**
 * A subscription: long-polls without end, as an async iterable of messages or of batches.
 *
 * While a batch is handled the next one is fetched already. It goes on from its cursor on whichever broker answers, so
 * it misses nothing and repeats nothing when a broker dies; what two brokers took of one retried publish comes once
 * (repeats.ts). `latest` is turned into a cursor at once, so that what is published from then on is not lost either
 * when the first broker dies before it has anything.
 */
import type { Message, PollResult } from './message.ts';
import type { PollRequest } from './poll.ts';
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

export class Subscription implements AsyncIterable<Message> {
  readonly #topics: readonly string[];
  readonly #options: SubscribeOptions;
  readonly #poll: (request: PollRequest) => Promise<PollResult>;
  readonly #close: () => void;
  readonly #repeats = new Repeats();
  #cursor: string;

  /** @param poll rejects with the signal's reason once the subscription's signal is aborted */
  constructor(
    topics: readonly string[], options: SubscribeOptions, poll: (request: PollRequest) => Promise<PollResult>,
    close: () => void,
  ) {
    this.#topics = topics;
    this.#options = options;
    this.#cursor = options.from ?? 'latest';
    this.#poll = poll;
    this.#close = close;
  }

  /**
   * Where to resume: behind every batch that was consumed to its end. In the middle of a batch it still stands before
   * the batch, so that resuming repeats a part rather than lose one; consume `batches()` to have it exact.
   */
  get cursor(): string {
    return this.#cursor;
  }

  /** Messages as they come, until the signal is aborted, the limit is reached or the loop is left. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined> {
    for await (const { messages } of this.batches()) yield* messages;
  }

  /**
   * What each poll brought, never empty. When the consumer asks for the next batch, `cursor` stands behind this one.
   */
  async *batches(): AsyncGenerator<PollResult, void, undefined> {
    const { signal, count = COUNT, limit = Infinity } = this.#options;
    try {
      if (!(limit > 0)) return; // of a poll ahead that nobody awaits, the failure would end the process
      if (this.#cursor === 'latest') this.#cursor = (await this.#poll(this.#request(1, 0))).cursor;
      let next = this.#poll(this.#request(Math.min(count, limit), BLOCK_MS));
      for (let left = limit; left > 0; ) {
        const { cursor, messages: polled } = await next;
        const messages = this.#repeats.without(polled);
        left -= messages.length;
        if (left > 0) next = this.#poll({ ...this.#request(Math.min(count, left), BLOCK_MS), cursor });
        next.catch(() => undefined); // it is awaited above, unless the loop is left before
        if (messages.length > 0) yield { cursor, messages };
        this.#cursor = cursor;
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error; // an aborted subscription ends as a loop that is left does
    } finally {
      this.#close();
    }
  }

  #request(count: number, blockMs: number): PollRequest {
    return { topics: this.#topics, cursor: this.#cursor, count, blockMs };
  }
}
