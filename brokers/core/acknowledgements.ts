/**
 * What of a subscription's messages is done, as a state that merges: whoever has the same records of it, in whatever order, has the same state
 * (a delta-state CRDT: P. S. Almeida, A. Shoker, C. Baquero, "Delta State Replicated Data Types", JPDC 111, 2018).
 *
 *   exceptions  origin -> set of seqs that are done
 *   floors      start of a binding -> version vector: all that is for that start and covered by it is done; so exceptions below all floors may go
 *   attempts    (origin, seq) -> deliveries that failed, of what is not done
 *
 * Merging is union, greatest seq, greatest number: commutative, associative, idempotent. A record in the log is such a state too, with what is new in
 * it only. As JSON: `d` origin -> runs of seqs (core/seq-set.ts); `f` array of {b: ids of starts, v: origin -> seq}; `a` origin -> seq, attempts, seq, ...
 */
import { RumormillError } from './error.ts';
import { compareRecords, type Origin, parseOrigin } from './record.ts';
import { SeqSet } from './seq-set.ts';
import { type BindingStart, type Stamp, stampText } from './subscription.ts';
import { EMPTY_VECTOR, type Vector, VersionVector } from './version-vector.ts';

const START_ID_LENGTH_MAX = 400;
const ATTEMPTS_MAX = 1_000_000_000;

/** The state as JSON; each part is missing where it is empty. */
interface Json {
  d?: Record<string, number[]>;
  f?: { b: string[]; v: Record<string, number> }[];
  a?: Record<string, number[]>;
}

export class Acknowledgements {
  readonly #exceptions = new Map<Origin, SeqSet>();
  readonly #floors = new Map<string, VersionVector>();
  readonly #attempts = new Map<Origin, Map<number, number>>();

  get isEmpty(): boolean {
    return this.#exceptions.size + this.#floors.size + this.#attempts.size === 0;
  }

  get hasFloors(): boolean {
    return this.#floors.size > 0;
  }

