/**
 * Dedupe ids: the same id on the same topic within the window is the same message, published once.
 *
 * Remembered are the newest `idsMax` ids of each topic for `windowMs`, from every message stored here, whichever broker took it. An id whose
 * message is not on disk yet is pending: a second publish with it waits for the first one's fate. `forgotten` says which records may have had ids
 * that are not remembered any more.
 */
import { assert, type RumormillError } from './error.ts';
import { Queue } from './queue.ts';
import type { Origin } from './record.ts';
import { type Vector, VersionVector } from './version-vector.ts';

/** What became of a message that claimed an id. */
export type Fate = { readonly known: Known } | { readonly error: RumormillError };

/** The message that an id stands for: the name of its record, its Lamport timestamp and its batch's wall-clock time. */
export interface Known {
  readonly origin: Origin;
  readonly seq: number;
  readonly lamport: number;
  readonly time: number;
}

interface Entry {
  readonly id: string;
  known: Known | undefined; // undefined while pending
  readonly since: number;
  waiters: ((fate: Fate) => void)[] | undefined;
  isOut: boolean; // taken out, or replaced by a newer one
}

/** Of one topic. */
interface Ids {
  readonly entries: Map<string, Entry>;
  readonly order: Queue<Entry>; // in which they came; an entry that was taken out or replaced may still stand here
}

export class Dedupe {
  readonly #windowMs: number;
  readonly #idsMax: number;
  readonly #forgotten = new VersionVector();
  readonly #topics = new Map<string, Ids>();

  constructor(windowMs: number, idsMax: number) {
    this.#windowMs = windowMs;
    this.#idsMax = idsMax;
  }

  /** Every record with an id that is not remembered is covered by it. */
  get forgotten(): Vector {
    return this.#forgotten.snapshot();
  }

  /** The records up to here may have had ids, of which nothing is known. */
  forget(vector: Vector): void {
    this.#forgotten.merge(vector);
  }

  /** The first message stored with this id, as long as it is remembered. */
  first(topic: string, id: string): Known | undefined {
    return this.#entry(topic, id)?.known;
  }

  /** Claims an id for a message about to be published. False where it is known: `fate` tells what becomes of that one. */
  claim(topic: string, id: string, now: number): boolean {
    if (this.#fresh(topic, id, now) !== undefined) return false;
    this.#put(topic, { id, known: undefined, since: now, waiters: undefined, isOut: false }, now);
    return true;
  }

  /** Tells, at once or later, what became of the message that claimed an id. */
  fate(topic: string, id: string, settled: (fate: Fate) => void): void {
    const entry = this.#entry(topic, id);
    assert(entry !== undefined, 'fate of an id that was never claimed');
    if (entry.known === undefined) (entry.waiters ??= []).push(settled);
    else settled({ known: entry.known });
  }

  /** The message with this id is stored. */
  stored(topic: string, id: string, known: Known, now: number): void {
    const entry = this.#fresh(topic, id, now);
    if (entry === undefined) return this.#put(topic, { id, known, since: now, waiters: undefined, isOut: false }, now);
    if (entry.known !== undefined) return; // the first one counts
    entry.known = known;
    const { waiters = [] } = entry;
    entry.waiters = undefined;
    for (const settled of waiters) settled({ known });
  }

  /** The message that claimed the id could not be stored: the id is free again. */
  failed(topic: string, id: string, error: RumormillError): void {
    const entry = this.#entry(topic, id);
    if (entry === undefined || entry.known !== undefined) return;
    this.#topics.get(topic)?.entries.delete(id);
    entry.isOut = true;
    for (const settled of entry.waiters ?? []) settled({ error });
  }

  /** Forgets what is out of the window. */
  expire(now: number): void {
    for (const [topic, ids] of this.#topics) {
      this.#trim(ids, now);
      if (ids.entries.size === 0) this.#topics.delete(topic);
    }
  }

  #fresh(topic: string, id: string, now: number): Entry | undefined {
    const entry = this.#entry(topic, id);
    return entry !== undefined && (entry.known === undefined || now - entry.since < this.#windowMs) ? entry : undefined;
  }

  #entry(topic: string, id: string): Entry | undefined {
    return this.#topics.get(topic)?.entries.get(id);
  }

  #put(topic: string, entry: Entry, now: number): void {
    let ids = this.#topics.get(topic);
    if (ids === undefined) this.#topics.set(topic, (ids = { entries: new Map(), order: new Queue() }));
    this.#drop(ids, ids.entries.get(entry.id)); // an expired one
    ids.entries.set(entry.id, entry);
    ids.order.push(entry);
    this.#trim(ids, now);
  }

  #trim(ids: Ids, now: number): void {
    for (let entry = ids.order.first; entry !== undefined; entry = ids.order.first) {
      if (!entry.isOut && ids.entries.size <= this.#idsMax && now - entry.since < this.#windowMs) break;
      if (!entry.isOut && entry.known === undefined) break; // pending ones are settled soon, and bounded by what may be pending
      ids.order.shift();
      if (!entry.isOut) this.#drop(ids, entry);
    }
  }

  #drop(ids: Ids, entry: Entry | undefined): void {
    if (entry === undefined) return;
    ids.entries.delete(entry.id);
    entry.isOut = true;
    if (entry.known !== undefined) this.#forgotten.advance(entry.known.origin, entry.known.seq);
  }
}
