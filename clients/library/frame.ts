/**
 * Commands as bytes, for a broker.
 *
 * A string of JavaScript may hold half of a surrogate pair, which UTF-8 cannot encode. Node would write
 * U+FFFD instead, and two names, keys or payloads that differ would silently become one.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { shown } from './call-options.ts';

const SHOWN_CHARACTERS = 64;

/** @throws RumormillError ERR for text with a lone surrogate; CONFIG for anything but text, a number or bytes */
export function frameOf(args: readonly (string | number | Uint8Array)[]): Buffer {
  for (const arg of args) {
    checkKind(args[0], arg);
    if (typeof arg !== 'string' || arg.isWellFormed()) continue;
    const start = JSON.stringify(arg.slice(0, SHOWN_CHARACTERS));
    throw new RumormillError('ERR', `${start} has half of a surrogate pair, which UTF-8 cannot say`);
  }
  return encodeCommand(args);
}

/** JavaScript has no types. */
function checkKind(command: unknown, arg: unknown): void {
  const isRight = typeof arg === 'string' || Number.isFinite(arg) || arg instanceof Uint8Array;
  if (isRight) return;
  throw new RumormillError('CONFIG', `${String(command)}: ${shown(arg)} is neither text nor a number nor bytes`);
}
