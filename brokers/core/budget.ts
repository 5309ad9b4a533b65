/**
 * One budget for all that a broker keeps in memory on behalf of others. A limit per connection is not
 * enough: thousands of connections that each stay within their limits have no bound together.
 *
 * Each connection has an `Account`, which says how many bytes it holds and when they move. Bytes that
 * many connections wait for are `SharedBytes`, counted once. Everything else is a gauge: a function
 * that is asked at each look.
 *
 * From three quarters of the limit on, until it is back at five eighths, the budget is tight: caches
 * give way, connections that hold much input are read from one at a time (`mayGrow`), replies are cut
 * short (`replyBytes`), and of the connections that are still the greediest are closed. Above the limit,
 * if no connection is still, the greediest of those that move is closed too. If none is left that may be
 * closed, the budget is full, and publishers wait.
 *
 * A connection is still if less than a sixty-fourth of what it holds has moved within `stillMs`. So one
 * that sends a byte per second to keep fifteen mebibytes alive is still, and so is one that moves only
 * because it is its turn to grow.
 *
 * Invariants: `bytes` is the sum of all accounts, shared bytes and gauges. A link with a peer is never
 * closed for what clients hold: only while links hold more than half of the limit.
 */
import type { Clock } from './runtime.ts';

const [TIGHT, EASED] = [3 / 4, 5 / 8]; // of the limit
const LINKS = 1 / 2; // of the limit, beyond which links are closed
const REPLY = 1 / 8; // of what is free may go into one reply
const MOVES = 1 / 64; // of what a connection holds
const MOVES_BYTES_MIN = 1024;
const GREEDY_BYTES = 4096; // a connection that holds less is not closed
/** Of a command that has not come to its end: a connection that holds more of it takes turns with others. */
export const LONG_INPUT_BYTES = 64 * 1024;
const REPLY_BYTES_MIN = 64 * 1024;
const SHARED_BYTES = 200; // about what shared bytes take beside themselves

export interface BudgetLimits {
  readonly memoryBytes: number;
  /** What a connection takes that holds nothing. */
  readonly connectionBytes: number;
  readonly stillMs: number;
}

/** A connection that holds memory. */
export interface Holder {
  /** Gives back all that it holds and closes. `held` is how many bytes that was. */
  expel(held: number): void;
  /** Goes on: it may be sent more, after `mayGrow` said no. */
  work?(): void;
}

export interface BudgetEvents {
  /** It is not tight any more, or not full: what could not go on may be able to. */
  eased(): void;
}

interface Gauge {
  readonly read: () => number;
  readonly shrink: (() => void) | undefined;
}

export class Budget {
  readonly limits: BudgetLimits;
  /** The most that it has been at a look. */
  peak = 0;
  /** Connections closed so far. */
  expelled = 0;
  readonly #clock: Pick<Clock, 'now' | 'defer'>;
  readonly #events: BudgetEvents;
  readonly #accounts = new Set<Account>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #growers = new Set<Account>(); // with much input, while it is tight; the first of them is read from
  #charged = 0; // accounts and shared bytes
  #links = 0;
  #gauged = 0;
  #promised = 0; // to replies that are being read
  #tight = false;
  #full = false;
  #looking = false;

  constructor(limits: BudgetLimits, clock: Pick<Clock, 'now' | 'defer'>, events: BudgetEvents) {
    this.limits = limits;
    this.#clock = clock;
    this.#events = events;
  }

  /** Everything together; gauges as they were at the last look. */
  get bytes(): number {
    return this.#charged + this.#gauged;
  }

  /** What connections hold, shared bytes among it. */
  get connectionBytes(): number {
    return this.#charged;
  }

  get isTight(): boolean {
    return this.#tight;
  }

  /** Publishers wait: it is over the limit, and there was nobody left to be closed. */
  get isFull(): boolean {
    return this.#full;
  }

