/**
 * A consumer of a subscription, as an async iterable of leased messages: it pulls ahead as far as `concurrency` allows,
 * keeps the leases alive while the messages are held, and gives back what was not handed out when the iteration ends.
 *
 * A message is held from when it was pulled until `ack` or `nack` is called or its lease is lost. Those are not waited
 * for before more is pulled, as long as not too many have no answer.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import { Fifo } from '../../brokers/core/fifo.ts';
import { BEAT_MS } from './poller.ts';
import { checkOptions, shown } from './call-options.ts';
import { type Extender, LeaseKeeper } from './lease-keeper.ts';
import { LeasedMessage, type Settling } from './leased-message.ts';
import type { Pulled } from './pull.ts';
import { orAborted } from './request.ts';

export interface ConsumeOptions {
  /** Most messages that are held at a time, handed out or pulled ahead: 1 to 10,000. Default 10. */
  readonly concurrency?: number;
  /** Ends the iteration, quietly. */
  readonly signal?: AbortSignal;
  /** What SUBSCRIPTION PENDING calls this consumer. Default: the connection's name or number. */
  readonly consumer?: string;
  /** End after this many messages; none is pulled beyond. Default: never. */
  readonly limit?: number;
}

/** The client, as a consumer sees it. */
export interface Source extends Extender {
  /** Aborted when the client closes. */
  readonly closing: AbortSignal;
  /** Waits for the first message, `blockMs` at most. */
  pull(count: number, blockMs: number): Promise<readonly Pulled[]>;
  /** All of one command share the promise. */
  settle(settling: Settling, token: string): Promise<void>;
  /** Ends the lease of messages nobody has seen, so that they are delivered again at once. */
  giveBack(tokens: readonly string[]): Promise<void>;
  close(): void;
}

const CONCURRENCY = 10;
const CONCURRENCY_MAX = 10_000; // what one PULL brings at most
const UNANSWERED_MAX = 10_000; // acknowledgements, beyond which pulling waits for answers
// for the answer to a PULL that may be on its way when the iteration ends; what it leases would be lost to everyone for
// a while
const GRACE_MS = 250;

export class Consumption implements AsyncIterable<LeasedMessage> {
  readonly #options: ConsumeOptions;
  readonly #open: (signal: AbortSignal) => Source;

  /** @param open called when an iteration begins; the signal ends a PULL that waits */
  constructor(options: ConsumeOptions, open: (signal: AbortSignal) => Source) {
    this.#options = options;
    this.#open = open;
  }

