/**
 * Rows: whose disk counts. Which broker's store fulfils which row of globalState.csv (invariant 5).
 *
 * A row is a name. Hosts files, name servers and routers say where a name leads, and they are wrong
 * now and then. A broker is what introduces itself by a name. So quorums are counted of rows, each of
 * them a seat, and
 *   - a row is fulfilled by the broker that has its name itself. If there is none, the name may
 *     *lead* to a broker that has another name (`localhost` and `127.0.0.1`): the one that a dial
 *     of the row has reached.
 *   - a broker fulfils one row: that of its own name, or else the first one that leads to it.
 *   - a row that leads to a broker which fulfils another one is *missing*. It may be the name of a
 *     dead broker that somebody else answers to, or be looked up wrongly; if it were counted, one
 *     disk would be taken for two.
 *   - unless the two rows are names of one host: then they are one seat. That takes a lasting proof
 *     by two brokers: every look for `provenAfterMs` has shown that broker, it says itself that the
 *     name leads to it (or, if it is this broker, another broker looks for that name here), and no
 *     broker was ever known by the name.
 *   - a row by whose name a broker was known may have changed hands, or its broker may have changed
 *     its name. The broker that it leads to now fulfils it after the same proof.
 *
 * A lead is never believed for good: each is looked at again every `lookMs` (by a dial that ends when
 * it is known who is there). It ends when a broker introduces itself by that name, when another
 * broker answers, or when no broker has answered for `lostAfterMs`. A lead to oneself ends when the
 * first look fails, since nothing lies between.
 *
 * Invariants: no broker has two seats; there are fewer seats than rows (and oneself, in a mesh that
 * one has joined) only by leads that are proven; a seat without a broker holds nothing.
 */
import type { Address } from '../address.ts';

const OWN_NAMES_MAX = 64; // told to others
const LOOKS_MISSED = 3; // of another broker, after which it does not agree any more

export interface RowsOptions {
  /** Between looks at where a name leads. */
  readonly lookMs: number;
  /** How long nobody may answer before it leads nowhere any more. */
  readonly lostAfterMs: number;
  /** For how long two rows must have shown one broker before they are one. */
  readonly provenAfterMs: number;
  /** Most names remembered that no row has. */
  readonly namesMax: number;
}

/** A row that counts, of another broker than this one. */
export interface Seat {
  readonly row: Address;
  /** Whose store fulfils it; undefined if that is missing. */
  readonly broker: Address | undefined;
}

/** Where a name leads by which no broker goes. */
interface Lead {
  to: Address;
  reachedAt: number; // of a lead to oneself: when another broker came by that name
  ownSince: number; // from when every look has shown `to`, which says that the name is its own; Infinity for not
  shownAt: number; // by the newest look that was answered
  lookAt: number;
  isLooking: boolean;
}

export class Rows {
  readonly #self: Address;
  readonly #options: RowsOptions;
  readonly #random: () => number;
  readonly #isKnown: (name: Address) => boolean;
  readonly #leads = new Map<Address, Lead>();
  readonly #spoken = new Set<Address>(); // names by which others introduced themselves in this life
  #rows: ReadonlySet<Address> = new Set();

  /**
   * @param random uniform in 0..2^32-1, so that brokers do not look in step
   * @param isKnown whether a broker went by this name, as far as the log or others tell
   */
  constructor(
    self: Address, options: RowsOptions, random: () => number, isKnown: (name: Address) => boolean,
  ) {
    this.#self = self;
    this.#options = options;
    this.#random = random;
    this.#isKnown = isKnown;
  }

