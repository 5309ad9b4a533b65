/**
 * Dedupe ids: the same id on the same topic within the window is the same message, published once.
 *
 * Remembered are the newest `idsMax` ids of each topic for `windowMs`, from every message stored here, whichever broker took it. An id whose
 * message is not on disk yet is pending: a second publish with it waits for the first one's fate.
 */
import { assert, type RumormillError } from './error.ts';

export type Outcome = { readonly lamport: number } | { readonly error: RumormillError };

interface Entry {
  lamport: number | undefined; // undefined while pending
  readonly since: number;
  waiters: ((outcome: Outcome) => void)[];
}

export class Dedupe {
  readonly #windowMs: number;
  readonly #idsMax: number;
  readonly #topics = new Map<string, Map<string, Entry>>(); // ids in the order in which they came

  constructor(windowMs: number, idsMax: number) {
    this.#windowMs = windowMs;
    this.#idsMax = idsMax;
  }

  /** Claims an id for a message about to be published. False where it is known: `outcome` tells what becomes of that one. */
  claim(topic: string, id: string, now: number): boolean {
    if (this.#fresh(topic, id, now) !== undefined) return false;
    this.#put(topic, id, { lamport: undefined, since: now, waiters: [] }, now);
    return true;
  }

  /** Tells, at once or later, what became of the message that claimed an id. */
  outcome(topic: string, id: string, settled: (outcome: Outcome) => void): void {
    const entry = this.#topics.get(topic)?.get(id);
    assert(entry !== undefined, 'outcome of an id that was never claimed');
    if (entry.lamport === undefined) entry.waiters.push(settled);
    else settled({ lamport: entry.lamport });
  }

  /** The message with this id is stored. */
  stored(topic: string, id: string, lamport: number, now: number): void {
    const entry = this.#fresh(topic, id, now);
    if (entry === undefined) return this.#put(topic, id, { lamport, since: now, waiters: [] }, now);
    if (entry.lamport !== undefined) return; // the first one counts
    entry.lamport = lamport;
    for (const settled of entry.waiters.splice(0)) settled({ lamport });
  }

  /** The message that claimed the id could not be stored: the id is free again. */
  failed(topic: string, id: string, error: RumormillError): void {
    const ids = this.#topics.get(topic);
    const entry = ids?.get(id);
    if (entry === undefined || entry.lamport !== undefined) return;
    ids?.delete(id);
    for (const settled of entry.waiters) settled({ error });
  }

  /** Forgets what is out of the window. */
  expire(now: number): void {
    for (const [topic, ids] of this.#topics) {
      this.#trim(ids, now);
      if (ids.size === 0) this.#topics.delete(topic);
    }
  }

  #fresh(topic: string, id: string, now: number): Entry | undefined {
    const entry = this.#topics.get(topic)?.get(id);
    return entry !== undefined && (entry.lamport === undefined || now - entry.since < this.#windowMs) ? entry : undefined;
  }

  #put(topic: string, id: string, entry: Entry, now: number): void {
    let ids = this.#topics.get(topic);
    if (ids === undefined) this.#topics.set(topic, (ids = new Map()));
    ids.delete(id); // an expired one, which would keep its old place
    ids.set(id, entry);
    this.#trim(ids, now);
  }

  #trim(ids: Map<string, Entry>, now: number): void {
    for (const [id, entry] of ids) {
      if (ids.size <= this.#idsMax && now - entry.since < this.#windowMs) break;
      if (entry.lamport === undefined) break; // pending ones are settled soon, and bounded by what may be pending
      ids.delete(id);
    }
  }
}
