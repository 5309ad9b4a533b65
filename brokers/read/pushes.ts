/**
 * What is pushed to those who have subscribed: messages as they are stored, in turns (core/turns.ts).
 *
 * As a rule a commit is pushed at once. Where many have subscribed, or many patterns have to be tried, or
 * much is stored, the pushes lag behind the log and follow it, so that what waits is a position and no
 * memory: recent batches lie in the log's tail, others are read from the disk. Beyond `pushLagBytesMax` the
 * broker's own publishers wait until half of it is pushed.
 *
 * Invariants: each subscriber gets what comes behind the position at which it subscribed, in the order of
 * the log, and nothing once it has left.
 */
import type { Limits } from '../config.ts';
import type { Budget } from '../core/budget.ts';
import { firstLive } from '../core/catalog/catalog.ts';
import { isReserved } from '../core/topic-name.ts';
import { PubSub } from '../core/read/pub-sub.ts';
import type { ReadSource } from '../core/read/reader.ts';
import { batchBytes, messagesOf, parseRepeats, type StoredBatch } from '../core/log/record.ts';
import type { Turns } from '../core/turns.ts';
import { Pushed } from '../wire/pushed.ts';
import { Push } from '../wire/resp.ts';

const SEND_WORK = 5; // about, µs: a write to a connection
const MESSAGE_WORK = 1; // to encode one, once for all who get it

/** Who has subscribed: a connection. */
export interface Subscriber {
  push(pushed: Pushed): void;
}

export interface PushesRuntime {
  readonly limits: Limits;
  readonly budget: Budget;
  readonly turns: Turns;
  readonly source: Pick<ReadSource, 'log' | 'names'>;
  /** Publishers need wait no more. */
  caughtUp(): void;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

export class Pushes {
  readonly pubSub: PubSub<Subscriber>;
  readonly #runtime: PushesRuntime;
  #position = 0; // up to which everything is pushed, while it runs
  #isRunning = false;
  #lagBytes = 0;
  #isBehind = false;

  constructor(runtime: PushesRuntime) {
    this.#runtime = runtime;
    this.pubSub = new PubSub<Subscriber>(() => runtime.source.log.position);
  }

  /** Whether so much waits to be pushed that publishers have to wait. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Batches are on disk, at the end of the log. */
  committed(batches: readonly StoredBatch[]): void {
    if (!this.#isRunning) {
      if (this.pubSub.isEmpty) return;
      this.#position = batches[0]!.position - 1;
    }
    for (const batch of batches) this.#lagBytes += batchBytes(batch);
    this.#isBehind ||= this.#lagBytes > this.#runtime.limits.pushLagBytesMax;
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    const { turns, limits, source: { log }, storeFailed } = this.#runtime;
    this.#isRunning = true;
    try {
      while (this.#position < log.position && !this.pubSub.isEmpty) {
        const reading = log.readAfter(this.#position, undefined, limits.readBytesMax);
        const page = reading instanceof Promise ? await reading : reading;
        await turns.run(this.#push(page.batches));
        this.#position = page.through;
      }
    } catch (error) {
      storeFailed(error);
    } finally {
      this.#isRunning = false;
      this.#pushed(this.#lagBytes);
    }
  }

  *#push(batches: readonly StoredBatch[]): Generator<number, void> {
    for (const batch of batches) {
      if (!isReserved(batch.topic)) yield* this.#pushBatch(batch);
      this.#pushed(batchBytes(batch));
      yield 1;
    }
  }

  #pushed(bytes: number): void {
    const { limits, caughtUp } = this.#runtime;
    this.#lagBytes = Math.max(0, this.#lagBytes - bytes);
    if (!this.#isBehind || this.#lagBytes > limits.pushLagBytesMax / 2) return;
    this.#isBehind = false;
    caughtUp();
  }

  /**
   * A subscriber gets a message under the name that it asked for, be it a former one of the topic; patterns match what
   * the topic is called now.
   */
  *#pushBatch(batch: StoredBatch): Generator<number, void> {
    const { names } = this.#runtime.source;
    const shown = names.shownTopic(batch.topic);
    const matching = yield* this.pubSub.matching(shown);
    const channels = names.storedTopics(batch.topic).filter((channel) => this.pubSub.countSubscribers(channel) > 0);
    if (matching.length + channels.length === 0) return;
    const payloads = payloadsOf(batch, firstLive(batch, names.deadBefore(batch.topic)));
    for (const channel of channels) {
      const message = (payload: Uint8Array): Push => new Push(['message', channel, payload]);
      yield* this.#send(batch, this.pubSub.subscribers(channel), () => payloads.map(message));
    }
    for (const { text, subscribers } of matching) {
      const message = (payload: Uint8Array): Push => new Push(['pmessage', text, shown, payload]);
      yield* this.#send(batch, subscribers, () => payloads.map(message));
    }
  }

  *#send(
    { position, count }: StoredBatch, subscribers: ReadonlyMap<Subscriber, number>, pushes: () => readonly Push[],
  ): Generator<number, void> {
    const pushed = new Pushed(this.#runtime.budget, pushes);
    for (const [subscriber, since] of subscribers) {
      if (since < position) subscriber.push(pushed);
      yield SEND_WORK;
    }
    yield count * MESSAGE_WORK;
  }
}

function payloadsOf(batch: StoredBatch, first: number): Uint8Array[] {
  const copies = parseRepeats(batch);
  return messagesOf(batch).filter((_, index) => index >= first && !copies.has(index)).map(({ payload }) => payload);
}

