/**
 * Gossip with one peer over its link: greets it, tells it what is new, and sends what it grafted.
 *
 * What is known of the peer is in `core/mesh/progress.ts`; what it grafts is looked up in `wanted-by-peer.ts`.
 */
import type { Config } from '../config.ts';
import { RumormillError } from '../core/error.ts';
import type { LamportClock } from '../core/log/lamport.ts';
import type { Log } from '../core/log/log.ts';
import type { Origin, StoredBatch } from '../core/log/record.ts';
import type { Wanted } from '../core/mesh/plumtree.ts';
import { Progress } from '../core/mesh/progress.ts';
import type { Store } from '../core/log/store.ts';
import { WantedByPeer } from './wanted-by-peer.ts';
import type { Link } from './link.ts';

export interface NeighbourRuntime {
  readonly config: Config;
  readonly store: Store;
  readonly log: Log;
  readonly lamport: LamportClock;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

export interface NeighbourEvents {
  /** A batch as it goes to every peer. */
  frame(batch: StoredBatch): readonly Uint8Array[];
  /** These origins are in the feed now, at a place before which the peer lacks nothing of them. */
  placed(neighbour: Neighbour, origins: Iterable<Origin>): void;
}

export class Neighbour {
  readonly link: Link;
  readonly progress: Progress;
  readonly #runtime: NeighbourRuntime;
  readonly #events: NeighbourEvents;
  readonly #grafts: WantedByPeer;
  #isPumping = false;

  constructor(runtime: NeighbourRuntime, link: Link, events: NeighbourEvents) {
    const { log, config } = runtime;
    this.#runtime = runtime;
    this.#events = events;
    this.link = link;
    this.progress = new Progress(log.position, config.limits.linkWindowBytes);
    this.#grafts = new WantedByPeer(runtime, link, this.progress.feed, (origins) => {
      events.placed(this, origins);
      void this.pump();
    });
  }

  /** The name of its store. */
  get origin(): Origin {
    return this.link.peer.origin;
  }

  /**
   * The first vector over a link says how much we hold of the peer's own records, by which a
   * restored store decides whether it may go on under its name. So it waits for what an earlier
   * life of the peer sent us and is not on disk yet; the rest of it was dropped with its link.
   */
  greet(): void {
    const { log } = this.#runtime;
    if (this.progress.isGreeted || log.nextSeq(this.origin) - 1 > log.vector.get(this.origin)) return;
    this.progress.greet();
    this.tell(log.vector.snapshot(), true);
  }

  /** Says what of this is news to it; with `always` even nothing, which says that we are alive. */
  tell(vector: Iterable<readonly [Origin, number]>, always: boolean): void {
    if (!this.progress.isGreeted) return;
    const entries = this.progress.news(vector);
    if (entries.length > 0 || always) {
      this.link.send({ type: 'VECTOR', lamport: this.#runtime.lamport.time, entries });
    }
  }

  /** @throws RumormillError PROTOCOL if it tells of more stores than a mesh can have besides those known here */
  checkStores(): void {
    const { log, config } = this.#runtime;
    const most = config.limits.storesAheadMax + log.vector.size;
    if (this.progress.has.size <= most) return;
    throw new RumormillError('PROTOCOL', `it tells of more than ${most} stores, and ${log.vector.size} are known here`);
  }

  /** It wants records of these origins, each after a seq; those of stores that are not known here fill no table. */
  async graft(wanted: readonly Wanted[]): Promise<void> {
    const { log } = this.#runtime;
    try {
      await this.#grafts.graft(wanted.filter(([origin]) => origin === log.origin || log.vector.get(origin) > 0));
    } catch (error) {
      this.#runtime.storeFailed(error);
    }
  }

  /** It wants no more of these origins. */
  prune(origins: Iterable<Origin>): void {
    this.#grafts.prune(origins);
  }

  /** Sends what it has grafted and not got, as far as its window and the path allow. One pump at a time. */
  async pump(): Promise<void> {
    const { log, config, storeFailed } = this.#runtime;
    const { link, progress: { feed } } = this;
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (link.isOpen && link.isRoomy && feed.open && feed.position < log.position) {
        const from = feed.position;
        const reading = log.readAfter(from, undefined, Math.min(config.limits.readBytesMax, link.windowBytes));
        const page = reading instanceof Promise ? await reading : reading;
        if (feed.position !== from) continue; // a graft moved it back meanwhile
        this.#send(page.batches);
        if (feed.open && link.isRoomy) feed.position = Math.max(feed.position, page.through);
      }
    } catch (error) {
      storeFailed(error);
    } finally {
      this.#isPumping = false;
    }
  }

  #send(batches: readonly StoredBatch[]): void {
    for (const batch of batches) {
      if (!this.progress.feed.open || !this.link.isRoomy) return;
      if (this.progress.pass(batch)) this.link.sendRecords(this.#events.frame(batch));
    }
  }
}
