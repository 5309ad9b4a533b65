/**
 * Push parser for RESP commands: arrays of bulk strings, or inline commands (a line of words, for people with `nc`).
 *
 * Redis serialization protocol, https://redis.io/docs/latest/develop/reference/protocol-spec/. Chunks go in with
 * `push`, commands come out of `next` as offsets into the received bytes, so that a pipelined PUBLISH costs no object
 * an argument.
 *
 * Invariants: chunk borders change nothing; every length is checked against its limit before a byte of it is awaited;
 * after a PROTOCOL error the stream cannot be trusted and the parser must not be used again.
 */
import { RumormillError } from '../core/error.ts';
import { parseInteger, ReceiveBuffer } from './receive-buffer.ts';

export interface CommandLimits {
  /** Of one argument. */
  readonly bulkBytesMax: number;
  /** Of all arguments together, each with `ARGUMENT_BYTES` more. There is no other limit on how many they are. */
  readonly commandBytesMax: number;
}

/** What an argument costs beside its bytes: where it starts and ends. */
export const ARGUMENT_BYTES = 16;

const ARGUMENTS_KEPT = 1024; // for which room is kept between commands

const LINE_BYTES_MAX = 65_536; // of an inline command
const LENGTH_BYTES_MAX = 32; // of a line that holds one number
const SHOWN_CHARACTERS = 64; // of an argument, in an error
const [DOLLAR, STAR] = [36, 42];
const EMPTY: Buffer = Buffer.alloc(0);

/** The arguments of one command; argument 0 is its name. Valid until the parser's next `next`. */
export class Args {
  buffer: Buffer = EMPTY;
  length = 0;
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  /** The arguments of a command that did not come through a parser. */
  static of(parts: readonly Uint8Array[]): Args {
    const args = new Args();
    args.buffer = Buffer.concat(parts);
    for (const part of parts) {
      args.starts.push(args.length === 0 ? 0 : args.ends[args.length - 1]!);
      args.ends.push(args.starts[args.length]! + part.length);
      args.length += 1;
    }
    return args;
  }

  /** The command has taken out what it needs: while it waits, nothing is kept of what it came in. */
  release(): void {
    this.buffer = EMPTY;
    this.length = this.starts.length = this.ends.length = 0;
  }

  /**
   * Argument `index` as text. What cannot be decoded becomes U+FFFD. Somebody may also have sent that
   * character, so if the text has it, the bytes are compared.
   * @throws RumormillError PROTOCOL, which a client is told as ERR, if it is not UTF-8
   */
  text(index: number): string {
    const text = this.word(index);
    if (text.includes('\ufffd') && !this.bytes(index).equals(Buffer.from(text))) {
      const shown = JSON.stringify(text.slice(0, SHOWN_CHARACTERS));
      throw new RumormillError('PROTOCOL', `argument ${index} of ${this.word(0)} is not UTF-8: ${shown}`);
    }
    return text;
  }

  /** Argument `index` as one of the words of commands; what is not UTF-8 has U+FFFD and is none. */
  word(index: number): string {
    return this.buffer.toString('utf8', this.starts[index], this.ends[index]);
  }

  /** Argument `index` as a view into the received bytes. */
  bytes(index: number): Buffer {
    return this.buffer.subarray(this.starts[index], this.ends[index]);
  }

  byteLength(index: number): number {
    return this.ends[index]! - this.starts[index]!;
  }

  /** Argument `index` as an exact integer, or NaN. */
  integer(index: number): number {
    return parseInteger(this.buffer, this.starts[index]!, this.ends[index]!);
  }

  /** All arguments from `index` on, as text. @throws as `text` */
  texts(index = 0): string[] {
    return Array.from({ length: Math.max(0, this.length - index) }, (_, offset) => this.text(index + offset));
  }
}

/** About how much the arguments of a command take, whatever becomes of them. */
export function argsBytes({ starts, ends, length }: Args): number {
  return length === 0 ? 0 : ends[length - 1]! - starts[0]! + length * ARGUMENT_BYTES;
}

export class CommandParser {
  #limits: CommandLimits;
  #input = new ReceiveBuffer();
  readonly #args = new Args();
  #expected = 0; // arguments of the command begun, 0 between commands
  #bulk = -1; // length of the argument begun
  #commandBytes = 0;

  constructor(limits: CommandLimits) {
    this.#limits = limits;
  }

  /** Bytes received and not handed out yet. */
  get bufferedBytes(): number {
    return this.#input.length;
  }

  /** Bytes of memory that it keeps: what came in, and the command that was handed out last. */
  get heldBytes(): number {
    const { buffer, starts } = this.#args;
    const args = buffer === this.#input.bytes ? 0 : buffer.length;
    return this.#input.heldBytes + args + starts.length * ARGUMENT_BYTES;
  }

  /** Other limits, from the next command on: a client has turned out to be a peer. */
  setLimits(limits: CommandLimits): void {
    this.#limits = limits;
  }

  /** Nothing of what came in will be asked for. */
  discard(): void {
    this.#input = new ReceiveBuffer();
    this.#args.release();
  }

  push(chunk: Buffer): void {
    this.#input.push(chunk);
  }

