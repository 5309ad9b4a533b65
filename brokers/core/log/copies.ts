/**
 * Copies: a publish that was tried again may be stored twice, under two names, because the second
 * broker could not know of the first one yet. Both records stay, since names are for ever; but
 * every reader gets one of them.
 *
 * Two records are copies of one message if topic and dedupe id are the same and they were
 * published within the window, of running time (running-time.ts): wall clocks do not matter for
 * it. An origin that had stored one of them when it named the other (deps tell) knew the id and
 * took it all the same because the window was over; unless that was so soon that the first one came
 * while the second one waited for its name. So then half the window counts.
 *
 * Each broker marks the copy that it stores later, in the same transaction
 * (`StoredBatch.repeats`). A reader that comes to a marked record here has passed the other one, so
 * it is never sent. A reader that comes from a broker with the opposite order has read
 * the marked one and comes to the unmarked one: its cursor says so, and `#later` finds it.
 *
 * Memory holds the ids of the window (dedupe.ts). What may be a copy of something older,
 * because it comes from a broker that was away or from the other side of a partition, is looked up
 * on disk.
 */
import { DECLARE_EVERY } from './causes.ts';
import { Dedupe, type Fate } from './dedupe.ts';
import { isDiskFull, type RumormillError } from '../error.ts';
import {
  type Draft, lastSeq, type Origin, parseDeps, parseMeta, parseRepeats, placeBatch, type StoredBatch,
  type StoredColumns,
} from './record.ts';
import type { RunningTime } from './running-time.ts';
import type { Random } from '../runtime.ts';
import type { Store } from './store.ts';
import { covers, VersionVector } from './version-vector.ts';

const SAVE_MS = 60_000; // between saves of the running time, at most

export interface CopiesOptions {
  readonly dedupeWindowMs: number;
  readonly dedupeIdsMax: number;
  /** Origins whose stored contents are remembered; for others they are read from the disk. */
  readonly dedupeOriginsMax: number;
  /** Copies remembered for readers that come from other brokers; the oldest leave. */
  readonly repeatsMax: number;
}

/** One copy of a message: the name of its record, and the running time at which it was published. */
interface Copy {
  readonly origin: Origin;
  readonly seq: number;
  readonly seen: number;
}

/** A batch that may have a copy that memory has forgotten. */
interface Late {
  readonly batch: StoredBatch;
  readonly known: VersionVector;
}

type Marks = Map<StoredBatch, Map<number, Copy>>;

export class Copies {
  readonly #store: Store;
  readonly #options: CopiesOptions;
  readonly #own: () => Origin;
  readonly #dedupe: Dedupe;
  readonly #time: RunningTime;
  // when an origin's newest record with ids was published: later ones were so later
  readonly #newest = new Map<Origin, number>();
  #isSaved = false; // the running time, of this life
  #savedAt = 0;
  // what each origin had stored when it named the last record that came from it
  readonly #known = new Map<Origin, VersionVector>();
  // name of a record -> the copies of it that are marked
  readonly #later = new Map<string, { origin: Origin; seq: number }[]>();

  /** @param own the origin of this broker's own records */
  constructor(store: Store, own: () => Origin, options: CopiesOptions, time: RunningTime, random: Random) {
    this.#store = store;
    this.#own = own;
    this.#options = options;
    this.#time = time;
    this.#dedupe = new Dedupe(options.dedupeWindowMs, options.dedupeIdsMax, time, random);
  }

  /** About how much memory the ids take. */
  get bytes(): number {
    return this.#dedupe.bytes;
  }

