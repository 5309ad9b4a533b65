/** Stamps: when something was said of a topic or a subscription. */
import { compareRecords, type Origin } from './record.ts';

/** Names the record that says it. Of two sayings the later one holds, in the order of `compareRecords`. */
export interface Stamp {
  readonly lamport: number;
  readonly origin: Origin;
}

export function isBefore(a: Stamp, b: Stamp): boolean {
  return compareRecords(a, b) < 0;
}

/** `<lamport>@<origin>` */
export function stampText({ lamport, origin }: Stamp): string {
  return `${lamport}@${origin}`;
}

/** What `stampText` made. */
export function parseStamp(text: string): Stamp {
  const at = text.indexOf('@');
  return { lamport: Number(text.slice(0, at)), origin: text.slice(at + 1) as Origin };
}
