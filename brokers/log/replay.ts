/** Reads again what brokers have said in one of their own topics (`$catalog`, `$acks`), as a start has to. */
import type { Limits } from '../config.ts';
import type { Log } from '../core/log/log.ts';
import type { StoredBatch } from '../core/log/record.ts';
import type { Store } from '../core/log/store.ts';

export interface ReplayRuntime {
  readonly log: Pick<Log, 'position'>;
  readonly store: Pick<Store, 'readAfter'>;
}

/**
 * All batches of a topic after a position, in order, some at a time.
 * @returns the position up to which they were read; more may have come since
 * @throws RumormillError STORE
 */
export async function replay(
  { log, store }: ReplayRuntime, topic: string, after: number, { readBytesMax }: Pick<Limits, 'readBytesMax'>,
  take: (batches: readonly StoredBatch[]) => void | Promise<void>,
): Promise<number> {
  let position = after;
  while (position < log.position) {
    const page = await store.readAfter(position, [topic], readBytesMax);
    await take(page.batches);
    position = page.through;
  }
  return position;
}
