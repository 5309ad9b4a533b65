/**
 * Gossip over the links: runs Plumtree, hold-back and the feeds, and performs their effects.
 *
 * A record's way: the log commits it; every feed that has its origin grafted sends it (pump); the
 * peer holds it back until it may be stored, hands it to its log, and after the commit tells
 * whoever sent it, which is its acknowledgement. Everybody else is told at the next tick: they
 * learn from it whom to ask for what they lack, and nobody waits for that.
 */
import type { Config } from '../config.ts';
import { RumormillError } from '../core/error.ts';
import { Held, type HeldOf } from '../core/mesh/held.ts';
import { HoldBack } from '../core/log/hold-back.ts';
import type { LamportClock } from '../core/log/lamport.ts';
import type { Log } from '../core/log/log.ts';
import { Plumtree, type PlumtreeEffect, type Wanted } from '../core/mesh/plumtree.ts';
import {
  dateBatch, hasIds, lastLamport, lastSeq, type Origin, type RecordBatch, type StoredBatch,
} from '../core/log/record.ts';
import type { RunningTime } from '../core/log/running-time.ts';
import type { Clock } from '../core/runtime.ts';
import type { Store } from '../core/log/store.ts';
import { Grafts } from './grafts.ts';
import type { Link } from './link.ts';
import { encodePeerMessage } from '../wire/peer-codec.ts';

export interface GossipRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly store: Store;
  readonly log: Log;
  readonly lamport: LamportClock;
  readonly time: RunningTime;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

export class Gossip {
  /** Records received from peers, and how many of them were here already. */
  readonly received = { records: 0, duplicates: 0 };
  readonly #runtime: GossipRuntime;
  readonly #links = new Map<Origin, Link>();
  readonly #grafts = new WeakMap<Link, Grafts>();
  readonly #plumtree: Plumtree;
  readonly #holdBack: HoldBack;
  readonly #held: Held;
  #frames = new WeakMap<StoredBatch, readonly Uint8Array[]>(); // what was committed last, as it goes to every link
  #untold = new Set<Origin>(); // that have grown since the last tick, of which not every peer was told
  #telling = false; // of what is held, at the end of this turn

