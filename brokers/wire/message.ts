/**
 * Messages on the wire: `[id, topic, Lamport timestamp, key or nil, headers as a flat array, payload]`, and the dedupe id as a seventh element
 * of one that was published with an ID; for brokers that send them and clients that read them.
 */
import { RumormillError } from '../core/error.ts';
import type { Message } from '../core/record.ts';
import type { Reply } from './reply-parser.ts';
import type { Value } from './resp.ts';

export function encodeMessage(message: Message): Value {
  const { id, topic, lamport, key, headers, payload, dedupeId } = message;
  return dedupeId === null ? [id, topic, lamport, key, headers, payload] : [id, topic, lamport, key, headers, payload, dedupeId];
}

/** @throws RumormillError PROTOCOL where the reply is not a message */
export function decodeMessage(reply: Reply): Message {
  if (!Array.isArray(reply) || reply.length < 6) throw new RumormillError('PROTOCOL', 'reply is not a message');
  const [id, topic, lamport, key, headers, payload, dedupeId = null] = reply;
  if (!Array.isArray(headers) || !Buffer.isBuffer(payload) || typeof lamport !== 'number') {
    throw new RumormillError('PROTOCOL', 'reply is not a message');
  }
  return {
    id: text(id), topic: text(topic), lamport, key: key === null ? null : text(key), headers: headers.map(text), payload,
    dedupeId: dedupeId === null ? null : text(dedupeId),
  };
}

/** The text of a simple or bulk string. @throws RumormillError PROTOCOL for anything else */
export function text(reply: Reply | undefined): string {
  if (typeof reply === 'string') return reply;
  if (Buffer.isBuffer(reply)) return reply.toString('utf8');
  throw new RumormillError('PROTOCOL', 'reply is not a string');
}
