/**
 * Received bytes, as one contiguous window over the chunks that a socket delivered.
 *
 * A chunk that holds whole commands is parsed in place. Only an element that spans chunks is joined, once, when all
 * of it is there. So a megabyte that comes in a hundred chunks is copied once and not a hundred times, and what
 * comes after it is read in place again. A long command of many elements is joined again and again; then the
 * room for it doubles, so that a byte is copied a few times. Short chunks that wait are gathered in slabs: a chunk of
 * one byte would take a hundred. Memory is spent for bytes that came, never for a length that was only announced.
 */
const EMPTY: Buffer = Buffer.alloc(0);
const SHORT_BYTES = 512; // a chunk below is gathered, if it has to wait
const CHUNK_BYTES = 200; // about what one takes beside its bytes
const [SLAB_BYTES_MIN, SLAB_BYTES_MAX] = [512, 65_536]; // as many as wait already, in between
const AHEAD_BYTES = 4096; // joined beyond an element, since short ones may follow that belong to the same command
const [CR, LF] = [13, 10];

export class ReceiveBuffer {
  /** The window. Offsets into it hold until the next `has` or `line`; relative to `base` they hold until `release`. */
  bytes: Buffer = EMPTY;
  /** The first byte that is still in use. */
  base = 0;
  /** The next byte to read. */
  at = 0;
  #chunks: Buffer[] = [];
  #taken = 0; // of the first chunk; they are the last bytes of the window
  #waiting = 0; // bytes of chunks that are not in the window
  /** What `#join` made last: the window, and the room in which it can grow. */
  #joined = EMPTY;
  #room = EMPTY;
  #slab = EMPTY;
  #slabUsed = 0;
  /** The chunk that lies at the end of what is used of the slab; it may grow while it is the last. */
  #gathered = EMPTY;

  /** Bytes received and not released yet. */
  get length(): number {
    return this.bytes.length - this.base + this.#waiting;
  }

  /** Bytes of memory that it keeps, whatever of them is in use. */
  get heldBytes(): number {
    const window = Math.max(this.#room.length, this.bytes.length);
    const chunks = this.#taken + this.#waiting + this.#chunks.length * CHUNK_BYTES;
    return window + chunks + this.#slab.length - this.#slabUsed;
  }

  push(chunk: Buffer): void {
    if (this.#waiting === 0 && this.base === this.bytes.length) {
      this.bytes = chunk;
      this.base = this.at = 0;
    } else if (chunk.length < SHORT_BYTES) this.#gather(chunk);
    else {
      this.#chunks.push(chunk);
      this.#waiting += chunk.length;
    }
  }

  /** Copies a short chunk behind the one before it, if that was short too. */
  #gather(chunk: Buffer): void {
    for (let copied = 0; copied < chunk.length; ) {
      if (this.#slabUsed === this.#slab.length) {
        const bytes = Math.min(SLAB_BYTES_MAX, Math.max(SLAB_BYTES_MIN, this.#waiting));
        this.#slab = Buffer.allocUnsafeSlow(bytes);
        this.#slabUsed = 0;
        this.#gathered = EMPTY;
      }
      const last = this.#chunks.length - 1;
      const grows = last >= 0 && this.#chunks[last] === this.#gathered;
      const start = this.#slabUsed - (grows ? this.#gathered.length : 0);
      const count = chunk.copy(this.#slab, this.#slabUsed, copied);
      copied += count;
      this.#slabUsed += count;
      this.#waiting += count;
      this.#gathered = this.#slab.subarray(start, this.#slabUsed);
      if (grows) this.#chunks[last] = this.#gathered;
      else this.#chunks.push(this.#gathered);
    }
  }

  /** Whether `count` bytes from `at` are here; if so they are in the window. */
  has(count: number): boolean {
    if (this.at + count <= this.bytes.length) return true;
    if (this.at + count > this.bytes.length + this.#waiting) return false;
    this.#join(this.at + count - this.bytes.length);
    return true;
  }

  /**
   * Reads a line and steps over its CR LF (or bare LF, as Redis allows for inline commands). Returns where the line
   * ends in the window; it starts where `at` was, relative to `base`. -1 if its end has not come yet, -2 if it is
   * longer than `bytesMax`.
   */
  line(bytesMax: number): number {
    for (let searched = 0; ; ) {
      const limit = Math.min(this.bytes.length, this.at + bytesMax + 2);
      for (let end = this.at + searched; end < limit; end += 1) {
        if (this.bytes[end] === LF) {
          const stop = end > this.at && this.bytes[end - 1] === CR ? end - 1 : end;
          this.at = end + 1;
          return stop;
        }
      }
      searched = this.bytes.length - this.at;
      if (searched > bytesMax + 1) return -2;
      if (this.#waiting === 0) return -1;
      this.#join(1);
    }
  }

  /** What has been read is not needed any more. */
  release(): void {
    this.base = this.at;
    const ahead = this.bytes.length - this.at;
    if (ahead > this.#taken) return;
    this.base = this.at = this.#taken - ahead; // in the next chunk, which has all that is left of the window
    this.bytes = this.#chunks.shift() ?? EMPTY; // an idle connection holds no memory
    this.#waiting -= this.bytes.length - this.#taken;
    this.#taken = 0;
    this.#joined = this.#room = EMPTY;
    if (this.#chunks.length > 0) return;
    this.#slab = this.#gathered = EMPTY;
    this.#slabUsed = 0;
  }

  /** Adds so many bytes to the window, and some more. */
  #join(bytes: number): void {
    const again = this.base === 0 && this.bytes === this.#joined;
    let end = this.bytes.length - this.base;
    let missing = Math.min(this.#waiting, bytes + Math.max(AHEAD_BYTES, again ? end : 0));
    if (!again || end + missing > this.#room.length) {
      const room = Buffer.allocUnsafe((end + missing) * (again ? 2 : 1));
      this.bytes.copy(room, 0, this.base);
      this.#room = room;
      this.at -= this.base;
      this.base = 0;
    }
    this.#waiting -= missing;
    let whole = 0; // chunks that are in the window to their end
    while (missing > 0) {
      const chunk = this.#chunks[whole]!;
      const copied = chunk.copy(this.#room, end, this.#taken, this.#taken + missing);
      end += copied;
      missing -= copied;
      this.#taken += copied;
      if (this.#taken < chunk.length) continue;
      whole += 1;
      this.#taken = 0;
    }
    this.#chunks.splice(0, whole);
    this.bytes = this.#joined = this.#room.subarray(0, end);
  }
}

/** The integer written in `bytes[start..end)`, or NaN. At most 16 digits and 2^53 - 1, so that it is exact. */
export function parseInteger(bytes: Uint8Array, start: number, end: number): number {
  const negative = bytes[start] === 45;
  const first = negative ? start + 1 : start;
  if (end <= first || end - first > 16) return NaN;
  let value = 0;
  for (let index = first; index < end; index += 1) {
    const digit = bytes[index]! - 48;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  if (value > Number.MAX_SAFE_INTEGER) return NaN;
  return negative ? -value : value;
}
