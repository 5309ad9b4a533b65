/**
 * The leases of one subscription, at its home, in memory: which messages were delivered and are not
 * done.
 *
 *   leased   with a consumer, until `dueAt`: then the delivery has failed
 *   delayed  a delivery failed, and the next may not be before `dueAt`
 *   ready    to be delivered again: the message that has been ready for longest comes first, and
 *            of those that became ready together the first in the log; so no message can block
 *            another, however often it comes back
 *   failed   as many deliveries failed as may: on its way to the dead letters
 *   gone     done, or not this subscription's any more
 *
 * What is being acknowledged (`isSettling`) keeps its state until that is on disk: it does not run
 * out, and no token is good for it. What a former home handed over has no place in this broker's
 * log before the reader of the log comes to it; until then it cannot be delivered.
 *
 * Invariants: a message has one entry at most; a token is good for the newest lease only; every
 * operation costs a logarithm of the entries at most, spread over many.
 */
import type { Wait } from './acknowledgements.ts';
import { Heap } from '../heap.ts';
import type { HandedLease, LeaseEntry, LeasePolicy, LeaseState, Source } from './lease.ts';
import type { LeaseToken } from './lease-token.ts';
import type { Origin } from '../log/record.ts';

type Entry = { -readonly [name in keyof LeaseEntry]: LeaseEntry[name] };

interface Due {
  readonly at: number;
  readonly entry: Entry;
}

interface Ready {
  readonly since: number;
  readonly entry: Entry;
}

/** How many leases a process has given. */
export interface LeasesGiven {
  count: number;
}

/** Used as the process if no lease is known: for what another home has put off. */
const NOBODY = '000000000000';

/** Beyond so many that are out of date, and more than half of it, a heap is made again. */
const STALE_MAX = 1024;

export class Leases {
  #policy: LeasePolicy;
  readonly #instance: string;
  readonly #given: LeasesGiven;
  readonly #entries = new Map<Origin, Map<number, Entry>>();
  readonly #due = new Heap<Due>((a, b) => a.at < b.at);
  readonly #ready = new Heap<Ready>((a, b) => a.since < b.since || (a.since === b.since && isBefore(a.entry, b.entry)));
  readonly #placed = new Heap<Entry>(isBefore);
  readonly #counts: Record<LeaseState, number> = { leased: 0, delayed: 0, ready: 0, failed: 0, gone: 0 };
  readonly #held = new Map<string, number>(); // consumer -> how many leases are its
  #failed: Entry[] = []; // not taken yet

  /**
   * @param instance of this process (`Log.instance`)
   * @param given by the process, with those of former times at which it was the home: each has a number of its own
   */
  constructor(instance: string, policy: LeasePolicy, given: LeasesGiven = { count: 0 }) {
    this.#instance = instance;
    this.#policy = policy;
    this.#given = given;
  }

  get policy(): LeasePolicy {
    return this.#policy;
  }

