/**
 * RESP encoders: replies for clients, commands for brokers. RESP2, and the RESP3 forms that a client gets after `HELLO
 * 3`.
 *
 * Redis serialization protocol, https://redis.io/docs/latest/develop/reference/protocol-spec/. What a command answers
 * is a `Value`: plain strings and bytes are bulk strings, so that the common case reads plainly; what differs is
 * wrapped.
 */
import { RumormillError } from '../core/error.ts';

/** RESP version of a connection. */
export type RespVersion = 2 | 3;

/** A reply. Strings and bytes become bulk strings, null becomes nil. */
export type Value =
  string | number | Uint8Array | null | Simple | Flat | Push | Raw | Lazy | RumormillError | readonly Value[];

/** A simple string: one line, as in `+OK`. */
export class Simple {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Names and values alternating: a flat array in RESP2, a map in RESP3. */
export class Flat {
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    this.items = items;
  }
}

/** What is sent unasked: an array in RESP2, a push in RESP3. */
export class Push {
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    this.items = items;
  }
}

/** A reply that another broker has encoded. */
export class Raw {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** An array whose items are made when they are written: a long answer need not lie in memory twice. */
export class Lazy {
  readonly length: number;
  /** As many as `length`; gone through once. */
  readonly items: Iterable<Value>;
  constructor(length: number, items: Iterable<Value>) {
    this.length = length;
    this.items = items;
  }
}

export const OK = new Simple('OK');

const PARTS_BYTES_MIN = 4096; // below, copying costs less than a part more to send
const LONG_ITEMS_MIN = 64; // a reply with fewer is written at once
const CHUNK_BYTES = 64 * 1024; // of a long reply, joined as it grows

/** One reply as bytes. */
export function encodeReply(value: Value, version: RespVersion = 2): Buffer {
  const writer = new Writer();
  writeValue(writer, value, version);
  return writer.finish();
}

/** Several replies, one behind another. */
export function encodeReplies(values: readonly Value[], version: RespVersion): Buffer {
  const writer = new Writer();
  for (const value of values) writeValue(writer, value, version);
  return writer.finish();
}

/** Whether a reply, or one of the few parts of it, has so many items that it is better written in steps. */
export function isLong(value: Value): boolean {
  const count = lengthOf(value);
  if (count >= LONG_ITEMS_MIN) return true;
  return Array.isArray(value) && value.some((item: Value) => lengthOf(item) >= LONG_ITEMS_MIN);
}

/**
 * A reply in chunks, step by step: yields after each item how many values that were, at about a µs each.
 * @param grown is told of so many bytes more
 */
export function* encodeSteps(
  value: Value, version: RespVersion = 2, grown?: (bytes: number) => void,
): Generator<number, readonly Uint8Array[]> {
  const writer = new Writer();
  const chunks: Uint8Array[] = [];
  for (const step of writeSteps(writer, value, version)) {
    if (writer.length >= CHUNK_BYTES) {
      grown?.(writer.length);
      chunks.push(writer.take());
    }
    yield step;
  }
  chunks.push(writer.take());
  return chunks;
}

/** A command as an array of bulk strings. Numbers are written in decimal. */
export function encodeCommand(args: readonly (string | number | Uint8Array)[]): Buffer {
  return writeCommand(args).finish();
}

/** The same in parts, to be sent one after another, so that much is not copied. */
export function encodeCommandParts(args: readonly (string | number | Uint8Array)[]): readonly Uint8Array[] {
  return writeCommand(args).parts();
}

/** The replies to `count` publishes with consecutive Lamport timestamps from `first` on. */
export function encodeIntegers(first: number, count: number): Buffer {
  let text = '';
  for (let value = first; value < first + count; value += 1) text += `:${value}\r\n`;
  return Buffer.from(text, 'latin1');
}

function lengthOf(value: Value): number {
  if (value instanceof Flat || value instanceof Push) return value.items.length;
  return Array.isArray(value) || value instanceof Lazy ? value.length : 0;
}

/** The items of a long array, one a step; anything else in one. */
function* writeSteps(writer: Writer, value: Value, version: RespVersion): Generator<number, void> {
  if (!isLong(value)) {
    yield writeCounted(writer, value, version);
    return;
  }
  writeHead(writer, value, version);
  for (const item of itemsOf(value)) {
    if (lengthOf(item) >= LONG_ITEMS_MIN) yield* writeSteps(writer, item, version);
    else yield writeCounted(writer, item, version);
  }
}

function writeCounted(writer: Writer, value: Value, version: RespVersion): number {
  const before = writer.values;
  writeValue(writer, value, version);
  return writer.values - before;
}

/** What comes before the items of an array. */
function writeHead(writer: Writer, value: Value, version: RespVersion): void {
  const count = lengthOf(value);
  if (value instanceof Flat && version === 3) writer.text(`%${count / 2}\r\n`);
  else writer.text(`${value instanceof Push && version === 3 ? '>' : '*'}${count}\r\n`);
}

function itemsOf(value: Value): Iterable<Value> {
  if (value instanceof Flat || value instanceof Push || value instanceof Lazy) return value.items;
  return value as readonly Value[];
}

function writeValue(writer: Writer, value: Value, version: RespVersion): void {
  writer.values += 1;
  if (value === null) writer.text(version === 3 ? '_\r\n' : '$-1\r\n');
  else if (typeof value === 'number') writer.text(`:${value}\r\n`);
  else if (typeof value === 'string' || value instanceof Uint8Array) writeBulk(writer, value);
  else if (value instanceof Simple) writer.text(`+${value.text}\r\n`);
  else if (value instanceof Raw) writer.bytes(value.bytes);
  else if (value instanceof RumormillError) writer.text(`-${errorLine(value)}\r\n`);
  else {
    writeHead(writer, value, version);
    for (const item of itemsOf(value)) writeValue(writer, item, version);
  }
}

function writeCommand(args: readonly (string | number | Uint8Array)[]): Writer {
  const writer = new Writer();
  writer.text(`*${args.length}\r\n`);
  for (const arg of args) writeBulk(writer, typeof arg === 'number' ? String(arg) : arg);
  return writer;
}

function writeBulk(writer: Writer, value: string | Uint8Array): void {
  const length = typeof value === 'string' ? Buffer.byteLength(value) : value.length;
  writer.text(`$${length}\r\n`);
  if (typeof value === 'string') writer.text(value);
  else writer.bytes(value);
  writer.text('\r\n');
}

/** The one line of an error reply: line breaks would end it early. A PROTOCOL error says ERR, as Redis does. */
function errorLine(error: RumormillError): string {
  const code = error.code === 'PROTOCOL' ? 'ERR' : error.code;
  return `${code} ${error.message}`.replaceAll(/[\r\n]+/g, ' ');
}

/** Gathers text and bytes; runs of text are encoded together. */
class Writer {
  /** How many were written. */
  values = 0;
  #parts: Uint8Array[] = [];
  #text = '';
  #bytes = 0; // of the parts

  /** About how many bytes there are. */
  get length(): number {
    return this.#bytes + this.#text.length;
  }

  text(text: string): void {
    this.#text += text;
  }

  bytes(bytes: Uint8Array): void {
    this.#flush();
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
  }

  /** What is there, as one; it is empty afterwards. */
  take(): Buffer {
    const all = this.finish();
    this.#parts = [];
    this.#bytes = 0;
    return all;
  }

  parts(): readonly Uint8Array[] {
    this.#flush();
    const bytes = this.#parts.reduce((sum, part) => sum + part.length, 0);
    return bytes < PARTS_BYTES_MIN ? [this.finish()] : this.#parts;
  }

  finish(): Buffer {
    this.#flush();
    return this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
  }

  #flush(): void {
    if (this.#text === '') return;
    const text = Buffer.from(this.#text, 'utf8');
    this.#parts.push(text);
    this.#bytes += text.length;
    this.#text = '';
  }
}
