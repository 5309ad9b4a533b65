/** Memory that is really held, for tests that say that something does not grow. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of objects and of buffers that are still reachable. */
export function heapBytes(): number {
  collect();
  collect(); // what the first one found to be garbage is given back by another thread, for which the second one waits
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
