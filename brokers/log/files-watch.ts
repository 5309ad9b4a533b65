/**
 * Looks at the store once a beat: whether its files are still where they were opened. One look at a
 * time.
 */
import { messageOf } from '../core/error.ts';
import type { Logger } from '../core/runtime.ts';
import type { Store } from '../core/log/store.ts';

export class FilesWatch {
  readonly #store: Store;
  readonly #beatMs: number;
  readonly #failed: (error: unknown) => void;
  #dueAt = 0;

  /** @param failed told what a look fails with */
  constructor(store: Store, beatMs: number, failed: (error: unknown) => void) {
    this.#store = store;
    this.#beatMs = beatMs;
    this.#failed = failed;
  }

  tick(now: number): void {
    if (now < this.#dueAt) return;
    this.#dueAt = Infinity; // until this one is done: a disk that hangs is asked no more
    void this.#store.look().catch(this.#failed).then(() => (this.#dueAt = now + this.#beatMs));
  }

  /** Closes the store, which has failed. Its files are gone still, if that was why. */
  async closeAfter(error: unknown, logger: Logger): Promise<void> {
    try {
      await this.#store.close();
    } catch (reason) {
      const isNews = messageOf(reason) !== messageOf(error);
      if (isNews) logger.warn('store not closed', { reason: messageOf(reason) });
    }
  }
}
