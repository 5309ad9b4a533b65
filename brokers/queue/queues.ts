/**
 * The subscriptions that are at home here: what their commands do, what wakes their PULLs, and
 * their way to the next home.
 *
 * A subscription costs nothing before its first PULL but its state (acknowledger.ts), which every
 * broker has. A commit is work only for those with a PULL that waits for one of its topics.
 */
import { Acknowledger } from './acknowledger.ts';
import type { Cancellation } from '../core/cancellation.ts';
import type { Ages } from '../core/log/ages.ts';
import type { Budget } from '../core/budget.ts';
import { notFound } from '../core/catalog/catalog-error.ts';
import type { ConsumerStatus } from './consumers.ts';
import { decodeHandover, encodeHandover, type Handover } from '../core/queue/handover.ts';
import { messageOf, RumormillError } from '../core/error.ts';
import { originTag } from '../core/queue/lease-token.ts';
import { type HandedLease, LEASE_BYTES, type LeaseEntry } from '../core/queue/lease.ts';
import { LongPoll } from '../core/read/long-poll.ts';
import type { TopicNames } from '../core/catalog/catalog.ts';
import type { Subscription } from '../core/catalog/subscription.ts';
import { isBefore } from '../core/log/stamp.ts';
import { type Origin, originAddress, type StoredBatch } from '../core/log/record.ts';
import type { Delivery, Pull, PullRequest } from './pull.ts';
import { type QueueRuntime, SubscriptionQueue } from './subscription-queue.ts';

/** What is known of the catalog (brokers/catalog/metadata.ts). */
export interface Subscriptions extends TopicNames {
  /** The same object until something of it changes. */
  subscription(name: string): Subscription | undefined;
  transientSubscriptions(): Iterable<Subscription>;
  /** Drops a transient subscription. */
  forget(name: string): void;
}

export interface QueuesRuntime extends Omit<
  QueueRuntime,
  'acknowledger' | 'waiters' | 'given' | 'originOf' | 'catalog' | 'leasesMax' | 'replyBytes'
> {
  readonly budget: Budget;
  readonly ages: Ages;
  readonly catalog: Subscriptions;
}

/** What `describe` says in addition to what the catalog knows. */
export interface QueueStatus {
  readonly subscription: Subscription;
  readonly backlog: number;
  readonly inFlight: number;
  readonly delayed: number; // those on their way to the dead letters too
  readonly deadLettered: number;
  readonly redelivered: number;
  readonly consumers: number;
  /** Which limit holds messages back, '' for none. */
  readonly limit: string;
  readonly rivalRecords: number;
}

export interface PendingLease {
  /** `<lamport>@<host:port>`; undefined if only a former home knows it. */
  readonly id: string | undefined;
  readonly consumer: string;
  readonly deliveries: number;
  readonly remainingMs: number;
  readonly state: 'leased' | 'delayed';
}

const HANDED_MAX = 8; // times that leases of one subscription came which nobody has asked for; the last ones count

interface Handed {
  readonly leases: readonly HandedLease[];
  readonly at: number;
}

export class Queues {
  readonly #runtime: QueuesRuntime;
  readonly #acknowledger: Acknowledger;
  readonly #waiters = new LongPoll<Pull>();
  readonly #queues = new Map<string, SubscriptionQueue>();
  readonly #handed = new Map<string, Handed[]>(); // to subscriptions that nobody has asked for here
  readonly #transientSince = new Map<string, number>(); // when nobody had asked for them
  readonly #origins = new Map<string, Origin>(); // by tag
  readonly #given = { count: 0 }; // leases, by this process: no two have the same token
  #limitsToldAt = -Infinity;
  #leasesMax = Infinity; // of each, while all together are too many
  #isClosed = false;

