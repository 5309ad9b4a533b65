/**
 * Record batches: the unit of everything. Messages of one topic that arrived together on one connection, with
 * consecutive seqs and consecutive Lamport timestamps. A batch is encoded once, at its origin; the same fields are
 * written to SQLite, sent to peers, kept in memory and read back. At a low rate a batch holds one message, under load
 * hundreds.
 *
 *   body     the payloads one after another, never touched
 *   lengths  JSON array: how many bytes each payload has
 *   meta     '' or a JSON object of columns, each an array with one element a message:
 *              keys     string or null
 *              headers  flat array of names and values, or null
 *              ids      the publisher's dedupe id, or null
 *   proof    what shows that the origin has named it (proof.ts)
 *   deps     '' or a JSON object, origin -> seq: what the origin had stored when it named this batch and had not yet
 *            said in an earlier batch of its own; now and then (causes.ts) all that it had stored. With contiguity this
 *            adds up to everything the origin had stored (invariant 4)
 *
 * A covered batch has `lengths` '[]', no body and no meta: its messages are not here any more, or were never to be, but
 * its seqs and its deps stay, so that what comes after it may be stored. It is gossiped, stored and passed by readers
 * like any other, and has nothing to deliver.
 *
 * Invariants: (origin, seq) names one record for ever; the seqs of an origin are 1, 2, 3, ... without holes, and its
 * batches partition them, with the same borders on every broker.
 */
import { type Address, compareAddresses, parseAddress } from '../address.ts';
import { joinBytes } from './arena.ts';
import { RumormillError } from '../error.ts';
import { parseJson } from '../json.ts';

declare const brand: unique symbol;

/**
 * One incarnation of one broker's store: `host:port/` and twelve hexadecimal digits drawn when the store was created.
 */
export type Origin = string & { readonly [brand]: 'Origin' };

/**
 * Most messages in one batch. It bounds how far the Lamport ranges of two batches can overlap, on which RANGE relies.
 */
export const BATCH_MESSAGES_MAX = 1000;

/** What one connection publishes together, before it has a name: a batch without origin, seq and Lamport timestamps. */
export interface Draft {
  readonly topic: string;
  readonly count: number; // 1..BATCH_MESSAGES_MAX
  readonly time: number; // wall clock at the origin, ms since 1970; for people and retention, never for order
  readonly lengths: string;
  readonly meta: string;
  readonly body: Uint8Array;
}

/** A batch of the log. Message i (0-based) has seq + i and lamport + i. */
export interface RecordBatch extends Draft {
  readonly origin: Origin;
  readonly seq: number;
  readonly lamport: number;
  readonly deps: string;
  /** What shows that its origin has named it (proof.ts); '' if it was named by a version without proofs. */
  readonly proof: string;
  /**
   * The running time here (running-time.ts) at which it was published, 0 or undefined if it has no ids or is being
   * named; never sent.
   */
  readonly seen?: number;
}

/** A batch with its place in one broker's own file: the local arrival order, 1, 2, 3, ... */
export interface StoredBatch extends RecordBatch {
  readonly position: number;
  /** '' or a JSON object, index -> [origin, seq]: messages of it that repeat one stored here before (copies.ts). */
  readonly repeats: string;
}

/** All that is stored of a batch but its payloads. */
export type StoredColumns = Omit<StoredBatch, 'body'>;

/** Flat array of names and values. A name may occur more than once. */
export type HeaderList = readonly string[];

/** The columns of `RecordBatch.meta`. */
export interface BatchMeta {
  readonly keys?: readonly (string | null)[];
  readonly headers?: readonly (HeaderList | null)[];
  readonly ids?: readonly (string | null)[];
}

/** One message, as a reader gets it. */
export interface Message {
  readonly id: string; // <lamport>@<host:port of the origin>
  readonly topic: string;
  readonly lamport: number;
  readonly key: string | null;
  readonly headers: HeaderList;
  readonly payload: Uint8Array;
  // what the publisher gave as ID, and the batch's wall-clock time
  readonly dedupe: { readonly id: string; readonly time: number } | null;
}

const ORIGINS_MAX = 20_000;
const origins = new Set<string>(); // found to be right before: each message of a peer names some

