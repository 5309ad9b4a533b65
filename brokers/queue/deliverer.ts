/**
 * Which messages a PULL of a subscription gets.
 *
 * What is to be delivered again and what is new take turns, one by one and over all PULLs: between
 * two redeliveries comes something new, if there is any, and between two new messages a
 * redelivery. So neither can hold the other up, no matter what consumers do (one that gives a message
 * back at once, or dies of it each time, among them). Redeliveries come in the order in which they
 * became ready (core/queue/leases.ts), new messages as they are stored. In an answer redeliveries come
 * first.
 *
 * Two limits hold messages back: of what is leased, delayed or on its way to the dead letters (less
 * while those of all subscriptions are too many), and of what one consumer holds. Leases of a consumer that has gone
 * away end when they run out, since it may come back; SUBSCRIPTION FREE ends them sooner.
 *
 * A message is leased in the same turn in which its PULL is answered: what had to be read from
 * the disk was read before, and a PULL that has something does not wait for more.
 */
import type { Ledger } from './acknowledger.ts';
import type { Backlog } from './backlog.ts';
import type { Limits } from '../config.ts';
import { RumormillError } from '../core/error.ts';
import { encodeToken } from '../core/queue/lease-token.ts';
import { type LeaseEntry, type Source, tokenOf } from '../core/queue/lease.ts';
import type { Leases } from '../core/queue/leases.ts';
import { type Message, messageBytes, type Origin } from '../core/log/record.ts';
import type { Clock } from '../core/runtime.ts';
import type { Subscription } from '../core/catalog/subscription.ts';
import type { Delivery, Limited, Pull } from './pull.ts';

export interface DelivererRuntime {
  readonly clock: Clock;
  readonly limits: Limits;
  /** Of the subscription (core/queue/lease-token.ts). */
  readonly life: number;
  readonly leases: Leases;
  readonly backlog: Backlog;
  readonly ledger: Ledger;
  readonly counts: { redelivered: number };
  /** How many messages of it may be delivered and not done, now. */
  leasesMax(): number;
  /** How long an answer may be that could be up to `max` bytes. */
  replyBytes(max: number): number;
  subscription(): Subscription;
  /** The deliveries of these have failed. */
  failed(entries: readonly LeaseEntry[]): void;
}

/**
 * What came of a look at one of the two kinds: something to wait for; `full` if the answer has
 * no room; undefined for nothing.
 */
type Taken = 'taken' | 'full' | 'pause' | Promise<void> | Limited | undefined;

export class Deliverer {
  readonly #runtime: DelivererRuntime;
  #isAgainNext = true; // whose turn it is, if there is something of both

  constructor(runtime: DelivererRuntime) {
    this.#runtime = runtime;
  }

  /**
   * Leases to a PULL what there is, `countMax` messages at most, and answers it in the same turn;
   * neither if there is nothing.
   */
  async fill(pull: Pull, countMax: number): Promise<Limited | undefined> {
    const { clock, limits, leases, failed, replyBytes } = this.#runtime;
    const given = new Deliveries(replyBytes(limits.replyBytesMax));
    let hasWaited = false;
    failed(leases.expire(clock.now()));
    while (given.count < countMax) {
      const taken = this.#take(pull, given, hasWaited);
      if (taken === undefined || taken === 'full') break;
      if (taken === 'taken') continue;
      if (given.count > 0) break;
      if (typeof taken === 'object' && 'error' in taken) return taken;
      await (taken === 'pause' ? new Promise<void>((resolve) => clock.defer(resolve)) : taken);
      if (pull.isOver) return undefined;
      hasWaited = true;
    }
    if (given.count > 0) pull.answer(given.all());
    return undefined;
  }

