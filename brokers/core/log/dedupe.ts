/**
 * Dedupe ids: the same id on the same topic within the window is the same message, published once.
 *
 * The newest `idsMax` ids of each topic are remembered, and FULL_TOPICS times as many of all together,
 * for `windowMs` of running time (running-time.ts), from every message stored here, whatever broker took
 * it. An id whose message is not on disk yet is pending: a second publish with it waits for the result
 * of the first. `forgotten` says which records may have had ids that are not remembered any more.
 */
import { assert, type RumormillError } from '../error.ts';
import { type Entry, IdTable, type Known, type List, NONE } from './id-table.ts';
import type { RunningTime } from './running-time.ts';
import { type Vector, VersionVector } from './version-vector.ts';

export type { Known } from './id-table.ts';

/** What became of a message that claimed an id. */
export type Fate = { readonly known: Known } | { readonly error: RumormillError };

/** How many topics may have as many ids as a topic may; more topics have fewer. */
export const FULL_TOPICS = 10;

export class Dedupe {
  readonly #windowMs: number;
  readonly #idsMax: number;
  readonly #time: RunningTime;
  readonly #table: IdTable;
  readonly #waiters = new Map<Entry, ((fate: Fate) => void)[]>();
  readonly #forgotten = new VersionVector();

  /** @param random uniform in 0..2^32-1 */
  constructor(windowMs: number, idsMax: number, time: RunningTime, random: () => number) {
    this.#windowMs = windowMs;
    this.#idsMax = idsMax;
    this.#time = time;
    this.#table = new IdTable(random);
  }

  /** How many ids are remembered. */
  get size(): number {
    return this.#table.all.count;
  }

  /** About how much memory they take. */
  get bytes(): number {
    return this.#table.bytes;
  }

  /** Every record with an id that is not remembered is covered by it. */
  get forgotten(): Vector {
    return this.#forgotten.snapshot();
  }

  /** The records up to here may have had ids that are not known. */
  forget(vector: Vector): void {
    this.#forgotten.merge(vector);
  }

  /** The first message stored with this id, as long as it is remembered. */
  first(topic: string, id: string): Known | undefined {
    const entry = this.#table.find(topic, id);
    return entry === NONE ? undefined : this.#table.known(entry);
  }

  /**
   * Claims an id for a message about to be published. False if it is known: `fate` tells what becomes of that one.
   */
  claim(topic: string, id: string): boolean {
    if (this.#fresh(topic, id) !== NONE) return false;
    this.#add(topic, id, this.#time.now());
    return true;
  }

  /** Tells, at once or later, what became of the message that claimed an id. */
  fate(topic: string, id: string, settled: (fate: Fate) => void): void {
    const entry = this.#table.find(topic, id);
    assert(entry !== NONE, 'fate of an id that was never claimed');
    const known = this.#table.known(entry);
    if (known !== undefined) return settled({ known });
    const waiters = this.#waiters.get(entry);
    if (waiters === undefined) this.#waiters.set(entry, [settled]);
    else waiters.push(settled);
  }

  /** The message with this id is stored. */
  stored(topic: string, id: string, known: Known): void {
    let entry = this.#fresh(topic, id);
    if (entry === NONE && this.#isOver(known.seen)) return void this.#forgotten.advance(known.origin, known.seq);
    if (entry === NONE) entry = this.#add(topic, id, known.seen);
    else if (!this.#table.isPending(entry)) return; // the first one counts
    this.#table.settle(entry, known);
    this.#tell(entry, { known });
  }

  /** The message that claimed the id could not be stored: the id is free again. */
  failed(topic: string, id: string, error: RumormillError): void {
    const entry = this.#table.find(topic, id);
    if (entry === NONE || !this.#table.isPending(entry)) return;
    const waiters = this.#waiters.get(entry) ?? [];
    this.#waiters.delete(entry);
    this.#table.remove(entry);
    for (const settled of waiters) settled({ error });
  }

  /** Forgets what is out of the window. */
  expire(): void {
    this.#trim(this.#table.all, (entry) => this.#isOver(this.#table.seen(entry)));
  }

  #tell(entry: Entry, fate: Fate): void {
    if (this.#waiters.size === 0) return;
    const waiters = this.#waiters.get(entry) ?? [];
    this.#waiters.delete(entry);
    for (const settled of waiters) settled(fate);
  }

  #isOver(seen: number): boolean {
    return this.#time.age(seen) >= this.#windowMs;
  }

  /** Its entry, if it is pending or within the window. One out of the window makes room for another. */
  #fresh(topic: string, id: string): Entry {
    const entry = this.#table.find(topic, id);
    if (entry === NONE || this.#table.isPending(entry) || !this.#isOver(this.#table.seen(entry))) return entry;
    this.#forget(entry);
    return NONE;
  }

  #add(topic: string, id: string, seen: number): Entry {
    const entry = this.#table.add(topic, id, seen);
    this.#trimAll(entry);
    return entry;
  }

  #trimAll(entry: Entry): void {
    const { all } = this.#table;
    const ofTopic = this.#table.topicOf(entry);
    if (ofTopic.count > this.#idsMax) this.#trim(ofTopic, () => ofTopic.count > this.#idsMax);
    if (all.count > FULL_TOPICS * this.#idsMax) this.#trim(all, () => all.count > FULL_TOPICS * this.#idsMax);
  }

  /** Forgets the first ones, as long as they are too old or too many. */
  #trim(list: List, isDue: (entry: Entry) => boolean): void {
    for (let entry = list.first; entry !== NONE && isDue(entry); entry = list.first) {
      if (this.#table.isPending(entry)) break; // pending ones are settled soon, and bounded by what may be pending
      this.#forget(entry);
    }
  }

  #forget(entry: Entry): void {
    const { origin, seq } = this.#table.known(entry)!;
    this.#forgotten.advance(origin, seq);
    this.#table.remove(entry);
  }
}
