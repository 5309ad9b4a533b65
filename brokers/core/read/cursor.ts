/**
 * Cursor: an opaque token that says what a reader has read, good on every broker.
 *
 * A reader is sent records in the local position order of the broker that it asks. That order holds each origin's
 * records in seq order without holes, so what has been read is always, for each origin, everything up to some seq: a
 * version vector. Any broker can go on from it, by sending in its own order what the vector does not cover. A record
 * that the vector covers and this broker has not got yet is simply never sent. So a reader that moves misses nothing
 * and is sent nothing twice (invariant 6).
 *
 * The token also remembers a position in one store, as the process that made it saw it: everything up to there is
 * covered. That process goes on from the position at once; another looks it up.
 *
 * Stores that are gone for good are not named one by one, but by a closing (core/log/closings.ts): the vector is then
 * what that closes, and what is named. A broker that does not have the closing cannot tell what was read; it sends the
 * reader nothing before it has fetched the closing (read/readers.ts).
 *
 * Format 2: base64url of a version byte, the process's tag and position, the number of addresses, for each its length,
 * the address as text, the number of its stores, for each of those a tag and a seq; then 32 bits of FNV-1a over all of
 * it, which finds slips of the hand and cut tokens and is no protection against forgery. A tag is 6 bytes; numbers are
 * LEB128. Format 3, of cursors with a closing, has the closing's record in front of the number of addresses: the length
 * of an address, the address, a tag and a seq.
 */
import { RumormillError } from '../error.ts';
import { fnv1a } from '../hash.ts';
import { type ClosingName, closingName, closingRecord } from '../log/closings.ts';
import { type Origin, parseOrigin } from '../log/record.ts';
import type { Vector } from '../log/version-vector.ts';

const [FORMAT, FORMAT_WITH_CLOSING] = [2, 3];
const TAG_BYTES = 6;
const NUMBER_BYTES_MAX = 8;
const SUM_BYTES = 4;
const CURSOR_CHARACTERS_MAX = 1_048_576; // some 80,000 stores
const LONG_VECTOR_MIN = 64; // shorter ones are encoded each time

/**
 * Stores, and addresses of them, that a cursor may name beyond those that a broker has heard of: one that was empty a
 * moment ago, or away, has readers that know more than it does.
 */
const [STORES_SPARE, ADDRESSES_SPARE] = [8192, 1000];

/** What a reader has read. */
export interface Cursor {
  readonly vector: Vector;
  /**
   * The process that made the cursor (`Log.instance`), and the position there up to which `vector` covers every record
   * of the topics read.
   */
  readonly instance: string;
  readonly position: number;
  /** What this closing closes was read too, if there is one; `vector` names only what is beyond it. */
  readonly after?: ClosingName | undefined;
}

export function encodeCursor({ vector, instance, position, after }: Cursor): string {
  const stores = storesBytes(vector);
  const closing = after === undefined ? NO_BYTES : closingBytes(after);
  const bytes = Buffer.allocUnsafe(1 + TAG_BYTES + NUMBER_BYTES_MAX + closing.length + stores.length + SUM_BYTES);
  bytes[0] = after === undefined ? FORMAT : FORMAT_WITH_CLOSING;
  bytes.write(instance, 1, TAG_BYTES, 'hex');
  let end = writeNumber(bytes, 1 + TAG_BYTES, position);
  end += closing.copy(bytes, end);
  const length = end + stores.copy(bytes, end);
  bytes.writeUInt32LE(fnv1a(bytes.subarray(0, length)), length);
  return bytes.toString('base64url', 0, length + SUM_BYTES);
}

const NO_BYTES = Buffer.alloc(0);

function closingBytes(name: ClosingName): Buffer {
  const [origin, seq] = closingRecord(name);
  const slash = origin.lastIndexOf('/');
  const bytes = Buffer.allocUnsafe(2 * NUMBER_BYTES_MAX + Buffer.byteLength(origin));
  let at = writeNumber(bytes, 0, Buffer.byteLength(origin.slice(0, slash)));
  at += bytes.write(origin.slice(0, slash), at, 'utf8');
  at += bytes.write(origin.slice(slash + 1), at, TAG_BYTES, 'hex');
  return bytes.subarray(0, writeNumber(bytes, at, seq));
}

const encoded = new WeakMap<Vector, Buffer>(); // vectors never change, and many readers share a long one

function storesBytes(vector: Vector): Buffer {
  if (vector.size < LONG_VECTOR_MIN) return encodeStores(vector);
  let bytes = encoded.get(vector);
  if (bytes === undefined) encoded.set(vector, (bytes = encodeStores(vector)));
  return bytes;
}

function encodeStores(vector: Vector): Buffer {
  const stores = byAddress(vector);
  let most = NUMBER_BYTES_MAX + vector.size * (TAG_BYTES + NUMBER_BYTES_MAX);
  for (const address of stores.keys()) most += 2 * NUMBER_BYTES_MAX + Buffer.byteLength(address);
  const bytes = Buffer.allocUnsafe(most);
  let at = writeNumber(bytes, 0, stores.size);
  for (const [address, entries] of stores) {
    at = writeNumber(bytes, at, Buffer.byteLength(address));
    at += bytes.write(address, at, 'utf8');
    at = writeNumber(bytes, at, entries.length);
    for (const [tag, seq] of entries) {
      at += bytes.write(tag, at, TAG_BYTES, 'hex');
      at = writeNumber(bytes, at, seq);
    }
  }
  return bytes.subarray(0, at);
}

