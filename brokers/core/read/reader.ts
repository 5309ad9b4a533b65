/**
 * Reading the log: from a cursor in position order (POLL), and by Lamport timestamp (RANGE, LATEST).
 *
 * Topics are renamed and deleted (core/catalog/catalog.ts): so a topic is read under all the names that it had, its
 * messages show the name that it has now, and what is dead is passed over like what is covered.
 */
import { firstLive, type TopicNames } from '../catalog/catalog.ts';
import type { Cursor } from './cursor.ts';
import type { Closings } from '../log/closings.ts';
import type { Log } from '../log/log.ts';
import type { Pages } from './pages.ts';
import {
  BATCH_MESSAGES_MAX, compareRecords, isCovered, lastLamport, lastSeq, type Message, messageBytes, messagesOf,
  type Origin, parseRepeats, type RecordBatch, type StoredBatch,
} from '../log/record.ts';
import type { Copies } from '../log/copies.ts';
import type { RangeQuery, Store } from '../log/store.ts';
import type { Turns } from '../turns.ts';
import { lacking, type Vector, VersionVector } from '../log/version-vector.ts';

/** What is asked for of a Lamport range is mostly little: reading begins small, and grows. */
const [FIRST_READ_BYTES, READ_GROWTH] = [16 * 1024, 8];
const FOUND_GROWTH = 2; // messages of a range are cut down to as many as are wanted when there are so many times more
const PAGE_WORK = 50; // about, of one that brings nothing, µs: some thousand batches are looked at
const PASSED_MAX = 20_000; // messages of a page that are passed over in one go

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
  readonly copies: Copies;
  readonly names: TopicNames;
  readonly closings: Closings;
  readonly pages: Pages;
  readonly turns: Pick<Turns, 'isOver' | 'pause'>;
}

/**
 * Messages of a batch as they are stored: those from index `from` to `to` (exclusive) except those that are `skipped`,
 * in ascending order.
 */
export interface Slice {
  readonly batch: RecordBatch; // under the name that its topic has now
  readonly from: number;
  readonly to: number;
  readonly skipped: readonly number[];
}

export function messagesOfSlice({ batch, from, to, skipped }: Slice): Message[] {
  const messages = messagesOf(batch, from, to);
  if (skipped.length === 0) return messages;
  const without = new Set(skipped);
  return messages.filter((_, index) => !without.has(from + index));
}

/** What was read: some slices, each with a message at least, and where to go on. */
export class ReadResult {
  readonly slices: readonly Slice[];
  readonly cursor: Cursor;

  constructor(slices: readonly Slice[], cursor: Cursor) {
    this.slices = slices;
    this.cursor = cursor;
  }

  get messages(): Message[] {
    return this.slices.flatMap(messagesOfSlice);
  }
}

/** The cursor of a reader that has read everything stored here. */
export function latestCursor(log: Log): Cursor {
  return { vector: log.vector.snapshot(), instance: log.instance, position: log.position };
}

/** The cursor of a reader that has read nothing. */
export function earliestCursor(log: Log): Cursor {
  return { vector: new Map(), instance: log.instance, position: 0 };
}

/** A cursor with all that was read in its vector; undefined if it names a closing that is not here. */
export function wholeCursor(closings: Closings, cursor: Cursor): Cursor | undefined {
  const { vector: rest, after, instance, position } = cursor;
  if (after === undefined) return cursor;
  const vector = closings.join({ after, rest });
  return vector && { vector, instance, position };
}

/** A whole cursor as it is given away: by a closing, if there is one. */
export function shortCursor(closings: Closings, { vector, instance, position }: Cursor): Cursor {
  const { after, rest } = closings.split(vector);
  return after === undefined ? { vector, instance, position } : { vector: rest, instance, position, after };
}

/**
 * The next messages of some topics after a whole cursor, made by any broker. Stops at the first page that brings some,
 * at the limits, or at the end of the log; there the cursor returned covers the whole log, so that an idle reader's
 * cursor stays fresh.
 */
