/**
 * Log lines about messages: what was published here and what came by gossip, a line a batch while there is little of
 * it, a line a second when there is much, so that the log tells the story and never becomes the load. And about a disk
 * that takes long, since publishers wait for it.
 */
import { isReserved } from '../core/topic-name.ts';
import { lastLamport, type Origin, originAddress, type StoredBatch } from '../core/log/record.ts';
import type { Clock, Logger, Timer } from '../core/runtime.ts';

const LINES_A_SECOND = 20;
const SLOW_MS = 2000; // of a transaction
const STILL_MS = 1000; // between two ticks: then this process stood still, and the disk had no part in it

export class Traffic {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #own: () => Origin;
  #lines = 0; // written in this second
  #untold = { published: 0, received: 0, lamport: 0 };
  #counting = false; // a second runs
  #summary: Timer | undefined;
  #slow: number | undefined; // when a transaction began that was reported as slow
  #tickedAt = 0;
  #interrupted: number | undefined; // since when the transaction has run during which this process stood still

  constructor(clock: Clock, logger: Logger, own: () => Origin) {
    this.#clock = clock;
    this.#logger = logger;
    this.#own = own;
  }

  committed(batches: readonly StoredBatch[]): void {
    for (const batch of batches) {
      if (isReserved(batch.topic)) continue; // no message of anybody's
      if (this.#lines < LINES_A_SECOND) this.#tell(batch);
      else this.#count(batch);
    }
    if (this.#counting) return;
    this.#counting = true;
    this.#summary = this.#clock.schedule(1000, () => this.#summarize());
  }

  /** What is not told yet is told now. */
  close(): void {
    this.#summary?.cancel();
    if (this.#counting) this.#summarize();
  }

  /**
   * To be called now and then. `since`: when the transaction began that runs now. How it ends, well or not, is told
   * elsewhere.
   */
  tick(since: number | undefined): void {
    const now = this.#clock.now();
    const waited = (from: number): { waited_ms: number } => ({ waited_ms: Math.round(now - from) });
    if (now - this.#tickedAt > STILL_MS) this.#interrupted = since;
    this.#tickedAt = now;
    if (this.#slow !== undefined && since !== this.#slow) {
      this.#logger.info('messages wait no longer', waited(this.#slow));
      this.#slow = undefined;
    }
    if (since === undefined || since === this.#slow || since === this.#interrupted || now - since < SLOW_MS) return;
    this.#logger.warn(
      'messages wait to be written: the disk is slow, or another program holds the lock of broker.db',
      waited(since),
    );
    this.#slow = since;
  }

  #tell(batch: StoredBatch): void {
    this.#lines += 1;
    const { topic, count } = batch;
    const own = batch.origin === this.#own();
    this.#logger.info(own ? 'message published' : 'gossip received', {
      lamport: lastLamport(batch),
      topic,
      messages: count > 1 ? count : undefined,
      from: own ? undefined : originAddress(batch.origin),
    });
  }

  #count(batch: StoredBatch): void {
    if (batch.origin === this.#own()) this.#untold.published += batch.count;
    else this.#untold.received += batch.count;
    this.#untold.lamport = lastLamport(batch);
  }

  #summarize(): void {
    const { published, received, lamport } = this.#untold;
    if (published > 0) this.#logger.info('messages published', { lamport, messages: published });
    if (received > 0) this.#logger.info('messages received by gossip', { lamport, messages: received });
    this.#untold = { published: 0, received: 0, lamport: 0 };
    this.#lines = 0;
    this.#counting = false;
  }
}
