/**
 * Repeats: a publish that was tried again may be stored twice, under two names, because the second broker could not know of the first one yet. Both records
 * stay, since names are for ever; but every reader gets one of them.
 *
 * Two records are copies of one message where topic and dedupe id are the same and they were published within the window. An origin that had stored
 * one of them when it named the other (deps tell) knew the id and took it all the same because the window was over, clocks being what
 * they are; unless that was so soon that the first one came while the second one waited for its name. So then half the window counts.
 *
 * Each broker marks whichever copy it stores later, in the same transaction (`StoredBatch.repeats`). A reader that comes to a marked record here has
 * passed the other one, so it is never sent. A reader that comes from a broker where the order was the other way round has read the marked one
 * and comes to the unmarked one: its cursor says so, and `#later` finds it.
 *
 * Memory holds the ids of the window (core/dedupe.ts). What may be a copy of something older, because it comes from a broker that was away or from
 * the other side of a partition, is looked up on disk.
 */
import { Dedupe, type Fate, FULL_TOPICS } from './dedupe.ts';
import type { RumormillError } from './error.ts';
import { type Draft, lastSeq, type Origin, parseDeps, parseMeta, parseRepeats, placeBatch, type StoredBatch, type StoredColumns } from './record.ts';
import type { Store } from './runtime.ts';
import { DECLARE_EVERY } from './transaction.ts';
import { covers, VersionVector } from './version-vector.ts';

export interface RepeatsOptions {
  readonly dedupeWindowMs: number;
  readonly dedupeIdsMax: number;
  /** Copies remembered for readers that come from other brokers; the oldest leave. */
  readonly repeatsMax: number;
}

/** One copy of a message: the name of its record, and its batch's wall-clock time. */
interface Copy {
  readonly origin: Origin;
  readonly seq: number;
  readonly time: number;
}

/** A batch of which memory may have forgotten a copy. */
interface Late {
  readonly batch: StoredBatch;
  readonly known: VersionVector;
}

type Marks = Map<StoredBatch, Map<number, Copy>>;

export class Repeats {
  readonly #store: Store;
  readonly #options: RepeatsOptions;
  readonly #own: () => Origin;
  readonly #dedupe: Dedupe;
  readonly #known = new Map<Origin, VersionVector>(); // what each origin had stored when it named the last record that came from it
  readonly #later = new Map<string, { origin: Origin; seq: number }[]>(); // name of a record -> the copies of it that are marked

  /** @param own the origin of this broker's own records */
  constructor(store: Store, own: () => Origin, options: RepeatsOptions) {
    this.#store = store;
    this.#own = own;
    this.#options = options;
    this.#dedupe = new Dedupe(options.dedupeWindowMs, options.dedupeIdsMax);
  }

  /** Bytes in memory, about. */
  get bytes(): number {
    return this.#dedupe.bytes;
  }