export async function readTopics(
  source: ReadSource, topics: ReadonlySet<string>, cursor: Cursor, limits: ReadLimits,
): Promise<ReadResult> {
  const { log, store, names, closings, pages, turns } = source;
  const read = new VersionVector(cursor.vector);
  const known = cursor.instance === log.instance && cursor.position <= log.position;
  let position = known ? cursor.position : await positionAfter(log, store, cursor.vector);
  const slices: Slice[] = [];
  while (slices.length === 0 && position < log.position) {
    const [after, stored] = [position, storedTopics(names, topics)];
    const reading = pages.find(after, stored) ?? log.readAfter(after, stored, limits.readBytes);
    const page = reading instanceof Promise ? await reading : reading;
    const whole = takeSlices(page.batches, read, source, slices, limits);
    if (whole !== undefined && reading instanceof Promise) pages.keep(after, stored, page);
    position = whole === undefined ? page.through : whole;
    if (turns.isOver(PAGE_WORK)) await turns.pause();
  }
  const atEnd = position >= log.position;
  if (!atEnd) read.merge(closings.closedAt(position)); // which is read, and would be named one by one
  const vector = atEnd ? mergedSnapshot(log, read) : read.snapshot();
  return new ReadResult(slices, { vector, instance: log.instance, position: Math.min(position, log.position) });
}

/** The greatest position up to which a vector covers everything. */
export async function positionAfter(log: Log, store: Store, vector: Vector): Promise<number> {
  const { position } = log; // whatever is stored meanwhile comes behind it
  const behind = lacking(log.vector, vector);
  return behind.length === 0 ? position : store.positionBefore(behind);
}

/** The names under which the messages of some topics are stored. */
export function storedTopics(names: TopicNames, topics: ReadonlySet<string>): ReadonlySet<string> {
  return names.isPlain ? topics : new Set([...topics].flatMap((topic) => names.storedTopics(topic)));
}

/** A batch under the name that its topic has now. */
function shown(names: TopicNames, batch: StoredBatch): StoredBatch {
  return names.isPlain ? batch : { ...batch, topic: names.shownTopic(batch.topic) };
}

/**
 * Takes what is unread of the batches, in order. Returns the position before the batch at which a limit cut, or
 * undefined.
 */
function takeSlices(
  batches: readonly StoredBatch[],
  read: VersionVector,
  { copies, names }: ReadSource,
  slices: Slice[],
  limits: ReadLimits,
): number | undefined {
  let [count, bytes, passed] = [0, 0, 0];
  for (const batch of batches) {
    const last = lastSeq(batch);
    if (passed > PASSED_MAX) return batch.position - 1;
    const from = Math.max(read.get(batch.origin) + 1 - batch.seq, firstLive(batch, names.deadBefore(batch.topic)));
    if (from >= batch.count || isCovered(batch)) {
      read.advance(batch.origin, last);
      continue;
    }
    const room = limits.count - count;
    const size = batch.body.length + batch.meta.length;
    if (room <= 0 || (bytes > 0 && bytes + size > limits.bytes)) return batch.position - 1;
    const to = Math.min(batch.count, from + room);
    const skipped = copies.repeatsIn(batch, read, from, to);
    if (skipped.length < to - from) slices.push({ batch: shown(names, batch), from, to, skipped });
    count += to - from - skipped.length;
    passed += skipped.length;
    bytes += size;
    read.advance(batch.origin, batch.seq + to - 1);
    if (batch.seq + to - 1 < last) return batch.position - 1;
  }
  return undefined;
}

/** What was read, and everything stored here: shared with others if the reader is not ahead of this broker. */
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
 * The first `limits.count` messages of a topic in a Lamport range, in Lamport order; the last ones, newest first, if
 * reverse.
 */
