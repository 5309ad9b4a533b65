/**
 * A poller makes commands that wait at the broker (POLL, PULL), on a connection of its own, because a command that
 * waits holds up its connection. Such a command may always be made again. So if the broker is lost, the poller connects
 * to another one, and nothing is lost but the time that this takes.
 *
 * A broker that is stopped, or behind a cut cable, closes no connection. So a long wait is made of short ones of
 * `BEAT_MS` each, and their answers are a heartbeat. If one is overdue by `silenceMs`, the broker is probed on a second
 * connection, and given up if it does not answer there either.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import type { Address } from '../../brokers/core/address.ts';
import { messageOf, RumormillError } from '../../brokers/core/error.ts';
import { backoffMs } from './backoff.ts';
import type { Connection } from './connection.ts';
import type { Dialer } from './dialer.ts';
import type { Settings } from './connect-options.ts';
import { type Answer, request } from './request.ts';

/** How long one command waits at the broker. */
export const BEAT_MS = 1_000;
const HEALTHY_MS = 1_000; // a connection that served for so long does not count as one that fails at once

export class Poller {
  readonly #settings: Settings;
  readonly #dialer: Dialer;
  #connection: Connection | undefined;
  #lost: Address | undefined;
  #learnedAt = 0;
  #isClosed = false;

  constructor(settings: Settings, dialer: Dialer) {
    this.#settings = settings;
    this.#dialer = dialer;
  }

  /**
   * The answer to a command that waits for `blockMs` at most. It is made again on another broker until it is answered,
   * and on the same broker if the answer is TRYAGAIN.
   * @throws RumormillError of an error reply (TRYAGAIN after `timeoutMs`); UNREACHABLE; DISCONNECTED if every broker
   *   had its time and none answered; DISCONNECTED or CLOSED once it was closed; the signal's reason
   */
  async ask(args: readonly (string | number)[], blockMs: number, signal: AbortSignal): Promise<Answer> {
    const { timeoutMs } = this.#settings;
    let deadline = performance.now() + timeoutMs;
    let failures = 0; // one after another, each soon after connecting
    let overdue = 0; // brokers that are there, and never answered
    for (;;) {
      const connection = await this.#connect(deadline, signal);
      const since = performance.now();
      try {
        await this.#learn(connection, signal);
        return await this.#ask(connection, args, blockMs, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (this.#isClosed || !(error instanceof RumormillError) || !REPEATED.has(error.code)) throw error;
        const now = performance.now();
        if (error.code !== 'TRYAGAIN') {
          this.#giveUp(connection, error);
          if (now - since + 1 >= blockMs + timeoutMs) overdue += 1; // a timer may be a millisecond early
          if (now - since >= HEALTHY_MS && overdue < this.#dialer.known.length) {
            deadline = now + timeoutMs; // it did serve: the search begins now
            failures = 0;
          }
        }
        if (now >= deadline) throw error;
        // another broker is tried at once; who asks for time gets it
        const round = error.code === 'TRYAGAIN' ? (failures += 1) : failures++;
        await wait(backoffMs(round, Math.random), undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }

  /** Nobody waits for an answer any more: none is looked for elsewhere. */
  close(): void {
    this.#isClosed = true;
    this.#connection?.destroy('closed by the client');
  }

  #giveUp(connection: Connection, error: RumormillError): void {
    const reason = messageOf(error).replace(`${connection.address}: `, '');
    this.#settings.emit({ type: 'lost', purpose: 'poll', broker: connection.address, reason });
    this.#lost = connection.address;
    this.#connection = undefined;
    connection.destroy('given up');
  }

  async #connect(deadline: number, signal: AbortSignal): Promise<Connection> {
    if (this.#connection !== undefined && !this.#connection.closed) return this.#connection;
    const before = this.#lost ?? this.#connection?.address;
    this.#connection = await this.#dialer.open(deadline, signal, before);
    if (this.#isClosed) {
      this.#connection.destroy('closed by the client');
      throw new RumormillError('CLOSED', 'nobody waits for it any more');
    }
    this.#learnedAt = performance.now();
    if (before !== undefined)
      this.#settings.emit({ type: 'failover', purpose: 'poll', broker: this.#connection.address, from: before });
    this.#lost = undefined;
    return this.#connection;
  }

  /**
   * The answer to a command, which is due after `dueMs`. The connection of a broker that does not answer at all is
   * closed.
   */
  async #ask(
    connection: Connection, args: readonly (string | number)[], dueMs: number, signal: AbortSignal,
  ): Promise<Answer> {
    const { silenceMs, timeoutMs } = this.#settings;
    let answered = false;
    const look = async (): Promise<void> => {
      const since = performance.now() - silenceMs;
      const isAlive =
        connection.movedAt > since || (await this.#dialer.isAlive(connection.address)) || connection.movedAt > since;
      if (answered) return;
      if (isAlive) timer = setTimeout(look, silenceMs);
      else connection.destroy('the broker does not answer');
    };
    let timer = setTimeout(look, dueMs + silenceMs);
    try {
      return await request(connection, args, dueMs + timeoutMs, signal);
    } finally {
      answered = true;
      clearTimeout(timer);
    }
  }

  /** Asks now and then which brokers there are, so that a long-running reader knows where to go. */
  async #learn(connection: Connection, signal: AbortSignal): Promise<void> {
    if (performance.now() - this.#learnedAt < this.#settings.refreshMs) return;
    this.#learnedAt = performance.now();
    this.#dialer.learn(await this.#ask(connection, ['MESH', 'BROKERS'], 0, signal));
  }
}

/** A client's pollers: `pollsMax` at most, and each ends with the client. */
export class Pollers {
  readonly #settings: Settings;
  readonly #dialer: Dialer;
  readonly #closing: AbortSignal;
  #open = 0;

  /** @param closing aborted when the client closes */
  constructor(settings: Settings, dialer: Dialer, closing: AbortSignal) {
    this.#settings = settings;
    this.#dialer = dialer;
    this.#closing = closing;
  }

  /** @throws RumormillError BUSY */
  open(): Poller {
    const { pollsMax } = this.#settings;
    if (this.#open >= pollsMax)
      throw new RumormillError('BUSY', `${this.#open} readers, consumers and waiting polls are open already`);
    this.#open += 1;
    return new Poller(this.#settings, this.#dialer);
  }

  close(poller: Poller): void {
    this.#open -= 1;
    poller.close();
  }

  /** Does something that waits, on a connection of its own, until the client closes or the signal is aborted. */
  async use<T>(
    signal: AbortSignal | undefined,
    wait: (poller: Poller, until: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const poller = this.open();
    try {
      return await wait(poller, this.until(signal));
    } finally {
      this.close(poller);
    }
  }

  /** Aborted when the client closes or the signal is. */
  until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#closing : AbortSignal.any([this.#closing, signal]);
  }
}

const REPEATED: ReadonlySet<string> = new Set(['DISCONNECTED', 'CLOSING', 'TRYAGAIN']);
