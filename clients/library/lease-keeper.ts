/**
 * Keeps leases alive while a consumer holds the messages: every half of the visibility timeout all of them are extended
 * by a whole one.
 *
 * EXTEND answers how many tokens were good, and not which. Where some were not, halves are asked until it is clear
 * whose lease is lost; extending twice does no harm. A lease that could not be extended because nobody answered counts
 * as lost when it must have run out.
 */
import { performance } from 'node:perf_hooks';
import { RumormillError } from '../../brokers/core/error.ts';
import { LeasedMessage } from './leased-message.ts';

/** What the keeper asks of its client. */
export interface Extender {
  visibilityMs(): Promise<number>;
  /** How many of the tokens were still good. */
  extend(ms: number, tokens: readonly string[]): Promise<number>;
}

export class LeaseKeeper {
  readonly #extender: Extender;
  readonly #held = new Map<LeasedMessage, number>(); // until when the lease lasts at least, on the monotonic clock
  #visibilityMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(extender: Extender, visibilityMs: number) {
    this.#extender = extender;
    this.#visibilityMs = visibilityMs;
    this.#schedule(performance.now());
  }

  /** From now on the message's lease is extended, until it is dropped or lost. */
  keep(message: LeasedMessage): void {
    this.#held.set(message, performance.now() + this.#visibilityMs);
  }

  drop(message: LeasedMessage): void {
    this.#held.delete(message);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(lastAt: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(
      () => void this.#extendAll(),
      Math.max(0, lastAt + this.#visibilityMs / 2 - performance.now()),
    );
  }

  async #extendAll(): Promise<void> {
    const now = performance.now();
    try {
      const messages = [...this.#held.keys()];
      const lost = new Set(messages.length === 0 ? [] : await this.#lostOf(messages));
      for (const message of messages) {
        if (!lost.has(message) && this.#held.has(message)) this.#held.set(message, now + this.#visibilityMs);
      }
      for (const message of lost) this.#lose(message);
      if (lost.size > 0) this.#visibilityMs = await this.#extender.visibilityMs(); // perhaps it was made shorter
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      // The pull that is due next tells of what lasts; here it matters only which leases have run out.
      for (const [message, until] of this.#held) if (until <= performance.now()) this.#lose(message);
    }
    this.#schedule(now);
  }

  /** Extends the leases of the messages; those whose lease had ended. */
  async #lostOf(messages: readonly LeasedMessage[]): Promise<readonly LeasedMessage[]> {
    const good = await this.#extender.extend(this.#visibilityMs, messages.map(({ token }) => token));
    if (good >= messages.length) return [];
    if (good === 0) return messages;
    const middle = messages.length >> 1;
    return (await Promise.all([this.#lostOf(messages.slice(0, middle)), this.#lostOf(messages.slice(middle))])).flat();
  }

  /** Not if it was settled meanwhile: then there is no lease any more, and nothing is lost. */
  #lose(message: LeasedMessage): void {
    if (this.#held.delete(message)) LeasedMessage.lose(message);
  }
}