/**
 * @param known how many stores the broker has heard of: the cursor may name so many, and some thousands more
 * @throws RumormillError ERR if the text is not a cursor that `encodeCursor` made
 */
export function decodeCursor(text: string, known = Infinity): Cursor {
  if (text.length > CURSOR_CHARACTERS_MAX || !/^[A-Za-z0-9_-]+$/.test(text)) throw notACursor(text);
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw notACursor(text); // bits of the last character that no byte has
  if (bytes.length < 6 || bytes.readUInt32LE(bytes.length - SUM_BYTES) !== fnv1a(bytes.subarray(0, -SUM_BYTES))) {
    throw notACursor(text);
  }
  if (bytes[0] !== FORMAT && bytes[0] !== FORMAT_WITH_CLOSING) {
    const read = `${FORMAT} and ${FORMAT_WITH_CLOSING}`;
    throw new RumormillError('ERR', `cursor of format ${bytes[0]}, this broker reads formats ${read}`);
  }
  const reader = new Reader(bytes.subarray(1, -SUM_BYTES), text);
  const instance = reader.tag();
  const position = reader.number();
  const closing = bytes[0] === FORMAT_WITH_CLOSING ? { after: reader.closing() } : {};
  const vector = new Map<Origin, number>();
  const addresses = reader.count(known + ADDRESSES_SPARE);
  for (let read = 0; read < addresses; read += 1) {
    const address = reader.address();
    for (let stores = reader.count(known + STORES_SPARE - vector.size); stores > 0; stores -= 1) {
      // a tag of six bytes is one, so what is left to be checked is the address
      const origin = `${address}/${reader.tag()}` as Origin;
      vector.set(origin, reader.number());
    }
  }
  reader.end();
  return { vector, instance, position, ...closing };
}

const ADDRESSES_KEPT_MAX = 4096;
const addressesKept = new Set<string>(); // found to be right before: each cursor names the same few

class Reader {
  readonly #bytes: Buffer;
  readonly #hex: string;
  readonly #text: string;
  #at = 0;

  constructor(bytes: Buffer, text: string) {
    this.#bytes = bytes;
    this.#hex = bytes.toString('hex');
    this.#text = text;
  }

  number(): number {
    let [value, factor] = [0, 1];
    for (let read = 0; read < NUMBER_BYTES_MAX; read += 1) {
      const byte = this.#bytes[this.#skip(1)]!;
      value += (byte & 127) * factor;
      if (byte < 128) return Number.isSafeInteger(value) ? value : this.#fail();
      factor *= 128;
    }
    return this.#fail();
  }

  /** How many of something follow. */
  count(max: number): number {
    const count = this.number();
    if (count <= max) return count;
    throw new RumormillError(
      'ERR',
      `this cursor names far more stores than this broker has heard of; it is none of this mesh`,
    );
  }

  address(): string {
    const length = this.number();
    const at = this.#skip(length);
    const address = this.#bytes.toString('utf8', at, at + length);
    if (addressesKept.has(address)) return address;
    // whatever part was wrong, to the reader it is the cursor that is
    if (!isOrigin(`${address}/${'0'.repeat(2 * TAG_BYTES)}`)) this.#fail();
    if (addressesKept.size >= ADDRESSES_KEPT_MAX) addressesKept.clear();
    addressesKept.add(address);
    return address;
  }

  closing(): ClosingName {
    const origin = `${this.address()}/${this.tag()}` as Origin;
    return closingName(origin, this.number());
  }

  tag(): string {
    const at = 2 * this.#skip(TAG_BYTES);
    return this.#hex.slice(at, at + 2 * TAG_BYTES);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) this.#fail();
  }

  /** Where the next so many bytes are. */
  #skip(count: number): number {
    const at = this.#at;
    this.#at += count;
    return this.#at <= this.#bytes.length ? at : this.#fail();
  }

  #fail(): never {
    throw notACursor(this.#text);
  }
}

function isOrigin(text: string): boolean {
  try {
    parseOrigin(text);
    return true;
  } catch {
    return false; // why it is none does not matter
  }
}

/** The entries of a vector, as tag and seq, by the address that their stores had. */
function byAddress(vector: Vector): Map<string, [tag: string, seq: number][]> {
  const stores = new Map<string, [string, number][]>();
  for (const [origin, seq] of vector) {
    const slash = origin.lastIndexOf('/');
    const address = origin.slice(0, slash);
    const entries = stores.get(address);
    if (entries === undefined) stores.set(address, [[origin.slice(slash + 1), seq]]);
    else entries.push([origin.slice(slash + 1), seq]);
  }
  return stores;
}

/** LEB128 with arithmetic instead of shifts, since seqs and positions go beyond 32 bits. Returns where it ends. */
function writeNumber(bytes: Buffer, start: number, value: number): number {
  let [rest, at] = [value, start];
  while (rest >= 128) {
    bytes[at++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}

function notACursor(text: string): RumormillError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}...` : text;
  return new RumormillError(
    'ERR',
    `${JSON.stringify(shown)} is not a cursor; use one that POLL returned, earliest or latest`,
  );
}
