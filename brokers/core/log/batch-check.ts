/**
 * The check of a record batch that a peer sent. A peer is not believed: if no publisher can have sent a record, and no
 * broker makes such records, it is not stored and not passed on.
 */
import { RumormillError } from '../error.ts';
import { isCount, isObject, parseJson } from '../json.ts';
import { hasControlCharacters, isReserved } from '../topic-name.ts';
import { LAMPORT_MAX } from './lamport.ts';
import { isProof } from './proof.ts';
import { BATCH_MESSAGES_MAX, isCovered, parseOrigin, type RecordBatch } from './record.ts';

/** The limits of publishers that are limits of records too. */
export interface RecordLimits {
  readonly topicBytesMax: number;
  readonly payloadBytesMax: number;
  readonly keyBytesMax: number;
  readonly headersMax: number;
  readonly headerBytesMax: number;
  readonly idBytesMax: number;
}

/**
 * How many moves to a dead-letter topic the headers of a message tell of (queue/dead-letters.ts). Brokers add them to
 * those of the publisher.
 */
export const DEAD_LETTER_MOVES = 16;
const DEAD_LETTER_HEADERS = 4; // of each move
const DEAD_LETTER_HEADER_BYTES = 512; // of each move, beside two names: an id, a number, and what the four are called

/**
 * Checks a batch field by field, so that nothing a peer sends can make a file that cannot be read back.
 * @throws RumormillError PROTOCOL that names the field
 */
export function validateBatch(batch: RecordBatch, limits: RecordLimits): void {
  const fail = (what: string): never => {
    throw new RumormillError('PROTOCOL', `record batch ${batch.origin} ${batch.seq}: ${what}`);
  };
  parseOrigin(batch.origin);
  if (!(batch.count >= 1 && batch.count <= BATCH_MESSAGES_MAX)) {
    fail(`count ${batch.count} is not from 1 to ${BATCH_MESSAGES_MAX}`);
  }
  if (!isCount(batch.time)) fail(`time ${batch.time} is not a time`);
  if (!isCount(batch.seq) || batch.seq < 1) fail(`seq ${batch.seq} is not a number from 1`);
  if (!isCount(batch.lamport) || batch.lamport < 1 || batch.lamport > LAMPORT_MAX - batch.count + 1) {
    fail(`Lamport timestamp ${batch.lamport} is out of range`);
  }
  checkTopic(batch.topic, limits.topicBytesMax, fail);
  const lengths = parseColumn(batch.lengths, 'lengths', fail);
  if (!(isCovered(batch) && batch.meta === '') && !isColumn(lengths, batch.count, isCount)) {
    fail('lengths is not an array of one length per message');
  }
  let bytes = 0;
  for (const length of lengths as number[]) {
    if (length > limits.payloadBytesMax && !isReserved(batch.topic)) fail(`a payload of ${length} bytes is too large`);
    bytes += length;
  }
  if (bytes !== batch.body.length) fail('lengths do not add up to the body');
  if (batch.meta !== '') {
    const meta = parseObject(batch.meta, 'meta', fail);
    const { keys, headers, ids, ...others } = meta;
    const [other] = Object.keys(others);
    if (other !== undefined) fail(`meta has a column ${JSON.stringify(other.slice(0, 40))}, which is none`);
    const { keyBytesMax, idBytesMax } = limits;
    if (keys !== undefined && !isColumn(keys, batch.count, (key) => isTextOrNull(key, keyBytesMax))) {
      fail(`keys is not one key of at most ${keyBytesMax} bytes per message`);
    }
    if (ids !== undefined && !isColumn(ids, batch.count, (id) => isTextOrNull(id, idBytesMax))) {
      fail(`ids is not one id of at most ${idBytesMax} bytes per message`);
    }
    if (headers !== undefined && !isColumn(headers, batch.count, (list) => isHeadersOrNull(list, limits))) {
      fail('headers is not one list per message, within the limits');
    }
    // so that SQLite reads in it what we do, also if a name comes twice
    if (JSON.stringify(meta) !== batch.meta) fail('meta is not written as JSON.stringify does');
  }
  if (!isProof(batch.proof)) fail('proof is none');
  if (batch.deps !== '') {
    for (const [origin, seq] of Object.entries(parseObject(batch.deps, 'deps', fail))) {
      parseOrigin(origin);
      if (!isCount(seq)) fail(`deps of ${origin} is not a seq`);
    }
  }
}

type Fail = (what: string) => never;

function checkTopic(topic: string, bytesMax: number, fail: Fail): void {
  if (topic === '') fail('topic is empty');
  if (isLonger(topic, bytesMax)) fail(`topic is over ${bytesMax} bytes`);
  if (hasControlCharacters(topic)) fail('topic has control characters');
}

function parseColumn(json: string, name: string, fail: Fail): unknown {
  const value = parseJson(json);
  return value === undefined ? fail(`${name} is not JSON`) : value;
}

function parseObject(json: string, name: string, fail: Fail): Readonly<Record<string, unknown>> {
  const value = parseColumn(json, name, fail);
  return isObject(value) ? value : fail(`${name} is not a JSON object`);
}

function isColumn(value: unknown, count: number, check: (element: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length === count && value.every(check);
}

function isTextOrNull(value: unknown, bytesMax: number): boolean {
  return value === null || (typeof value === 'string' && !isLonger(value, bytesMax));
}

function isHeadersOrNull(value: unknown, { headersMax, headerBytesMax, topicBytesMax }: RecordLimits): boolean {
  if (value === null) return true;
  if (!Array.isArray(value) || value.length % 2 !== 0) return false;
  if (value.length / 2 > headersMax + DEAD_LETTER_MOVES * DEAD_LETTER_HEADERS) return false;
  let room = headerBytesMax + DEAD_LETTER_MOVES * (DEAD_LETTER_HEADER_BYTES + 2 * topicBytesMax);
  for (const text of value as unknown[]) {
    if (typeof text !== 'string') return false;
    room -= Buffer.byteLength(text);
  }
  return room >= 0;
}

/** Whether a text has more bytes in UTF-8; there a UTF-16 unit takes three at most. */
function isLonger(text: string, bytesMax: number): boolean {
  return text.length > bytesMax || (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax);
}