/** @throws RumormillError PROTOCOL for what is not an origin */
export function parseOrigin(text: string): Origin {
  if (origins.has(text)) return text as Origin;
  const address = /^([^/\s]{3,270})\/[0-9a-f]{12}$/.exec(text)?.[1];
  if (address === undefined || !isCanonical(address)) {
    throw new RumormillError('PROTOCOL', `${JSON.stringify(text.slice(0, 80))} is not an origin`);
  }
  if (origins.size >= ORIGINS_MAX) origins.clear();
  origins.add(text);
  return text as Origin;
}

/** Whether a text is an address, in its one form: the order of brokers relies on it. */
function isCanonical(address: string): boolean {
  try {
    return parseAddress(address) === address;
  } catch {
    return false; // why it is no address does not matter to the caller, who asked for an origin
  }
}

export function makeOrigin(address: Address, random: () => number): Origin {
  return `${address}/${makeTag(random)}` as Origin;
}

/** Twelve hexadecimal digits. */
export function makeTag(random: () => number): string {
  return [random(), random()].map((word) => word.toString(16).padStart(8, '0')).join('').slice(0, 12);
}

/** The address of the broker that an origin is an incarnation of. */
export function originAddress(origin: Origin): Address {
  return origin.slice(0, origin.lastIndexOf('/')) as Address;
}

/**
 * What a broker itself has to say: one message for each payload.
 * @param wallTime ms since 1970
 * @param meta '' or JSON, as in `Draft`
 */
export function makeDraft(topic: string, wallTime: number, payloads: readonly Uint8Array[], meta = ''): Draft {
  const lengths = JSON.stringify(payloads.map(({ length }) => length));
  return { topic, count: payloads.length, time: Math.round(wallTime), lengths, meta, body: joinBytes(payloads) };
}

/** Drafts of one topic, one after another, as one. */
export function joinDrafts(drafts: readonly Draft[]): Draft {
  const [first] = drafts;
  if (drafts.length === 1) return first!;
  const count = drafts.reduce((sum, draft) => sum + draft.count, 0);
  return {
    topic: first!.topic, count, time: first!.time,
    lengths: `[${drafts.map(({ lengths }) => lengths.slice(1, -1)).join(',')}]`,
    meta: drafts.every(({ meta }) => meta === '') ? '' : joinMeta(drafts),
    body: joinBytes(drafts.map(({ body }) => body)),
  };
}

/**
 * A batch at its position. Field by field, since objects made by spreading another have hidden classes of their own,
 * which slows down all that reads them.
 */
export function placeBatch(batch: RecordBatch, position: number, repeats = '', seen = batch.seen ?? 0): StoredBatch {
  const { origin, seq, count, lamport, time, topic, deps, lengths, meta, body, proof } = batch;
  return { origin, seq, count, lamport, time, topic, deps, lengths, meta, body, proof, position, repeats, seen };
}

/** A batch that came from a peer, with the running time at which it was published. */
export function dateBatch(batch: RecordBatch, seen: number): RecordBatch {
  const { origin, seq, count, lamport, time, topic, deps, lengths, meta, body, proof } = batch;
  return { origin, seq, count, lamport, time, topic, deps, lengths, meta, body, proof, seen };
}

/** Whether messages of a batch have dedupe ids. */
export function hasIds({ meta }: Pick<Draft, 'meta'>): boolean {
  return meta !== '' && meta.includes('"ids":');
}

/** The messages of a batch from index `from` to `to` (exclusive), as a batch. */
export function cutBatch(batch: RecordBatch, from: number, to: number): RecordBatch {
  if (from === 0 && to === batch.count) return batch;
  const lengths = parseLengths(batch);
  const start = lengths.slice(0, from).reduce((sum, length) => sum + length, 0);
  const kept = lengths.slice(from, to);
  const end = kept.reduce((sum, length) => sum + length, start);
  const { keys, headers, ids } = parseMeta(batch);
  const meta = { keys: keys?.slice(from, to), headers: headers?.slice(from, to), ids: ids?.slice(from, to) };
  return {
    ...batch,
    seq: batch.seq + from,
    lamport: batch.lamport + from,
    count: to - from,
    lengths: JSON.stringify(kept),
    meta: batch.meta === '' ? '' : JSON.stringify(meta satisfies { [name in keyof BatchMeta]: unknown }),
    body: batch.body.subarray(start, end),
  };
}

