/**
 * A time limit that runs from the last progress, and not from when something was asked for: large
 * commands and answers take long on a slow path, and as long as bytes move nothing is wrong.
 *
 * Time in which this process itself stood still (Ctrl-Z, a laptop that slept) is not counted: its
 * timers are due before it has read what came meanwhile.
 */
import { performance } from 'node:perf_hooks';

/** A timer that is so late tells of a process that stood still. */
export const STOOD_STILL_MS = 1000;

/**
 * Calls `expired` when for `limitMs` there was no progress. Returns what ends it.
 * @param movedAt when there was some last, on the monotonic clock
 */
export function expireWithout(movedAt: () => number, limitMs: number, expired: () => void): () => void {
  let from = performance.now();
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    const dueAt = Math.max(from, movedAt()) + limitMs;
    timer = setTimeout(() => {
      const now = performance.now();
      if (now - dueAt >= STOOD_STILL_MS) from = now;
      if (now + 1 >= Math.max(from, movedAt()) + limitMs) expired(); // a timer may be a millisecond early
      else arm();
    }, Math.max(0, dueAt - performance.now()));
  };
  arm();
  return () => clearTimeout(timer);
}
