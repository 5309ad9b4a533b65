/**
 * How long a transaction waits for company: a commit costs far more than a round of I/O, and publishers who were
 * answered together come back together, but on a socket each. One that came alone the last time is not made to wait.
 */
import type { Clock } from '../runtime.ts';

/** A transaction is formed after so many rounds of I/O in a row that made what waits grow by less than this share. */
const QUIET_ROUNDS = 2;
const GROWTH_MIN = 1 / 8;

interface Full {
  readonly transactionBytesMax: number;
  readonly transactionMessagesMax: number;
}

export class Company {
  readonly #clock: Pick<Clock, 'defer'>;
  readonly #full: Full;
  readonly #pending: () => { readonly messages: number; readonly bytes: number };
  #hadCompany = false; // the last transaction had more than one entry

  /** @param pending what waits now */
  constructor(
    clock: Pick<Clock, 'defer'>, full: Full, pending: () => { readonly messages: number; readonly bytes: number },
  ) {
    this.#clock = clock;
    this.#full = full;
    this.#pending = pending;
  }

  /** Resolves once what waits has all but stopped growing, or fills a transaction. */
  async gather(): Promise<void> {
    const { transactionBytesMax, transactionMessagesMax } = this.#full;
    for (let quiet = this.#hadCompany ? 0 : QUIET_ROUNDS - 1; quiet < QUIET_ROUNDS;) {
      const before = this.#pending().messages;
      await new Promise<void>((resolve) => this.#clock.defer(resolve));
      const { messages, bytes } = this.#pending();
      if (messages >= transactionMessagesMax || bytes >= transactionBytesMax) return;
      quiet = messages > before * (1 + GROWTH_MIN) ? 0 : quiet + 1;
    }
  }

  /** A transaction of so many entries is formed. */
  formed(entries: number): void {
    this.#hadCompany = entries > 1;
  }
}