  /**
   * What is ready, and may not be delivered any more by the new policy, is `failed`; what is leased
   * or delayed is looked at when that ends.
   */
  set policy(policy: LeasePolicy) {
    const isStricter = (policy.maxDeliveries ?? Infinity) < (this.#policy.maxDeliveries ?? Infinity);
    this.#policy = policy;
    if (!isStricter) return;
    for (const entry of this.all()) {
      if (entry.state === 'ready' && entry.source !== undefined && this.#isExhausted(entry)) this.#set(entry, 'failed');
    }
  }

  get size(): number {
    return this.#counts.leased + this.#counts.delayed + this.#counts.ready + this.#counts.failed;
  }

  /** How many there are, by state. */
  get counts(): Readonly<Record<LeaseState, number>> {
    return this.#counts;
  }

  /** How many messages are leased to a consumer. */
  heldBy(consumer: string): number {
    return this.#held.get(consumer) ?? 0;
  }

  /** Consumers that hold leases, and how many. */
  get held(): ReadonlyMap<string, number> {
    return this.#held;
  }

  get(origin: Origin, seq: number): LeaseEntry | undefined {
    return this.#entries.get(origin)?.get(seq);
  }

  /** Origin by origin, as they were delivered first. */
  *all(): Iterable<LeaseEntry> {
    for (const entries of this.#entries.values()) yield* entries.values();
  }

  /** The first to be delivered again. */
  get nextReady(): LeaseEntry | undefined {
    return top(this.#ready, isReady)?.entry;
  }

  /** The position of the first that has one. */
  get lowest(): number | undefined {
    return top(this.#placed, ({ state }) => state !== 'gone')?.source!.position;
  }

  /** When `expire` next has something to do; it may be early. */
  get nextDue(): number | undefined {
    return this.#due.top?.at;
  }

  /** Those that have become `failed` since the last time. */
  takeFailed(): LeaseEntry[] {
    return this.#failed.length === 0 ? [] : this.#failed.splice(0);
  }

  /** Delivers a message that has no entry. @param attempts deliveries of it that failed before */
  lease(source: Source, index: number, attempts: number, consumer: string, now: number): LeaseEntry {
    const entry = this.#add({
      origin: source.origin, seq: source.seq + index, source: undefined, state: 'ready', deliveries: attempts,
      instance: this.#instance, lease: 0, consumer, dueAt: 0, isSettling: false, readySince: 0,
    });
    this.#place(entry, source);
    this.again(entry, consumer, now);
    return entry;
  }

  /** Delivers one that is ready. */
  again(ready: LeaseEntry, consumer: string, now: number): void {
    const entry = ready as Entry;
    entry.consumer = consumer;
    this.#set(entry, 'leased');
    entry.deliveries += 1;
    entry.instance = this.#instance;
    entry.lease = this.#given.count += 1;
    this.#dueAt(entry, now + this.policy.visibilityMs);
  }

  /**
   * The reader has come to one that was handed over; if it was ready it is `failed` now, if it
   * may not be delivered any more.
   */
  place(handed: LeaseEntry, source: Source): void {
    const entry = handed as Entry;
    this.#place(entry, source);
    if (entry.state === 'ready') this.#retry(entry);
  }

  /** A message that may not be delivered any more, and has no entry: it is `failed` at once. */
  exhausted(source: Source, index: number, attempts: number): void {
    const entry = this.#add({
      origin: source.origin, seq: source.seq + index, source: undefined, state: 'ready', deliveries: attempts,
      instance: this.#instance, lease: 0, consumer: '', dueAt: 0, isSettling: false, readySince: 0,
    });
    this.#place(entry, source);
    this.#set(entry, 'failed');
  }

  /** Whether it is the newest lease of its message that a token names, and still runs. */
  isGood(entry: LeaseEntry, token: LeaseToken, now: number): boolean {
    return (
      entry.state === 'leased' &&
      !entry.isSettling &&
      entry.lease === token.lease &&
      entry.instance === token.instance &&
      entry.dueAt > now
    );
  }

  /** The lease runs for so long from now on. */
  extend(entry: LeaseEntry, ms: number, now: number): void {
    this.#dueAt(entry as Entry, now + ms);
  }

  /** It is being acknowledged. */
  settle(entry: LeaseEntry): void {
    (entry as Entry).isSettling = true;
  }

  /** The acknowledgement could not be written. */
  unsettle(settling: LeaseEntry): void {
    const entry = settling as Entry;
    entry.isSettling = false;
    if (entry.state === 'leased' || entry.state === 'delayed') this.#dueAt(entry, entry.dueAt);
  }

  /** A delivery has failed. @param delayMs until the next one; by the policy if it is not given */
  fail(leased: LeaseEntry, now: number, delayMs?: number): void {
    const entry = leased as Entry;
    const wait = delayMs ?? this.#backoffMs(entry.deliveries);
    if (this.#isExhausted(entry) && entry.source !== undefined) this.#set(entry, 'failed');
    else if (wait > 0) {
      this.#set(entry, 'delayed');
      this.#dueAt(entry, now + wait);
    } else this.#retry(entry);
  }

  /** One that is delayed waits no more. */
  free(delayed: LeaseEntry): void {
    this.#retry(delayed as Entry);
  }

  /** One that is ready was delivered at another home too: so many deliveries of it have failed. */
  raise(ready: LeaseEntry, attempts: number): void {
    const entry = ready as Entry;
    entry.deliveries = attempts;
    if (this.#isExhausted(entry)) this.#set(entry, 'failed');
  }

  /** One that had failed may be delivered again, by the policy that there is now. */
  revive(failed: LeaseEntry): void {
    this.#retry(failed as Entry);
  }

  /** Ends leases and delays that are due. Returns the entries whose delivery has failed thereby. */
  expire(now: number): LeaseEntry[] {
    const failed: LeaseEntry[] = [];
    for (let due = this.#due.top; due !== undefined && due.at <= now; due = this.#due.top) {
      this.#due.pop();
      const { entry } = due;
      if (!isCurrent(due)) continue;
      if (entry.state === 'delayed') this.#retry(entry);
      else {
        this.fail(entry, now);
        failed.push(entry);
      }
    }
    return failed;
  }

  /** It is done, or not this subscription's any more. */
  remove(present: LeaseEntry): void {
    const entry = present as Entry;
    if (entry.state === 'gone') return;
    this.#set(entry, 'gone');
    const entries = this.#entries.get(entry.origin)!;
    entries.delete(entry.seq);
    if (entries.size === 0) this.#entries.delete(entry.origin);
    this.#tidy();
  }

  /** Takes in what a former home had leased, if it is news. */
  adopt({ remainingMs, ...handed }: HandedLease, now: number): void {
    if (!this.#isNews(handed)) return;
    this.#dueAt(this.#add({ ...handed, source: undefined, dueAt: 0, isSettling: false, readySince: 0 }),
      now + remainingMs);
  }

  /** Takes in what another home has put off, if it is news. */
  putOff({ origin, seq, attempts, until }: Wait): void {
    if (!this.#isNews({ origin, seq, deliveries: attempts })) return;
    this.#dueAt(this.#add({
      origin, seq, source: undefined, state: 'delayed', deliveries: attempts,
      instance: NOBODY, lease: 0, consumer: '', dueAt: 0, isSettling: false, readySince: 0,
    }), until);
  }

  /** Whether a message has no entry, or one of fewer deliveries, which another home has told of: that goes. */
  #isNews({ origin, seq, deliveries }: Pick<LeaseEntry, 'origin' | 'seq' | 'deliveries'>): boolean {
    const known = this.get(origin, seq);
    const isOlder = known?.source === undefined && !known?.isSettling && (known?.deliveries ?? 0) < deliveries;
    if (known !== undefined && isOlder) this.remove(known);
    return known === undefined || isOlder;
  }