  /** Takes up what an earlier process of this store remembered. To be called before anything else. */
  async restore(now: number): Promise<void> {
    const { dedupeWindowMs, dedupeIdsMax, repeatsMax } = this.#options;
    const newest = await this.#store.readWithIds(dedupeWindowMs, dedupeIdsMax, FULL_TOPICS * dedupeIdsMax);
    const forgotten = new Map(this.#store.state.vector);
    for (const { origin, seq } of newest.toReversed()) forgotten.set(origin, seq - 1);
    this.#dedupe.forget(forgotten);
    this.#dedupe.forget(await this.#store.vectorAt(oldestOfFull(newest, dedupeIdsMax) - 1));
    this.stored(newest, now);
    this.#index(await this.#store.readRepeats(repeatsMax));
    for (const [origin, seq] of this.#store.state.vector) {
      const known = new VersionVector([[origin, seq]]);
      for (const deps of await this.#store.lastDeps(origin, DECLARE_EVERY)) for (const dep of deps) known.advance(...dep);
      this.#known.set(origin, known);
    }
  }

  /** Claims an id for a message about to be published. False where it is known: `fate` tells what becomes of that one. */
  claim(topic: string, id: string, now: number): boolean {
    return this.#dedupe.claim(topic, id, now);
  }

  fate(topic: string, id: string, settled: (fate: Fate) => void): void {
    this.#dedupe.fate(topic, id, settled);
  }

  /** A draft could not be stored: its ids are free again. */
  failed(draft: Draft, error: RumormillError): void {
    for (const id of idsOf(draft)) if (id !== null) this.#dedupe.failed(draft.topic, id, error);
  }

  expire(now: number): void {
    this.#dedupe.expire(now);
  }

  /**
   * Marks what repeats a message stored here, or one that stands earlier among these batches, which are about to be stored in this order.
   * @throws RumormillError STORE
   */
  mark(batches: readonly StoredBatch[]): readonly StoredBatch[] | Promise<readonly StoredBatch[]> {
    const marks: Marks = new Map();
    const late: Late[] = [];
    const isMixed = batches.some(({ origin }) => origin !== batches[0]!.origin);
    const here = isMixed ? new Map<string, Copy>() : undefined; // what one origin takes has been looked up there
    for (const batch of batches) {
      const learned = this.#learn(batch);
      const ids = idsOf(batch);
      if (ids.length === 0) continue;
      for (const [index, id] of ids.entries()) {
        if (id === null) continue;
        const name = here && `${batch.topic}\n${id}`;
        const copy = this.#dedupe.first(batch.topic, id) ?? here?.get(name!);
        if (copy === undefined) here?.set(name!, { origin: batch.origin, seq: batch.seq + index, time: batch.time });
        else if (this.#isCopy(copy, batch, learned)) put(marks, batch, index, copy);
      }
      if (batch.origin !== this.#own() && !covers(learned, this.#dedupe.forgotten)) late.push({ batch, known: new VersionVector(learned.entries()) });
    }
    if (late.length > 0) return this.#lookUp(late, marks).then(() => marked(batches, marks));
    return marked(batches, marks);
  }

  /** The batches are on disk. */
  stored(batches: readonly StoredColumns[], now: number): void {
    for (const batch of batches) {
      const { topic, origin, seq, lamport, time } = batch;
      for (const [index, id] of idsOf(batch).entries()) {
        if (id !== null) this.#dedupe.stored(topic, id, { origin, seq: seq + index, lamport: lamport + index, time }, now);
      }
    }
    this.#index(batches);
  }

  /** Those messages of a batch, by index, which a reader who has read `read` and comes to them has had in another copy; in order. */
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
  copies(origin: Origin, seq: number): readonly { readonly origin: Origin; readonly seq: number }[] {
    return this.#later.size === 0 ? [] : (this.#later.get(`${origin} ${seq}`) ?? []);
  }

  /** What the batch's origin had stored when it named it. */
  #learn(batch: StoredBatch): VersionVector {
    let known = this.#known.get(batch.origin);
    if (known === undefined) this.#known.set(batch.origin, (known = new VersionVector()));
    for (const [origin, seq] of parseDeps(batch)) known.advance(origin, seq);
    known.advance(batch.origin, lastSeq(batch));
    return known;
  }

  #isCopy(copy: Copy, batch: StoredBatch, known: VersionVector): boolean {
    const isKnown = known.get(copy.origin) >= copy.seq;
    return Math.abs(copy.time - batch.time) <= this.#options.dedupeWindowMs / (isKnown ? 2 : 1);
  }

  /** Looks on disk for copies that memory may have forgotten. */
  async #lookUp(late: readonly Late[], marks: Marks): Promise<void> {
    for (const topic of new Set(late.map(({ batch }) => batch.topic))) {
      const group = late.filter(({ batch }) => batch.topic === topic);
      const wanted = new Map<string, (Late & { readonly index: number })[]>();
      for (const { batch, known } of group) {
        for (const [index, id] of idsOf(batch).entries()) if (id !== null) wanted.set(id, [...(wanted.get(id) ?? []), { batch, known, index }]);
      }
      const times = group.map(({ batch }) => batch.time);
      const [from, to] = [Math.min(...times) - this.#options.dedupeWindowMs, Math.max(...times) + this.#options.dedupeWindowMs];
      for (const { id, ...copy } of await this.#store.findIds(topic, [...wanted.keys()], from, to)) {
        for (const { batch, known, index } of wanted.get(id) ?? []) if (this.#isCopy(copy, batch, known)) put(marks, batch, index, copy);
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

/** The dedupe ids of a batch's messages; empty where none has one. */
function idsOf(batch: Pick<Draft, 'meta'>): readonly (string | null)[] {
  if (batch.meta === '') return [];
  let ids = parsed.get(batch);
  if (ids === undefined) parsed.set(batch, (ids = parseMeta(batch).ids ?? []));
  return ids;
}

/** The position before which a topic may have had ids that are not among these, its newest with `idsMax` messages; 1 where no topic has as many. */
function oldestOfFull(batches: readonly StoredColumns[], idsMax: number): number {
  const topics = new Map<string, { readonly oldest: number; messages: number }>();
  for (const { topic, position, count } of batches) {
    const seen = topics.get(topic);
    if (seen === undefined) topics.set(topic, { oldest: position, messages: count });
    else seen.messages += count;
  }
  return Math.max(1, ...[...topics.values()].filter(({ messages }) => messages >= idsMax).map(({ oldest }) => oldest));
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
    return placeBatch(batch, batch.position, JSON.stringify(Object.fromEntries([...copies].map(([index, { origin, seq }]) => [index, [origin, seq]]))));
  });
}