  /** Messages as they come, until the signal is aborted, the limit is reached or the loop is left. */
  async *[Symbol.asyncIterator](): AsyncGenerator<LeasedMessage, void, undefined> {
    for await (const [message] of this.#run().batches(1)) yield message!;
  }

  /** The same, all that are there at a time, in arrays that are never empty. */
  async *batches(): AsyncGenerator<readonly LeasedMessage[], void, undefined> {
    yield* this.#run().batches(Infinity);
  }

  /** @throws RumormillError CONFIG */
  #run(): Run {
    const { concurrency = CONCURRENCY } = checkOptions('consume', this.#options);
    if (!(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= CONCURRENCY_MAX)) {
      throw new RumormillError(
        'CONFIG',
        `concurrency must be a whole number from 1 to ${CONCURRENCY_MAX}, not ${shown(concurrency)}`,
      );
    }
    return new Run(this.#options, this.#open);
  }
}

/** One iteration. */
class Run {
  readonly #options: ConsumeOptions;
  readonly #source: Source;
  readonly #concurrency: number;
  readonly #pulling = new AbortController(); // aborted some time after the end
  readonly #held = new Set<LeasedMessage>();
  readonly #ready = new Fifo<LeasedMessage>(); // held, and not handed out
  readonly #settling = new Set<Promise<void>>(); // without an answer, each for all that travel together
  #unanswered = 0; // messages in them
  #keeper: LeaseKeeper | undefined;
  #left: number; // to hand out
  #isOver = false;
  #failure: { readonly error: unknown } | undefined;
  #wakers: (() => void)[] = [];

  constructor(options: ConsumeOptions, open: (signal: AbortSignal) => Source) {
    this.#options = options;
    this.#source = open(this.#pulling.signal);
    this.#concurrency = options.concurrency ?? CONCURRENCY;
    this.#left = options.limit ?? Infinity;
  }

  async *batches(most: number): AsyncGenerator<readonly LeasedMessage[], void, undefined> {
    const shared = this.#options.signal;
    // our own: Node warns of a leak at the eleventh listener of one that consumers share
    const signal = shared && AbortSignal.any([shared]);
    const wake = (): void => this.#wake();
    for (const each of [signal, this.#source.closing]) each?.addEventListener('abort', wake, { once: true });
    let pump: Promise<void> | undefined;
    try {
      if (signal?.aborted === true || this.#left <= 0) return;
      this.#keeper = new LeaseKeeper(this.#source, await orAborted(this.#source.visibilityMs(), signal));
      pump = this.#pump();
      while (this.#left > 0) {
        const batch = await this.#next(most);
        if (batch.length === 0) return;
        yield batch;
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error; // an aborted iteration ends as a loop that is left does
    } finally {
      for (const each of [signal, this.#source.closing]) each?.removeEventListener('abort', wake);
      await this.#end(pump);
    }
  }

  /** What is ready, at least one; none if the signal is aborted. @throws what PULL did; CLOSED */
  async #next(most: number): Promise<readonly LeasedMessage[]> {
    for (;;) {
      if (this.#options.signal?.aborted === true) return [];
      this.#source.closing.throwIfAborted(); // also if there is no room, so that no PULL would tell
      if (this.#failure !== undefined) throw this.#failure.error;
      const batch: LeasedMessage[] = [];
      while (batch.length < Math.min(most, this.#left) && this.#ready.length > 0) {
        const message = this.#ready.shift()!;
        if (!message.lost) batch.push(message); // else it comes again
      }
      this.#left -= batch.length;
      this.#wake(); // there may be room for more
      if (batch.length > 0) return batch;
      await this.#change();
    }
  }

  /** Pulls while there is room, until the iteration ends or it fails. */
  async #pump(): Promise<void> {
    try {
      while (!this.#isOver) {
        const count = this.#room();
        if (count === 0) await this.#change();
        else for (const pulled of await this.#source.pull(count, BEAT_MS)) this.#take(pulled);
      }
    } catch (error) {
      this.#failure = { error }; // thrown where the next message is asked for
    }
    this.#wake();
  }

  /**
   * How many to pull now: none while more than half of the room is taken and there is still something to hand out, so
   * that pulls stay large.
   */
  #room(): number {
    const free = Math.min(
      this.#concurrency - this.#held.size, this.#left - this.#ready.length, UNANSWERED_MAX - this.#unanswered,
    );
    return this.#ready.length === 0 || 2 * free >= this.#concurrency ? Math.max(0, free) : 0;
  }

  #take(pulled: Pulled): void {
    const message = new LeasedMessage(pulled, {
      settle: (each, settling) => this.#settle(each, settling),
      extend: async (each, ms) => (await this.#source.extend(ms, [each.token])) > 0,
      lost: (each) => this.#lost(each),
    });
    this.#hold(message);
    this.#ready.push(message);
    this.#wake();
  }

  #hold(message: LeasedMessage): void {
    this.#held.add(message);
    this.#keeper!.keep(message);
  }

  async #settle(message: LeasedMessage, settling: Settling): Promise<void> {
    this.#keeper!.drop(message);
    this.#held.delete(message);
    const settled = this.#source.settle(settling, message.token);
    this.#settling.add(settled);
    this.#unanswered += 1;
    this.#wake();
    try {
      await settled;
    } catch (error) {
      if (!message.lost) this.#hold(message); // it is still its handler's
      throw error;
    } finally {
      this.#settling.delete(settled);
      this.#unanswered -= 1;
      this.#wake();
    }
  }

  /**
   * Its room is free, although its handler may still be at work: a handler that heeds the signal, and settles nothing,
   * must not fill it for ever.
   */
  #lost(message: LeasedMessage): void {
    this.#keeper!.drop(message);
    this.#held.delete(message);
    this.#wake();
  }

  /** Leases of messages that were handed out are extended no more, but can still be settled. */
  async #end(pump: Promise<void> | undefined): Promise<void> {
    this.#isOver = true;
    this.#keeper?.stop();
    this.#wake();
    const timer = setTimeout(() => this.#pulling.abort(), GRACE_MS);
    await pump;
    clearTimeout(timer);
    this.#source.close();
    const unseen = this.#ready.clear().filter(({ lost }) => !lost).map(({ token }) => token);
    // Whoever settles a message is told how that ended; what cannot be given back comes again when its lease has run
    // out.
    await Promise.allSettled([...this.#settling, unseen.length > 0 && this.#source.giveBack(unseen)]);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wakers.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }
}
