/** RANGE: messages of a topic in Lamport order. */
import { RumormillError } from '../../brokers/core/error.ts';
import { decodeMessage } from '../../brokers/wire/message.ts';
import type { Args } from './ask.ts';
import { type Message, toMessage } from './message.ts';
import type { Answer } from './request.ts';

export interface RangeOptions {
  readonly from?: number; // Lamport timestamp, inclusive
  readonly to?: number; // inclusive
  readonly count?: number; // 1 to 10,000; default 100
  readonly reverse?: boolean;
}

export function rangeArgs(topic: string, { from, to, count, reverse }: RangeOptions): Args {
  const args: (string | number)[] = ['RANGE', topic];
  if (from !== undefined) args.push('FROM', from);
  if (to !== undefined) args.push('TO', to);
  if (count !== undefined) args.push('COUNT', count);
  if (reverse === true) args.push('REV');
  return args;
}

/** @throws RumormillError PROTOCOL */
export function decodeRange(reply: Answer): Message[] {
  if (!Array.isArray(reply)) throw new RumormillError('PROTOCOL', 'RANGE did not answer an array');
  return reply.map((each) => toMessage(decodeMessage(each)));
}
