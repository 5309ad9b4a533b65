/**
 * Numbers that brokers only ever count up, and tell each other: Lamport timestamps, terms, beats, numbers of views.
 *
 * Whoever hears of a higher one goes on from there, so one absurd number, from a broker that is broken or lies, would leave the whole mesh nothing to count with. Half of
 * all numbers may be told by anybody; beyond that nobody may be far ahead, and there is room to count on for ever. Who knows nothing yet takes what it is told, or nobody
 * could join a mesh that has been pushed there; where that was absurd, it is alone with it.
 */
import { RumormillError } from './error.ts';

/** Fifteen digits, exact in a double; thirty years at a million events a second. */
export const COUNTER_MAX = 999_999_999_999_999;
export const COUNTER_OPEN_MAX = Math.floor(COUNTER_MAX / 2);
const AHEAD_MAX = 2 ** 32;

/**
 * @param known here, undefined where that is nothing yet
 * @throws RumormillError PROTOCOL for a number that nobody can have counted to
 */
export function checkCounter(what: string, told: number, known: number | undefined): void {
  if (known === undefined || told <= COUNTER_OPEN_MAX || told <= known + AHEAD_MAX) return;
  throw new RumormillError('PROTOCOL', `${what} ${told} is above ${COUNTER_OPEN_MAX}, and ${known} is known here`);
}
