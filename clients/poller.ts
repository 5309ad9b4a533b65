/**
 * Polls on a connection of their own, since a POLL that waits holds its connection up. A poll may always be made again, so a lost
 * broker costs nothing but the time to find another: the cursor goes on there.
 *
 * A broker that is stopped, or behind a cut cable, closes no connection. So a long wait is made of short POLLs, whose answers are a heartbeat; when one is
 * overdue by `silenceMs` the broker is probed on a second connection, and given up if it does not answer there either.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import type { Address } from '../brokers/core/address.ts';
import { messageOf, RumormillError } from '../brokers/core/error.ts';
import { decodeSlice, text } from '../brokers/wire/message.ts';
import { backoffMs } from './backoff.ts';
import type { Connection } from './connection.ts';
import type { Dialer } from './dialer.ts';
import { type PollResult, toMessage } from './message.ts';
import type { Settings } from './options.ts';
import { type Answer, request } from './request.ts';

const BEAT_MS = 1_000; // how long one POLL waits at the broker
const HEALTHY_MS = 1_000; // a connection that served for so long does not count as one that fails at once

export interface PollRequest {
  readonly topics: readonly string[];
  readonly cursor: string;
  readonly count: number;
  readonly blockMs: number;
}

export class Poller {
  readonly #settings: Settings;
  readonly #dialer: Dialer;
  #connection: Connection | undefined;
  #lost: Address | undefined;
  #learnedAt = 0;

  constructor(settings: Settings, dialer: Dialer) {
    this.#settings = settings;
    this.#dialer = dialer;
  }

  /** @throws RumormillError of an error reply; UNREACHABLE; the signal's reason */
  async poll(wanted: PollRequest, signal: AbortSignal): Promise<PollResult> {
    const until = performance.now() + wanted.blockMs;
    for (let { cursor } = wanted; ; ) {
      const restMs = Math.max(0, Math.ceil(until - performance.now()));
      const result = await this.#beat({ ...wanted, cursor, blockMs: Math.min(restMs, BEAT_MS) }, signal);
      if (result.messages.length > 0 || performance.now() >= until) return result;
      cursor = result.cursor;
    }
  }

  /** One POLL, made again elsewhere until it is answered. */
  async #beat(wanted: PollRequest, signal: AbortSignal): Promise<PollResult> {
    const { timeoutMs } = this.#settings;
    let deadline = performance.now() + timeoutMs;
    let losses = 0; // one after another, each soon after connecting
    for (;;) {
      const connection = await this.#connect(deadline, signal);
      const since = performance.now();
      try {
        await this.#learn(connection, signal);
        return decodePoll(await this.#ask(connection, pollArgs(wanted), wanted.blockMs, signal));
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof RumormillError) || (error.code !== 'DISCONNECTED' && error.code !== 'CLOSING')) throw error;
        const reason = messageOf(error).replace(`${connection.address}: `, '');
        this.#settings.emit({ type: 'lost', purpose: 'poll', broker: connection.address, reason });
        this.#lost = connection.address;
        this.#connection = undefined;
        connection.destroy('given up');
        const now = performance.now();
        if (now - since >= HEALTHY_MS) {
          deadline = now + timeoutMs; // it did serve: the search begins now
          losses = 0;
        } else if (now >= deadline) throw error;
        await wait(backoffMs(losses++, Math.random), undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }

  close(): void {
    this.#connection?.destroy('closed by the client');
  }

  async #connect(deadline: number, signal: AbortSignal): Promise<Connection> {
    if (this.#connection !== undefined && !this.#connection.closed) return this.#connection;
    const before = this.#lost ?? this.#connection?.address;
    this.#connection = await this.#dialer.open(deadline, signal, before);
    this.#learnedAt = performance.now();
    if (before !== undefined) this.#settings.emit({ type: 'failover', purpose: 'poll', broker: this.#connection.address, from: before });
    this.#lost = undefined;
    return this.#connection;
  }

  /** The answer to a command, which is due after `dueMs`. The connection of a broker that does not answer at all is closed. */
  async #ask(connection: Connection, args: readonly (string | number)[], dueMs: number, signal: AbortSignal): Promise<Answer> {
    const { silenceMs, timeoutMs } = this.#settings;
    let answered = false;
    const look = async (): Promise<void> => {
      const isAlive = await this.#dialer.isAlive(connection.address);
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

  /** Asks now and then which brokers there are, so that a long subscription knows where to go. */
  async #learn(connection: Connection, signal: AbortSignal): Promise<void> {
    if (performance.now() - this.#learnedAt < this.#settings.refreshMs) return;
    this.#learnedAt = performance.now();
    this.#dialer.learn(await this.#ask(connection, ['MESH', 'BROKERS'], 0, signal));
  }
}

export function pollArgs({ topics, cursor, count, blockMs }: PollRequest): (string | number)[] {
  return ['POLL', ...topics, 'CURSOR', cursor, 'COUNT', count, 'BLOCK', blockMs, 'FORMAT', 'batches'];
}

/** @throws RumormillError PROTOCOL */
export function decodePoll(reply: Answer): PollResult {
  if (!Array.isArray(reply) || !Array.isArray(reply[1])) throw new RumormillError('PROTOCOL', 'POLL did not answer a cursor and messages');
  return { cursor: text(reply[0]), messages: reply[1].flatMap((each) => decodeSlice(each).map(toMessage)) };
}
