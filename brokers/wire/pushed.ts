/**
 * What is pushed to all who have subscribed to one channel or pattern: encoded when the first of them
 * needs it, once for each protocol version, and held once however many have not read it yet.
 */
import type { Budget, SharedBytes } from '../core/budget.ts';
import { encodeReplies, type Push, type RespVersion } from './resp.ts';

export class Pushed {
  readonly #budget: Budget;
  readonly #values: () => readonly Push[];
  readonly #encoded = new Map<RespVersion, SharedBytes>();

  constructor(budget: Budget, values: () => readonly Push[]) {
    this.#budget = budget;
    this.#values = values;
  }

  /** All of it in a protocol version. */
  encoded(version: RespVersion): SharedBytes {
    let shared = this.#encoded.get(version);
    if (shared === undefined) {
      shared = this.#budget.share(encodeReplies(this.#values(), version));
      this.#encoded.set(version, shared);
    }
    return shared;
  }
}
