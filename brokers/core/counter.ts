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

/** @throws RumormillError PROTOCOL for a number that nobody can have counted to by now */
export function checkGrowth(what: string, told: number, known: number, growth: Growth, now: number): void {
  if (told <= known) return;
  const max = growth.max(now);
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
