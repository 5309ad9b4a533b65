/**
 * Which batches may hold a dedupe id: in memory, for the times that were asked about lately, of
 * running time (core/log/running-time.ts).
 *
 * Looking for ids among those of some minutes means reading all of these. A broker that catches up
 * with the other side of a long partition does so in each transaction, about nearly the same
 * minutes; so they are read once, and what is written meanwhile is added. Kept are a hash of topic
 * and id, and the position of the batch: 30 to 50 bytes an id. A hash may be that of another id, so
 * the caller looks at the batches.
 */
import { fnv1aText } from '../core/hash.ts';
import { parseMeta, type StoredColumns } from '../core/log/record.ts';

const SLICE_MS = 10_000; // of time, forgotten together
const IDS_MAX = 3_000_000; // kept; for longer or busier times ids are looked for on disk
const PAGE_ROWS = 256;
const IDLE_MS = 60_000; // after the last question, nothing is kept any more
const PAUSE_MS = 60_000; // after there were too many, before it is tried again

/** What is read of a batch with ids. */
export type IdRow = Pick<StoredColumns, 'position' | 'topic' | 'meta'> & { readonly seen?: number };

/**
 * The batches with ids published after another one (by time, then position) and before a time, in
 * that order; at most `limit`.
 */
type ReadIds = (
  after: { readonly seen: number; readonly position: number }, until: number, limit: number,
) => Promise<readonly IdRow[]>;

/** Hash of topic and id -> position, or positions. */
type Slice = Map<number, number | number[]>;

export class StoredIds {
  readonly #read: ReadIds;
  readonly #idsMax: number;
  #slices = new Map<number, Slice>(); // of all batches with ids published from #from to #until, exclusive
  #from = 0;
  #until = 0;
  #size = 0;
  #askedAt = 0;
  #pausedUntil = 0;

  constructor(read: ReadIds, idsMax = IDS_MAX) {
    this.#read = read;
    this.#idsMax = idsMax;
  }

  /**
   * The positions of batches of a topic that may hold one of these ids and were published from one
   * time to another, inclusive; undefined if too many ids were. Nothing may be written before
   * this has settled.
   */
  async find(topic: string, ids: readonly string[], from: number, to: number): Promise<number[] | undefined> {
    const [first, end] = [sliceOf(from), sliceOf(to) + 1];
    this.#askedAt = performance.now();
    if (this.#askedAt < this.#pausedUntil) return undefined;
    if (!(await this.#cover(first * SLICE_MS, end * SLICE_MS))) {
      this.#pausedUntil = performance.now() + PAUSE_MS;
      return undefined;
    }
    const hashes = ids.map((id) => hash(topic, id));
    const found = new Set<number>();
    for (const [slice, positions] of this.#slices) {
      if (slice < first || slice >= end) continue;
      for (const each of hashes) {
        const known = positions.get(each);
        if (typeof known === 'number') found.add(known);
        else if (known !== undefined) for (const position of known) found.add(position);
      }
    }
    return [...found];
  }

  /** These batches are written. */
  add(batches: readonly IdRow[]): void {
    if (this.#size > 0 && performance.now() - this.#askedAt > IDLE_MS) this.#clear();
    for (const batch of batches) {
      const { seen = 0 } = batch;
      if (seen >= this.#from && seen < this.#until) this.#put(batch);
    }
  }

  /** Takes in what is not kept of these times. False if that is too much. */
  async #cover(from: number, until: number): Promise<boolean> {
    if (until < this.#from || from > this.#until) this.#clear();
    if (this.#from === this.#until) this.#from = this.#until = from;
    const isCovered =
      (await this.#take(from, this.#from, from, until)) && (await this.#take(this.#until, until, from, until));
    if (!isCovered) this.#clear();
    else [this.#from, this.#until] = [Math.min(this.#from, from), Math.max(this.#until, until)];
    return isCovered;
  }

  /**
   * Reads what was published from one time to another. False if it is too much, even if nothing
   * but what is wanted is kept.
   */
  async #take(from: number, until: number, wantedFrom: number, wantedUntil: number): Promise<boolean> {
    let after = { seen: from, position: 0 };
    while (from < until) {
      const rows = await this.#read(after, until, PAGE_ROWS);
      for (const row of rows) this.#put(row);
      if (this.#size > this.#idsMax) this.#keepOnly(wantedFrom, wantedUntil);
      if (this.#size > this.#idsMax) return false;
      if (rows.length < PAGE_ROWS) return true;
      const last = rows.at(-1)!;
      after = { seen: last.seen ?? 0, position: last.position };
    }
    return true;
  }

  #put({ position, seen = 0, topic, meta }: IdRow): void {
    const { ids } = parseMeta({ meta });
    if (ids === undefined) return;
    let slice = this.#slices.get(sliceOf(seen));
    if (slice === undefined) this.#slices.set(sliceOf(seen), (slice = new Map()));
    for (const id of ids) {
      if (id === null) continue;
      const key = hash(topic, id);
      const known = slice.get(key);
      if (known === undefined) {
        slice.set(key, position);
        this.#size += 1;
      } else if (typeof known === 'number') slice.set(key, [known, position]);
      else known.push(position);
    }
  }

  #keepOnly(from: number, until: number): void {
    for (const [number, slice] of this.#slices) {
      if (number >= sliceOf(from) && number < sliceOf(until)) continue;
      this.#slices.delete(number);
      this.#size -= slice.size;
    }
    this.#from = Math.max(this.#from, from);
    this.#until = Math.min(this.#until, until);
  }

  #clear(): void {
    this.#slices = new Map();
    this.#from = this.#until = this.#size = 0;
  }
}

function sliceOf(time: number): number {
  return Math.floor(time / SLICE_MS);
}

function hash(topic: string, id: string): number {
  return fnv1aText(id, fnv1aText('\n', fnv1aText(topic)));
}
