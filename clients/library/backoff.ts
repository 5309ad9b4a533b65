/**
 * Exponential backoff with jitter: how long to wait before all brokers are tried again.
 *
 * Half of the wait is fixed and half is random ("equal jitter"), so that a thousand clients of one broker that died do
 * not come back in step. wait = min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2^(round - 1)) * (0.5 .. 1).
 */
export const BACKOFF_MIN_MS = 50;
export const BACKOFF_MAX_MS = 2_000;

/** The wait before round `round` (0: none) in ms. `random` gives a number from 0 (inclusive) to 1 (exclusive). */
export function backoffMs(round: number, random: () => number): number {
  if (round < 1) return 0;
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** (round - 1));
  return full * (0.5 + random() / 2);
}