  /** How many exceptions there are. */
  get size(): number {
    let size = 0;
    for (const seqs of this.#exceptions.values()) size += seqs.size;
    return size;
  }

  /** Whether a message stands among the exceptions. */
  has(origin: Origin, seq: number): boolean {
    return this.#exceptions.get(origin)?.has(seq) ?? false;
  }

  /** Whether a message that is for some of these starts is done. */
  isDone(origin: Origin, seq: number, starts: readonly BindingStart[]): boolean {
    return this.has(origin, seq) || starts.some(({ id, start }) => (start.get(origin) ?? 0) < seq && (this.#floors.get(id)?.get(origin) ?? 0) >= seq);
  }

  /** Deliveries of a message that failed. */
  attempts(origin: Origin, seq: number): number {
    return this.#attempts.get(origin)?.get(seq) ?? 0;
  }

  floor(startId: string, origin: Origin): number {
    return this.#floors.get(startId)?.get(origin) ?? 0;
  }

  floorOf(startId: string): Vector {
    return this.#floors.get(startId)?.snapshot() ?? EMPTY_VECTOR;
  }

  /** How many exceptions of an origin are above a seq. */
  countAbove(origin: Origin, seq: number): number {
    return this.#exceptions.get(origin)?.countAbove(seq) ?? 0;
  }

  origins(): IterableIterator<Origin> {
    return this.#exceptions.keys();
  }

  /** A message is done. */
  add(origin: Origin, seq: number): void {
    this.#seqsOf(origin).add(seq);
    this.#forgetAttempts(origin, (each) => each === seq, seq);
  }

  /** A message's delivery number `attempts` failed. */
  fail(origin: Origin, seq: number, attempts: number): void {
    if (this.has(origin, seq) || attempts <= this.attempts(origin, seq)) return;
    const counts = this.#attempts.get(origin);
    if (counts === undefined) this.#attempts.set(origin, new Map([[seq, attempts]]));
    else counts.set(seq, attempts);
  }

  /** All that is for these starts and covered by the vector is done. */
  raise(startIds: Iterable<string>, vector: Vector): void {
    for (const id of startIds) {
      const floor = this.#floors.get(id);
      if (floor === undefined) this.#floors.set(id, new VersionVector(vector));
      else floor.merge(vector);
    }
  }

  /** The least upper bound of both. */
  merge(other: Acknowledgements): void {
    for (const [origin, seqs] of other.#exceptions) {
      this.#seqsOf(origin).addAll(seqs);
      this.#forgetAttempts(origin, (seq) => seqs.has(seq));
    }
    for (const [id, floor] of other.#floors) this.raise([id], floor.snapshot());
    for (const [origin, counts] of other.#attempts) for (const [seq, attempts] of counts) this.fail(origin, seq, attempts);
  }

  /** Drops what says nothing beyond the floors of these starts, the only ones that the subscription has. `isDone` says the same as before for each of them. */
  compact(starts: readonly BindingStart[]): void {
    const known = new Set(starts.map(({ id }) => id));
    for (const id of this.#floors.keys()) if (!known.has(id)) this.#floors.delete(id);
    for (const origin of new Set([...this.#exceptions.keys(), ...this.#attempts.keys()])) {
      const floor = starts.reduce((least, { id }) => Math.min(least, this.floor(id, origin)), Infinity);
      if (floor === 0) continue;
      const seqs = this.#exceptions.get(origin);
      if (floor === Infinity) seqs?.dropUpTo(Number.MAX_SAFE_INTEGER - 1);
      else seqs?.dropUpTo(floor);
      if (seqs?.size === 0) this.#exceptions.delete(origin);
      this.#forgetAttempts(origin, (seq) => seq <= floor);
    }
  }

  toJSON(): Json {
    const json: Json = {};
    const done = [...this.#exceptions].filter(([, seqs]) => seqs.size > 0);
    if (done.length > 0) json.d = Object.fromEntries(done.map(([origin, seqs]) => [origin, seqs.runs()]));
    if (this.#floors.size > 0) json.f = this.#floorGroups();
    if (this.#attempts.size > 0) json.a = Object.fromEntries([...this.#attempts].map(([origin, counts]) => [origin, [...counts].flat()]));
    return json;
  }

  /**
   * @param stored what is stored here: a state can speak of nothing else, since whoever wrote it had stored what it speaks of (invariant 4)
   * @throws RumormillError PROTOCOL for what is not such a state
   */
  static parse(json: unknown, stored: Vector): Acknowledgements {
    const state = new Acknowledgements();
    const { d, f, a } = recordOf(json) as { [name in keyof Json]: unknown };
    const limit = (origin: Origin): number => stored.get(origin) ?? 0;
    for (const [origin, runs] of originsOf(d)) {
      const seqs = SeqSet.parse(runs, limit(origin));
      if (seqs.size > 0) state.#exceptions.set(origin, seqs);
    }
    for (const group of arrayOf(f)) {
      const { b, v } = recordOf(group);
      const vector = new Map<Origin, number>();
      for (const [origin, seq] of originsOf(v)) vector.set(origin, integer(seq, 1, limit(origin)));
      state.raise(arrayOf(b).map(startId), vector);
    }
    for (const [origin, counts] of originsOf(a)) {
      const pairs = arrayOf(counts);
      for (let at = 0; at < pairs.length; at += 2) state.fail(origin, integer(pairs[at], 1, limit(origin)), integer(pairs[at + 1], 1, ATTEMPTS_MAX));
    }
    return state;
  }

  /** Starts that stand at the same seqs share a group. */
  #floorGroups(): { b: string[]; v: Record<string, number> }[] {
    const groups = new Map<string, { b: string[]; v: Record<string, number> }>();
    for (const [id, floor] of this.#floors) {
      const entries = [...floor.entries()].sort(([one], [other]) => (one < other ? -1 : 1));
      const name = JSON.stringify(entries);
      const group = groups.get(name);
      if (group === undefined) groups.set(name, { b: [id], v: Object.fromEntries(entries) });
      else group.b.push(id);
    }
    return [...groups.values()];
  }

  #seqsOf(origin: Origin): SeqSet {
    let seqs = this.#exceptions.get(origin);
    if (seqs === undefined) this.#exceptions.set(origin, (seqs = new SeqSet()));
    return seqs;
  }

  /** @param only the one seq of which it may be true */
  #forgetAttempts(origin: Origin, isDone: (seq: number) => boolean, only?: number): void {
    const counts = this.#attempts.get(origin);
    if (counts === undefined) return;
    for (const seq of only === undefined ? counts.keys() : [only]) if (isDone(seq)) counts.delete(seq);
    if (counts.size === 0) this.#attempts.delete(origin);
  }
}

/** A record of the topic `$acks`, or a row of a checkpoint: what is done, of which life of which subscription. */
export interface AcknowledgementRecord {
  readonly subscription: string;
  /** Of the life that its writer knew (`Subscription.since`). */
  readonly since: Stamp;
  readonly state: Acknowledgements;
}

export function encodeRecord({ subscription, since, state }: AcknowledgementRecord): string {
  return JSON.stringify({ s: subscription, c: stampText(since), ...state.toJSON() });
}

/** @throws RumormillError PROTOCOL for what is not one; see `Acknowledgements.parse` for `stored` */
export function parseRecord(text: string, stored: Vector): AcknowledgementRecord {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new RumormillError('PROTOCOL', 'an acknowledgement record is not JSON', { cause });
  }
  const { s, c } = recordOf(json);
  if (typeof s !== 'string' || typeof c !== 'string') throw new RumormillError('PROTOCOL', 'an acknowledgement record names no subscription');
  return { subscription: s, since: parseStamp(c), state: Acknowledgements.parse(json, stored) };
}

/** Whether a record speaks of this life of its subscription, or of a later one that is not known here. */
export function isOfLife(record: AcknowledgementRecord, since: Stamp): boolean {
  return compareRecords(record.since, since) >= 0;
}

function parseStamp(text: string): Stamp {
  const at = text.indexOf('@');
  return { lamport: integer(at > 0 ? Number(text.slice(0, at)) : NaN, 0, Number.MAX_SAFE_INTEGER), origin: parseOrigin(text.slice(at + 1)) };
}

function recordOf(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new RumormillError('PROTOCOL', 'acknowledgements are not a JSON object');
}

/** The entries of an object by origin; none where it is missing. */
function originsOf(value: unknown): [Origin, unknown][] {
  return value === undefined ? [] : Object.entries(recordOf(value)).map(([origin, each]) => [parseOrigin(origin), each]);
}

function arrayOf(value: unknown): unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value as unknown[];
  throw new RumormillError('PROTOCOL', 'acknowledgements have something else in the place of an array');
}

function startId(value: unknown): string {
  if (typeof value === 'string' && value.length <= START_ID_LENGTH_MAX) return value;
  throw new RumormillError('PROTOCOL', 'a floor names no start');
}

function integer(value: unknown, min: number, max: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  throw new RumormillError('PROTOCOL', `${JSON.stringify(value)} is not an integer from ${min} to ${max}`);
}