  /** Takes up what an earlier process of this store remembered. To be called before anything else. */
  async restore(): Promise<void> {
    const { dedupeWindowMs, repeatsMax } = this.#options;
    await this.#saveTime().catch((error: unknown) => {
      if (!isDiskFull(error)) throw error; // the next transaction with ids tries again
    });
    await this.#restoreIds(this.#time.before(this.#time.end, dedupeWindowMs));
    this.#index(await this.#store.readRepeats(repeatsMax));
  }

  /**
   * An origin's records enter in the order in which they were published, so those that are not read
   * are its first ones.
   */
  async #restoreIds(since: number): Promise<void> {
    const unread = new Map(this.#store.state.vector);
    for await (const rows of this.#store.readIds(since)) {
      for (const row of rows) {
        if (!this.#newest.has(row.origin)) unread.set(row.origin, row.seq - 1);
        this.#remember(row, row.topic, row.ids, Math.min(row.seen, this.#time.end));
      }
    }
    this.#dedupe.forget(unread);
  }

  /**
   * A peer has missed this broker for so long: that tells something of the time before this life.
   * @throws RumormillError DISKFULL or STORE
   */
  async missed(ms: number): Promise<void> {
    if (this.#time.missed(ms)) await this.#saveTime();
  }

  /** To be called before the store is closed. @throws RumormillError DISKFULL or STORE */
  async close(): Promise<void> {
    await this.#saveTime();
  }

  async #saveTime(): Promise<void> {
    this.#savedAt = this.#time.now();
    await this.#store.saveTime(this.#time.saved);
    this.#isSaved = true;
  }

  /**
   * Claims an id for a message about to be published. False if it is known: `fate` tells what
   * becomes of that one.
   */
  claim(topic: string, id: string): boolean {
    return this.#dedupe.claim(topic, id);
  }

  fate(topic: string, id: string, settled: (fate: Fate) => void): void {
    this.#dedupe.fate(topic, id, settled);
  }

  /** A draft could not be stored: its ids are free again. */
  failed(draft: Draft, error: RumormillError): void {
    for (const id of idsOf(draft)) if (id !== null) this.#dedupe.failed(draft.topic, id, error);
  }

  /**
   * To be called now and then. What a broker ran after the last save is not counted once it is killed,
   * and the ages that others tell then do not fit the times of its own records, however old these are.
   * So the time is saved often enough for copies to be found, whether ids are remembered or not.
   * @throws RumormillError DISKFULL or STORE
   */
  async expire(): Promise<void> {
    this.#dedupe.expire();
    const everyMs = Math.min(SAVE_MS, this.#options.dedupeWindowMs / 2);
    if (this.#time.now() - this.#savedAt >= everyMs) await this.#saveTime();
  }

  /**
   * Marks what repeats a message stored here, or one that is earlier among these batches, which
   * are about to be stored in this order.
   * @throws RumormillError STORE
   */
  mark(batches: readonly StoredBatch[]): readonly StoredBatch[] | Promise<readonly StoredBatch[]> {
    const unknown = this.#takeNew(batches);
    if (unknown.length === 0) return this.#mark(batches);
    return Promise.all(unknown.map((batch) => this.#load(batch))).then(() => this.#mark(batches));
  }

  /**
   * Of each origin that has ids among these batches and is not remembered, the first batch, unless
   * it is the first of all: then nothing has to be read to know what its origin had stored.
   */
  #takeNew(batches: readonly StoredBatch[]): StoredBatch[] {
    const firsts = new Map<Origin, StoredBatch>();
    const unknown: StoredBatch[] = [];
    for (const batch of batches) {
      const { origin } = batch;
      if (this.#known.has(origin)) continue;
      if (!firsts.has(origin)) firsts.set(origin, batch);
      if (idsOf(batch).length === 0) continue;
      const first = firsts.get(origin)!;
      this.#known.set(origin, new VersionVector());
      if (first.seq > 1) unknown.push(first);
    }
    return unknown;
  }

  /** Reads what an origin had stored when it named what came before a batch. */
  async #load({ origin, seq }: StoredBatch): Promise<void> {
    const known = new VersionVector([[origin, seq - 1]]);
    for (const deps of await this.#store.lastDeps(origin, DECLARE_EVERY)) for (const dep of deps) known.advance(...dep);
    this.#known.set(origin, known);
  }

  #mark(batches: readonly StoredBatch[]): readonly StoredBatch[] | Promise<readonly StoredBatch[]> {
    const marks: Marks = new Map();
    const late: Late[] = [];
    const isMixed = batches.some(({ origin }) => origin !== batches[0]!.origin);
    const here = isMixed ? new Map<string, Copy>() : undefined; // what one origin takes has been looked up there
    const dated = batches.map((batch) => (batch.meta === '' || idsOf(batch).length === 0 ? batch : this.#date(batch)));
    for (const batch of dated) {
      const learned = this.#learn(batch);
      const ids = idsOf(batch);
      if (ids.length === 0 || learned === undefined) continue;
      for (const [index, id] of ids.entries()) {
        if (id === null) continue;
        const name = here && `${batch.topic}\n${id}`;
        const copy = this.#dedupe.first(batch.topic, id) ?? here?.get(name!);
        if (copy === undefined) here?.set(name!, { origin: batch.origin, seq: batch.seq + index, seen: seenOf(batch) });
        else if (this.#isCopy(copy, batch, learned)) put(marks, batch, index, copy);
      }
      if (batch.origin !== this.#own() && !covers(learned, this.#dedupe.forgotten)) {
        late.push({ batch, known: new VersionVector(learned.entries()) });
      }
    }
    this.#forgetKnown();
    const isUnsaved = !this.#isSaved && dated.some((batch, index) => batch !== batches[index]);
    if (late.length === 0 && !isUnsaved) return marked(dated, marks);
    return this.#lookUp(late, marks)
      .then(() => (isUnsaved ? this.#saveTime() : undefined))
      .then(() => marked(dated, marks));
  }

  /**
   * Says when a batch with ids was published: now, or so long ago as the peer that sent it said,
   * and not before its origin's last one.
   */
  #date(batch: StoredBatch): StoredBatch {
    const seen = Math.max(seenOf(batch) === 0 ? this.#time.now() : seenOf(batch), this.#newest.get(batch.origin) ?? 0);
    this.#newest.set(batch.origin, seen);
    const dated = placeBatch(batch, batch.position, batch.repeats, seen);
    parsed.set(dated, idsOf(batch));
    return dated;
  }

  /** The batches are on disk. */
  stored(batches: readonly StoredColumns[]): void {
    for (const batch of batches) if (batch.meta !== '') this.#remember(batch, batch.topic, idsOf(batch), seenOf(batch));
    this.#index(batches);
  }

  #remember(
    { origin, seq, lamport }: Pick<StoredColumns, 'origin' | 'seq' | 'lamport'>,
    topic: string,
    ids: readonly (string | null)[],
    seen: number,
  ): void {
    if (ids.length > 0) this.#newest.set(origin, Math.max(seen, this.#newest.get(origin) ?? 0));
    for (let index = 0; index < ids.length; index += 1) {
      const id = ids[index]!;
      if (id !== null) this.#dedupe.stored(topic, id, { origin, seq: seq + index, lamport: lamport + index, seen });
    }
  }

  /**
   * The messages of a batch, by index, that a reader that has read `read` and comes to them has
   * had in another copy; in order.
   */
  repeatsIn(batch: StoredBatch, read: VersionVector, from: number, to: number): number[] {
    if (batch.repeats === '' && this.#later.size === 0) return [];
    const marked = parseRepeats(batch);
    const repeats: number[] = [];
    for (let index = from; index < to; index += 1) {
      const copies = this.#later.get(`${batch.origin} ${batch.seq + index}`);
      if (marked.has(index) || copies?.some(({ origin, seq }) => read.get(origin) >= seq) === true) repeats.push(index);
    }
    return repeats;
  }

  /** The marked copies of a record that are remembered. */
  of(origin: Origin, seq: number): readonly { readonly origin: Origin; readonly seq: number }[] {
    return this.#later.size === 0 ? [] : (this.#later.get(`${origin} ${seq}`) ?? []);
  }

  /** What the batch's origin had stored when it named it; undefined for one without ids. */
  #learn(batch: StoredBatch): VersionVector | undefined {
    const known = this.#known.get(batch.origin);
    if (known === undefined) return undefined;
    this.#known.delete(batch.origin); // so that the oldest come first
    this.#known.set(batch.origin, known);
    for (const [origin, seq] of parseDeps(batch)) known.advance(origin, seq);
    known.advance(batch.origin, lastSeq(batch));
    return known;
  }

  #forgetKnown(): void {
    for (const origin of this.#known.keys()) {
      if (this.#known.size <= this.#options.dedupeOriginsMax) break;
      this.#known.delete(origin);
    }
  }

  #isCopy(copy: Copy, batch: StoredBatch, known: VersionVector): boolean {
    const isKnown = known.get(copy.origin) >= copy.seq;
    return this.#time.between(copy.seen, seenOf(batch)) <= this.#options.dedupeWindowMs / (isKnown ? 2 : 1);
  }

  /** Looks on disk for copies that memory may have forgotten. */
  async #lookUp(late: readonly Late[], marks: Marks): Promise<void> {
    for (const topic of new Set(late.map(({ batch }) => batch.topic))) {
      const group = late.filter(({ batch }) => batch.topic === topic);
      const wanted = new Map<string, (Late & { readonly index: number })[]>();
      for (const { batch, known } of group) {
        for (const [index, id] of idsOf(batch).entries()) {
          if (id !== null) wanted.set(id, [...(wanted.get(id) ?? []), { batch, known, index }]);
        }
      }
      const seen = group.map(({ batch }) => seenOf(batch));
      const from = this.#time.before(Math.min(...seen), this.#options.dedupeWindowMs);
      const to = this.#time.after(Math.max(...seen), this.#options.dedupeWindowMs);
      for (const { id, ...copy } of await this.#store.findIds(topic, [...wanted.keys()], from, to)) {
        for (const { batch, known, index } of wanted.get(id) ?? []) {
          if (this.#isCopy(copy, batch, known)) put(marks, batch, index, copy);
        }
      }
    }
  }

  #index(batches: readonly StoredColumns[]): void {
    for (const batch of batches) {
      if (batch.repeats === '') continue;
      for (const [index, [origin, seq]] of parseRepeats(batch)) {
        const name = `${origin} ${seq}`;
        this.#later.set(name, [...(this.#later.get(name) ?? []), { origin: batch.origin, seq: batch.seq + index }]);
      }
    }
    for (const name of this.#later.keys()) {
      if (this.#later.size <= this.#options.repeatsMax) break;
      this.#later.delete(name);
    }
  }
}

const parsed = new WeakMap<object, readonly (string | null)[]>(); // asked for before and after a batch is stored

/** The dedupe ids of a batch's messages; empty if none has one. */
function idsOf(batch: Pick<Draft, 'meta'>): readonly (string | null)[] {
  if (batch.meta === '') return [];
  let ids = parsed.get(batch);
  if (ids === undefined) parsed.set(batch, (ids = parseMeta(batch).ids ?? []));
  return ids;
}

function seenOf({ seen = 0 }: Pick<StoredColumns, 'seen'>): number {
  return seen;
}

/** The first copy that is found counts. */
function put(marks: Marks, batch: StoredBatch, index: number, copy: Copy): void {
  const known = marks.get(batch);
  if (known === undefined) marks.set(batch, new Map([[index, copy]]));
  else if (!known.has(index)) known.set(index, copy);
}

function marked(batches: readonly StoredBatch[], marks: Marks): readonly StoredBatch[] {
  if (marks.size === 0) return batches;
  return batches.map((batch) => {
    const copies = marks.get(batch);
    if (copies === undefined) return batch;
    const repeats = JSON.stringify(
      Object.fromEntries([...copies].map(([index, { origin, seq }]) => [index, [origin, seq]])),
    );
    const copy = placeBatch(batch, batch.position, repeats, batch.seen);
    parsed.set(copy, idsOf(batch));
    return copy;
  });
}
