/**
 * Reads the batches of a store (store.ts) in pages of about so many bytes, at least one batch if there is one.
 *
 * A statement looks at the sizes of as many rows as it is told, and returns the first of them that fill a page. So that
 * it does not look at many more than it returns, that number follows from the size of the rows in the last page.
 */
import { BATCH_MESSAGES_MAX, type StoredBatch } from '../core/log/record.ts';
import type { Page, RangeQuery } from '../core/log/store.ts';
import { SQL } from './queries.ts';
import type { Param, Row } from './sqlite.ts';

const [PAGE_ROWS_MIN, PAGE_ROWS_MAX] = [16, 1024];
const ROW_BYTES = 200; // of a batch, beside its body; queries.ts counts so too

export class Pages {
  readonly #query: (sql: string, ...params: Param[]) => Promise<Row[]>;
  #rowBytes = 0; // of a row, in the last page

  constructor(query: (sql: string, ...params: Param[]) => Promise<Row[]>) {
    this.#query = query;
  }

  /** As `readAfter` of the store, up to its newest position `head`. */
  async after(
    position: number, topics: readonly string[] | undefined, head: number, bytesMax: number,
  ): Promise<Page> {
    if (topics === undefined) return this.#readPage(SQL.afterPosition, [position], head, bytesMax);
    // more topics take longer to look at, so there should be fewer pages
    const pageBytes = bytesMax * Math.sqrt(topics.length);
    let page: Page = { batches: [], through: head };
    for (const topic of topics) {
      // each up to where those before it end, so that a thousand of them are not a thousand pages
      const { batches, through } = await this.#readPage(
        SQL.afterPositionOfTopic,
        [position, page.through, topic],
        page.through,
        bytesMax,
      );
      if (batches.length > 0) page = cutPage([...page.batches, ...batches], through, pageBytes);
    }
    return page;
  }

  /** As `readRange` of the store. */
  async range(query: RangeQuery, previous: StoredBatch | undefined, bytesMax: number): Promise<StoredBatch[]> {
    const { topic, from, to, reverse } = query;
    const farthest = reverse ? Number.MAX_SAFE_INTEGER : -1;
    return this.#read(
      reverse ? SQL.rangeReverse : SQL.rangeForward,
      topic,
      from - BATCH_MESSAGES_MAX,
      to,
      from,
      previous?.lamport ?? farthest,
      previous?.position ?? farthest,
      this.#rowsOf(bytesMax),
      bytesMax,
    );
  }

  async #readPage(sql: string, where: readonly Param[], head: number, bytesMax: number): Promise<Page> {
    const rows = this.#rowsOf(bytesMax);
    const batches = await this.#read(sql, ...where, rows, bytesMax);
    const bytes = batches.reduce((sum, batch) => sum + batch.body.length + ROW_BYTES, 0);
    if (batches.length > 0) this.#rowBytes = bytes / batches.length;
    const last = batches.at(-1);
    // a page below both limits holds everything up to the head
    const isCut = batches.length >= rows || bytes >= bytesMax;
    return { batches, through: last !== undefined && isCut ? last.position : Math.max(head, last?.position ?? 0) };
  }

  /** How many rows a page of so many bytes may have, as the last page was. */
  #rowsOf(bytesMax: number): number {
    return Math.min(PAGE_ROWS_MAX, Math.max(PAGE_ROWS_MIN, Math.ceil((1.5 * bytesMax) / this.#rowBytes)));
  }

  async #read(sql: string, ...params: Param[]): Promise<StoredBatch[]> {
    return (await this.#query(sql, ...params)) as unknown as StoredBatch[];
  }
}

/** The first batches up to a position, in order, of about so many bytes, at least one. */
function cutPage(unsorted: readonly StoredBatch[], through: number, bytesMax: number): Page {
  const batches = unsorted.filter(({ position }) => position <= through).sort((a, b) => a.position - b.position);
  let bytes = 0;
  const end = batches.findIndex(({ body }) => (bytes += body.length + ROW_BYTES) >= bytesMax);
  return end < 0 ? { batches, through } : { batches: batches.slice(0, end + 1), through: batches[end]!.position };
}
