/**
 * Acknowledgements on their way: those of one turn of the event loop travel in one command, and those made while one is
 * on its way in the next, as in a group commit. The broker carries out a connection's acknowledgements one after
 * another, each with a sync of its disk, so a command a message would be slow.
 */
import type { Settling } from './leased-message.ts';
import { withResolvers } from './request.ts';

/** Sends one command with all of the tokens. */
export type SendTokens = (subscription: string, settling: Settling, tokens: readonly string[]) => Promise<unknown>;

export class Settlements {
  readonly #send: SendTokens;
  readonly #lanes = new Map<string, Lane>(); // of those that have something on its way

  constructor(send: SendTokens) {
    this.#send = send;
  }

  /** Resolves when the command that carries the token is answered; all of one command share the promise. */
  add(subscription: string, settling: Settling, token: string): Promise<void> {
    const key = JSON.stringify([subscription, settling]);
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = new Lane((tokens) => this.#send(subscription, settling, tokens), () => this.#lanes.delete(key));
      this.#lanes.set(key, lane);
    }
    return lane.add(token);
  }
}

interface Batch {
  readonly tokens: string[];
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

/** Tokens that are settled in the same way. */
class Lane {
  readonly #send: (tokens: readonly string[]) => Promise<unknown>;
  readonly #idle: () => void;
  #gathered: Batch | undefined;
  #isSending = false;

  constructor(send: (tokens: readonly string[]) => Promise<unknown>, idle: () => void) {
    this.#send = send;
    this.#idle = idle;
  }

  add(token: string): Promise<void> {
    if (this.#gathered === undefined) {
      this.#gathered = { tokens: [], ...withResolvers<void>() };
      if (!this.#isSending) setImmediate(() => void this.#flush());
    }
    this.#gathered.tokens.push(token);
    return this.#gathered.promise;
  }

  async #flush(): Promise<void> {
    this.#isSending = true;
    for (let batch = this.#gathered; batch !== undefined; batch = this.#gathered) {
      this.#gathered = undefined;
      await this.#send(batch.tokens).then(() => batch.resolve(), (error: unknown) => batch.reject(error));
    }
    this.#isSending = false;
    this.#idle();
  }
}
