/**
 * Counts the bytes that Buffers copy, so that a test can say how often a byte is copied: a number that, unlike time, is
 * the same on every machine.
 */

/** How many bytes `Buffer.concat` and `buffer.copy` copied while `task` ran. */
export function countCopiedBytes(task: () => void): number {
  let copied = 0;
  const { concat } = Buffer;
  const { copy } = Buffer.prototype;
  Buffer.concat = (list, length) => {
    const joined = concat(list, length);
    copied += joined.length;
    return joined;
  };
  Buffer.prototype.copy = function count(this: Buffer, ...args: Parameters<typeof copy>): number {
    const count = copy.apply(this, args);
    copied += count;
    return count;
  };
  try {
    task();
  } finally {
    Buffer.concat = concat;
    Buffer.prototype.copy = copy;
  }
  return copied;
}
