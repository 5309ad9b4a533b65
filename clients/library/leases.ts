/** PULL, ACK, NACK, EXTEND: messages leased from subscriptions, one by one or as a consumer. */
import type { Asker } from './ask.ts';
import type { Pollers } from './poller.ts';
import { type ConsumeOptions, Consumption, type Source } from './consumption.ts';
import { LeasedMessage } from './leased-message.ts';
import { decodePull, isLimit, pull, pullArgs, type Pulled, type PullQuery } from './pull.ts';
import { Settlements } from './settlement.ts';
import { decodeSubscription } from './subscriptions.ts';

export interface PullOptions {
  /** What `pending` calls this consumer. Default: the connection's name or number. */
  readonly consumer?: string;
  /** 1 to 10,000; default 100. */
  readonly count?: number;
  /** How long to wait for the first message, ms; default 0. */
  readonly blockMs?: number;
  /** A message that is leased while a wait is aborted comes again when its lease has run out. */
  readonly signal?: AbortSignal;
}

export interface NackOptions {
  /** How long until the message is delivered again, ms; 0: at once. Default: the subscription's backoff. */
  readonly delayMs?: number | undefined;
}

const TOKENS_MAX = 4_000; // of one command, so that others have their turn in between
const COUNT = 100;
const GIVE_BACK_MS = 2_000; // a consumer that ends waits no longer for it

type Tokens = readonly string[];

export class Leases {
  readonly #asker: Asker;
  readonly #pollers: Pollers;
  readonly #witness: (lamport: number) => void;
  readonly #settlements = new Settlements((name, settling, tokens) =>
    settling.verb === 'ACK' ? this.ack(name, tokens) : this.nack(name, tokens, settling),
  );

  /** @param witness told of the Lamport timestamp of each message */
  constructor(asker: Asker, pollers: Pollers, witness: (lamport: number) => void) {
    this.#asker = asker;
    this.#pollers = pollers;
    this.#witness = witness;
  }

  async pull(name: string, { consumer, count = COUNT, blockMs = 0, signal }: PullOptions): Promise<LeasedMessage[]> {
    signal?.throwIfAborted();
    const query: PullQuery = { name, consumer, count, blockMs };
    const now = decodePull(await this.#asker.ask(pullArgs({ ...query, blockMs: 0 })).catch((error: unknown) => {
      if (blockMs === 0 || !isLimit(error)) throw error;
      return [];
    }));
    const pulled =
      now.length > 0 || blockMs === 0
        ? now
        : await this.#pollers.use(signal, (poller, until) => pull(poller, query, until));
    return this.#seen(pulled).map((each) => new LeasedMessage(each, {
      settle: (message, settling) => this.#settlements.add(name, settling, message.token),
      extend: async (message, ms) => (await this.extend(name, ms, [message.token])) > 0,
      lost: () => {}, // the message knows it, and nobody else wants to
    }));
  }

  consume(name: string, options: ConsumeOptions): Consumption {
    // options are checked before
    return new Consumption(options, (signal) => this.#source(name, options.consumer, signal));
  }

  ack(name: string, tokens: Tokens): Promise<number> {
    return this.#count((some) => ['ACK', name, ...some], tokens);
  }

  nack(name: string, tokens: Tokens, { delayMs }: NackOptions, timeoutMs?: number): Promise<number> {
    return this.#count(
      (some) => ['NACK', name, ...some, ...(delayMs === undefined ? [] : ['DELAY', delayMs])], tokens, timeoutMs,
    );
  }

  extend(name: string, ms: number, tokens: Tokens): Promise<number> {
    return this.#count((some) => ['EXTEND', name, ms, ...some], tokens);
  }

  #source(name: string, consumer: string | undefined, signal: AbortSignal): Source {
    const poller = this.#pollers.open();
    const until = this.#pollers.until(signal);
    return {
      closing: this.#pollers.until(undefined),
      visibilityMs: async () => decodeSubscription(await this.#asker.ask(['SUBSCRIPTION', 'GET', name])).visibilityMs,
      pull: async (count, blockMs) =>
        this.#seen(
          await pull(poller, { name, consumer, count, blockMs }, until).catch((error: unknown) => {
            if (!isLimit(error)) throw error;
            return []; // the iteration goes on when there is room: the broker's log and SUBSCRIPTION GET say what is up
          }),
        ),
      settle: (settling, token) => this.#settlements.add(name, settling, token),
      extend: (ms, tokens) => this.extend(name, ms, tokens),
      giveBack: async (tokens) => void (await this.nack(name, tokens, { delayMs: 0 }, GIVE_BACK_MS)),
      close: () => this.#pollers.close(poller),
    };
  }

  /** The sum of what the commands answer into which the tokens are divided. */
  async #count(args: (tokens: Tokens) => (string | number)[], tokens: Tokens, timeoutMs?: number): Promise<number> {
    const counts: Promise<number>[] = [];
    for (let at = 0; at < tokens.length; at += TOKENS_MAX) {
      counts.push(
        this.#asker.count(args(tokens.slice(at, at + TOKENS_MAX)), timeoutMs === undefined ? {} : { timeoutMs }),
      );
    }
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  #seen(pulled: Pulled[]): Pulled[] {
    for (const { message } of pulled) this.#witness(message.lamport);
    return pulled;
  }
}
