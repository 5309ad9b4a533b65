/**
 * Pages of the log that a POLL read from the disk and took only a part of, so that the next POLL goes on in them:
 * without it, a reader of a long backlog, a hundred messages at a time, would have a page of a megabyte read for each
 * hundred.
 *
 * A page shows batches as they were when it was read. Stored batches never change, but that those of deleted topics are
 * emptied; a reader passes over what is dead by itself, as it does with what the tail has of them.
 */
import { batchBytes } from '../log/record.ts';
import type { Page } from '../log/store.ts';

interface Kept {
  readonly after: number; // position
  readonly topics: ReadonlySet<string>;
  readonly page: Page;
}

/** So many at most; the one that was used least recently leaves. */
export class Pages {
  readonly #max: number;
  #kept: Kept[] = []; // the one that was used last at the end

  constructor(max: number) {
    this.#max = max;
  }

  keep(after: number, topics: ReadonlySet<string>, page: Page): void {
    this.#kept.push({ after, topics, page });
    if (this.#kept.length > this.#max) this.#kept.shift();
  }

  get bytes(): number {
    let bytes = 0;
    for (const { page } of this.#kept) bytes += pageBytes(page);
    return bytes;
  }

  /** Keeps none. */
  clear(): void {
    this.#kept = [];
  }

  /** What is behind a position in a page of these topics; undefined if no page has it. */
  find(position: number, topics: ReadonlySet<string>): Page | undefined {
    const at = this.#kept.findIndex(
      ({ after, topics: those, page }) => after <= position && position < page.through && isSame(topics, those),
    );
    if (at < 0) return undefined;
    const [found] = this.#kept.splice(at, 1) as [Kept];
    this.#kept.push(found);
    const { batches, through } = found.page;
    const first = batches.findIndex((batch) => batch.position > position);
    return { batches: first < 0 ? [] : batches.slice(first), through };
  }
}

/** What the batches of a page take in memory. */
export function pageBytes({ batches }: Page): number {
  return batches.reduce((bytes, batch) => bytes + batchBytes(batch), 0);
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one === other || (one.size === other.size && [...one].every((topic) => other.has(topic)));
}