export async function readRange(
  source: Pick<ReadSource, 'store' | 'names'>, query: RangeQuery, limits: ReadLimits,
): Promise<Message[]> {
  const sign = query.reverse ? -1 : 1;
  const parts: RangePart[] = [];
  for (const topic of source.names.storedTopics(query.topic)) {
    parts.push(await readStoredRange(source, { ...query, topic }, limits));
  }
  if (parts.length === 1) return parts[0]!.found.map(({ message }) => message);
  const order = (a: Found, b: Found): number => sign * compareRecords(a, b);
  const [end] = parts.flatMap((part) => part.end ?? []).sort(order);
  const found = parts
    .flatMap((part) => part.found)
    .filter((each) => end === undefined || order(each, end) < 0)
    .sort(order);
  cut(found, limits);
  return found.map(({ message }) => message);
}

/** What was found under one name; the first message that did not fit, so that nothing behind it may fit either. */
interface RangePart {
  readonly found: readonly Found[];
  readonly end: Found | undefined;
}

/**
 * Batches come ordered by their first timestamp and overlap by less than BATCH_MESSAGES_MAX, so a message is known to
 * be next once no batch that has not been read can hold one before it.
 */
async function readStoredRange(
  { store, names }: Pick<ReadSource, 'store' | 'names'>, query: RangeQuery, limits: ReadLimits,
): Promise<RangePart> {
  const sign = query.reverse ? -1 : 1;
  const order = (a: Found, b: Found): number => sign * compareRecords(a, b);
  const found: Found[] = [];
  let end: Found | undefined;
  let previous: StoredBatch | undefined;
  for (let bytes = FIRST_READ_BYTES; ; bytes *= READ_GROWTH) {
    const dead = names.deadBefore(query.topic);
    const page = await store.readRange(
      { ...query, from: Math.max(query.from, dead?.lamport ?? 0) },
      previous,
      Math.min(bytes, limits.readBytes),
    );
    for (const batch of page) {
      const first = query.reverse ? lastLamport(batch) : batch.lamport;
      if (end !== undefined && sign * (first - end.lamport) > 0) continue;
      if (found.length > FOUND_GROWTH * limits.count + BATCH_MESSAGES_MAX) end = cutSorted(found, order, limits) ?? end;
      for (const next of firstOfRange(shown(names, batch), firstLive(batch, dead), query, limits.count)) {
        if (end === undefined || sign * compareRecords(next, end) < 0) found.push(next);
      }
    }
    end = cutSorted(found, order, limits) ?? end;
    previous = page.at(-1);
    if (previous === undefined) break;
    const border = query.reverse ? previous.lamport + BATCH_MESSAGES_MAX - 1 : previous.lamport;
    if ((end !== undefined || found.length >= limits.count) && sign * (border - found.at(-1)!.lamport) > 0) break;
  }
  return { found, end };
}

/**
 * The first `count` messages of a batch in a Lamport range, a few more if it has repeats; the last ones if reverse.
 * No others are made: a batch holds up to a thousand.
 */
function firstOfRange(
  batch: StoredBatch, firstAlive: number, { from, to, reverse }: RangeQuery, count: number,
): Found[] {
  const repeats = parseRepeats(batch);
  const most = count + repeats.size;
  let [start, end] = [Math.max(firstAlive, from - batch.lamport), Math.min(batch.count, to - batch.lamport + 1)];
  if (reverse) start = Math.max(start, end - most);
  else end = Math.min(end, start + most);
  return messagesOf(batch, start, end)
    .map((message) => ({ lamport: message.lamport, origin: batch.origin, message }))
    .filter(({ lamport }) => !repeats.has(lamport - batch.lamport));
}

interface Found {
  readonly lamport: number;
  readonly origin: Origin;
  readonly message: Message;
}

function cutSorted(found: Found[], order: (a: Found, b: Found) => number, limits: ReadLimits): Found | undefined {
  return cut(found.sort(order), limits);
}

/**
 * Cuts at the limits: what comes before can only push the rest further back. Returns the first one that was cut off.
 */
function cut(found: Found[], limits: ReadLimits): Found | undefined {
  let bytes = 0;
  for (const [index, { message }] of found.entries()) {
    bytes += messageBytes(message);
    if (index < limits.count && (bytes <= limits.bytes || index === 0)) continue;
    const first = found[index];
    found.length = index;
    return first;
  }
  return undefined;
}
