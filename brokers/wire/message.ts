/**
 * Messages on the wire: `[id, topic, Lamport timestamp, key or nil, headers as a flat array, payload]`, and where it was published with an ID, that
 * dedupe id and the wall-clock time (ms since 1970) as seventh and eighth; for brokers that send them and clients that read them.
 */
import { RumormillError } from '../core/error.ts';
import type { Message } from '../core/record.ts';
import type { Reply } from './reply-parser.ts';
import type { Value } from './resp.ts';

export function encodeMessage(message: Message): Value {
  const { id, topic, lamport, key, headers, payload, dedupe } = message;
  return dedupe === null ? [id, topic, lamport, key, headers, payload] : [id, topic, lamport, key, headers, payload, dedupe.id, dedupe.time];
}

/** @throws RumormillError PROTOCOL where the reply is not a message */
export function decodeMessage(reply: Reply): Message {
  if (!Array.isArray(reply) || reply.length < 6) throw new RumormillError('PROTOCOL', 'reply is not a message');
  const [id, topic, lamport, key, headers, payload, dedupeId = null, time = 0] = reply;
  if (!Array.isArray(headers) || !Buffer.isBuffer(payload) || typeof lamport !== 'number') {
    throw new RumormillError('PROTOCOL', 'reply is not a message');
  }
  return {
    id: text(id), topic: text(topic), lamport, key: key === null ? null : text(key), headers: headers.map(text), payload,
    dedupe: dedupeId === null || typeof time !== 'number' ? null : { id: text(dedupeId), time },
  };
}

/** The text of a simple or bulk string. @throws RumormillError PROTOCOL for anything else */
export function text(reply: Reply | undefined): string {
  if (typeof reply === 'string') return reply;
  if (Buffer.isBuffer(reply)) return reply.toString('utf8');
  throw new RumormillError('PROTOCOL', 'reply is not a string');
}
