/**
 * Counts replies without taking them apart, so that the load generator costs little beside what it measures. A chunk
 * may end anywhere.
 */

/** Counts the acknowledgements in what a server sends. */
export interface AckCounter {
  /** How many acknowledgements end in this chunk. @throws Error where the server reports one */
  take(chunk: Buffer): number;
}

const [CR, MINUS, COLON, DOLLAR, STAR] = [13, 45, 58, 36, 42];
const ERROR_CHARS = 200; // of what a server complains, in our message

/**
 * RESP replies: counts whole ones and integers, and keeps of an array the first bulk string and the length of the
 * second array: POLL's cursor and messages.
 */
export class RespCounter implements AckCounter {
  /** Whole replies so far. */
  replies = 0;
  /** Messages in the replies to POLL so far. */
  messages = 0;
  /** Of the reply to POLL that was read last. */
  cursor = '';
  #rest: Buffer | undefined;
  #skip = 0; // bytes of a bulk string that are still to come
  #missing = 1; // elements until the reply is whole
  #arrays = 0; // begun in this reply
  #bulks = 0;

  take(chunk: Buffer): number {
    let bytes = chunk;
    if (this.#rest !== undefined) {
      bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = undefined;
    }
    let integers = 0;
    let at = 0;
    for (;;) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, bytes.length - at);
        at += step;
        this.#skip -= step;
        if (this.#skip > 0) return integers;
        this.#element(0);
      }
      let end = at + 1; // lines are short, so that this is faster than indexOf
      while (end < bytes.length && bytes[end] !== CR) end += 1;
      if (end + 1 >= bytes.length) break;
      const type = bytes[at];
      if (type === COLON) {
        if (this.#missing === 1 && this.#arrays === 0) integers += 1;
        this.#element(0);
      } else if (type === DOLLAR) {
        const length = number(bytes, at + 1, end);
        if (this.#arrays === 1 && this.#bulks === 0) {
          if (end + 2 + length + 2 > bytes.length) break;
          this.cursor = bytes.toString('latin1', end + 2, end + 2 + length);
        }
        this.#bulks += 1;
        if (length >= 0) this.#skip = length + 2;
        else this.#element(0);
      } else if (type === STAR) {
        const length = Math.max(0, number(bytes, at + 1, end));
        this.#arrays += 1;
        if (this.#arrays === 2) this.messages += length;
        this.#element(length);
      } else if (type === MINUS) {
        throw new Error(`the server answers ${bytes.toString('utf8', at + 1, Math.min(end, at + ERROR_CHARS))}`);
      } else this.#element(0);
      at = end + 2;
    }
    if (at < bytes.length) this.#rest = bytes.subarray(at);
    return integers;
  }

  /** An element is over, which has `more` of its own. */
  #element(more: number): void {
    this.#missing += more - 1;
    if (this.#missing > 0) return;
    this.replies += 1;
    this.#missing = 1;
    this.#arrays = 0;
    this.#bulks = 0;
  }
}

/** What a consumer needs of replies: of PULL the tokens, of ACK how many were good. */
export class LeaseReader {
  /**
   * Of the replies to PULL so far, until somebody takes them away: each as a RESP bulk string, to be sent back as it
   * is.
   */
  tokens: Buffer[] = [];
  /** Whole replies so far. */
  replies = 0;
  #rest: Buffer | undefined;
  #left: number[] = []; // elements still to come, of each array that is begun

  /** @returns the sum of the integers that were replies. @throws Error where the server reports one */
  take(chunk: Buffer): number {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    let integers = 0;
    for (;;) {
      let end = at + 1;
      while (end < bytes.length && bytes[end] !== CR) end += 1;
      if (end + 1 >= bytes.length) break;
      const type = bytes[at];
      let next = end + 2;
      if (type === DOLLAR) {
        const length = number(bytes, at + 1, end);
        if (length >= 0) next += length + 2;
        if (next > bytes.length) break;
        if (this.#left.length === 2 && this.#left[1] === 3) this.tokens.push(Buffer.from(bytes.subarray(at, next)));
        this.#ended();
      } else if (type === STAR) {
        const length = number(bytes, at + 1, end);
        if (length > 0) this.#left.push(length);
        else this.#ended();
      } else if (type === MINUS) {
        throw new Error(`the server answers ${bytes.toString('utf8', at + 1, Math.min(end, at + ERROR_CHARS))}`);
      } else {
        if (type === COLON && this.#left.length === 0) integers += number(bytes, at + 1, end);
        this.#ended();
      }
      at = next;
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : undefined;
    return integers;
  }

  /** An element has ended, and with it every array of which it is the last. */
  #ended(): void {
    while (this.#left.length > 0) {
      const left = this.#left.at(-1)! - 1;
      if (left > 0) {
        this.#left[this.#left.length - 1] = left;
        return;
      }
      this.#left.pop();
    }
    this.replies += 1;
  }
}

/** Counts JetStream's PubAcks, which come as messages to the connection's reply subject. */
export class NatsCounter implements AckCounter {
  readonly #pong: () => void;
  #rest: Buffer | undefined;

  /** @param pong answers the server's PING */
  constructor(pong: () => void) {
    this.#pong = pong;
  }

  take(chunk: Buffer): number {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let acks = 0;
    let at = 0;
    for (;;) {
      let end = at;
      while (end < bytes.length && bytes[end] !== CR) end += 1;
      if (end + 1 >= bytes.length) break;
      const line = bytes.toString('latin1', at, end);
      let next = end + 2;
      if (line.startsWith('MSG ')) {
        next += Number(line.slice(line.lastIndexOf(' ') + 1)) + 2;
        if (next > bytes.length) break;
        const answer = bytes.toString('latin1', end + 2, next - 2);
        if (!answer.includes('"seq"') || answer.includes('"error"')) {
          throw new Error(`the server answers ${answer.slice(0, ERROR_CHARS)}`);
        }
        acks += 1;
      } else if (line === 'PING') this.#pong();
      else if (line.startsWith('-ERR')) throw new Error(`the server answers ${line.slice(0, ERROR_CHARS)}`);
      at = next;
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : undefined;
    return acks;
  }
}

function number(bytes: Buffer, from: number, to: number): number {
  if (bytes[from] === MINUS) return -number(bytes, from + 1, to);
  let value = 0;
  for (let at = from; at < to; at += 1) value = value * 10 + bytes[at]! - 48;
  return value;
}
