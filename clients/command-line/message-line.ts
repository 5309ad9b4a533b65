/**
 * A message as one line of a subscriber's output: for people, as JSON, or the bare payload.
 */
import { isUtf8 } from 'node:buffer';
import type { Message } from '../library/message.ts';

export type LineFormat = 'text' | 'json' | 'raw';

/** The line without its newline. `raw` payloads may hold newlines of their own. */
export function messageLine(message: Message, format: LineFormat): string | Buffer {
  switch (format) {
    case 'raw':
      return message.payload;
    case 'json':
      return jsonLine(message);
    case 'text':
      return textLine(message);
  }
}

/** `[lamport] topic (key): payload` */
function textLine({ lamport, topic, key, text }: Message): string {
  return printable(`[${lamport}] ${topic}${key === null ? '' : ` (${key})`}: ${text}`);
}

/** A payload that is not UTF-8 has no text: it comes as `payloadBase64`. */
function jsonLine({ id, topic, lamport, key, headers, payload, text }: Message): string {
  const body = isUtf8(payload) ? { payload: text } : { payloadBase64: payload.toString('base64') };
  return JSON.stringify({ id, topic, lamport, key, headers, ...body });
}

/** Control characters spelt out: a message is one line, and no message drives the reader's terminal. Tabs stay. */
export function printable(text: string): string {
  return text.replaceAll(
    /[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]/g,
    (character) => JSON_ESCAPES[character] ?? hexEscape(character),
  );
}

const JSON_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r' };

function hexEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