function joinMeta(drafts: readonly Draft[]): string {
  const metas = drafts.map(parseMeta);
  const column = (name: keyof BatchMeta): unknown[] | undefined =>
    metas.some((meta) => meta[name] !== undefined)
      ? metas.flatMap(
          (meta, index): readonly unknown[] => meta[name] ?? new Array<null>(drafts[index]!.count).fill(null),
        )
      : undefined;
  return JSON.stringify({ keys: column('keys'), headers: column('headers'), ids: column('ids') } satisfies {
    [name in keyof BatchMeta]: unknown;
  });
}

export function lastSeq(batch: RecordBatch): number {
  return batch.seq + batch.count - 1;
}

export function lastLamport(batch: RecordBatch): number {
  return batch.lamport + batch.count - 1;
}

/** The order of messages everywhere: Lamport timestamp, then broker order, then incarnation. */
export function compareRecords(a: { lamport: number; origin: Origin }, b: { lamport: number; origin: Origin }): number {
  if (a.lamport !== b.lamport) return a.lamport - b.lamport;
  if (a.origin === b.origin) return 0;
  return compareAddresses(originAddress(a.origin), originAddress(b.origin)) || (a.origin < b.origin ? -1 : 1);
}

const HEADER_FRAME_BYTES = 10; // many short headers are long on the wire

/** About how many bytes a batch takes in memory and on the wire. */
export function batchBytes(batch: Draft): number {
  return batch.body.length + batch.lengths.length + batch.meta.length + 200;
}

/**
 * About how many bytes a message takes in a reply, but for its names: the payload and what its publisher put beside it.
 */
export function messageBytes({
  key, headers, payload, dedupe,
}: Pick<Message, 'key' | 'headers' | 'payload' | 'dedupe'>): number {
  let bytes = payload.length;
  for (const text of headers) bytes += Buffer.byteLength(text) + HEADER_FRAME_BYTES;
  return bytes + Buffer.byteLength(key ?? '') + Buffer.byteLength(dedupe?.id ?? '');
}

/**
 * What a column of a batch says that was checked when it came. @throws RumormillError STORE if it is damaged since
 */
function parseStored(json: string, column: string): unknown {
  const value = parseJson(json);
  if (value === undefined) throw new RumormillError('STORE', `a stored batch is damaged: its ${column} are not JSON`);
  return value;
}

/** @throws RumormillError STORE, as all that read columns */
export function parseLengths(batch: Draft): number[] {
  return parseStored(batch.lengths, 'lengths') as number[];
}

export function parseMeta(batch: Pick<Draft, 'meta'>): BatchMeta {
  return batch.meta === '' ? {} : (parseStored(batch.meta, 'meta') as BatchMeta);
}

/** Whether a batch's messages are not here, though its seqs count as held. */
export function isCovered(batch: Draft): boolean {
  return batch.lengths === '[]';
}

/** The messages of a batch that repeat another: index -> the record that has the first copy here. */
export function parseRepeats(batch: Pick<StoredBatch, 'repeats'>): Map<number, readonly [Origin, number]> {
  if (batch.repeats === '') return new Map();
  return new Map(
    Object.entries(parseStored(batch.repeats, 'repeats') as Record<string, [Origin, number]>).map(([index, copy]) => [
      Number(index),
      copy,
    ]),
  );
}

export function parseDeps(batch: Pick<RecordBatch, 'deps'>): [Origin, number][] {
  return batch.deps === '' ? [] : (Object.entries(parseStored(batch.deps, 'deps') as object) as [Origin, number][]);
}

/**
 * The messages of a batch from index `from` (inclusive) to `to` (exclusive). Payloads are views into the batch's body.
 */
export function messagesOf(batch: RecordBatch, from = 0, to: number = batch.count): Message[] {
  const lengths = parseLengths(batch);
  const meta = parseMeta(batch);
  const address = originAddress(batch.origin);
  const messages: Message[] = [];
  let offset = 0;
  for (let index = 0; index < Math.min(to, lengths.length); index += 1) {
    const end = offset + lengths[index]!;
    if (index >= from) {
      const lamport = batch.lamport + index;
      const id = meta.ids?.[index] ?? null;
      messages.push({
        id: `${lamport}@${address}`,
        topic: batch.topic,
        lamport,
        key: meta.keys?.[index] ?? null,
        headers: meta.headers?.[index] ?? [],
        payload: batch.body.subarray(offset, end),
        dedupe: id === null ? null : { id, time: batch.time },
      });
    }
    offset = end;
  }
  return messages;
}

/** The payload of a record that is text: those of the brokers' own topics are. */
export function payloadText({ payload }: Pick<Message, 'payload'>): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('utf8');
}
