/**
 * Checks of what programs in JavaScript hand to the library. What is of the wrong kind is a RumormillError CONFIG that
 * says what is wrong. It rejects the call's promise and is never thrown by the call itself.
 *
 * Only the kind is checked here (a number, text, ...). Whether a value is in its range is for the broker to say, unless
 * the library itself needs to know.
 */
import { RumormillError } from '../../brokers/core/error.ts';

/** The options of a call. @throws RumormillError CONFIG if they are no object, or one of them is of the wrong kind */
export function checkOptions<T extends object>(call: Call, options: T): T {
  if (typeof options !== 'object' || options === null) throw wrong(call, 'options', 'an object', options);
  const kinds: Kinds = OPTIONS[call];
  for (const name in kinds) {
    const value = (options as Record<string, unknown>)[name];
    if (value !== undefined && !kinds[name]!.test(value)) throw wrong(call, name, kinds[name]!.what, value);
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

/** Why something fails before it begins; undefined if it does not. An error that is no RumormillError is thrown on. */
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
const BOOLEAN: Kind = { what: 'true or false', test: (value) => typeof value === 'boolean' };
const SIGNAL: Kind = { what: 'an AbortSignal', test: (value) => value instanceof AbortSignal };
const HEADERS: Kind = {
  what: 'an object of text',
  test: (value) => typeof value === 'object' && value !== null && Object.values(value).every(TEXT.test),
};

/** For a setting that null removes. */
function orNull({ what, test }: Kind): Kind {
  return { what: `${what}, or null`, test: (value) => value === null || test(value) };
}

type Kinds = Readonly<Record<string, Kind>>;

const SETTINGS: Kinds = {
  visibilityMs: NUMBER, maxDeliveries: orNull(NUMBER), deadLetter: orNull(TEXT), backoffMs: orNull(NUMBER), from: TEXT,
};

/** The options of each call. */
const OPTIONS = {
  publish: { key: TEXT, headers: HEADERS, id: TEXT, acks: TEXT },
  poll: { cursor: TEXT, count: NUMBER, blockMs: NUMBER, signal: SIGNAL },
  subscribe: { from: TEXT, signal: SIGNAL, count: NUMBER, limit: NUMBER },
  range: { from: NUMBER, to: NUMBER, count: NUMBER, reverse: BOOLEAN },
  createTopic: { type: TEXT },
  createSubscription: { ...SETTINGS, transient: BOOLEAN },
  updateSubscription: SETTINGS,
  consumers: { count: NUMBER },
  pending: { count: NUMBER },
  free: { consumer: TEXT },
  bind: { key: TEXT },
  unbind: { key: TEXT },
  pull: { consumer: TEXT, count: NUMBER, blockMs: NUMBER, signal: SIGNAL },
  consume: { consumer: TEXT, limit: NUMBER, signal: SIGNAL }, // `concurrency` is checked with its range
  nack: { delayMs: NUMBER },
  forget: { yes: BOOLEAN, force: BOOLEAN },
} as const satisfies Readonly<Record<string, Kinds>>;

type Call = keyof typeof OPTIONS;

function wrong(call: string, name: string, what: string, value: unknown): RumormillError {
  return new RumormillError('CONFIG', `${call}: ${name} must be ${what}, not ${shown(value)}`);
}

/** A value as an error names it. */
export function shown(value: unknown): string {
  const hasParts = typeof value === 'object' || typeof value === 'function';
  return hasParts ? Object.prototype.toString.call(value) : String(value);
}
