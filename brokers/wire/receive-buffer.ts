/**
 * Received bytes, as one contiguous window over the chunks that a socket delivered.
 *
 * A chunk that holds whole commands is parsed where it lies. Only where an element spans chunks are they joined, once,
 * when all of the element is there; so a megabyte that comes in a hundred chunks is copied once and not a hundred times. A
 * long command of many elements is joined again and again; then the room for it doubles, so that a byte is copied a few times.
 * Memory is spent for bytes that came, never for a length that was only announced.
 */
const EMPTY: Buffer = Buffer.alloc(0);
const [CR, LF] = [13, 10];

export class ReceiveBuffer {
  /** The window. Offsets into it hold until the next `has` or `line`; relative to `base` they hold until `release`. */
  bytes: Buffer = EMPTY;
  /** The first byte that is still in use. */
  base = 0;
  /** The next byte to read. */
  at = 0;
  #chunks: Buffer[] = [];
  #waiting = 0;
  /** What `#join` made last: the window, and the room in which it can grow. */
  #joined = EMPTY;
  #room = EMPTY;

  /** Bytes received and not released yet. */
  get length(): number {
    return this.bytes.length - this.base + this.#waiting;
  }

  push(chunk: Buffer): void {
    if (this.#waiting === 0 && this.base === this.bytes.length) {
      this.bytes = chunk;
      this.base = this.at = 0;
    } else {
      this.#chunks.push(chunk);
      this.#waiting += chunk.length;
    }
  }

  /** Whether `count` bytes from `at` are here; if so they are in the window. */
  has(count: number): boolean {
    if (this.at + count <= this.bytes.length) return true;
    if (this.at + count > this.bytes.length + this.#waiting) return false;
    this.#join();
    return true;
  }

  /**
   * Reads a line and steps over its CR LF (or bare LF, as Redis allows for inline commands). Returns where the line ends in
   * the window; it starts where `at` was, relative to `base`. -1 where its end has not come yet, -2 where it is longer than `bytesMax`.
   */
  line(bytesMax: number): number {
    if (this.#waiting > 0) this.#join();
    const limit = Math.min(this.bytes.length, this.at + bytesMax + 2);
    for (let end = this.at; end < limit; end += 1) {
      if (this.bytes[end] === LF) {
        const stop = end > this.at && this.bytes[end - 1] === CR ? end - 1 : end;
        this.at = end + 1;
        return stop;
      }
    }
    return this.bytes.length - this.at > bytesMax + 1 ? -2 : -1;
  }

  /** What has been read is not needed any more. */
  release(): void {
    this.base = this.at;
    if (this.at < this.bytes.length) return;
    this.bytes = this.#joined = this.#room = EMPTY; // an idle connection holds no memory
    this.base = this.at = 0;
  }

  #join(): void {
    const again = this.base === 0 && this.bytes === this.#joined;
    let end = this.bytes.length - this.base;
    if (!again || end + this.#waiting > this.#room.length) {
      const room = Buffer.allocUnsafe((end + this.#waiting) * (again ? 2 : 1));
      this.bytes.copy(room, 0, this.base);
      this.#room = room;
      this.at -= this.base;
      this.base = 0;
    }
    for (const chunk of this.#chunks) end += chunk.copy(this.#room, end);
    this.bytes = this.#joined = this.#room.subarray(0, end);
    this.#chunks = [];
    this.#waiting = 0;
  }
}

/** The integer written in `bytes[start..end)`, or NaN. At most 15 digits, so that it is exact. */
export function parseInteger(bytes: Uint8Array, start: number, end: number): number {
  const negative = bytes[start] === 45;
  const first = negative ? start + 1 : start;
  if (end <= first || end - first > 15) return NaN;
  let value = 0;
  for (let index = first; index < end; index += 1) {
    const digit = bytes[index]! - 48;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}
