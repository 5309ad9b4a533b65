/**
 * Room for bytes that come one after another and are joined soon after, as the drafts of one transaction are: what is
 * taken next is next in memory, so that joining is a view and no copy. Bytes share a slab, which is freed when none
 * of them is in use any more; so they should live about equally long.
 */
const SLAB_BYTES = 256 * 1024;
const SHARED_BYTES_MAX = SLAB_BYTES / 4; // longer ones get memory of their own

export class Arena {
  #slab: Buffer = Buffer.alloc(0);
  #used = 0;

  /** Room that nothing is written to yet. */
  take(bytes: number): Buffer {
    if (bytes > SHARED_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes);
    if (this.#used + bytes > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#used = 0;
    }
    this.#used += bytes;
    return this.#slab.subarray(this.#used - bytes, this.#used);
  }
}

/** These bytes one after another: a view if they are so in memory, otherwise a copy. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (first === undefined || parts.length === 1) return first ?? new Uint8Array(0);
  let end = first.byteOffset;
  for (const { buffer, byteOffset, length } of parts) {
    if (buffer !== first.buffer || byteOffset !== end) return Buffer.concat(parts);
    end += length;
  }
  return Buffer.from(first.buffer, first.byteOffset, end - first.byteOffset);
}
