/**
 * A message that was pulled from a subscription: it is this consumer's while its lease lasts, and settled by `ack` or
 * `nack`, once.
 *
 * A lease ends by itself when it is not extended in time, and when the subscription's home dies. Then the message is
 * delivered again, here or elsewhere.
 */
import { checkOptions } from './call-options.ts';
import { ReceivedMessage } from './message.ts';
import type { Pulled } from './pull.ts';

/**
 * How a message is settled: done, or to be delivered again after `delayMs`. If that is undefined, after the
 * subscription's backoff.
 */
export type Settling = { readonly verb: 'ACK' } | { readonly verb: 'NACK'; readonly delayMs: number | undefined };

/** What a leased message asks of its client. */
export interface Lessor {
  settle(message: LeasedMessage, settling: Settling): Promise<void>;
  /** Whether the lease was still good. */
  extend(message: LeasedMessage, ms: number): Promise<boolean>;
  /** The lease has ended before the message was settled. */
  lost(message: LeasedMessage): void;
}

export class LeasedMessage extends ReceivedMessage {
  /** What the broker knows the lease by; for `client.ack(name, tokens)` and its like. */
  readonly token: string;
  /** How often it was delivered, this delivery included: 1 for the first. */
  readonly deliveries: number;
  readonly #lessor: Lessor;
  #settled: Promise<void> | undefined;
  // the controller is made when somebody asks for its signal: it is heavier than the message
  #lost: AbortController | true | undefined;

  constructor({ token, deliveries, message }: Pulled, lessor: Lessor) {
    super(message);
    this.token = token;
    this.deliveries = deliveries;
    this.#lessor = lessor;
  }

  /**
   * Whether the lease is known to have ended before the message was settled: others may be delivered it. An `ack` may
   * still come in time.
   */
  get lost(): boolean {
    return this.#lost instanceof AbortController ? this.#lost.signal.aborted : this.#lost === true;
  }

  /** Aborted when `lost` becomes true, for work that is then better left to others. */
  get signal(): AbortSignal {
    const lost = (this.#lost ??= new AbortController());
    return lost === true ? AbortSignal.abort() : lost.signal;
  }

  /**
   * The message is done with. Resolves when that is on the disk of the subscription's home; acknowledgements travel
   * together. What came too late changes nothing and is no error: `client.ack(name, [token])` tells. Settled already,
   * it resolves when that is done.
   * @throws RumormillError of the broker, as DISKFULL; TRYAGAIN, UNREACHABLE, DISCONNECTED: it may be acknowledged. It
   * can be settled again then
   */
  ack(): Promise<void> {
    return this.#settle({ verb: 'ACK' });
  }

  /**
   * To be delivered again, after `delayMs` (0: at once) or, without, the subscription's backoff. @throws RumormillError
   * as `ack`
   */
  async nack(options: { readonly delayMs?: number } = {}): Promise<void> {
    return this.#settle({ verb: 'NACK', delayMs: checkOptions('nack', options).delayMs });
  }

  /**
   * Lets the lease end `ms` from now. False if it had ended already: `lost` is true from then on. @throws
   * RumormillError as `ack`
   */
  async extend(ms: number): Promise<boolean> {
    const good = await this.#lessor.extend(this, ms);
    if (!good && this.#settled === undefined) this.#lose();
    return good;
  }

  #settle(settling: Settling): Promise<void> {
    if (this.#settled !== undefined) return this.#settled;
    this.#settled = this.#lessor.settle(this, settling).catch((error: unknown) => {
      this.#settled = undefined; // it can be tried again
      throw error;
    });
    return this.#settled;
  }

  #lose(): void {
    if (this.lost) return;
    const controller = this.#lost;
    this.#lost = controller ?? true;
    if (controller instanceof AbortController) controller.abort();
    this.#lessor.lost(this);
  }

  /** For the code that finds out that a lease has ended. */
  static lose(message: LeasedMessage): void {
    message.#lose();
  }
}
