/**
 * Commands as bytes, for a broker.
 *
 * A string of JavaScript may hold half of a surrogate pair, which no UTF-8 stands for: Node would write
 * U+FFFD in its place, and two names, keys or payloads that differ would become one without a word.
 */
import { RumormillError } from '../brokers/core/error.ts';
import { encodeCommand } from '../brokers/wire/resp.ts';

const SHOWN_CHARACTERS = 64;

/** @throws RumormillError ERR for text with a lone surrogate */
export function frameOf(args: readonly (string | number | Uint8Array)[]): Buffer {
  for (const arg of args) {
    if (typeof arg !== 'string' || arg.isWellFormed()) continue;
    const shown = JSON.stringify(arg.slice(0, SHOWN_CHARACTERS));
    throw new RumormillError('ERR', `${shown} has half of a surrogate pair, which UTF-8 cannot say`);
  }
  return encodeCommand(args);
}
