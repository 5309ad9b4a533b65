/**
 * What of a subscription's messages is done, as a state that merges: brokers that have the same
 * records of it, in whatever order, have the same state (a delta-state CRDT: P. S. Almeida, A. Shoker, C.
 * Baquero, "Delta State Replicated Data Types", JPDC 111, 2018).
 *
 *   exceptions  origin -> set of seqs that are done
 *   floors      start of a binding -> version vector: all that is for that start and covered by it
 *               is done; so exceptions below all floors may go
 *   attempts    (origin, seq) -> deliveries that failed, of what is not done; and until when the
 *               next one waits, if it does
 *
 * Merging is union, greatest seq, greatest number (of attempts, then of the time to wait for):
 * commutative, associative, idempotent. A record in the log is such a state too, with what is new
 * in it only. As JSON: `d` origin -> runs of seqs (seq-set.ts); `f` array of {b: ids of
 * starts, v: origin -> seq}; `a` origin -> seq, attempts, seq, ...; `w` origin -> array of [ms,
 * attempts, runs of seqs]: what waits for so long from when this was written on (`t`: wall clock
 * and process's time, core/log/ages.ts), or does not wait any more, whatever was said before, if
 * that is 0.
 *
 * In memory the time to wait for is one on the monotonic clock of the process. It is taken from
 * what is left of the wait and from how old the record is, so it is at most as far ahead as the
 * wait was long when it began, whatever clocks say.
 */
import { type Written } from '../log/ages.ts';
import { RumormillError } from '../error.ts';
import { isObject, parseJson } from '../json.ts';
import { compareRecords, type Origin, parseOrigin } from '../log/record.ts';
import { runsOf, SeqSet } from './seq-set.ts';
import type { BindingStart } from '../catalog/subscription.ts';
import { type Stamp, stampText } from '../log/stamp.ts';
import { EMPTY_VECTOR, type Vector, VersionVector } from '../log/version-vector.ts';

const START_ID_LENGTH_MAX = 400;
const ATTEMPTS_MAX = 1_000_000_000;
const WAIT_MS_MAX = 24 * 3600 * 1000; // as long as a DELAY or BACKOFF may be; nobody is believed more
const FREED = Infinity; // in the place of a time to wait for: it waits no more

/** The state as JSON; each part is missing if it is empty. */
interface Json {
  d?: Record<string, number[]>;
  f?: { b: string[]; v: Record<string, number> }[];
  a?: Record<string, number[]>;
  w?: Record<string, WaitGroup[]>;
}

type WaitGroup = [ms: number, attempts: number, runs: number[]];

/** A message whose next delivery waits. */
export interface Wait {
  readonly origin: Origin;
  readonly seq: number;
  readonly attempts: number;
  readonly until: number; // monotonic clock, ms
}

export class Acknowledgements {
  readonly #exceptions = new Map<Origin, SeqSet>();
  readonly #floors = new Map<string, VersionVector>();
  readonly #attempts = new Map<Origin, Map<number, number>>();
  readonly #waits = new Map<Origin, Map<number, number>>(); // seq -> until when, of those that have attempts

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

  /** Whether a message is among the exceptions. */
  has(origin: Origin, seq: number): boolean {
    return this.#exceptions.get(origin)?.has(seq) ?? false;
  }

