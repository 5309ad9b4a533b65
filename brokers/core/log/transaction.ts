/**
 * How entries that wait become a transaction of the log: drafts are joined to batches, and every batch
 * gets its position; local ones get their names and say what they depend on.
 */
import type { Declaring } from './causes.ts';
import type { RumormillError } from '../error.ts';
import type { LamportClock } from './lamport.ts';
import type { Head, Prover } from './proof.ts';
import {
  BATCH_MESSAGES_MAX, batchBytes, type Draft, joinDrafts, lastSeq, type Origin, placeBatch, type RecordBatch,
  type StoredBatch,
} from './record.ts';
import type { VersionVector } from './version-vector.ts';

/** The name of a draft's first message; the others follow on. */
export type DraftName = Pick<RecordBatch, 'origin' | 'seq' | 'lamport'>;

/** What becomes of a draft; each called at most once, `failed` instead of `stored`. */
export interface DraftFate {
  /** It has its name and goes into the transaction that runs now. */
  named?(name: DraftName): void;
  /** It is on disk. */
  stored(name: DraftName): void;
  failed(error: RumormillError): void;
}

export interface LocalEntry {
  readonly kind: 'local';
  readonly draft: Draft;
  readonly fate: DraftFate;
}

/** A group of a peer's batches (proof.ts), which must not be parted. */
export interface RemoteEntry {
  readonly kind: 'remote';
  readonly group: readonly RecordBatch[];
  /** Of their origin, after them; undefined if they are not signed. */
  readonly head: Head | undefined;
}

export type Entry = LocalEntry | RemoteEntry;

/** Drafts that become one batch. */
export interface Joined {
  readonly kind: 'joined';
  readonly locals: LocalEntry[];
  count: number;
  bytes: number;
}

/** Where a log ends: what the next transaction goes on from. */
export interface LogEnd {
  readonly origin: Origin;
  readonly position: number;
  readonly vector: VersionVector;
}

/** Takes the first entries that wait, as many as one transaction may have. The one that reaches a limit is in it. */
export function takeTransaction(waiting: Entry[], bytesMax: number, messagesMax: number): Entry[] {
  let [bytes, messages, count] = [0, 0, 0];
  while (count < waiting.length && bytes < bytesMax && messages < messagesMax) {
    const entry = waiting[count++]!;
    bytes += entryBytes(entry);
    messages += entryCount(entry);
  }
  return waiting.splice(0, count);
}

/**
 * Batches of peers come first: none of them depends on anything that is not on disk yet, and a client that read them
 * elsewhere may have published here. Drafts of one topic become one batch if no other draft is between them, so that
 * what a connection publishes keeps its order.
 */
export function joinEntries(entries: readonly Entry[], batchBytesMax: number): (RemoteEntry | Joined)[] {
  const joined: (RemoteEntry | Joined)[] = entries.filter((entry) => entry.kind === 'remote');
  let last: Joined | undefined;
  for (const entry of entries) {
    if (entry.kind === 'remote') continue;
    const { count } = entry.draft;
    const bytes = batchBytes(entry.draft);
    const fits = last !== undefined && last.locals[0]!.draft.topic === entry.draft.topic
      && last.count + count <= BATCH_MESSAGES_MAX && last.bytes + bytes <= batchBytesMax;
    if (fits) {
      last!.locals.push(entry);
      last!.count += count;
      last!.bytes += bytes;
    } else joined.push((last = { kind: 'joined', locals: [entry], count, bytes }));
  }
  return joined;
}

/**
 * Gives every entry its position, and local ones their names, which are added to `names`. Changes `causes` as the
 * transaction will.
 */
export function nameEntries(
  entries: readonly (RemoteEntry | Joined)[], from: LogEnd, causes: Declaring, prover: Prover, clock: LamportClock,
  names: DraftName[],
): StoredBatch[] {
  const { origin, vector } = from;
  let seq = vector.get(origin) + 1;
  let position = from.position;
  return entries.flatMap((entry, index) => {
    if (entry.kind === 'remote') {
      const last = entry.group.at(-1)!;
      causes.enter(last.origin, lastSeq(last));
      return entry.group.map((batch) => placeBatch(batch, (position += 1)));
    }
    position += 1;
    const { locals, count } = entry;
    const deps = causes.declare(seq === 1, origin, vector);
    const lamport = clock.increment(count);
    const { topic, time, lengths, meta, body } = joinDrafts(locals.map(({ draft }) => draft));
    const named = { origin, seq, count, lamport, time, topic, deps, lengths, meta, body, proof: '' };
    const proof = prover.prove(named, index === entries.length - 1);
    const batch = placeBatch({ ...named, proof }, position);
    for (const { draft, fate } of locals) {
      const name = { origin, seq, lamport: batch.lamport + seq - batch.seq };
      seq += draft.count;
      names.push(name);
      fate.named?.(name);
    }
    return batch;
  });
}

export function entryBytes(entry: Entry): number {
  return entry.kind === 'local' ? batchBytes(entry.draft) : sum(entry.group, batchBytes);
}

export function entryCount(entry: Entry): number {
  return entry.kind === 'local' ? entry.draft.count : sum(entry.group, ({ count }) => count);
}

function sum(group: readonly RecordBatch[], of: (batch: RecordBatch) => number): number {
  return group.reduce((total, batch) => total + of(batch), 0);
}
