/**
 * Messages on the wire: `[id, topic, Lamport timestamp, key or nil, headers as a flat array, payload]`. If it was
 * published with an ID, that dedupe id and the wall-clock time (ms since 1970) are seventh and eighth. For brokers
 * that send them and clients that read them.
 *
 * Batches on the wire, for clients that take them as they are stored (POLL ... FORMAT batches): `[origin, topic, first
 * Lamport timestamp, wall-clock time, lengths, meta, body, indices of messages to leave out]`; the fields are those of
 * core/log/record.ts.
 */
import { messageOf, RumormillError } from '../core/error.ts';
import { messagesOfSlice, type Slice } from '../core/read/reader.ts';
import { cutBatch, type Message, parseLengths, parseOrigin } from '../core/log/record.ts';
import type { Reply } from './reply-parser.ts';
import type { Value } from './resp.ts';

export function encodeMessage(message: Message): Value {
  const { id, topic, lamport, key, headers, payload, dedupe } = message;
  return dedupe === null
    ? [id, topic, lamport, key, headers, payload]
    : [id, topic, lamport, key, headers, payload, dedupe.id, dedupe.time];
}

/** @throws RumormillError PROTOCOL if the reply is not a message */
export function decodeMessage(reply: Reply): Message {
  if (!Array.isArray(reply) || reply.length < 6) throw new RumormillError('PROTOCOL', 'reply is not a message');
  const [id, topic, lamport, key, headers, payload, dedupeId = null, time = 0] = reply;
  if (!Array.isArray(headers) || !Buffer.isBuffer(payload) || typeof lamport !== 'number') {
    throw new RumormillError('PROTOCOL', 'reply is not a message');
  }
  return {
    id: text(id),
    topic: text(topic),
    lamport,
    key: key === null ? null : text(key),
    headers: headers.map(text),
    payload,
    dedupe: dedupeId === null || typeof time !== 'number' ? null : { id: text(dedupeId), time },
  };
}

export function encodeSlice({ batch, from, to, skipped }: Slice): Value {
  const { origin, topic, lamport, time, lengths, meta, body } = cutBatch(batch, from, to);
  return [origin, topic, lamport, time, lengths, meta, body, skipped.map((index) => index - from)];
}

/** @throws RumormillError PROTOCOL if the reply is not a batch */
export function decodeSlice(reply: Reply): Message[] {
  if (!Array.isArray(reply) || reply.length < 8) throw new RumormillError('PROTOCOL', 'reply is not a batch');
  const [origin, topic, lamport, time, lengths, meta, body, skipped] = reply;
  if (typeof lamport !== 'number' || typeof time !== 'number' || !Buffer.isBuffer(body) || !Array.isArray(skipped)) {
    throw new RumormillError('PROTOCOL', 'reply is not a batch');
  }
  try {
    const draft = { topic: text(topic), time, lengths: text(lengths), meta: text(meta), body };
    const count = parseLengths({ ...draft, count: 0 }).length;
    const batch = { ...draft, count, origin: parseOrigin(text(origin)), seq: 1, lamport, deps: '', proof: '' };
    return messagesOfSlice({ batch, from: 0, to: count, skipped: skipped.map(Number) });
  } catch (cause) {
    throw new RumormillError('PROTOCOL', `reply is not a batch: ${messageOf(cause)}`, { cause });
  }
}

/** The text of a simple or bulk string. @throws RumormillError PROTOCOL for anything else */
export function text(reply: Reply | undefined): string {
  if (typeof reply === 'string') return reply;
  if (Buffer.isBuffer(reply)) return reply.toString('utf8');
  throw new RumormillError('PROTOCOL', 'reply is not a string');
}
