/**
 * One subscription at its home: who waits for its messages, what is leased to whom, what is done.
 *
 * Which messages a PULL gets is decided in deliverer.ts, and who is served next in pull-line.ts.
 */
import type { Acknowledger, Ledger } from './acknowledger.ts';
import { Backlog, type BacklogRuntime } from './backlog.ts';
import type { Cancellation } from '../core/cancellation.ts';
import { Consumers, type ConsumerStatus } from './consumers.ts';
import { DeadLetters } from './dead-letters.ts';
import { Deliverer, limitText, ownLimitText } from './deliverer.ts';
import { Floors } from './floors.ts';
import { type Name, Outcomes } from './outcomes.ts';
import { Acknowledgements } from '../core/queue/acknowledgements.ts';
import type { RumormillError } from '../core/error.ts';
import { decodeToken, lifeOf } from '../core/queue/lease-token.ts';
import { type HandedLease, LEASE_BYTES, type LeaseEntry, type LeasePolicy } from '../core/queue/lease.ts';
import { Leases, type LeasesGiven } from '../core/queue/leases.ts';
import type { LongPoll } from '../core/read/long-poll.ts';
import type { Origin } from '../core/log/record.ts';
import { Routes } from '../core/queue/routes.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import type { Binding, Subscription } from '../core/catalog/subscription.ts';
import type { Turns } from '../core/turns.ts';
import type { Delivery, Pull, PullRequest } from './pull.ts';
import { PullLine } from './pull-line.ts';

export interface QueueRuntime extends BacklogRuntime {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly acknowledger: Acknowledger;
  readonly turns: Turns;
  readonly waiters: LongPoll<Pull>;
  readonly given: LeasesGiven;
  /** How many messages of one subscription may be delivered and not done, now. */
  leasesMax(): number;
  /** How long an answer may be that could be up to `max` bytes. */
  replyBytes(max: number): number;
  /** The origin that has a tag, if a record of it is stored here. */
  originOf(tag: string): Origin | undefined;
  storeFailed(error: unknown): void;
}

/** Since this broker became the subscription's home. */
export interface QueueCounts {
  deadLettered: number;
  redelivered: number;
  /** Acknowledgement records of another home. */
  rivalRecords: number;
}

export class SubscriptionQueue {
  readonly counts: QueueCounts = { deadLettered: 0, redelivered: 0, rivalRecords: 0 };
  readonly leases: Leases;
  readonly ledger: Ledger;
  readonly #runtime: QueueRuntime;
  readonly #backlog: Backlog;
  readonly #deadLetters: DeadLetters;
  readonly #floors: Floors;
  readonly #outcomes: Outcomes;
  readonly #life: number;
  readonly #line: PullLine;
  readonly #consumers: Consumers;
  #subscription: Subscription;
  #routes: Routes;
  #usedAt: number;
  #moved: RumormillError | undefined; // it is not served here any more

