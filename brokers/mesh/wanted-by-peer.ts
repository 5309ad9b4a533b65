/**
 * What one peer has grafted, on its way into its feed: looks up the place in the log
 * before which the peer lacks nothing of it.
 *
 * One look-up at a time per link; what the peer asks for meanwhile is gathered and looked
 * up together. So a peer that grafts thousands of origins, one by one or again and again, lets no
 * more reads wait than one that grafts one. What is grafted or pruned while its place is looked up
 * does not get that place.
 */
import type { Feed } from '../core/mesh/feed.ts';
import type { Wanted } from '../core/mesh/plumtree.ts';
import type { Origin } from '../core/log/record.ts';
import type { Log } from '../core/log/log.ts';
import type { Store } from '../core/log/store.ts';
import type { Link } from './link.ts';

export interface WantedRuntime {
  readonly log: Log;
  readonly store: Store;
}

export class WantedByPeer {
  readonly #runtime: WantedRuntime;
  readonly #link: Link;
  readonly #feed: Feed;
  readonly #placed: (origins: Iterable<Origin>) => void;
  #wanted = new Map<Origin, number>(); // after which seq; for the next look-up
  #placing = new Map<Origin, number>(); // in the one under way
  #isPlacing = false;

  /** @param placed told which origins are in the feed now */
  constructor(runtime: WantedRuntime, link: Link, feed: Feed, placed: (origins: Iterable<Origin>) => void) {
    this.#runtime = runtime;
    this.#link = link;
    this.#feed = feed;
    this.#placed = placed;
  }

  /** The peer wants records of these origins after these seqs. @throws RumormillError STORE */
  async graft(wanted: Iterable<Wanted>): Promise<void> {
    for (const [origin, after] of wanted) {
      this.prune([origin]);
      this.#wanted.set(origin, after);
    }
    if (this.#isPlacing) return;
    this.#isPlacing = true;
    try {
      while (this.#wanted.size > 0 && this.#link.isOpen) await this.#place();
    } finally {
      this.#isPlacing = false;
    }
  }

  /** The peer wants no more of these origins. */
  prune(origins: Iterable<Origin>): void {
    for (const origin of origins) {
      this.#wanted.delete(origin);
      this.#placing.delete(origin);
      this.#feed.prune(origin);
    }
  }

  async #place(): Promise<void> {
    const { log, store } = this.#runtime;
    this.#placing = this.#wanted;
    this.#wanted = new Map();
    const behind = [...this.#placing].filter(([origin, after]) => after < log.vector.get(origin));
    const position = behind.length === 0 ? log.position : await store.positionBefore(behind);
    if (!this.#link.isOpen) return;
    this.#feed.graft(this.#placing, position);
    const placed = this.#placing.keys();
    this.#placing = new Map();
    this.#placed(placed);
  }
}
