/** The real clock and the real dice. */
import { randomBytes } from 'node:crypto';
import type { Clock, Random } from '../core/runtime.ts';

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Math.max(0, Date.now()), // a clock that was never set may be before 1970, and no batch is that old
  schedule(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer(task) {
    setImmediate(task);
  },
};

export const systemRandom: Random = () => randomBytes(4).readUInt32LE();
