/** POLL: a reader's messages from its cursor on. The cursor is valid at any broker that answers. */
import { performance } from 'node:perf_hooks';
import { RumormillError } from '../../brokers/core/error.ts';
import { decodeSlice, text } from '../../brokers/wire/message.ts';
import { BEAT_MS, type Poller } from './poller.ts';
import { type PollResult, toMessage } from './message.ts';
import type { Answer } from './request.ts';

export interface PollOptions {
  /** `latest` (the default), `earliest`, or a cursor. */
  readonly cursor?: string;
  /** 1 to 10,000; default 100. */
  readonly count?: number;
  /** How long to wait for the first message, ms; default 0. */
  readonly blockMs?: number;
  readonly signal?: AbortSignal;
}

export interface PollQuery {
  readonly topics: readonly string[];
  readonly cursor: string;
  readonly count: number;
  readonly blockMs: number;
}

/**
 * Waits up to `blockMs` for the first message. @throws RumormillError of an error reply; UNREACHABLE; the signal's
 * reason
 */
export async function poll(poller: Poller, query: PollQuery, signal: AbortSignal): Promise<PollResult> {
  const until = performance.now() + query.blockMs;
  for (let { cursor } = query; ;) {
    const restMs = Math.max(0, Math.ceil(until - performance.now()));
    const blockMs = Math.min(restMs, BEAT_MS);
    const result = decodePoll(await poller.ask(pollArgs({ ...query, cursor, blockMs }), blockMs, signal));
    if (result.messages.length > 0 || performance.now() >= until) return result;
    cursor = result.cursor;
  }
}

/** @throws RumormillError CONFIG for no topics: the words behind would be read as some */
export function pollArgs({ topics, cursor, count, blockMs }: PollQuery): (string | number)[] {
  if (topics.length === 0) throw new RumormillError('CONFIG', 'give at least one topic');
  return ['POLL', ...topics, 'CURSOR', cursor, 'COUNT', count, 'BLOCK', blockMs, 'FORMAT', 'batches'];
}

/** @throws RumormillError PROTOCOL */
export function decodePoll(reply: Answer): PollResult {
  if (!Array.isArray(reply) || !Array.isArray(reply[1])) {
    throw new RumormillError('PROTOCOL', 'POLL did not answer a cursor and messages');
  }
  return { cursor: text(reply[0]), messages: reply[1].flatMap((each) => decodeSlice(each).map(toMessage)) };
}