  /**
   * @param hasWaited then a redelivery does not wait while the log is searched for something new, which may take long
   */
  #take(pull: Pull, given: Deliveries, hasWaited: boolean): Taken {
    if (this.#isAgainNext) return this.#takeAgain(pull, given) ?? this.#takeNew(pull, given);
    const taken = this.#takeNew(pull, given);
    if (taken === undefined) return this.#takeAgain(pull, given);
    if (taken === 'taken' || taken === 'full') return taken;
    const isLimited = typeof taken === 'object' && 'error' in taken;
    return isLimited || hasWaited ? (this.#takeAgain(pull, given) ?? taken) : taken;
  }

  /** Delivers a message again: the one that has been ready for longest. */
  #takeAgain(pull: Pull, given: Deliveries): Taken {
    const { leases, backlog } = this.#runtime;
    for (let entry = leases.nextReady; entry !== undefined; entry = leases.nextReady) {
      if (this.#isRaised(entry)) continue;
      const message = backlog.again(entry.source!, entry.seq - entry.source!.seq);
      if (message instanceof Promise) return message;
      if (message !== undefined) {
        if (this.#isAtItsLimit(pull)) return this.#ownLimit(pull);
        if (!given.hasRoom(message)) return 'full';
        this.#redeliver(entry, message, pull, given);
        return 'taken';
      }
      leases.remove(entry);
    }
    return undefined;
  }

  /** Delivers the next message of the log: for the first time, unless it was handed over by a former home. */
  #takeNew(pull: Pull, given: Deliveries): Taken {
    const { leases, backlog, leasesMax } = this.#runtime;
    const next = backlog.next((origin, seq, source) => this.#isTaken(origin, seq, source));
    if (next === 'end') return undefined;
    if (next === 'pause' || next instanceof Promise) return next;
    const { source, index, message } = next;
    const handed = leases.get(source.origin, source.seq + index); // that has run out
    if (handed !== undefined && this.#isRaised(handed)) return this.#takeNew(pull, given);
    if (handed === undefined && leases.size >= leasesMax()) return this.#limit();
    if (this.#isAtItsLimit(pull)) return this.#ownLimit(pull);
    if (!given.hasRoom(message)) return 'full';
    backlog.advance(next);
    if (handed !== undefined) this.#redeliver(handed, message, pull, given);
    else this.#deliverFirst(source, index, message, pull, given);
    this.#isAgainNext = true;
    return 'taken';
  }

  /** Whether deliveries of it have failed elsewhere, at a rival home, that are counted only now: it may be failed. */
  #isRaised(ready: LeaseEntry): boolean {
    const { leases, ledger } = this.#runtime;
    const attempts = ledger.done.attempts(ready.origin, ready.seq);
    if (attempts <= ready.deliveries) return false;
    leases.raise(ready, attempts);
    return true;
  }

  #isAtItsLimit({ consumer }: Pull): boolean {
    return this.#runtime.leases.heldBy(consumer) >= this.#runtime.limits.consumerLeasesMax;
  }

  #ownLimit({ consumer }: Pull): Limited {
    return {
      isOwn: true,
      error: new RumormillError(
        'LIMIT',
        ownLimitText(this.#runtime.subscription().name, consumer, this.#runtime.limits),
      ),
    };
  }

  #limit(): Limited {
    return {
      isOwn: false,
      error: new RumormillError('LIMIT', limitText(this.#runtime.subscription().name, this.#runtime.leasesMax())),
    };
  }

  #redeliver(entry: LeaseEntry, message: Message, { consumer }: Pull, given: Deliveries): void {
    const { leases, counts, clock } = this.#runtime;
    this.#isAgainNext = false;
    counts.redelivered += 1;
    leases.again(entry, consumer, clock.now());
    given.addAgain(this.#deliveryOf(entry, message));
  }

  #deliverFirst(source: Source, index: number, message: Message, { consumer }: Pull, given: Deliveries): void {
    const { leases, ledger, clock, subscription } = this.#runtime;
    const { maxDeliveries } = subscription().settings;
    const attempts = ledger.done.attempts(source.origin, source.seq + index);
    if (maxDeliveries !== null && attempts >= maxDeliveries) leases.exhausted(source, index, attempts);
    else given.addNew(this.#deliveryOf(leases.lease(source, index, attempts, consumer, clock.now()), message));
  }

  #deliveryOf(entry: LeaseEntry, message: Message): Delivery {
    return { token: encodeToken(this.#runtime.life, tokenOf(entry)), deliveries: entry.deliveries, message };
  }

  /**
   * Whether a message that the reader comes to has been delivered. One that was handed over, or put
   * off by another home, gets its place.
   */
  #isTaken(origin: Origin, seq: number, source: Source): boolean {
    const { leases, ledger, clock, leasesMax } = this.#runtime;
    let entry = leases.get(origin, seq);
    if (entry === undefined) {
      const until = ledger.done.waitsUntil(origin, seq);
      if (until <= clock.now()) return false;
      if (leases.size >= leasesMax()) return false; // the limit holds it up
      leases.putOff({ origin, seq, attempts: ledger.done.attempts(origin, seq), until });
      entry = leases.get(origin, seq)!;
    }
    if (entry.source === undefined) leases.place(entry, source);
    return entry.state !== 'ready';
  }
}

export function ownLimitText(name: string, consumer: string, { consumerLeasesMax }: Limits): string {
  return (
    `consumer ${JSON.stringify(consumer)} holds ${consumerLeasesMax} messages of subscription ${JSON.stringify(name)}, ` +
    'the most that one may: ACK or NACK some, wait until their leases run out, or free them with SUBSCRIPTION FREE'
  );
}

export function limitText(name: string, leasesMax: number): string {
  return (
    `${leasesMax} messages of subscription ${JSON.stringify(name)} are leased, delayed or to become dead letters, the most that may be: ` +
    'nothing new is delivered until some are settled; SUBSCRIPTION CONSUMERS shows who holds them, and SUBSCRIPTION FREE frees them'
  );
}

/** What is leased to one PULL. */
class Deliveries {
  readonly #bytesMax: number;
  readonly #again: Delivery[] = [];
  readonly #new: Delivery[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#again.length + this.#new.length;
  }

  /** Whether one more fits; the first always does. */
  hasRoom(message: Message): boolean {
    return this.count === 0 || this.#bytes + messageBytes(message) <= this.#bytesMax;
  }

  addAgain(delivery: Delivery): void {
    this.#bytes += messageBytes(delivery.message);
    this.#again.push(delivery);
  }

  addNew(delivery: Delivery): void {
    this.#bytes += messageBytes(delivery.message);
    this.#new.push(delivery);
  }

  all(): Delivery[] {
    return [...this.#again, ...this.#new];
  }
}
