/**
 * Views: which brokers share the work on subscriptions, and which of them is a subscription's home.
 *
 * The coordinator says who is there; each of its views has a number, and all that follow it use the newest. The home of
 * a subscription is the member whose name hashes highest together with the subscription's: rendezvous hashing (D. G.
 * Thaler, C. V. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking
 * 6(1), 1998). So when a member comes or goes, only its own share of the homes moves.
 *
 * A view is installed here once every member has said that it uses it too (words.ts), and how much it had stored then:
 * by that time the former homes have stopped, and what they acknowledged is known here (compare K. Birman, T. Joseph,
 * "Exploiting Virtual Synchrony in Distributed Systems", SOSP 1987). Until then a broker serves only what was at home
 * here all the time. After a while it serves without those that say nothing: better twice than not at all. If all have
 * spoken, and only records that they had stored are missing here, then these records are on their way, and a slow disk
 * may hold them up: the broker waits longer for them.
 */
import { type Address, compareAddresses } from '../address.ts';
import { checkCounter } from '../counter.ts';
import { hashText, mix } from '../hash.ts';
import type { Vector } from '../log/version-vector.ts';
import { isLater, type ViewName, type Word, Words } from './words.ts';

export interface View extends ViewName {
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

const UNINSTALLED_MAX = 16;
const OFFERED_MAX = 16; // coordinators of which one neighbour tells; beyond it, it pushes out what it told first

export class Views {
  readonly #self: Address;
  readonly #installMs: number;
  readonly #catchUpMs: number;
  readonly #offered = new Map<Address, View>(); // coordinator -> its newest
  readonly #offeredBy = new Map<Address, Address>(); // coordinator -> the neighbour that told of its newest
  readonly #words: Words;
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
    this.#words = new Words(self);
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
   * A neighbour tells of a view. Says whether it is news. @throws RumormillError PROTOCOL for a term or number that
   * nobody counts to
   */
  learn(view: View, from = view.coordinator): boolean {
    const known = this.#offered.get(view.coordinator);
    checkCounter('term', view.term, known?.term);
    checkCounter('view', view.number, known?.number);
    if (known !== undefined && !isLater(view, known)) return false;
    this.#offered.set(view.coordinator, view);
    this.#offeredBy.delete(view.coordinator); // so that the oldest is the first
    this.#offeredBy.set(view.coordinator, from);
    const told = [...this.#offeredBy].flatMap(([coordinator, by]) => (by === from ? [coordinator] : []));
    if (told.length > OFFERED_MAX) this.#withdraw(told.find((each) => each !== this.#current?.coordinator)!);
    return true;
  }

  #withdraw(coordinator: Address): void {
    this.#offered.delete(coordinator);
    this.#offeredBy.delete(coordinator);
  }

  /** Members use a view, and had stored this much when they began to; as a neighbour says, or this broker of itself. */
  learnSeen(word: Word, from?: Address): void {
    const { coordinator } = word.view;
    const known = this.#current?.coordinator === coordinator ? this.#current : undefined;
    checkCounter('term', word.view.term, known?.term);
    checkCounter('view', word.view.number, known?.number);
    if (known === undefined || !isLater(known, word.view)) this.#words.learn(word, from);
  }

  /** What a neighbour is to be told of who uses the current view. Counts as told. */
  news(neighbour: Address): Word | undefined {
    return this.#current && this.#words.news(this.#current, neighbour);
  }

  linkUp(neighbour: Address): void {
    this.#words.linkUp(neighbour);
  }

  /**
   * Uses the newest view of the coordinator that is followed; while there is none, the one used so far stays. Says
   * whether it changed. Then everybody is to be told, as soon as nothing is served any more that went to another home.
   */
  follow(coordinator: Address | undefined, now: number, roundTripMs = 0): boolean {
    const view = coordinator === undefined ? undefined : this.#offered.get(coordinator);
    if (view === undefined || view === this.#current) return false;
    for (const [other, { term }] of this.#offered) { // not of one that is about to be followed
      if (other !== coordinator && term <= view.term) this.#withdraw(other);
    }
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
   * Installs the current view if everybody who is there uses it and nothing is missing that they had stored, or if that
   * takes too long. Says whether it did.
   * @param isThere whether a member can be expected to speak
   */
  install(stored: Pick<Vector, 'get'>, isThere: (member: Address) => boolean, now: number): boolean {
    const view = this.#current;
    if (view === undefined || this.#installed === view) return false;
    const haveSpoken = view.members.every(
      (member) => member === this.#self || this.#words.has(member, view) || !isThere(member),
    );
    const isReady = haveSpoken && this.#words.isCovered(view, stored);
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
}
