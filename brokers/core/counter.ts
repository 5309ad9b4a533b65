/**
 * Numbers that brokers only ever count up, and tell each other: Lamport timestamps, terms, beats,
 * numbers of views.
 *
 * Whoever hears of a higher one goes on from there, so one absurd number, from a broker that is
 * broken or lies, would leave the whole mesh nothing to count with. What is bounded is growth:
 * `Growth` lets a counter be taken so far by others at once, and so much further with each second,
 * however often they ask. Both are far above what a mesh can count in that time, so that nobody
 * honest is refused, after a year's partition either.
 */
import { RumormillError } from './error.ts';

/** The greatest integer that is exact in a double, 2^53 - 1: sixteen digits. */
export const COUNTER_MAX = Number.MAX_SAFE_INTEGER;

/**
 * No mesh counts so far: it would take 17 years of 8 million events a second. Whoever stands below
 * believes nobody who stands above.
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

  /** @param from where the counter stands now, ms on the clock of every `now` */
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

  /** The counter is known to stand here. */
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
 * For numbers of which each broker has its own: those up to 2^49 may be told by anybody, beyond that
 * nobody may be far ahead.
 * @param known here, undefined if that is nothing yet
 * @throws RumormillError PROTOCOL for a number that nobody can have counted to
 */
export function checkCounter(what: string, told: number, known: number | undefined): void {
  if (known === undefined || told <= OPEN_MAX || told <= known + AHEAD_MAX) return;
  throw new RumormillError('PROTOCOL', `${what} ${told} is above ${OPEN_MAX}, and ${known} is known here`);
}
