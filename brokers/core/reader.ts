/**
 * Reading the log: from a cursor in position order (POLL), and by Lamport timestamp (RANGE, LATEST).
 */
import type { Cursor } from './cursor.ts';
import type { Log } from './log.ts';
import { BATCH_MESSAGES_MAX, compareRecords, isCovered, lastSeq, type Message, messagesOf, type Origin, parseRepeats, type StoredBatch } from './record.ts';
import type { Repeats } from './repeats.ts';
import type { RangeQuery, Store } from './runtime.ts';
import { type Vector, VersionVector } from './version-vector.ts';

export interface ReadLimits {
  readonly count: number;
  /** Of payloads; at least one message is returned. */
  readonly bytes: number;
  /** Read from the disk at a time. */
  readonly readBytes: number;
}

/** What is read. */
export interface ReadSource {
  readonly log: Log;
  readonly store: Store;
  readonly repeats: Repeats;
}

export interface ReadResult {
  readonly messages: Message[];
  readonly cursor: Cursor;
}

/** The cursor of a reader that has read everything stored here. */
export function latestCursor(log: Log): Cursor {
  return { vector: log.vector.snapshot(), instance: log.instance, position: log.position };
}

/** The cursor of a reader that has read nothing. */
export function earliestCursor(log: Log): Cursor {
  return { vector: new Map(), instance: log.instance, position: 0 };
}

/**
 * The next messages of some topics after a cursor, whichever broker made it. Stops at the first page that brings some, at the limits, or
 * at the end of the log; there the cursor returned covers the whole log, so that an idle reader's cursor stays fresh.
 */
export async function readTopics(source: ReadSource, topics: ReadonlySet<string>, cursor: Cursor, limits: ReadLimits): Promise<ReadResult> {
  const { log, store, repeats } = source;
  const read = new VersionVector(cursor.vector);
  const known = cursor.instance === log.instance && cursor.position <= log.position;
  let position = known ? cursor.position : await store.positionCovered(cursor.vector);
  const messages: Message[] = [];
  while (messages.length === 0 && position < log.position) {
    const reading = log.readAfter(position, topics, limits.readBytes);
    const page = reading instanceof Promise ? await reading : reading;
    const whole = takeMessages(page.batches, read, repeats, messages, limits);
    position = whole === undefined ? page.through : whole;
  }
  const atEnd = position >= log.position;
  return { messages, cursor: { vector: atEnd ? mergedSnapshot(log, read) : read.snapshot(), instance: log.instance, position: Math.min(position, log.position) } };
}

/** Takes what is unread of the batches, in order. Returns the position before the batch at which a limit cut, or undefined. */
function takeMessages(
  batches: readonly StoredBatch[], read: VersionVector, repeats: Repeats, messages: Message[], limits: ReadLimits,
): number | undefined {
  let bytes = 0;
  for (const batch of batches) {
    const last = lastSeq(batch);
    const from = Math.max(0, read.get(batch.origin) + 1 - batch.seq);
    if (from >= batch.count) continue;
    if (isCovered(batch)) {
      read.advance(batch.origin, last);
      continue;
    }
    const room = limits.count - messages.length;
    if (room <= 0 || (bytes > 0 && bytes + batch.body.length > limits.bytes)) return batch.position - 1;
    const to = Math.min(batch.count, from + room);
    const isRepeat = repeats.repeatsIn(batch, read);
    messages.push(...messagesOf(batch, from, to).filter((_, index) => !isRepeat(from + index)));
    bytes += batch.body.length;
    read.advance(batch.origin, batch.seq + to - 1);
    if (batch.seq + to - 1 < last) return batch.position - 1;
  }
  return undefined;
}

/** What was read, and everything stored here: shared with others where the reader is not ahead of this broker. */
function mergedSnapshot(log: Log, read: VersionVector): Vector {
  const stored = log.vector.snapshot();
  for (const [origin, seq] of read.entries()) {
    if (seq <= (stored.get(origin) ?? 0)) continue;
    read.merge(stored);
    return read.snapshot();
  }
  return stored;
}

/**
 * The first `limits.count` messages of a topic in a Lamport range, in Lamport order; the last ones, newest first, if reverse.
 *
 * Batches come ordered by their first timestamp and overlap by less than BATCH_MESSAGES_MAX, so a message is known to be next once
 * no batch that has not been read can hold one before it.
 */
export async function readRange(store: Store, query: RangeQuery, limits: ReadLimits): Promise<Message[]> {
  const sign = query.reverse ? -1 : 1;
  const found: Found[] = [];
  let end: Found | undefined; // the first one that does not fit, so that nothing behind it may fit either
  let previous: StoredBatch | undefined;
  for (;;) {
    const page = await store.readRange(query, previous, limits.readBytes);
    for (const batch of page) {
      const copies = parseRepeats(batch);
      for (const [index, message] of messagesOf(batch).entries()) {
        if (copies.has(index)) continue;
        const next = { lamport: message.lamport, origin: batch.origin, message };
        if (message.lamport < query.from || message.lamport > query.to) continue;
        if (end === undefined || sign * compareRecords(next, end) < 0) found.push(next);
      }
    }
    found.sort((a, b) => sign * compareRecords(a, b));
    end = cut(found, limits) ?? end;
    previous = page.at(-1);
    if (previous === undefined) break;
    const border = query.reverse ? previous.lamport + BATCH_MESSAGES_MAX - 1 : previous.lamport;
    if ((end !== undefined || found.length >= limits.count) && sign * (border - found.at(-1)!.lamport) > 0) break;
  }
  return found.map(({ message }) => message);
}

interface Found {
  readonly lamport: number;
  readonly origin: Origin;
  readonly message: Message;
}

/** Cuts at the limits: what comes before can only push the rest further back. Returns the first one that was cut off. */
function cut(found: Found[], limits: ReadLimits): Found | undefined {
  let bytes = 0;
  for (const [index, { message }] of found.entries()) {
    bytes += message.payload.length;
    if (index < limits.count && (bytes <= limits.bytes || index === 0)) continue;
    const first = found[index];
    found.length = index;
    return first;
  }
  return undefined;
}