  constructor(runtime: QueuesRuntime) {
    this.#runtime = runtime;
    this.#acknowledger = new Acknowledger({
      ...runtime,
      subscription: (name) => runtime.catalog.subscription(name),
      merged: (name, origin, state) => {
        const queue = this.#queues.get(name);
        if (queue === undefined || origin === runtime.log.origin) return;
        queue.counts.rivalRecords += 1;
        queue.putOff(state);
      },
    });
    runtime.budget.gauge('queues', () => this.#heldBytes);
  }

  /** Takes up what earlier lives of this broker knew. To be called when the catalog is known, before anything else. */
  restore(): Promise<void> {
    return this.#acknowledger.restore();
  }

  /** How many PULLs wait. */
  get waiting(): number {
    return this.#waiters.size;
  }

  // What commands do: each is for a subscription that is at home here. @throws RumormillError NOTFOUND

  async pull(name: string, request: PullRequest, cancellation: Cancellation): Promise<Delivery[]> {
    const queue = this.#queue(name);
    return this.#isClosed ? [] : queue.pull(request, cancellation);
  }

  // How many tokens were good. Many take turns, and what one turn has settled stays so. @throws RumormillError MOVED

  /** Settles when it is on disk. */
  async acknowledge(name: string, tokens: readonly string[]): Promise<number> {
    const queue = this.#queue(name);
    return queue.inSlices(tokens, (slice) => queue.acknowledge(slice));
  }

  /** Settles when that, and until when they are put off, is on disk. */
  async negativeAcknowledge(name: string, tokens: readonly string[], delayMs: number | undefined): Promise<number> {
    const queue = this.#queue(name);
    return queue.inSlices(tokens, (slice) => queue.negativeAcknowledge(slice, delayMs));
  }

  async extend(name: string, tokens: readonly string[], ms: number): Promise<number> {
    const queue = this.#queue(name);
    return queue.inSlices(tokens, (slice) => queue.extend(slice, ms));
  }

  async purge(name: string): Promise<number> {
    return this.#queue(name).purge();
  }

  async describe(name: string): Promise<QueueStatus> {
    const queue = this.#queue(name);
    const { counts } = queue.leases;
    const backlog = await queue.backlog();
    return {
      subscription: queue.subscription, backlog, inFlight: counts.leased, delayed: counts.delayed + counts.failed,
      consumers: queue.consumers, limit: queue.limit, ...queue.counts,
    };
  }

  /** Who holds leases, waits or has pulled lately: those who hold most, at most `count`. */
  consumers(name: string, count: number): ConsumerStatus[] {
    return this.#queue(name).listConsumers().slice(0, count);
  }

  /** Ends leases and waits, of one consumer or of all. Returns how many; settles when that is on disk. */
  async free(name: string, consumer: string | undefined): Promise<number> {
    return this.#queue(name).free(consumer);
  }

  /** What is leased or delayed: origin by origin, as it was delivered first. */
  pending(name: string, count: number): PendingLease[] {
    const now = this.#runtime.clock.now();
    const pending: PendingLease[] = [];
    for (const entry of this.#queue(name).leases.all()) {
      const { state, consumer, deliveries, dueAt } = entry;
      if (pending.length >= count) break;
      if (state === 'ready' || state === 'gone') continue;
      const remainingMs = state === 'failed' ? 0 : Math.max(0, Math.round(dueAt - now));
      pending.push({
        id: idOf(entry), consumer, deliveries, remainingMs, state: state === 'leased' ? 'leased' : 'delayed',
      });
    }
    return pending;
  }

  // What happens to them

  /** Batches are on disk. The catalog has learned of them. */
  committed(batches: readonly StoredBatch[]): void {
    this.#acknowledger.committed(batches);
    if (this.#waiters.size === 0) return;
    for (const pull of this.#waiters.woken(new Set(batches.map(({ topic }) => topic)))) pull.wake();
  }

  tick(now: number): void {
    for (const pull of this.#waiters.expire(now)) pull.wake();
    this.#shareLeases();
    for (const queue of this.#queues.values()) queue.tick(now);
    this.#acknowledger.tick(now);
    this.#tellLimits(now);
    this.#expireTransient(now);
  }

  get #heldBytes(): number {
    let bytes = 0;
    for (const queue of this.#queues.values()) bytes += queue.heldBytes;
    return bytes;
  }

  /** While all subscriptions together have too many messages out, each may have an even share. */
  #shareLeases(): void {
    let leases = 0;
    for (const queue of this.#queues.values()) leases += queue.leases.size;
    const most = Math.floor(this.#runtime.limits.leasesBytesMax / LEASE_BYTES);
    const before = this.#leasesMax;
    this.#leasesMax = leases < most ? Infinity : Math.max(1, Math.floor(most / this.#queues.size));
    if (this.#leasesMax > before) for (const queue of this.#queues.values()) queue.wake();
  }

  /** Something of the catalog is not as it was. */
  catalogChanged(): void {
    const { catalog, clock } = this.#runtime;
    this.#acknowledger.catalogChanged();
    for (const [name, queue] of this.#queues) {
      const subscription = catalog.subscription(name);
      if (subscription !== undefined && !isBefore(queue.subscription.since, subscription.since)) {
        queue.configure(subscription);
      } else this.#drop(name, queue, `subscription ${JSON.stringify(name)} is not what it was`);
    }
    for (const { name } of catalog.transientSubscriptions()) {
      if (!this.#transientSince.has(name)) this.#transientSince.set(name, clock.now());
    }
  }

  /**
   * Drops what is not served here any more; who waits for it fails with MOVED. Settles when nothing
   * of it is on its way to the disk.
   * @returns what was leased of each, for its next home
   */
  async giveUp(serves: (subscription: string) => boolean): Promise<Handover[]> {
    const { clock, catalog } = this.#runtime;
    const passing = [...this.#handed].filter(([name]) => !serves(name)); // nobody has asked for them here
    for (const [name] of passing) this.#handed.delete(name);
    const leaving = [...this.#queues].filter(([name]) => !serves(name));
    for (const [name, queue] of leaving) {
      this.#drop(name, queue, `subscription ${JSON.stringify(name)} has another home now`);
    }
    for (const { name } of [...catalog.transientSubscriptions()]) if (!serves(name)) this.#forget(name);
    for (const [, queue] of leaving) await this.#acknowledger.idle(queue.ledger);
    const now = clock.now();
    const handovers = [
      ...leaving.map(([name, { leases }]) => ({ subscription: name, leases: encodeHandover(leases.all(), now) })),
      ...passing.flatMap(([name, all]) =>
        all.map(({ leases, at }) => ({
          subscription: name,
          leases: encodeHandover(
            leases.map((lease) => ({ ...lease, dueAt: at + lease.remainingMs })),
            now,
          ),
        })),
      ),
    ];
    return handovers.filter(({ leases }) => leases !== '');
  }

  /** A subscription is at home here now; this is what its former home had leased. */
  takeOver({ subscription, leases }: Handover): void {
    const { clock, limits, logger } = this.#runtime;
    try {
      const handed = {
        leases: decodeHandover(leases, { leasesMax: limits.leasesMax, remainingMsMax: limits.delayMsMax }),
        at: clock.now(),
      };
      const queue = this.#queues.get(subscription);
      if (queue !== undefined) queue.adopt(handed.leases, handed.at);
      else this.#hand(subscription, handed);
    } catch (error) {
      logger.warn('leases of a former home not understood, ignored', { subscription, reason: messageOf(error) });
    }
  }

  /** For a subscription that nobody has asked for here. Made-up ones keep none out that is known here. */
  #hand(subscription: string, handed: Handed): void {
    const { limits, catalog } = this.#runtime;
    const known = this.#handed.get(subscription) ?? [];
    const isFull = this.#handed.size >= limits.subscriptionsMax && known.length === 0;
    if (isFull && catalog.subscription(subscription) === undefined) return;
    this.#handed.set(subscription, [...known.slice(1 - HANDED_MAX), handed]);
  }

  /**
   * Nobody is served any more; those who wait get what there is at the end of a wait. What was
   * accepted is on its way to the disk then.
   */
  close(): void {
    this.#isClosed = true;
    for (const queue of this.#queues.values()) queue.close();
    this.#acknowledger.flush();
  }

  /** Keeps what is done, so that the next life need not read it from the log. */
  checkpoint(): Promise<void> {
    return this.#acknowledger.checkpoint();
  }

  /** @throws RumormillError NOTFOUND */
  #queue(name: string): SubscriptionQueue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const subscription = this.#runtime.catalog.subscription(name);
    if (subscription === undefined) throw notFound(name);
    const { budget, limits } = this.#runtime;
    const queue = new SubscriptionQueue({
      ...this.#runtime, acknowledger: this.#acknowledger, waiters: this.#waiters,
      given: this.#given,
      originOf: (tag) => this.#originOf(tag),
      leasesMax: () => Math.min(limits.leasesMax, this.#leasesMax),
      replyBytes: (max) => budget.replyBytes(max),
    }, subscription);
    this.#queues.set(name, queue);
    for (const { leases, at } of this.#handed.get(name) ?? []) queue.adopt(leases, at);
    this.#handed.delete(name);
    queue.putOff(queue.ledger.done); // what was handed over is known better
    return queue;
  }

  #drop(name: string, queue: SubscriptionQueue, reason: string): void {
    this.#queues.delete(name);
    queue.close(new RumormillError('MOVED', reason));
  }

  #forget(name: string): void {
    this.#transientSince.delete(name);
    this.#runtime.catalog.forget(name);
  }

  /** Those that nobody has used for as long as a lease runs. */
  #expireTransient(now: number): void {
    for (const [name, since] of this.#transientSince) {
      const subscription = this.#runtime.catalog.subscription(name);
      if (subscription?.settings.transient !== true) this.#transientSince.delete(name);
      else if ((this.#queues.get(name)?.idleMs(now) ?? now - since) >= subscription.settings.visibilityMs) {
        this.#forget(name);
      }
    }
  }

  /** Once in a while, one line for all. */
  #tellLimits(now: number): void {
    const { limits, logger } = this.#runtime;
    if (now < this.#limitsToldAt + limits.limitLogMs) return;
    const [first, ...others] = [...this.#queues.values()].filter((queue) => queue.takeLimited());
    if (first === undefined) return;
    this.#limitsToldAt = now;
    const reason = first.limit === '' ? 'it did, and does not any more' : first.limit;
    logger.warn('a limit holds up messages of a subscription', {
      subscription: first.subscription.name, reason, others: others.length,
    });
  }

  #originOf(tag: string): Origin | undefined {
    const known = this.#origins.get(tag);
    if (known !== undefined) return known;
    for (const [origin] of this.#runtime.log.vector.entries()) this.#origins.set(originTag(origin), origin);
    return this.#origins.get(tag);
  }
}

function idOf({ source, origin, seq }: LeaseEntry): string | undefined {
  return source && `${source.lamport + seq - source.seq}@${originAddress(origin)}`;
}
