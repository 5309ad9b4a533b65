/** The real clock and the real dice. */
import { randomBytes } from 'node:crypto';
import type { Clock, Random } from '../core/runtime.ts';

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  schedule(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer(task) {
    setImmediate(task);
  },
};

export const systemRandom: Random = () => randomBytes(4).readUInt32LE();
