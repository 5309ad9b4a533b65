/**
 * Push parser for RESP2 replies, for clients. Resumes where the last chunk ended, so that a long array is parsed once
 * however many chunks it comes in.
 *
 * Redis serialization protocol, https://redis.io/docs/latest/develop/reference/protocol-spec/.
 */
import { RumormillError } from '../core/error.ts';
import { parseInteger, ReceiveBuffer } from './receive-buffer.ts';

/** Simple strings are text, bulk strings bytes, an error reply is a RumormillError as a value. */
export type Reply = string | number | Buffer | null | RumormillError | Reply[];

const LINE_BYTES_MAX = 65_536;
const BULK_BYTES_MAX = 512 * 1024 * 1024; // what Redis allows
const ARRAY_LENGTH_MAX = 2 ** 24;
const DEPTH_MAX = 32;

interface Level {
  readonly items: Reply[];
  readonly length: number;
}

export class ReplyParser {
  readonly #input = new ReceiveBuffer();
  #levels: Level[] = [];
  #bulk = -1; // length of the bulk string begun

  push(chunk: Buffer): void {
    this.#input.push(chunk);
  }

  /**
   * The next whole reply, or undefined until more bytes come.
   * @throws RumormillError PROTOCOL; the stream cannot be trusted any more
   */
  next(): Reply | undefined {
    for (;;) {
      let value = this.#element();
      if (value === undefined) return undefined;
      this.#input.release();
      if (value === BEGUN) continue;
      for (;;) {
        const level = this.#levels.at(-1);
        if (level === undefined) return value;
        level.items.push(value);
        if (level.items.length < level.length) break;
        this.#levels.pop();
        value = level.items;
      }
    }
  }

  #element(): Reply | typeof BEGUN | undefined {
    const input = this.#input;
    if (this.#bulk >= 0) return this.#bulkString();
    if (!input.has(1)) return undefined;
    const type = input.bytes[input.at]!;
    const start = input.at + 1 - input.base;
    const end = input.line(LINE_BYTES_MAX);
    if (end === -1) return undefined;
    if (end === -2) throw protocolError('line too long');
    const text = (): string => input.bytes.toString('utf8', input.base + start, end);
    const number = (min: number, max: number): number => {
      const value = parseInteger(input.bytes, input.base + start, end);
      if (!(value >= min && value <= max)) {
        throw protocolError(`length or integer ${JSON.stringify(text())} is out of range`);
      }
      return value;
    };
    switch (String.fromCharCode(type)) {
      case '+':
        return text();
      case '-':
        return errorReply(text());
      case ':':
        return number(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
      case '$':
        this.#bulk = number(-1, BULK_BYTES_MAX);
        return this.#bulk < 0 ? null : BEGUN;
      case '*': {
        const length = number(-1, ARRAY_LENGTH_MAX);
        if (length <= 0) return length < 0 ? null : [];
        if (this.#levels.length >= DEPTH_MAX) throw protocolError('arrays nested too deep');
        this.#levels.push({ items: [], length });
        return BEGUN;
      }
      default:
        throw protocolError(`unknown type ${JSON.stringify(String.fromCharCode(type))}`);
    }
  }

  #bulkString(): Buffer | undefined {
    const input = this.#input;
    if (!input.has(this.#bulk + 2)) return undefined;
    const end = input.at + this.#bulk;
    if (input.bytes[end] !== 13 || input.bytes[end + 1] !== 10) {
      throw protocolError('bulk string is not followed by CR LF');
    }
    const value = input.bytes.subarray(input.at, end);
    input.at = end + 2;
    this.#bulk = -1;
    return value;
  }
}

const BEGUN = Symbol('an element was begun');

function errorReply(line: string): RumormillError {
  const space = line.indexOf(' ');
  return space < 0 ? new RumormillError(line, line) : new RumormillError(line.slice(0, space), line.slice(space + 1));
}

function protocolError(what: string): RumormillError {
  return new RumormillError('PROTOCOL', `reply is not RESP: ${what}`);
}