  constructor(runtime: GossipRuntime) {
    const { log, config } = runtime;
    this.#runtime = runtime;
    this.#holdBack = new HoldBack(
      (origin) => log.nextSeq(origin), (batch) => this.#accept(batch), config.limits.holdBackBytesMax,
    );
    const received = {
      accepted: (origin: Origin) => log.nextSeq(origin) - 1,
      isHeldBack: (origin: Origin) => this.#holdBack.has(origin),
    };
    this.#plumtree = new Plumtree(() => log.origin, received, config.limits);
    this.#held = new Held(2 * config.limits.membersMax);
  }

  /** Bytes of records that wait for what they depend on. */
  get heldBackBytes(): number {
    return this.#holdBack.bytes;
  }

  linkUp(link: Link): void {
    this.#links.set(link.peer.origin, link);
    this.#grafts.set(link, new Grafts(this.#runtime, link, (origins) => this.#placed(link, origins)));
    this.#held.linkUp(link.peer.origin);
    this.#greet(link);
    this.#perform(this.#plumtree.linkUp(link.peer.origin, this.#runtime.clock.now()));
  }

  /**
   * The first vector over a link says how much we hold of the peer's own records, by which a
   * restored store decides whether it may go on under its name. So it waits for what an earlier
   * life of the peer sent us and is not on disk yet; the rest of it was dropped with its link.
   */
  #greet(link: Link): void {
    const { log } = this.#runtime;
    if (link.greeted || log.nextSeq(link.peer.origin) - 1 > log.vector.get(link.peer.origin)) return;
    link.greeted = true;
    this.#tell(link, log.vector.snapshot(), true);
  }

  linkDown(link: Link): void {
    this.#links.delete(link.peer.origin);
    this.#held.linkDown(link.peer.origin);
    const { orphans, effects } = this.#plumtree.linkDown(link.peer.origin, this.#runtime.clock.now());
    this.#perform(effects);
    for (const origin of orphans) this.#held.rerouted(origin);
    this.#tellHeld();
  }

  /** Tells what was not told at once, and asks anew for what has stalled. */
  tick(): void {
    this.#frames = new WeakMap(); // they say how old a batch is
    for (const link of this.#links.values()) {
      link.tick();
      this.#plumtree.came(link.peer.origin, link.recordsAt); // which may be a part of some that are not whole yet
    }
    this.announce(false);
    this.#perform(this.#plumtree.tick(this.#runtime.clock.now()));
  }

  /** A transaction failed: what peers sent and was not stored is to be fetched again. */
  rolledBack(): void {
    this.#holdBack.clear();
    this.#plumtree.rolledBack(this.#runtime.clock.now());
    for (const link of this.#links.values()) this.#greet(link);
  }

  /**
   * Records are on disk: those of them that were grafted go out, and who waits for it learns that
   * they are here.
   */
  committed(batches: readonly StoredBatch[]): void {
    this.#frames = new WeakMap();
    const news = new Map<Origin, number>();
    for (const batch of batches) {
      news.set(batch.origin, lastSeq(batch));
      this.#untold.add(batch.origin);
    }
    for (const link of this.#links.values()) {
      this.#greet(link);
      void this.pump(link);
      this.#tell(link, [...news].filter(([origin]) => this.#isAwaited(link, origin)), false);
      link.flush(); // peers and publishers wait for it, and readers are still to be served here
    }
  }

  /**
   * Whether a peer waits to hear that records of an origin are here: it sent them, or they are
   * ours, or the first of theirs.
   */
  #isAwaited(link: Link, origin: Origin): boolean {
    return (
      origin === this.#runtime.log.origin ||
      this.#plumtree.parent(origin) === link.peer.origin ||
      link.told.get(origin) === 0
    );
  }

  /** A peer has these seqs on disk. Says whether that is more than before. */
  learnVector(link: Link, entries: readonly (readonly [Origin, number])[]): boolean {
    let grew = false;
    for (const [origin, seq] of entries) {
      if (!link.vector.advance(origin, seq)) continue;
      link.feed.acknowledged(origin, seq);
      if (link.feed.has(origin)) this.#held.learn(origin, link.peer.origin, seq);
      grew = true;
    }
    this.#tellHeld();
    this.#perform(this.#plumtree.announced(link.peer.origin, entries, this.#runtime.clock.now()));
    void this.pump(link);
    return grew;
  }

  /**
   * Stores hold origins' records up to these seqs, says a peer. Says whether that is more than
   * before.
   */
  learnHeld(link: Link, held: readonly HeldOf[]): boolean {
    const { log } = this.#runtime;
    let grew = false;
    for (const [origin, claims] of held) {
      const stored = log.vector.get(origin);
      for (const claim of claims) {
        const [holder, seq] = claim;
        if (stored === 0 || (origin === log.origin && seq > stored)) continue; // nobody can hold what we have not named
        this.#held.knows(link.peer.origin, origin, claim);
        if (this.#held.learn(origin, holder, seq)) grew = true;
      }
    }
    this.#tellHeld();
    return grew;
  }

  /** How far a store without a link holds an origin's records, as far as was told here. */
  heldBy(origin: Origin, store: Origin): number {
    return this.#held.get(origin, store);
  }

  /**
   * A batch has come that we grafted, and is so old.
   * @throws RumormillError PROTOCOL for one of our own: nobody else may name those
   */
  takeIn(link: Link, batch: RecordBatch, ageMs: number): void {
    if (batch.origin === this.#runtime.log.origin) {
      throw new RumormillError('PROTOCOL', 'it sends records of this very broker');
    }
    const { lamport, time } = this.#runtime;
    const entry = [batch.origin, lastSeq(batch)] as const;
    lamport.witnessPeer(lastLamport(batch));
    link.vector.advance(...entry);
    link.feed.acknowledged(...entry);
    this.received.records += batch.count;
    const now = this.#runtime.clock.now();
    const fate = this.#holdBack.offer(hasIds(batch) ? dateBatch(batch, time.at(ageMs)) : batch);
    if (fate === 'duplicate') this.received.duplicates += batch.count;
    this.#plumtree.came(link.peer.origin, now);
    this.#perform(this.#plumtree.announced(link.peer.origin, [entry], now));
    if (fate === 'dropped') this.#plumtree.dropped(batch.origin, now);
  }

  #accept(batch: RecordBatch): void {
    this.#runtime.log.receive(batch);
    this.#plumtree.progressed(batch.origin, this.#runtime.clock.now());
  }

  #perform(effects: readonly PlumtreeEffect[]): void {
    for (const effect of effects) {
      const link = this.#links.get(effect.to);
      if (effect.type === 'prune') {
        link?.send({ type: 'PRUNE', origins: effect.origins });
        continue;
      }
      for (const [origin] of effect.wanted) {
        this.#holdBack.drop(origin);
        this.#held.rerouted(origin);
      }
      link?.send({ type: 'GRAFT', wanted: effect.wanted });
    }
    this.#tellHeld();
  }

  /** The peer wants records of these origins, each after a seq. */
  async graft(link: Link, wanted: readonly Wanted[]): Promise<void> {
    try {
      await this.#grafts.get(link)?.graft(wanted);
    } catch (error) {
      this.#runtime.storeFailed(error);
    }
  }

  #placed(link: Link, origins: Iterable<Origin>): void {
    // which may have come while the disk was searched
    for (const origin of origins) this.#held.learn(origin, link.peer.origin, link.vector.get(origin));
    this.#tellHeld();
    void this.pump(link);
  }

  prune(link: Link, origins: readonly Origin[]): void {
    this.#grafts.get(link)?.prune(origins);
  }

  /**
   * Sends what the peer has grafted and not got, as far as its window and the path allow. One at a
   * time a link.
   */
  async pump(link: Link): Promise<void> {
    const { log, config, storeFailed } = this.#runtime;
    const { feed } = link;
    if (link.pumping) return;
    link.pumping = true;
    try {
      while (link.isOpen && link.isRoomy && feed.open && feed.position < log.position) {
        const from = feed.position;
        const reading = log.readAfter(from, undefined, Math.min(config.limits.readBytesMax, link.windowBytes));
        const page = reading instanceof Promise ? await reading : reading;
        if (feed.position !== from) continue; // a graft moved it back meanwhile
        this.#send(link, page.batches);
        if (feed.open && link.isRoomy) feed.position = Math.max(feed.position, page.through);
      }
    } catch (error) {
      storeFailed(error);
    } finally {
      link.pumping = false;
    }
  }

  #send(link: Link, batches: readonly StoredBatch[]): void {
    for (const batch of batches) {
      if (!link.feed.open || !link.isRoomy) return;
      if (!link.feed.pass(batch)) continue;
      link.sendRecords(this.#frame(batch));
      link.told.advance(batch.origin, lastSeq(batch));
    }
  }

  #frame(batch: StoredBatch): readonly Uint8Array[] {
    const known = this.#frames.get(batch);
    if (known !== undefined) return known;
    const frame = encodePeerMessage({
      type: 'RECORDS', batch, ageMs: hasIds(batch) ? this.#runtime.time.age(batch.seen ?? 0) : 0,
    });
    this.#frames.set(batch, frame);
    return frame;
  }

  /** Tells what is held towards the origins, once a turn. */
  #tellHeld(): void {
    if (this.#telling || !this.#held.hasUntold(this.#runtime.log.origin)) return;
    this.#telling = true;
    this.#runtime.clock.defer(() => {
      this.#telling = false;
      const news = new Map<Origin, HeldOf[]>(); // by neighbour
      for (const origin of this.#held.takeUntold()) this.#gatherHeld(origin, news);
      for (const [to, held] of news) this.#links.get(to)?.send({ type: 'HELD', held });
    });
  }

  #gatherHeld(origin: Origin, news: Map<Origin, HeldOf[]>): void {
    const { log } = this.#runtime;
    if (origin === log.origin) return;
    const parent = this.#plumtree.parent(origin);
    if (parent === undefined) this.#held.learn(origin, log.origin, log.vector.get(origin));
    for (const to of parent === undefined ? this.#links.keys() : [parent]) {
      const claims = this.#held.news(to, origin);
      if (claims.length > 0) listOf(news, to).push([origin, claims]);
    }
  }

  /**
   * Tells every peer what is new on disk since it was told; at a beat even nothing, which says that
   * we are alive.
   */
  announce(beat: boolean): void {
    const { log } = this.#runtime;
    const news = [...this.#untold].map((origin) => [origin, log.vector.get(origin)] as const);
    this.#untold.clear();
    for (const link of this.#links.values()) this.#tell(link, news, beat);
  }

  #tell(link: Link, vector: Iterable<readonly [Origin, number]>, always: boolean): void {
    if (!link.greeted) return;
    const entries = [...vector].filter(([origin, seq]) => link.told.advance(origin, seq));
    if (entries.length > 0 || always) link.send({ type: 'VECTOR', lamport: this.#runtime.lamport.time, entries });
  }
}

function listOf(lists: Map<Origin, HeldOf[]>, to: Origin): HeldOf[] {
  const list = lists.get(to) ?? [];
  lists.set(to, list);
  return list;
}
