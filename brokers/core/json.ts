/**
 * JSON that may be anything, since it comes from a peer or from a file that may be damaged. What does not fit is an
 * error or is ignored, as the reader decides.
 */

/** What a text says; undefined if it is not JSON, since JSON has no undefined. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the words of the parser would tell nobody more
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An integer from 0 that is exact. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