  /**
   * The next whole command, or undefined until more bytes come.
   * @throws RumormillError PROTOCOL
   */
  next(): Args | undefined {
    const args = this.#args;
    while (this.#expected === 0) {
      this.#input.release();
      if (!this.#begin()) return undefined;
      if (this.#expected === 0 && args.length > 0) return args; // an inline command, complete with its line
    }
    while (args.length < this.#expected) if (!this.#argument()) return undefined;
    this.#finish();
    return args;
  }

  /** Reads what begins a command. False if it has not come yet. */
  #begin(): boolean {
    const input = this.#input;
    const args = this.#args;
    args.length = 0;
    if (args.starts.length > ARGUMENTS_KEPT) args.starts.length = args.ends.length = 0;
    if (!input.has(1)) {
      args.buffer = EMPTY; // an idle connection does not keep what its last command came in
      return false;
    }
    if (input.bytes[input.at] !== STAR) return this.#inline();
    const start = input.at + 1 - input.base;
    const end = input.line(LENGTH_BYTES_MAX);
    if (end === -1) return false;
    const count = end === -2 ? NaN : parseInteger(input.bytes, input.base + start, end);
    if (!(count * ARGUMENT_BYTES <= this.#limits.commandBytesMax)) throw protocolError('invalid multibulk length');
    this.#expected = Math.max(0, count);
    this.#commandBytes = 0;
    return true;
  }

  /** Reads one argument. False if all of it has not come yet. */
  #argument(): boolean {
    const input = this.#input;
    if (this.#bulk < 0) {
      if (!input.has(1)) return false;
      if (input.bytes[input.at] !== DOLLAR) {
        throw protocolError(`expected '$', got ${JSON.stringify(String.fromCharCode(input.bytes[input.at]!))}`);
      }
      const start = input.at + 1 - input.base;
      const end = input.line(LENGTH_BYTES_MAX);
      if (end === -1) return false;
      const length = end === -2 ? NaN : parseInteger(input.bytes, input.base + start, end);
      if (!(length >= 0 && length <= this.#limits.bulkBytesMax)) throw protocolError('invalid bulk length');
      this.#commandBytes += length + ARGUMENT_BYTES;
      if (this.#commandBytes > this.#limits.commandBytesMax) throw protocolError('too big command');
      this.#bulk = length;
    }
    if (!input.has(this.#bulk + 2)) return false;
    const start = input.at;
    const end = start + this.#bulk;
    if (input.bytes[end] !== 13 || input.bytes[end + 1] !== 10) {
      throw protocolError('bulk string is not followed by CR LF');
    }
    const args = this.#args;
    args.starts[args.length] = start - input.base;
    args.ends[args.length] = end - input.base;
    args.length += 1;
    input.at = end + 2;
    this.#bulk = -1;
    return true;
  }

  #finish(): void {
    const args = this.#args;
    const base = this.#input.base;
    args.buffer = this.#input.bytes;
    if (base > 0) {
      for (let index = 0; index < args.length; index += 1) {
        args.starts[index]! += base;
        args.ends[index]! += base;
      }
    }
    this.#expected = 0;
    this.#input.release();
  }

  #inline(): boolean {
    const input = this.#input;
    const end = input.line(LINE_BYTES_MAX);
    if (end === -1) return false;
    if (end === -2) throw protocolError('too big inline request');
    const words = splitWords(input.bytes.toString('latin1', input.base, end)).map((word) =>
      Buffer.from(word, 'latin1'),
    );
    const args = this.#args;
    args.buffer = Buffer.concat(words);
    let offset = 0;
    for (const word of words) {
      args.starts[args.length] = offset;
      offset += word.length;
      args.ends[args.length] = offset;
      args.length += 1;
    }
    return true;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' };

/**
 * Words of a line, with the quoting of redis-cli: "..." with escapes, '...' with \' only. Characters stand for bytes,
 * so white space is ASCII's alone: the \s of a RegExp has U+00A0 too, which as a byte is the second half of an `à`.
 */
function splitWords(line: string): string[] {
  if (line.startsWith('-')) return [line.replace(/\r$/, '')]; // why a peer refuses, with quotes of its own
  const words: string[] = [];
  const token =
    /(?:"((?:[^"\\]|\\[^])*)"(?=[ \t\v\f\r]|$)|'((?:[^'\\]|\\[^])*)'(?=[ \t\v\f\r]|$)|([^ \t\v\f\r"'][^ \t\v\f\r]*))[ \t\v\f\r]*/y;
  token.lastIndex = line.search(/[^ \t\v\f\r]|$/);
  while (token.lastIndex < line.length) {
    const match = token.exec(line);
    if (match === null) throw protocolError('unbalanced quotes in request');
    const [, double, single, plain] = match;
    if (double !== undefined) {
      words.push(double.replace(/\\(?:x([0-9a-fA-F]{2})|([^]))/g, (_, hex?: string, other?: string) =>
        hex !== undefined ? String.fromCharCode(parseInt(hex, 16)) : (ESCAPES[other!] ?? other!)));
    } else words.push(single !== undefined ? single.replaceAll("\\'", "'") : plain!);
  }
  return words;
}

function protocolError(what: string): RumormillError {
  return new RumormillError('PROTOCOL', `Protocol error: ${what}`);
}
