/**
 * Numbers that brokers only ever count up, and tell each other: Lamport timestamps, terms, beats,
 * numbers of views.
 *
 * A broker that hears of a higher number goes on from there. So one absurd number, from a broker that
 * is broken or lies, would leave the whole mesh nothing to count with. Therefore growth is bounded:
 * with `Growth`, others may raise a counter by so much at once and by so much more per second,
 * however often they ask. Both bounds are far above what a mesh can count in that time, so that no
 * honest broker is refused, not even after a partition of a year.
 */
import { RumormillError } from './error.ts';

/** The greatest integer that is exact in a double, 2^53 - 1: sixteen digits. */
export const COUNTER_MAX = Number.MAX_SAFE_INTEGER;

/**
 * No mesh counts so far: it would take 17 years of 8 million events per second. A broker that is below
 * it believes no number above it.
 */
export const COUNTER_SENSE_MAX = 2 ** 52;

const OPEN_MAX = 2 ** 49;
const AHEAD_MAX = 2 ** 32;

/** By how much others may take a counter. */
export interface GrowthLimits {
  readonly atOnce: number;
  readonly perSecond: number;
}

/** How far others may take a counter by now. */
export class Growth {
  readonly #limits: GrowthLimits;
  #from: number;
  #since: number;

  /** @param from the counter's value now, ms on the clock of every `now` */
  constructor(limits: GrowthLimits, from: number, now: number) {
    this.#limits = limits;
    this.#from = from;
    this.#since = now;
  }

  /** The greatest number that is believed. */
  max(now: number): number {
    const { atOnce, perSecond } = this.#limits;
    const max = this.#from + atOnce + Math.floor((perSecond * (now - this.#since)) / 1000);
    return Math.min(max, this.#from > COUNTER_SENSE_MAX ? COUNTER_MAX : COUNTER_SENSE_MAX);
  }

  /** The counter is known to be here. */
  restart(from: number, now: number): void {
    this.#from = from;
    this.#since = now;
  }
}

/** So much per second, of which what is not used is saved up to a limit. */
export class Allowance {
  readonly #perSecond: number;
  readonly #savedMax: number;
  #saved: number;
  #at: number;

  /** @param first how much there is at `now` */
  constructor({ perSecond, savedMax }: FollowingLimits, now: number, first = savedMax) {
    this.#perSecond = perSecond;
    this.#savedMax = savedMax;
    this.#saved = first;
    this.#at = now;
  }

  /** How much there is now. */
  left(now: number): number {
    this.#saved = Math.min(this.#saved + (this.#perSecond * (now - this.#at)) / 1000, this.#savedMax);
    this.#at = now;
    return Math.floor(this.#saved);
  }

  take(count: number): void {
    this.#saved -= count;
  }
}

/** How far a counter goes along with one peer. */
export interface FollowingLimits {
  readonly perSecond: number;
  readonly savedMax: number;
}

const FOLLOWED_MAX = 4096; // peers whose allowances are remembered, so that a new link brings no new one

interface Followed {
  readonly allowance: Allowance;
  told: number | undefined; // over the link that it has
}

/** How far a counter goes along with what peers tell. */
export class Following {
  readonly #limits: FollowingLimits;
  readonly #peers = new Map<string, Followed>(); // the one that came first is first

  constructor(limits: FollowingLimits) {
    this.#limits = limits;
  }

  /** A peer tells a number, and `known` is known here. Returns the number to go on from. */
  follow(peer: string, told: number, known: number, now: number): number {
    const followed = this.#of(peer, now);
    followed.told = told;
    if (told <= known) return known;
    const left = followed.allowance.left(now);
    const next = Math.min(told, Math.max(known + left, told - known > left ? this.common() : 0));
    followed.allowance.take(Math.min(next - known, left));
    return next;
  }

  /** What more than half of the peers that have told something have reached; 0 while fewer than two have. */
  common(): number {
    const told = [...this.#peers.values()].flatMap((each) => each.told ?? []).sort((a, b) => a - b);
    return told.length < 2 ? 0 : told[Math.floor((told.length - 1) / 2)]!;
  }

  /** The link with a peer is lost. Its allowance stays what it is. */
  leave(peer: string): void {
    const followed = this.#peers.get(peer);
    if (followed !== undefined) followed.told = undefined;
  }

  #of(peer: string, now: number): Followed {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const followed = { allowance: new Allowance(this.#limits, now), told: undefined };
    this.#peers.set(peer, followed);
    if (this.#peers.size > FOLLOWED_MAX) this.#peers.delete(this.#peers.keys().next().value!);
    return followed;
  }
}

/** @throws RumormillError PROTOCOL for a number that nobody can have counted to by now, and that most have not */
export function checkGrowth(
  what: string, told: number, known: number, growth: Growth, now: number, common: () => number = () => 0,
): void {
  if (told <= known) return;
  const max = growth.max(now);
  if (told > max && told <= common()) return;
  if (told > max) throw new RumormillError('PROTOCOL', `${what} ${told} is above ${max}, and ${known} is known here`);
}

/**
 * For numbers that each broker has of its own: up to 2^49 any number is believed, above that only one
 * that is not far ahead of what is known here.
 * @param known here, undefined if that is nothing yet
 * @throws RumormillError PROTOCOL for a number that nobody can have counted to
 */
export function checkCounter(what: string, told: number, known: number | undefined): void {
  if (known === undefined || told <= OPEN_MAX || told <= known + AHEAD_MAX) return;
  throw new RumormillError('PROTOCOL', `${what} ${told} is above ${OPEN_MAX}, and ${known} is known here`);
}