  constructor(runtime: QueueRuntime, subscription: Subscription) {
    this.#runtime = runtime;
    this.#subscription = subscription;
    this.#life = lifeOf(subscription);
    this.#routes = new Routes(subscription.bindings);
    this.#usedAt = runtime.clock.now();
    this.ledger = runtime.acknowledger.ledger(subscription);
    this.leases = new Leases(runtime.log.instance, this.#policy(), runtime.given);
    this.#backlog = new Backlog(runtime, this.ledger, this.#routes);
    this.#floors = new Floors({ ...runtime, ledger: this.ledger });
    this.#outcomes = new Outcomes({
      ...runtime,
      ledger: this.ledger,
      leases: this.leases,
      ended: (count, wasFull) => {
        this.#floors.acknowledged(count);
        if (wasFull || this.#line.limited !== undefined) this.wake();
      },
      dueAgain: () => this.#backlog.configure(this.#routes),
    });
    const deliverer = new Deliverer({
      ...runtime,
      life: this.#life,
      leases: this.leases,
      backlog: this.#backlog,
      ledger: this.ledger,
      counts: this.counts,
      subscription: () => this.#subscription,
      failed: (entries) => void this.#outcomes.failed(entries),
    });
    this.#line = new PullLine({ ...runtime, fill: (pull, countMax) => deliverer.fill(pull, countMax) });
    this.#consumers = new Consumers({
      ...runtime, waiting: () => this.#line.consumers(), held: () => this.leases.held,
    });
    this.#deadLetters = new DeadLetters({
      ...runtime, leases: this.leases, backlog: this.#backlog, counts: this.counts,
      subscription: () => this.#subscription,
      settle: (entries) => this.#outcomes.settle(entries, []),
      revived: () => this.wake(),
    });
  }

  get subscription(): Subscription {
    return this.#subscription;
  }

  /** Who waits, or has pulled within the time for which a lease runs. */
  get consumers(): number {
    const now = this.#runtime.clock.now();
    return this.#consumers.countSince(now - this.#subscription.settings.visibilityMs, now);
  }

  /** What it keeps in memory, about. */
  get heldBytes(): number {
    return this.leases.size * LEASE_BYTES + this.#backlog.heldBytes;
  }

  /** How long nobody has pulled, waited or held a lease, ms. */
  idleMs(now: number): number {
    if (this.#line.size > 0 || this.leases.counts.leased > 0) this.#usedAt = now;
    return now - this.#usedAt;
  }

  pull(request: PullRequest, cancellation: Cancellation): Promise<Delivery[]> {
    this.#usedAt = this.#runtime.clock.now();
    this.#consumers.pulled(request.consumer, this.#usedAt);
    return this.#line.add(request, [...this.#routes.topics], cancellation);
  }

  /** There may be something for those who wait. */
  wake(): void {
    this.#line.wake();
  }

  /**
   * How many tokens were good; settles when what they name is done, on disk.
   * @throws RumormillError DISKFULL or STORE: then all is as before
   */
  async acknowledge(tokens: readonly string[]): Promise<number> {
    const now = this.#runtime.clock.now();
    const entries: LeaseEntry[] = [];
    const others = new Map<string, Name>(); // of an earlier home's leases
    for (const text of tokens) {
      const token = decodeToken(this.#life, text);
      const origin = token && this.#runtime.originOf(token.tag);
      if (token === undefined || origin === undefined) continue;
      const entry = this.leases.get(origin, token.seq);
      if (entry !== undefined) {
        if (!this.leases.isGood(entry, token, now)) continue;
        this.leases.settle(entry);
        entries.push(entry);
      } else if (token.instance !== this.#runtime.log.instance && this.#mayBeOpen(origin, token.seq)) {
        others.set(`${token.tag} ${token.seq}`, [origin, token.seq]);
      }
    }
    if (entries.length + others.size > 0) await this.#outcomes.settle(entries, [...others.values()]);
    return entries.length + others.size;
  }

  /**
   * How many tokens were good; settles when it is on disk that they failed and until when they are
   * put off, or the disk is full.
   */
  async negativeAcknowledge(tokens: readonly string[], delayMs: number | undefined): Promise<number> {
    const now = this.#runtime.clock.now();
    const entries = this.#good(tokens, now);
    for (const entry of entries) this.leases.fail(entry, now, delayMs);
    const noted = this.#outcomes.failed(entries);
    this.#bury();
    this.wake();
    await noted;
    return entries.length;
  }

  /** How many tokens were good: their leases run for so long from now on. */
  extend(tokens: readonly string[], ms: number): number {
    const now = this.#runtime.clock.now();
    const entries = this.#good(tokens, now);
    for (const entry of entries) this.leases.extend(entry, ms, now);
    return entries.length;
  }

  /**
   * Drops everything that is stored now. Returns how many messages waited to be delivered, for the
   * first time or again.
   * @throws RumormillError MOVED: then nothing is dropped
   */
  async purge(): Promise<number> {
    const { log, acknowledger } = this.#runtime;
    const [until, vector] = [log.position, log.vector.snapshot()];
    const count = await this.backlog();
    if (this.#moved !== undefined) throw this.#moved;
    await new Promise<void>((resolve, reject) => {
      const ids = this.#routes.starts.map(({ id }) => id);
      acknowledger.gather(
        this.ledger, (state) => state.raise(ids, vector), (error) => (error === undefined ? resolve() : reject(error)),
      );
    });
    for (const entry of [...this.leases.all()]) {
      if ((vector.get(entry.origin) ?? 0) >= entry.seq) this.leases.remove(entry);
    }
    this.#backlog.skipTo(until);
    this.wake();
    return count;
  }

  /** How many messages wait to be delivered, for the first time or again. */
  backlog(): Promise<number> {
    return this.#backlog.count(this.leases.all());
  }

  /** What a former home had leased. @param at when it was told */
  adopt(leases: readonly HandedLease[], at: number): void {
    const { done } = this.ledger;
    for (const lease of leases) {
      const { origin, seq, deliveries } = lease;
      if (done.attempts(origin, seq) > deliveries) continue; // it came late: that lease is over
      if (this.leases.size < this.#runtime.leasesMax() && this.#mayBeOpen(origin, seq)) this.leases.adopt(lease, at);
    }
  }

  /**
   * Ends leases and waits, of one consumer or of all, so that what they hold is delivered again at once; a lease that
   * is ended is a delivery that failed. Returns how many; settles when that is on disk. @throws RumormillError MOVED
   */
  async free(consumer: string | undefined): Promise<number> {
    const { clock } = this.#runtime;
    const isHeld = (entry: LeaseEntry): boolean => (consumer === undefined || entry.consumer === consumer)
      && (entry.state === 'delayed' || entry.state === 'leased') && !entry.isSettling;
    const noted: Promise<void>[] = [];
    const count = await this.inSlices([...this.leases.all()].filter(isHeld), (slice) => {
      const entries = slice.filter(isHeld); // some may be settled meanwhile
      const state = new Acknowledgements();
      for (const entry of entries) {
        if (entry.state === 'leased') this.leases.fail(entry, clock.now(), 0);
        else this.leases.free(entry);
        state.free(entry.origin, entry.seq, entry.deliveries);
      }
      if (!state.isEmpty) noted.push(this.#outcomes.note(state));
      this.#bury();
      this.wake();
      return entries.length;
    });
    await Promise.all(noted);
    return count;
  }

  /** Goes through many tokens or leases in turns. @throws RumormillError MOVED; what was done is done */
  inSlices<T>(things: readonly T[], act: (slice: readonly T[]) => number | Promise<number>): Promise<number> {
    return this.#runtime.turns.inSlices(things, (slice) => {
      if (this.#moved !== undefined) throw this.#moved;
      return act(slice);
    });
  }

  listConsumers(): ConsumerStatus[] {
    return this.#consumers.list(this.#runtime.clock.now());
  }

  /** Which limit holds messages back now, as text; '' for none. */
  get limit(): string {
    const { limits, leasesMax } = this.#runtime;
    if (this.leases.size >= leasesMax() && this.leases.nextReady === undefined) {
      return limitText(this.#subscription.name, leasesMax());
    }
    for (const [consumer, count] of this.leases.held) {
      if (count >= limits.consumerLeasesMax) return ownLimitText(this.#subscription.name, consumer, limits);
    }
    return '';
  }

  /** Whether a limit has kept a PULL from what there is since this was asked last. */
  takeLimited(): boolean {
    return this.#line.takeLimited();
  }

  /**
   * What a home has put off is not delivered before its time; it has no place in the log before the
   * reader comes to it.
   */
  putOff(state: Acknowledgements): void {
    const now = this.#runtime.clock.now();
    for (const wait of state.waits(now)) {
      if (this.leases.size >= this.#runtime.leasesMax()) return; // the deliverer looks again when it comes to one
      if (this.#mayBeOpen(wait.origin, wait.seq)) this.leases.putOff(wait);
    }
  }

  /** The catalog says something else of it now. */
  configure(subscription: Subscription): void {
    if (subscription === this.#subscription) return;
    const before = shapeOf(this.#subscription.bindings);
    this.#subscription = subscription;
    this.leases.policy = this.#policy();
    if (shapeOf(subscription.bindings) === before) return;
    this.#routes = new Routes(subscription.bindings);
    this.#floors.reset();
    for (const entry of [...this.leases.all()]) {
      if (entry.source !== undefined && !this.#routes.topics.has(entry.source.topic)) this.leases.remove(entry);
    }
    this.#backlog.configure(this.#routes);
    this.#line.retarget([...this.#routes.topics]);
    this.wake();
  }

  tick(now: number): void {
    if ((this.leases.nextDue ?? Infinity) <= now) {
      void this.#outcomes.failed(this.leases.expire(now));
      this.wake();
    }
    this.#outcomes.tick();
    this.#bury();
    this.#backlog.tick();
    if (this.#outcomes.isSettlingOthers || !this.#floors.isDue(now)) return;
    void this.#floors.raise(
      Math.min(this.#backlog.position, (this.leases.lowest ?? Infinity) - 1), this.#routes.starts, now,
    );
  }

  /** Nobody is served any more: those who wait get the error, or nothing. */
  close(error?: RumormillError): void {
    this.#moved = error;
    this.#line.close(error);
  }

  #policy(): LeasePolicy {
    const { visibilityMs, maxDeliveries, backoffMs } = this.#subscription.settings;
    return { visibilityMs, maxDeliveries, backoffMs, backoffMsMax: this.#runtime.limits.backoffMsMax };
  }

  /** What may not be delivered any more goes to the dead letters. */
  #bury(): void {
    this.#deadLetters.add(this.leases.takeFailed());
  }

  /** The entries of those tokens that are good, each once. */
  #good(tokens: readonly string[], now: number): LeaseEntry[] {
    const entries = new Set<LeaseEntry>();
    for (const text of tokens) {
      const token = decodeToken(this.#life, text);
      const origin = token && this.#runtime.originOf(token.tag);
      const entry = token && origin && this.leases.get(origin, token.seq);
      if (entry !== undefined && this.leases.isGood(entry, token!, now)) entries.add(entry);
    }
    return [...entries];
  }

  /** Whether a message that was leased by an earlier home, and not by this one, is stored and may not be done yet. */
  #mayBeOpen(origin: Origin, seq: number): boolean {
    if (this.#runtime.log.vector.get(origin) < seq || this.ledger.isPending(origin, seq)) return false;
    const { done } = this.ledger;
    return (
      !done.has(origin, seq) &&
      this.#routes.starts.some(({ id, start }) => Math.max(start.get(origin) ?? 0, done.floor(id, origin)) < seq)
    );
  }
}

/** Of bindings, what the queue works with, as text. */
function shapeOf(bindings: readonly Binding[]): string {
  return JSON.stringify(
    bindings.map(({ storedTopics, key, starts }) => [storedTopics, key, starts.map(({ id }) => id)]),
  );
}