  /** Whether a message that is for some of these starts is done. */
  isDone(origin: Origin, seq: number, starts: readonly BindingStart[]): boolean {
    return (
      this.has(origin, seq) ||
      starts.some(({ id, start }) => (start.get(origin) ?? 0) < seq && (this.#floors.get(id)?.get(origin) ?? 0) >= seq)
    );
  }

  /** Deliveries of a message that failed. */
  attempts(origin: Origin, seq: number): number {
    return this.#attempts.get(origin)?.get(seq) ?? 0;
  }

  /** Until when the next delivery of a message waits, on the monotonic clock, ms; 0 if it does not. */
  waitsUntil(origin: Origin, seq: number): number {
    const until = this.#waits.get(origin)?.get(seq) ?? 0;
    return until === FREED ? 0 : until;
  }

  /** What waits beyond a time. */
  *waits(now: number): Iterable<Wait> {
    for (const [origin, waits] of this.#waits) {
      for (const [seq, until] of waits) {
        if (until > now && until !== FREED) yield { origin, seq, attempts: this.attempts(origin, seq), until };
      }
    }
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

  /**
   * A message's delivery number `attempts` failed.
   * @param until before which the next may not be, on the monotonic clock, ms
   */
  fail(origin: Origin, seq: number, attempts: number, until = 0): void {
    const known = this.attempts(origin, seq);
    if (this.has(origin, seq) || attempts < known) return;
    if (attempts > known) {
      entriesOf(this.#attempts, origin).set(seq, attempts);
      this.#waits.get(origin)?.delete(seq);
    }
    if (until > (this.#waits.get(origin)?.get(seq) ?? 0)) entriesOf(this.#waits, origin).set(seq, until);
  }

  /** The next delivery of a message, after `attempts` that failed, waits no more. */
  free(origin: Origin, seq: number, attempts: number): void {
    this.fail(origin, seq, attempts, FREED);
  }

  /** Drops waits that are over. */
  forgetWaits(now: number): void {
    for (const [origin, waits] of this.#waits) {
      for (const [seq, until] of waits) if (until <= now) waits.delete(seq);
      if (waits.size === 0) this.#waits.delete(origin);
    }
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
    for (const [origin, counts] of other.#attempts) {
      const waits = other.#waits.get(origin);
      for (const [seq, attempts] of counts) this.fail(origin, seq, attempts, waits?.get(seq));
    }
  }

  /**
   * Drops what says nothing beyond the floors of these starts, the only ones that the subscription
   * has. `isDone` says the same as before for each of them.
   */
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

  /** @param now monotonic clock, ms: waits that are over are left out */
  toJSON(now = 0): Json {
    const json: Json = {};
    const done = [...this.#exceptions].filter(([, seqs]) => seqs.size > 0);
    if (done.length > 0) json.d = Object.fromEntries(done.map(([origin, seqs]) => [origin, seqs.runs()]));
    if (this.#floors.size > 0) json.f = this.#floorGroups();
    for (const [origin, waits] of this.#waits) {
      const groups = this.#waitGroups(origin, waits, now);
      if (groups.length > 0) (json.w ??= {})[origin] = groups;
    }
    for (const [origin, counts] of this.#attempts) {
      const waits = this.#waits.get(origin);
      const others = [...counts].filter(([seq]) => (waits?.get(seq) ?? 0) <= now).flat();
      if (others.length > 0) (json.a ??= {})[origin] = others;
    }
    return json;
  }

  /**
   * @param stored what is stored here: a state can speak of nothing else, since its writer
   *   had stored what it speaks of (invariant 4)
   * @param writtenAt from when on its waits count, on the monotonic clock, ms
   * @throws RumormillError PROTOCOL for what is not such a state
   */
  static parse(json: unknown, stored: Pick<Vector, 'get'>, writtenAt = 0): Acknowledgements {
    const state = new Acknowledgements();
    const { d, f, a, w } = recordOf(json) as { [name in keyof Json]: unknown };
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
      for (let at = 0; at < pairs.length; at += 2) {
        state.fail(origin, integer(pairs[at], 1, limit(origin)), integer(pairs[at + 1], 1, ATTEMPTS_MAX));
      }
    }
    for (const [origin, groups] of originsOf(w)) {
      for (const group of arrayOf(groups)) {
        const [ms, attempts, runs] = arrayOf(group);
        const wait = integer(ms, 0, Number.MAX_SAFE_INTEGER);
        const until = wait === 0 ? FREED : writtenAt + Math.min(wait, WAIT_MS_MAX);
        const failed = integer(attempts, 1, ATTEMPTS_MAX);
        for (const seq of SeqSet.parse(runs, limit(origin)).seqs()) state.fail(origin, seq, failed, until);
      }
    }
    return state;
  }

  /** Starts that are at the same seqs share a group. */
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

  /** Messages that wait for the same time after as many attempts share a group. */
  #waitGroups(origin: Origin, waits: ReadonlyMap<number, number>, now: number): WaitGroup[] {
    const groups = new Map<string, { ms: number; attempts: number; seqs: number[] }>();
    for (const [seq, until] of waits) {
      if (until <= now) continue;
      const [ms, attempts] = [until === FREED ? 0 : Math.ceil(until - now), this.attempts(origin, seq)];
      const name = `${ms} ${attempts}`;
      let group = groups.get(name);
      if (group === undefined) groups.set(name, (group = { ms, attempts, seqs: [] }));
      group.seqs.push(seq);
    }
    return [...groups.values()].map(({ ms, attempts, seqs }) => [ms, attempts, runsOf(seqs.sort((a, b) => a - b))]);
  }

  #seqsOf(origin: Origin): SeqSet {
    let seqs = this.#exceptions.get(origin);
    if (seqs === undefined) this.#exceptions.set(origin, (seqs = new SeqSet()));
    return seqs;
  }

  /** @param only the one seq that it may be true for */
  #forgetAttempts(origin: Origin, isDone: (seq: number) => boolean, only?: number): void {
    const counts = this.#attempts.get(origin);
    if (counts === undefined) return;
    const waits = this.#waits.get(origin);
    for (const seq of only === undefined ? counts.keys() : [only]) {
      if (!isDone(seq)) continue;
      counts.delete(seq);
      waits?.delete(seq);
    }
    if (counts.size === 0) this.#attempts.delete(origin);
    if (waits?.size === 0) this.#waits.delete(origin);
  }
}

/** A record of the topic `$acks`, or a row of a checkpoint: what is done, and in which life of which subscription. */
export interface AcknowledgementRecord {
  readonly subscription: string;
  /** Of the life that its writer knew (`Subscription.since`). */
  readonly since: Stamp;
  readonly state: Acknowledgements;
}

/** @param now the monotonic clock when it is written, ms */
export function encodeRecord(record: AcknowledgementRecord, now: number, { wall, steady }: Written): string {
  const { subscription, since, state } = record;
  const json = state.toJSON(now);
  return JSON.stringify({ s: subscription, c: stampText(since), ...(json.w && { t: [wall, steady] }), ...json });
}

/**
 * @param stored see `Acknowledgements.parse`
 * @param writtenAt when on the monotonic clock that was, ms
 * @throws RumormillError PROTOCOL for what is not one
 */
export function parseRecord(
  text: string, stored: Pick<Vector, 'get'>, writtenAt: (written: Written) => number,
): AcknowledgementRecord {
  const json = parseJson(text);
  if (json === undefined) throw new RumormillError('PROTOCOL', 'an acknowledgement record is not JSON');
  const { s, c, t } = recordOf(json);
  if (typeof s !== 'string' || typeof c !== 'string') {
    throw new RumormillError('PROTOCOL', 'an acknowledgement record names no subscription');
  }
  const since = checkedStamp(c);
  const state = Acknowledgements.parse(json, stored, t === undefined ? 0 : writtenAt(parseWritten(t)));
  return { subscription: s, since, state };
}

/** Whether a record speaks of this life of its subscription, or of a later one that is not known here. */
export function isOfLife(record: AcknowledgementRecord, since: Stamp): boolean {
  return compareRecords(record.since, since) >= 0;
}

function parseWritten(value: unknown): Written {
  const [wall, steady] = arrayOf(value);
  return { wall: integer(wall, 0, Number.MAX_SAFE_INTEGER), steady: integer(steady, 0, Number.MAX_SAFE_INTEGER) };
}

function checkedStamp(text: string): Stamp {
  const at = text.indexOf('@');
  return {
    lamport: integer(at > 0 ? Number(text.slice(0, at)) : NaN, 0, Number.MAX_SAFE_INTEGER),
    origin: parseOrigin(text.slice(at + 1)),
  };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  if (isObject(value)) return value;
  throw new RumormillError('PROTOCOL', 'acknowledgements are not a JSON object');
}

/** The entries of an object by origin; none if it is missing. */
function originsOf(value: unknown): [Origin, unknown][] {
  return value === undefined
    ? []
    : Object.entries(recordOf(value)).map(([origin, each]) => [parseOrigin(origin), each]);
}

function entriesOf<T>(of: Map<Origin, Map<number, T>>, origin: Origin): Map<number, T> {
  let entries = of.get(origin);
  if (entries === undefined) of.set(origin, (entries = new Map()));
  return entries;
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
