/**
 * Cursor: an opaque token that says what a reader has read, good on every broker.
 *
 * A reader is sent records in the local position order of whichever broker it asks. That order holds each origin's records in
 * seq order without holes, so what has been read is always, for each origin, everything up to some seq: a version vector.
 * Any broker can go on from it, by sending in its own order what the vector does not cover. A record that the vector covers and this
 * broker has not got yet is simply never sent. So a reader that moves misses nothing and is sent nothing twice (invariant 6).
 *
 * The token also remembers a position in one store, as the process that made it saw it: everything up to there is covered.
 * That process goes on from the position at once; another looks it up.
 *
 * Format: base64url of a version byte, the process's tag and position, the number of addresses, for each its length, the address as text, the number of
 * its stores, for each of those a tag and a seq; then 32 bits of FNV-1a over all of it, which finds slips of the hand and cut tokens and is no protection against forgery. A tag is 6 bytes; numbers are LEB128.
 */
import { RumormillError } from './error.ts';
import { fnv1a } from './hash.ts';
import { type Origin, parseOrigin } from './record.ts';
import type { Vector } from './version-vector.ts';

const FORMAT = 2;
const TAG_BYTES = 6;
const CURSOR_CHARACTERS_MAX = 1_048_576; // some 80,000 stores

/** What a reader has read. */
export interface Cursor {
  readonly vector: Vector;
  /** The process that made the cursor (`Log.instance`), and the position there up to which `vector` covers every record of the topics read. */
  readonly instance: string;
  readonly position: number;
}

export function encodeCursor(cursor: Cursor): string {
  const bytes: number[] = [FORMAT];
  bytes.push(...Buffer.from(cursor.instance, 'hex'));
  pushNumber(bytes, cursor.position);
  const stores = byAddress(cursor.vector);
  pushNumber(bytes, stores.size);
  for (const [address, entries] of stores) {
    const text = Buffer.from(address, 'utf8');
    pushNumber(bytes, text.length);
    bytes.push(...text);
    pushNumber(bytes, entries.length);
    for (const [tag, seq] of entries) {
      bytes.push(...Buffer.from(tag, 'hex'));
      pushNumber(bytes, seq);
    }
  }
  const sum = fnv1a(bytes);
  bytes.push(sum & 255, (sum >>> 8) & 255, (sum >>> 16) & 255, sum >>> 24);
  return Buffer.from(bytes).toString('base64url');
}

/** @throws RumormillError ERR where the text is not a cursor that `encodeCursor` made */
export function decodeCursor(text: string): Cursor {
  if (text.length > CURSOR_CHARACTERS_MAX || !/^[A-Za-z0-9_-]+$/.test(text)) throw notACursor(text);
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw notACursor(text); // bits of the last character that no byte has
  if (bytes.length < 6 || bytes.readUInt32LE(bytes.length - 4) !== fnv1a(bytes.subarray(0, -4))) throw notACursor(text);
  if (bytes[0] !== FORMAT) throw new RumormillError('ERR', `cursor of format ${bytes[0]}, this broker reads format ${FORMAT}`);
  const reader = new Reader(bytes.subarray(1, -4), text);
  const instance = reader.tag();
  const position = reader.number();
  const vector = new Map<Origin, number>();
  for (let addresses = reader.number(); addresses > 0; addresses -= 1) {
    const address = reader.text();
    for (let stores = reader.number(); stores > 0; stores -= 1) vector.set(reader.origin(address), reader.number());
  }
  reader.end();
  return { vector, instance, position };
}

class Reader {
  readonly #bytes: Buffer;
  readonly #text: string;
  #at = 0;

  constructor(bytes: Buffer, text: string) {
    this.#bytes = bytes;
    this.#text = text;
  }

  number(): number {
    let [value, factor] = [0, 1];
    for (let read = 0; read < 8; read += 1) {
      const byte = this.#take(1)[0]!;
      value += (byte & 127) * factor;
      if (byte < 128) return Number.isSafeInteger(value) ? value : this.#fail();
      factor *= 128;
    }
    return this.#fail();
  }

  text(): string {
    return this.#take(this.number()).toString('utf8');
  }

  origin(address: string): Origin {
    try {
      return parseOrigin(`${address}/${this.tag()}`);
    } catch {
      return this.#fail(); // whatever part was wrong, to the reader it is the cursor that is
    }
  }

  tag(): string {
    return this.#take(TAG_BYTES).toString('hex');
  }

  end(): void {
    if (this.#at !== this.#bytes.length) this.#fail();
  }

  #take(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#bytes.length) this.#fail();
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  #fail(): never {
    throw notACursor(this.#text);
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

/** LEB128 with arithmetic in place of shifts, since seqs and positions go beyond 32 bits. */
function pushNumber(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
}

function notACursor(text: string): RumormillError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}...` : text;
  return new RumormillError('ERR', `${JSON.stringify(shown)} is not a cursor; use one that POLL returned, earliest or latest`);
}
