/**
 * Dedupe ids: the same id on the same topic within the window is the same message, published once.
 *
 * Remembered are the newest `idsMax` ids of each topic, and FULL_TOPICS times as many of all together, for `windowMs`, from every message stored here, whichever broker took
 * it. An id whose message is not on disk yet is pending: a second publish with it waits for the first one's fate. `forgotten` says which records may have had ids
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

/** How many topics may have as many ids as a topic may; more topics have fewer. */
export const FULL_TOPICS = 10;

const ID_BYTES = 800; // about what one takes, as measured
const ORDER_MIN = 16; // entries, with which an order is not tidied up

interface Entry {
  readonly topic: string;
  readonly id: string;
  known: Known | undefined; // undefined while pending
  readonly since: number;
  waiters: ((fate: Fate) => void)[] | undefined;
  isOut: boolean; // taken out, or replaced by a newer one
}

/** Entries in the order in which they came. Those that are out leave it where they are the first, or where they are most of it. */
class Order {
  #queue = new Queue<Entry>();

  /** @param live how many of them are not out, about */
  push(entry: Entry, live: number): void {
    this.#queue.push(entry);
    if (this.#queue.length > 2 * live + ORDER_MIN) this.#queue.prepend(this.#queue.clear().filter(({ isOut }) => !isOut));
  }

  get first(): Entry | undefined {
    while (this.#queue.first?.isOut === true) this.#queue.shift();
    return this.#queue.first;
  }
}

/** Of one topic. */
interface Ids {
  readonly entries: Map<string, Entry>;
  readonly order: Order;
}

export class Dedupe {
  readonly #windowMs: number;
  readonly #idsMax: number;
  readonly #forgotten = new VersionVector();
  readonly #topics = new Map<string, Ids>();
  readonly #order = new Order(); // of all topics
  #size = 0;

  constructor(windowMs: number, idsMax: number) {
    this.#windowMs = windowMs;
    this.#idsMax = idsMax;
  }

  /** How many ids are remembered. */
  get size(): number {
    return this.#size;
  }

  /** Bytes in memory, about. */
  get bytes(): number {
    return this.#size * ID_BYTES;
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
    this.#put({ topic, id, known: undefined, since: now, waiters: undefined, isOut: false });
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
    if (entry === undefined) return this.#put({ topic, id, known, since: now, waiters: undefined, isOut: false });
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
    this.#takeOut(entry);
    for (const settled of entry.waiters ?? []) settled({ error });
  }

  /** Forgets what is out of the window. */
  expire(now: number): void {
    this.#trim(this.#order, (entry) => now - entry.since >= this.#windowMs);
  }

  #fresh(topic: string, id: string, now: number): Entry | undefined {
    const entry = this.#entry(topic, id);
    return entry !== undefined && (entry.known === undefined || now - entry.since < this.#windowMs) ? entry : undefined;
  }

  #entry(topic: string, id: string): Entry | undefined {
    return this.#topics.get(topic)?.entries.get(id);
  }

  #put(entry: Entry): void {
    const { topic, id } = entry;
    const expired = this.#entry(topic, id);
    if (expired !== undefined) this.#forget(expired);
    let ids = this.#topics.get(topic);
    if (ids === undefined) this.#topics.set(topic, (ids = { entries: new Map(), order: new Order() }));
    ids.entries.set(id, entry);
    this.#size += 1;
    ids.order.push(entry, ids.entries.size);
    this.#order.push(entry, this.#size);
    const { entries, order } = ids;
    if (entries.size > this.#idsMax) this.#trim(order, () => entries.size > this.#idsMax);
    if (this.#size > FULL_TOPICS * this.#idsMax) this.#trim(this.#order, () => this.#size > FULL_TOPICS * this.#idsMax);
  }

  /** Forgets the first ones, as long as they are too old or too many. */
  #trim(order: Order, isDue: (entry: Entry) => boolean): void {
    for (let entry = order.first; entry !== undefined && isDue(entry); entry = order.first) {
      if (entry.known === undefined) break; // pending ones are settled soon, and bounded by what may be pending
      this.#forget(entry);
    }
  }

  #forget(entry: Entry): void {
    this.#takeOut(entry);
    if (entry.known !== undefined) this.#forgotten.advance(entry.known.origin, entry.known.seq);
  }

  #takeOut(entry: Entry): void {
    const ids = this.#topics.get(entry.topic);
    entry.isOut = true;
    this.#size -= 1;
    ids?.entries.delete(entry.id);
    if (ids?.entries.size === 0) this.#topics.delete(entry.topic);
  }
}
