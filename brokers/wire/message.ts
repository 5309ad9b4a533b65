/**
 * Messages on the wire: `[id, topic, Lamport timestamp, key or nil, headers as a flat array, payload]`, for brokers that send
 * them and clients that read them.
 */
import { RumormillError } from '../core/error.ts';
import type { Message } from '../core/record.ts';
import type { Reply } from './reply-parser.ts';
import type { Value } from './resp.ts';

export function encodeMessage(message: Message): Value {
  return [message.id, message.topic, message.lamport, message.key, message.headers, message.payload];
}

/** @throws RumormillError PROTOCOL where the reply is not a message */
export function decodeMessage(reply: Reply): Message {
  if (!Array.isArray(reply) || reply.length < 6) throw new RumormillError('PROTOCOL', 'reply is not a message');
  const [id, topic, lamport, key, headers, payload] = reply;
  if (!Array.isArray(headers) || !Buffer.isBuffer(payload) || typeof lamport !== 'number') {
    throw new RumormillError('PROTOCOL', 'reply is not a message');
  }
  return { id: text(id), topic: text(topic), lamport, key: key === null ? null : text(key), headers: headers.map(text), payload };
}

/** The text of a simple or bulk string. @throws RumormillError PROTOCOL for anything else */
export function text(reply: Reply | undefined): string {
  if (typeof reply === 'string') return reply;
  if (Buffer.isBuffer(reply)) return reply.toString('utf8');
  throw new RumormillError('PROTOCOL', 'reply is not a string');
}