  #add(entry: Entry): Entry {
    const entries = this.#entries.get(entry.origin);
    if (entries === undefined) this.#entries.set(entry.origin, new Map([[entry.seq, entry]]));
    else entries.set(entry.seq, entry);
    this.#counts[entry.state] += 1;
    if (entry.state === 'leased') this.#hold(entry.consumer, 1);
    return entry;
  }

  #place(entry: Entry, source: Source): void {
    entry.source = source;
    this.#placed.push(entry);
  }

  /** To be delivered again, if it may be. Without a place it stays as it is until it has one. */
  #retry(entry: Entry): void {
    if (entry.state !== 'ready') entry.readySince = this.#given.count;
    if (entry.source === undefined) return this.#set(entry, 'ready');
    if (this.#isExhausted(entry)) return this.#set(entry, 'failed');
    this.#set(entry, 'ready');
    this.#ready.push({ since: entry.readySince, entry });
    this.#tidy();
  }

  #isExhausted({ deliveries }: Entry): boolean {
    return this.policy.maxDeliveries !== null && deliveries >= this.policy.maxDeliveries;
  }

  #backoffMs(deliveries: number): number {
    const { backoffMs, backoffMsMax } = this.policy;
    return backoffMs === null ? 0 : Math.min(backoffMsMax, backoffMs * 2 ** Math.min(deliveries - 1, 50));
  }

  #dueAt(entry: Entry, at: number): void {
    entry.dueAt = at;
    this.#due.push({ at, entry });
    this.#tidy();
  }

  #hold(consumer: string, change: 1 | -1): void {
    const count = this.heldBy(consumer) + change;
    if (count > 0) this.#held.set(consumer, count);
    else this.#held.delete(consumer);
  }

  #set(entry: Entry, state: LeaseState): void {
    if (entry.state === 'leased') this.#hold(entry.consumer, -1);
    if (state === 'leased') this.#hold(entry.consumer, 1);
    this.#counts[entry.state] -= 1;
    this.#counts[state] += 1;
    entry.state = state;
    if (state === 'failed') this.#failed.push(entry);
  }

  /**
   * Entries that have left, or are due at another time, stay in the heaps until they come to the
   * top, or are too many.
   */
  #tidy(): void {
    const most = STALE_MAX + 2 * this.size;
    if (this.#due.size > most) this.#due.filter(isCurrent);
    if (this.#placed.size > most) this.#placed.filter(({ state }) => state !== 'gone');
    if (this.#ready.size > most) this.#ready.filter(isReady);
  }
}

function isCurrent({ at, entry }: Due): boolean {
  return entry.dueAt === at && (entry.state === 'leased' || entry.state === 'delayed') && !entry.isSettling;
}

function isReady({ since, entry }: Ready): boolean {
  return entry.state === 'ready' && entry.readySince === since;
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.source!.position - b.source!.position < 0 || (a.source!.position === b.source!.position && a.seq < b.seq);
}

/** The first that this is true for; those before it are taken out. */
function top<T>(heap: Heap<T>, isThere: (element: T) => boolean): T | undefined {
  while (heap.top !== undefined && !isThere(heap.top)) heap.pop();
  return heap.top;
}
