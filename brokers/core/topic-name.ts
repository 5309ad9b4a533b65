/** What names of topics and subscriptions may have in them. */

/** Topics whose names begin with it belong to the brokers. */
export const RESERVED_PREFIX = '$';

export function isReserved(topic: string): boolean {
  return topic.startsWith(RESERVED_PREFIX);
}

/** Whether a text has characters of C0, C1 or DEL (Unicode's category Cc). */
export function hasControlCharacters(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 32 || (code >= 127 && code < 160)) return true;
  }
  return false;
}
