/**
 * Log lines on standard error: text for people, or one JSON object a line for their tools.
 *
 * Text: time, level, the Lamport timestamp in brackets if a line has one, the event, then name=value.
 */
import type { LogFields, Logger, LogLevel } from '../core/runtime.ts';

export type LogFormat = 'text' | 'json';
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** @param write takes one line, with its line break */
export function makeLogger(level: LogLevel, format: LogFormat, write: (line: string) => void): Logger {
  const enabled = (each: LogLevel): boolean => LOG_LEVELS.indexOf(each) >= LOG_LEVELS.indexOf(level);
  const at = (each: LogLevel) => (event: string, fields: LogFields = {}): void => {
    if (!enabled(each)) return;
    const time = new Date().toISOString();
    write(
      format === 'json' ? `${toJson({ time, level: each, event, ...fields })}\n` : textLine(time, each, event, fields),
    );
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function textLine(time: string, level: LogLevel, event: string, { lamport, ...fields }: LogFields): string {
  const clock = lamport === undefined ? '' : ` [${lamport}]`;
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${quoted(String(value))}`);
  return `${time.slice(11, 23)} ${level.padEnd(5)}${clock} ${event}${rest.join('')}\n`;
}

/** What acts on a terminal, or on the direction of its text, and is not escaped by JSON. */
const UNPRINTABLE = /[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text that would not read as one value is quoted; control characters never reach the terminal. */
function quoted(text: string): string {
  return /^[^\s"=\x00-\x1f]+$/.test(text) && text.search(UNPRINTABLE) < 0 ? text : toJson(text);
}

function toJson(value: unknown): string {
  return JSON.stringify(value).replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
