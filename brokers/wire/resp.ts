/**
 * RESP encoders: replies for clients, commands for brokers. RESP2, and the RESP3 forms that a client gets after `HELLO 3`.
 *
 * Redis serialization protocol, https://redis.io/docs/latest/develop/reference/protocol-spec/. What a command answers is a `Value`: plain
 * strings and bytes are bulk strings, so that the common case reads plainly; what differs is wrapped.
 */
import { RumormillError } from '../core/error.ts';

/** RESP version of a connection. */
export type RespVersion = 2 | 3;

/** A reply. Strings and bytes become bulk strings, null becomes nil. */
export type Value = string | number | Uint8Array | null | Simple | Flat | Push | Raw | RumormillError | readonly Value[];

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

export const OK = new Simple('OK');

const PARTS_BYTES_MIN = 4096; // below, copying costs less than a part more to send

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

function writeValue(writer: Writer, value: Value, version: RespVersion): void {
  if (value === null) writer.text(version === 3 ? '_\r\n' : '$-1\r\n');
  else if (typeof value === 'number') writer.text(`:${value}\r\n`);
  else if (typeof value === 'string' || value instanceof Uint8Array) writeBulk(writer, value);
  else if (value instanceof Simple) writer.text(`+${value.text}\r\n`);
  else if (value instanceof Raw) writer.bytes(value.bytes);
  else if (value instanceof RumormillError) writer.text(`-${errorLine(value)}\r\n`);
  else if (value instanceof Flat) {
    if (version === 3) writer.text(`%${value.items.length / 2}\r\n`);
    else writer.text(`*${value.items.length}\r\n`);
    for (const item of value.items) writeValue(writer, item, version);
  } else {
    const items = value instanceof Push ? value.items : value;
    writer.text(`${value instanceof Push && version === 3 ? '>' : '*'}${items.length}\r\n`);
    for (const item of items) writeValue(writer, item, version);
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
  readonly #parts: Uint8Array[] = [];
  #text = '';

  text(text: string): void {
    this.#text += text;
  }

  bytes(bytes: Uint8Array): void {
    this.#flush();
    this.#parts.push(bytes);
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
    this.#parts.push(Buffer.from(this.#text, 'utf8'));
    this.#text = '';
  }
}
