/**
 * Checks of what programs in JavaScript hand to the library: what cannot be is a RumormillError that
 * says what is wrong, and rejects the call's promise, never an exception of its own.
 */
import { RumormillError } from '../../brokers/core/error.ts';

/** The options of a call. @throws RumormillError CONFIG where they are no object, or hold a wrong kind of thing */
export function checkOptions<T extends object>(call: string, options: T): T {
  if (typeof options !== 'object' || options === null) throw wrong(call, 'options', 'an object', options);
  for (const [name, isRight] of KINDS) {
    const value = (options as Record<string, unknown>)[name];
    if (value !== undefined && !isRight.test(value)) throw wrong(call, name, isRight.what, value);
  }
  return options;
}

/** Names of leases. @throws RumormillError CONFIG */
export function checkTokens(call: string, tokens: readonly string[]): void {
  const isRight = Array.isArray(tokens) && tokens.every((token) => typeof token === 'string');
  if (!isRight) throw wrong(call, 'tokens', 'an array of text', tokens);
}

/** @throws RumormillError CONFIG */
export function checkPayload(call: string, payload: unknown): void {
  const isRight = typeof payload === 'string' || payload instanceof Uint8Array;
  if (!isRight) throw wrong(call, 'payload', 'text or bytes', payload);
}

/** Why something fails before it begins; undefined if it does not. What is no RumormillError is thrown on. */
export function faultOf(check: () => void): RumormillError | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof RumormillError) return error;
    throw error;
  }
}

interface Kind {
  readonly what: string;
  test(value: unknown): boolean;
}

const NUMBER: Kind = { what: 'a number from 0', test: (value) => typeof value === 'number' && value >= 0 };
const TEXT: Kind = { what: 'text', test: (value) => typeof value === 'string' };
const SIGNAL: Kind = { what: 'an AbortSignal', test: (value) => value instanceof AbortSignal };
const HEADERS: Kind = {
  what: 'an object of text',
  test: (value) => typeof value === 'object' && value !== null && Object.values(value).every(TEXT.test),
};

/** What is used here, before a broker could say what is wrong with it. */
const KINDS: readonly (readonly [name: string, kind: Kind])[] = Object.entries({
  blockMs: NUMBER,
  count: NUMBER,
  limit: NUMBER,
  signal: SIGNAL,
  cursor: TEXT,
  key: TEXT,
  id: TEXT,
  acks: TEXT,
  headers: HEADERS,
});

function wrong(call: string, name: string, what: string, value: unknown): RumormillError {
  const shown =
    typeof value === 'object' || typeof value === 'function' ? Object.prototype.toString.call(value) : String(value);
  return new RumormillError('CONFIG', `${call}: ${name} must be ${what}, not ${shown}`);
}
