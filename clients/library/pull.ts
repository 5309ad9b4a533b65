/**
 * PULL: messages leased from a subscription. One that waits has a connection of its own and goes on at any broker that
 * answers: they all ask the subscription's home. Messages of an answer that was lost are leased all the same, to
 * nobody, and come again when their lease has run out.
 */
import { performance } from 'node:perf_hooks';
import { RumormillError } from '../../brokers/core/error.ts';
import type { Message } from '../../brokers/core/log/record.ts';
import { decodeMessage, text } from '../../brokers/wire/message.ts';
import { type Args, arrayOf } from './ask.ts';
import { BEAT_MS, type Poller } from './poller.ts';
import type { Answer } from './request.ts';

export interface PullQuery {
  readonly name: string;
  readonly consumer: string | undefined;
  readonly count: number;
  readonly blockMs: number;
}

/** A message with its lease. */
export interface Pulled {
  readonly token: string;
  readonly deliveries: number;
  readonly message: Message;
}

/**
 * Waits up to `blockMs` for the first message. @throws RumormillError of an error reply (LIMIT once the time is up);
 * TRYAGAIN, UNREACHABLE; the signal's reason
 */
export async function pull(poller: Poller, query: PullQuery, signal: AbortSignal): Promise<Pulled[]> {
  const until = performance.now() + query.blockMs;
  for (;;) {
    const restMs = Math.max(0, Math.ceil(until - performance.now()));
    const blockMs = Math.min(restMs, BEAT_MS);
    const pulled = decodePull(
      await poller.ask(pullArgs({ ...query, blockMs }), blockMs, signal).catch((error: unknown) => {
        if (!isLimit(error) || performance.now() >= until) throw error;
        return []; // there may be room before the time is up
      }),
    );
    if (pulled.length > 0 || performance.now() >= until) return pulled;
  }
}

/** A limit holds messages back: of what one consumer holds, or all together. */
export function isLimit(error: unknown): boolean {
  return error instanceof RumormillError && error.code === 'LIMIT';
}

export function pullArgs({ name, consumer, count, blockMs }: PullQuery): Args {
  return [
    'PULL', name, ...(consumer === undefined ? [] : ['CONSUMER', consumer]), 'COUNT', count,
    ...(blockMs > 0 ? ['BLOCK', blockMs] : []),
  ];
}

/** @throws RumormillError PROTOCOL */
export function decodePull(reply: Answer): Pulled[] {
  return arrayOf(reply, 'PULL').map((row) => {
    const [token, deliveries, message] = arrayOf(row, 'PULL');
    if (typeof deliveries !== 'number' || message === undefined) {
      throw new RumormillError('PROTOCOL', 'PULL answered a row that is no leased message');
    }
    return { token: text(token), deliveries, message: decodeMessage(message) };
  });
}