  get #isOver(): boolean {
    return this.bytes > this.limits.memoryBytes;
  }

  /**
   * Whether a connection that holds so many bytes of input may be sent more. While it is tight, those that
   * hold much take turns, so that a long command comes to its end in what is still free: one of them at
   * a time until the next look, in the order in which they asked.
   */
  mayGrow(account: Account, inputBytes: number): boolean {
    if (!this.#tight || inputBytes <= LONG_INPUT_BYTES) {
      this.#leave(account);
      return true;
    }
    this.#growers.add(account);
    return this.#grower === account;
  }

  isGrower(account: Account): boolean {
    return this.#growers.has(account);
  }

  get #grower(): Account | undefined {
    return this.#growers.values().next().value;
  }

  #leave(account: Account): void {
    const hadTurn = this.#growers.size > 0 && this.#grower === account;
    this.#growers.delete(account);
    if (hadTurn) this.#clock.defer(() => this.#grower?.holder.work?.());
  }

  /** How long a reply may be that could be up to `max` bytes. */
  replyBytes(max: number): number {
    const free = Math.max(0, this.limits.memoryBytes - this.bytes - this.#promised);
    return Math.min(max, Math.max(REPLY_BYTES_MIN, Math.floor(free * REPLY)));
  }

  /** So many bytes more are being read for replies; fewer, if it is negative. */
  promise(bytes: number): void {
    this.#promised += bytes;
  }

  open(kind: 'client' | 'link', holder: Holder): Account {
    const account = new Account(this, kind, holder);
    this.#accounts.add(account);
    this.charge(this.limits.connectionBytes, kind);
    return account;
  }

  /** Counts what is held beside connections. @param shrink makes it give back what it can do without */
  gauge(name: string, read: () => number, shrink?: () => void): void {
    this.#gauges.set(name, { read, shrink });
  }

  /** What each gauge shows now, by name. */
  gauges(): Record<string, number> {
    return Object.fromEntries([...this.#gauges].map(([name, { read }]) => [name, read()]));
  }

  /** Bytes for several connections. */
  share(bytes: Uint8Array): SharedBytes {
    return new SharedBytes(this, bytes);
  }

  /** Does what is to be done about it. To be called now and then; calls itself when the limit is crossed. */
  look(): void {
    this.#looking = false;
    this.#measure();
    if (this.bytes >= this.#limit(TIGHT)) {
      this.#tight = true;
      for (const { shrink } of this.#gauges.values()) shrink?.();
      this.#measure();
    }
    const [wasTight, wasFull] = [this.#tight, this.#full];
    if (wasTight) this.#relieve();
    this.#full = this.#isOver;
    this.#nextGrower();
    if ((wasTight && !this.#tight) || (wasFull && !this.#full)) this.#events.eased();
  }

  #relieve(): void {
    const now = this.#clock.now();
    this.#expel(EASED, ({ since }) => now - since >= this.limits.stillMs);
    if (this.#isOver) this.#expel(1, () => true);
    if (this.bytes > this.#limit(EASED)) return;
    this.#tight = false;
    this.#growers.clear();
  }

  #nextGrower(): void {
    const first = this.#grower;
    if (first === undefined || this.#growers.size === 1) return;
    this.#leave(first);
    this.#growers.add(first);
  }

  now(): number {
    return this.#clock.now();
  }

  charge(bytes: number, kind: Account['kind']): void {
    this.#charged += bytes;
    if (kind === 'link') this.#links += bytes;
    if (bytes <= 0 || this.#looking || !this.#isOver) return;
    this.#looking = true;
    this.#clock.defer(() => this.look());
  }

  closed(account: Account): void {
    if (!this.#accounts.delete(account)) return;
    this.#leave(account);
    this.charge(-account.own - this.limits.connectionBytes, account.kind);
  }

  #limit(share: number): number {
    return this.limits.memoryBytes * share;
  }

  #measure(): void {
    this.#gauged = 0;
    for (const { read } of this.#gauges.values()) this.#gauged += read();
    this.peak = Math.max(this.peak, this.bytes);
  }

  /** Closes the greediest of those that may be, until no more than a share of the limit is in use. */
  #expel(share: number, isVictim: (account: Account) => boolean): void {
    if (this.bytes <= this.#limit(share)) return;
    const victims = [...this.#accounts].filter((account) => account.greed >= GREEDY_BYTES && isVictim(account));
    victims.sort((a, b) => b.greed - a.greed);
    for (const account of victims) {
      if (this.bytes <= this.#limit(share)) return;
      if (account.kind === 'link' && this.#links <= this.#limit(LINKS)) continue;
      this.expelled += 1;
      account.holder.expel(account.greed);
    }
  }
}

/** What one connection holds. */
export class Account {
  readonly kind: 'client' | 'link';
  readonly holder: Holder;
  /** Bytes that it alone holds. */
  own = 0;
  /** Those, and the shared ones that it waits for. */
  greed = 0;
  /** When it last moved, or began to hold much; on the clock. */
  since: number;
  readonly #budget: Budget;
  #moved = 0;
  #isOpen = true;

  constructor(budget: Budget, kind: 'client' | 'link', holder: Holder) {
    this.#budget = budget;
    this.kind = kind;
    this.holder = holder;
    this.since = budget.now();
  }

  /** The connection holds so many bytes now. */
  set(own: number, shared = 0): void {
    const greed = own + shared;
    if (!this.#isOpen || (own === this.own && greed === this.greed)) return;
    if (this.greed < GREEDY_BYTES && greed >= GREEDY_BYTES) this.since = this.#budget.now();
    const more = own - this.own;
    this.own = own;
    this.greed = greed;
    this.#budget.charge(more, this.kind);
  }

  /** So many bytes came or went, of those that keep it from giving back what it holds. */
  moved(bytes: number): void {
    if (this.#budget.isGrower(this)) return;
    this.#moved += bytes;
    if (this.#moved < Math.max(MOVES_BYTES_MIN, this.greed * MOVES)) return;
    this.#moved = 0;
    this.since = this.#budget.now();
  }

  /** It holds nothing more, and never will. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#budget.closed(this);
  }
}

/** Bytes that several connections wait for. They count as long as one does. */
export class SharedBytes {
  readonly bytes: Uint8Array;
  readonly #budget: Budget;
  #holders = 0;

  constructor(budget: Budget, bytes: Uint8Array) {
    this.#budget = budget;
    this.bytes = bytes;
  }

  hold(): void {
    this.#holders += 1;
    if (this.#holders === 1) this.#budget.charge(this.bytes.length + SHARED_BYTES, 'client');
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders === 0) this.#budget.charge(-this.bytes.length - SHARED_BYTES, 'client');
  }
}

/** Bytes for people, in whole MiB or KiB. */
export function mebibytes(bytes: number): string {
  const inMebibytes = bytes >= 1024 * 1024;
  return `${Math.floor(bytes / 1024 / (inMebibytes ? 1024 : 1))} ${inMebibytes ? 'MiB' : 'KiB'}`;
}
