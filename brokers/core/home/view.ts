/**
 * Views: which brokers share the work on subscriptions, and which of them is a subscription's home.
 *
 * The coordinator says who is there; each of its views has a number, and all that follow it use the newest. The home of
 * a subscription is the member whose name hashes highest together with the subscription's: rendezvous hashing (D. G.
 * Thaler, C. V. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking
 * 6(1), 1998). So when a member comes or goes, only its own share of the homes moves.
 *
 * A view is installed here once every member has said that it uses it too, and how much it had stored then: by that
 * time the former homes have stopped, and what they acknowledged is known here (compare K. Birman, T. Joseph,
 * "Exploiting Virtual Synchrony in Distributed Systems", SOSP 1987). Until then a broker serves only what was at home
 * here all the time. After a while it serves without those that say nothing: better twice than not at all. If all have
 * spoken, and only records that they had stored are missing here, then these records are on their way, and a slow disk
 * may hold them up: the broker waits longer for them.
 */
import { type Address, compareAddresses } from '../address.ts';
import { checkCounter } from '../counter.ts';
import { hashText, mix } from '../hash.ts';
import type { Origin } from '../log/record.ts';
import type { Vector } from '../log/version-vector.ts';

export interface View {
  readonly coordinator: Address;
  readonly term: number;
  readonly number: number; // grows with each view of a coordinator's term
  readonly members: readonly Address[]; // in broker order, the coordinator among them
}

/** Where a subscription is at home, undefined in a view without members. */
export function homeOf(subscription: string, { members }: View): Address | undefined {
  const seed = hashText(subscription);
  let home: Address | undefined;
  let highest = -1;
  for (const member of members) {
    const weight = mix((hashText(member) + seed) >>> 0);
    if (weight > highest) [home, highest] = [member, weight];
  }
  return home;
}

/**
 * Whether a view comes after another one. Those of two coordinators are not ordered: a broker that changes its
 * coordinator changes its view.
 */
function isLater(view: Pick<View, 'term' | 'number'>, than: Pick<View, 'term' | 'number'>): boolean {
  return view.term > than.term || (view.term === than.term && view.number > than.number);
}

const UNINSTALLED_MAX = 16;

export class Views {
  readonly #self: Address;
  readonly #installMs: number;
  readonly #catchUpMs: number;
  readonly #offered = new Map<Address, View>(); // coordinator -> its newest
  // member -> the view that it uses, and what it had stored then and was not stored here when it was looked at last
  readonly #seen = new Map<Address, { readonly view: Omit<View, 'members'>; readonly missing: Map<Origin, number> }>();
  #current: View | undefined;
  #installed: View | undefined;
  #sinceInstalled: View[] = []; // the current one last
  #installBy = Infinity; // without those who say nothing

  /**
   * @param installMs how long members that say nothing are waited for
   * @param catchUpMs for how much longer records are waited for, if every member has spoken
   */
  constructor(self: Address, installMs: number, catchUpMs = 0) {
    this.#self = self;
    this.#installMs = installMs;
    this.#catchUpMs = catchUpMs;
  }

  get current(): View | undefined {
    return this.#current;
  }

  get isInstalled(): boolean {
    return this.#current !== undefined && this.#installed === this.#current;
  }

  /**
   * As coordinator: who is there, and whether one of them is in another life than before. Returns the view that is new
   * because of it, if it is.
   */
  propose(term: number, members: readonly Address[], isRenewed = false): View | undefined {
    const sorted = [...members].sort(compareAddresses);
    const known = this.#offered.get(this.#self);
    if (
      !isRenewed &&
      known?.term === term &&
      known.members.length === sorted.length &&
      known.members.every((member, index) => member === sorted[index])
    ) {
      return undefined;
    }
    const view = {
      coordinator: this.#self, term, number: (known?.term === term ? known.number : 0) + 1, members: sorted,
    };
    this.#offered.set(this.#self, view);
    return view;
  }

  /**
   * A peer tells of a view. Says whether it is news. @throws RumormillError PROTOCOL for a term or number that nobody
   * counts to
   */
  learn(view: View): boolean {
    const known = this.#offered.get(view.coordinator);
    checkCounter('term', view.term, known?.term);
    checkCounter('view', view.number, known?.number);
    if (known !== undefined && !isLater(view, known)) return false;
    this.#offered.set(view.coordinator, view);
    return true;
  }

  /** A member uses a view, and had stored this much when it began to. */
  learnSeen(member: Address, view: Omit<View, 'members'>, stored: Vector): void {
    this.#seen.set(member, { view, missing: new Map(stored) });
  }

  /**
   * Uses the newest view of the coordinator that is followed; while there is none, the one used so far stays. Says
   * whether it changed. Then everybody is to be told, as soon as nothing is served any more that went to another home.
   */
  follow(coordinator: Address | undefined, now: number, roundTripMs = 0): boolean {
    const view = coordinator === undefined ? undefined : this.#offered.get(coordinator);
    if (view === undefined || view === this.#current) return false;
    for (const other of this.#offered.keys()) if (other !== coordinator) this.#offered.delete(other);
    this.#current = view;
    this.#sinceInstalled.push(view);
    if (this.#sinceInstalled.length > UNINSTALLED_MAX) {
      this.#installed = undefined; // what was at home here all the time is not known any more
      this.#sinceInstalled = [view];
    }
    this.#installBy = now + this.#installMs + 2 * roundTripMs; // for the view to come there, and for the answer
    return true;
  }

  /**
   * Installs the current view if everybody who can be asked uses it and nothing is missing that they had stored, or if
   * that takes too long. Says whether it did.
   * @param isReachable whether there is a link with a member
   */
  install(stored: Pick<Vector, 'get'>, isReachable: (member: Address) => boolean, now: number): boolean {
    const view = this.#current;
    if (view === undefined || this.#installed === view) return false;
    const asked = view.members.filter((member) => member !== this.#self && isReachable(member));
    const haveSpoken = asked.every((member) => this.#missing(member, view) !== undefined);
    const isReady = haveSpoken && asked.every((member) => this.#hasAll(this.#missing(member, view)!, stored));
    if (!isReady && now < this.#installBy + (haveSpoken ? this.#catchUpMs : 0)) return false;
    this.#installed = view;
    this.#sinceInstalled = [];
    return true;
  }

  home(subscription: string): Address | undefined {
    return this.#current && homeOf(subscription, this.#current);
  }

  /** Whether this broker may do the work of a subscription now. */
  serves(subscription: string): boolean {
    const isHome = (view: View): boolean => homeOf(subscription, view) === this.#self;
    if (this.#current === undefined || !isHome(this.#current)) return false;
    if (this.isInstalled) return true;
    return this.#installed !== undefined && isHome(this.#installed) && this.#sinceInstalled.every(isHome);
  }

  /**
   * What a member that uses the view had stored, as far as it is not known to be here; undefined if it has not said
   * so.
   */
  #missing(member: Address, view: View): Map<Origin, number> | undefined {
    const seen = this.#seen.get(member);
    return seen === undefined || seen.view.coordinator !== view.coordinator || isLater(view, seen.view)
      ? undefined
      : seen.missing;
  }

  #hasAll(missing: Map<Origin, number>, stored: Pick<Vector, 'get'>): boolean {
    for (const [origin, seq] of missing) {
      if ((stored.get(origin) ?? 0) < seq) return false;
      missing.delete(origin);
    }
    return true;
  }
}