  configure(rows: readonly Address[]): void {
    const before = this.#rows;
    this.#rows = new Set(rows);
    for (const row of before) if (!this.#rows.has(row)) this.#leads.delete(row);
  }

  has(row: Address): boolean {
    return this.#rows.has(row);
  }

  /** A broker has introduced itself by this name. */
  introduced(name: Address): void {
    this.#leads.delete(name);
    if (this.has(name) || this.#spoken.size < this.#options.namesMax) this.#spoken.add(name);
  }

  /**
   * A dial of `name` reached the broker named `to`.
   * @param isOwn whether that broker, another one, says itself that the name leads to it
   */
  led(name: Address, to: Address, isOwn: boolean, now: number): void {
    if (to !== this.#self) this.introduced(to);
    if (name === to) return;
    const known = this.#leads.get(name);
    if (known === undefined && !this.has(name) && this.#leads.size >= this.#options.namesMax) return;
    const reachedAt = known?.to === to ? known.reachedAt : -Infinity;
    const isAgreed = to === this.#self ? now - reachedAt <= LOOKS_MISSED * this.#options.lookMs : isOwn;
    const before = known?.to === to ? known.ownSince : Infinity;
    this.#set(name, to, isAgreed ? Math.min(before, now) : Infinity, now);
    this.#leads.get(name)!.reachedAt = reachedAt;
    for (const [other, lead] of this.#leads) { // that broker has another name now
      if (lead.to === name) this.#set(other, to, Infinity, now);
    }
  }

  /** Another broker has reached this one by a name. */
  reached(name: Address, now: number): void {
    const lead = this.#leads.get(name);
    if (lead?.to === this.#self) lead.reachedAt = now;
  }

  /**
   * A look at a name was not answered. Says whether it leads nowhere from now on.
   * @param isUnresolved whether no name server said where it leads: nothing speaks against another broker
   */
  unanswered(name: Address, isUnresolved: boolean, now: number): boolean {
    const lead = this.#leads.get(name);
    if (lead === undefined) return false;
    if (isUnresolved) lead.shownAt = now;
    const isLost = lead.to === this.#self || now - lead.shownAt >= this.#options.lostAfterMs;
    if (isLost) return this.#leads.delete(name);
    Object.assign(lead, { ownSince: Infinity, isLooking: false, lookAt: this.#nextLook(now) });
    return false;
  }

  /** Whether a name leads to a broker of another name. */
  isLead(name: Address): boolean {
    return this.#leads.has(name);
  }

  /** Which broker is meant by a name, as far as it is known. */
  standsFor(name: Address): Address {
    return this.#leads.get(name)?.to ?? name;
  }

  /** Names that lead to a broker of another name. */
  leadingTo(broker: Address): Address[] {
    return [...this.#leads].filter(([, { to }]) => to === broker).map(([name]) => name);
  }

  /** Rows that lead to this broker; only some of them, if they are many. */
  ownNames(): Address[] {
    return [...this.#rows].filter((row) => this.#leads.get(row)?.to === this.#self).slice(0, OWN_NAMES_MAX);
  }

  /** The name to look at now, if it is time; to be answered by `led` or `unanswered`. */
  takeLook(now: number): Address | undefined {
    let first: [name: Address, lead: Lead] | undefined;
    for (const [name, lead] of this.#leads) {
      const isDue = !lead.isLooking && lead.lookAt <= now;
      if (isDue && (first === undefined || lead.lookAt < first[1].lookAt)) first = [name, lead];
    }
    if (first === undefined) return undefined;
    first[1].isLooking = true;
    return first[0];
  }

  /** What quorums are counted of, besides oneself. */
  seats(now: number): Seat[] {
    const seated = new Set([...this.#rows].filter((row) => !this.#leads.has(row))); // by their own names
    const seats: Seat[] = [];
    for (const row of this.#rows) {
      if (row === this.#self) continue;
      const lead = this.#leads.get(row);
      const broker = lead === undefined ? row : this.#candidate(row, lead, seated, now);
      if (broker === undefined && this.#isSame(row, lead!, now)) continue;
      if (broker !== undefined) seated.add(broker);
      if (broker !== this.#self) seats.push({ row, broker });
    }
    return seats;
  }

  /** Whom a row leads to, if that broker may have its seat. */
  #candidate(row: Address, lead: Lead, seated: ReadonlySet<Address>, now: number): Address | undefined {
    const isTaken = seated.has(lead.to) || (lead.to === this.#self && this.#spoken.has(row));
    return isTaken || (this.#wasAnothers(row) && !this.#isProven(lead, now)) ? undefined : lead.to;
  }

  /** Whether the row is another name of a broker that has a seat. */
  #isSame(row: Address, lead: Lead, now: number): boolean {
    return this.#isProven(lead, now) && !this.#wasAnothers(row);
  }

  #isProven({ ownSince }: Lead, now: number): boolean {
    return now - ownSince >= this.#options.provenAfterMs;
  }

  /** Whether a broker is known that went by this name. */
  #wasAnothers(row: Address): boolean {
    return this.#spoken.has(row) || this.#isKnown(row);
  }

  #set(name: Address, to: Address, ownSince: number, now: number): void {
    const lookAt = this.#nextLook(now);
    this.#leads.set(name, { to, reachedAt: -Infinity, ownSince, shownAt: now, isLooking: false, lookAt });
  }

  #nextLook(now: number): number {
    return now + this.#options.lookMs * (0.5 + this.#random() / 2 ** 33);
  }
}
