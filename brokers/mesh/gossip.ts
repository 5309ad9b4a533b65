/**
 * Gossip over the links: runs Plumtree, hold-back and the feeds, and performs their effects.
 *
 * A record's way: the log commits it; every feed that has its origin grafted sends it (pump); the
 * peer holds it back until it may be stored, hands it to its log, and after the commit tells
 * the peer that sent it, which is its acknowledgement. All others are told at the next tick: they
 * learn from it whom to ask for what they lack, and nobody waits for that.
 */
import type { Config } from '../config.ts';
import { RumormillError } from '../core/error.ts';
import type { Address } from '../core/address.ts';
import { Held, type HeldOf } from '../core/mesh/held.ts';
import { type End, Gathering } from '../core/log/gathering.ts';
import { type Group, HoldBack } from '../core/log/hold-back.ts';
import type { LamportClock } from '../core/log/lamport.ts';
import type { Log } from '../core/log/log.ts';
import type { BrokerId, Signatures } from '../core/mesh/identity.ts';
import { Plumtree, type PlumtreeEffect, type Wanted } from '../core/mesh/plumtree.ts';
import {
  dateBatch, hasIds, lastLamport, lastSeq, type Origin, type RecordBatch, type StoredBatch,
} from '../core/log/record.ts';
import type { RunningTime } from '../core/log/running-time.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import type { Store } from '../core/log/store.ts';
import type { Progress } from '../core/mesh/progress.ts';
import type { Link } from './link.ts';
import { Neighbour } from './neighbour.ts';
import { encodePeerMessage } from '../wire/peer-codec.ts';

/** Who has which seat. */
export interface Seated {
  /** Whether a broker has the seat at an address, and so its disk counts there. @param id this broker's by default */
  hasSeat(address: Address, id?: BrokerId): boolean;
}

export interface GossipRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly store: Store;
  readonly log: Log;
  readonly lamport: LamportClock;
  readonly time: RunningTime;
  readonly signatures: Signatures;
  readonly logger: Logger;
  members(): Seated;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

export class Gossip {
  /** Records received from peers, and how many of them were here already. */
  readonly received = { records: 0, duplicates: 0 };
  readonly #runtime: GossipRuntime;
  readonly #neighbours = new Map<Origin, Neighbour>();
  readonly #plumtree: Plumtree;
  readonly #gatherings = new Map<Origin, Gathering>(); // of each neighbour
  readonly #forked = new Set<Origin>(); // of these nothing more is taken in
  readonly #holdBack: HoldBack;
  readonly #held: Held;
  #frames = new WeakMap<StoredBatch, readonly Uint8Array[]>(); // what was committed last, as it goes to every link
  #untold = new Set<Origin>(); // that have grown since the last tick, and not every peer was told
  #telling = false; // of what is held, at the end of this turn

  constructor(runtime: GossipRuntime) {
    const { log, config } = runtime;
    this.#runtime = runtime;
    this.#holdBack = new HoldBack(
      (origin) => log.nextSeq(origin), (group) => this.#accept(group), config.limits.holdBackBytesMax,
      (origin) => this.#plumtree.dropped(origin, runtime.clock.now()),
    );
    const received = {
      accepted: (origin: Origin) => (this.#forked.has(origin) ? Number.MAX_SAFE_INTEGER : log.nextSeq(origin) - 1),
      isHeldBack: (origin: Origin) => this.#holdBack.has(origin),
    };
    this.#plumtree = new Plumtree(() => log.origin, received, config.limits);
    this.#held = new Held(2 * config.limits.membersMax);
  }

  /** Bytes of records that wait for what they depend on, or for the rest of their group. */
  get heldBackBytes(): number {
    return [...this.#gatherings.values()].reduce((sum, { bytes }) => sum + bytes, this.#holdBack.bytes);
  }

  /** What a peer has on disk, as far as it told. */
  vectorOf(link: Link): Progress['has'] | undefined {
    return this.#of(link)?.progress.has;
  }

  /** Bytes of records sent to each peer and not acknowledged. */
  get flyingBytes(): number[] {
    return [...this.#neighbours.values()].map(({ progress }) => progress.feed.flyingBytes);
  }

  #of(link: Link): Neighbour | undefined {
    return this.#neighbours.get(link.peer.origin);
  }

  linkUp(link: Link): void {
    const { origin } = link.peer;
    const { config: { limits }, signatures } = this.#runtime;
    this.#gatherings.set(origin, new Gathering((each) => this.#endOf(each), signatures, limits.gatheringBytesMax));
    const neighbour = new Neighbour(this.#runtime, link, {
      frame: (batch) => this.#frame(batch),
      placed: (each, origins) => this.#placed(each, origins),
    });
    this.#neighbours.set(origin, neighbour);
    this.#held.linkUp(origin);
    neighbour.greet();
    this.#perform(this.#plumtree.linkUp(origin, this.#runtime.clock.now()));
  }

  linkDown(link: Link): void {
    const { origin } = link.peer;
    this.#neighbours.delete(origin);
    this.#gatherings.delete(origin);
    this.#held.linkDown(origin);
    const { orphans, effects } = this.#plumtree.linkDown(origin, this.#runtime.clock.now());
    this.#perform(effects);
    for (const each of orphans) this.#held.rerouted(each);
    this.#tellHeld();
  }

  /** Tells what was not told at once, and asks again for what has stalled. */
  tick(): void {
    this.#frames = new WeakMap(); // they say how old a batch is
    for (const { link } of this.#neighbours.values()) {
      link.tick();
      this.#plumtree.came(link.peer.origin, link.recordsAt); // which may be a part of some that are not whole yet
    }
    this.announce(false);
    this.#perform(this.#plumtree.tick(this.#runtime.clock.now()));
  }

  /** A transaction failed: what peers sent and was not stored is to be fetched again. */
  rolledBack(): void {
    this.#holdBack.clear();
    for (const gathering of this.#gatherings.values()) gathering.clear();
    this.#plumtree.rolledBack(this.#runtime.clock.now());
    for (const neighbour of this.#neighbours.values()) neighbour.greet();
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
    for (const neighbour of this.#neighbours.values()) {
      neighbour.greet();
      void neighbour.pump();
      neighbour.tell([...news].filter(([origin]) => this.#isAwaited(neighbour, origin)), false);
      neighbour.link.flush(); // peers and publishers wait for it, and readers are still to be served here
    }
  }

  /**
   * Whether a peer waits to hear that records of an origin are here: it sent them, or they are
   * ours, or the first of theirs.
   */
  #isAwaited(neighbour: Neighbour, origin: Origin): boolean {
    return (
      origin === this.#runtime.log.origin ||
      this.#plumtree.parent(origin) === neighbour.origin ||
      !neighbour.progress.knows(origin)
    );
  }

  /** A peer has these seqs on disk. Says whether that is more than before. */
  learnVector(link: Link, entries: readonly (readonly [Origin, number])[]): boolean {
    const neighbour = this.#of(link)!;
    const { origin: peer, progress } = neighbour;
    let grew = false;
    for (const [origin, seq] of entries) {
      if (!progress.learn(origin, seq)) continue;
      if (progress.feed.has(origin)) this.#holds(neighbour, origin);
      grew = true;
    }
    neighbour.checkStores();
    this.#tellHeld();
    this.#perform(this.#plumtree.announced(peer, entries, this.#runtime.clock.now()));
    void neighbour.pump();
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
        if (holder === link.peer.origin && !this.#isSeated(link)) continue;
        if (stored === 0 || (origin === log.origin && seq > stored)) continue; // nobody can hold what we have not named
        if (this.#held.learn(origin, holder, seq)) grew = true;
        this.#held.knows(link.peer.origin, origin, claim);
      }
    }
    this.#tellHeld();
    return grew;
  }

  /**
   * How far another store holds an origin's records, as far as was told here: by itself if it has a link, which nobody
   * else can contradict, or else along the tree.
   */
  heldBy(origin: Origin, store: Origin): number {
    return this.#neighbours.get(store)?.progress.has.get(origin) ?? this.#held.get(origin, store);
  }

  /**
   * A batch has come that we grafted, and is so old.
   * @throws RumormillError PROTOCOL for one of our own: nobody else may name those
   */
  takeIn(link: Link, batch: RecordBatch, ageMs: number): void {
    if (batch.origin === this.#runtime.log.origin) {
      throw new RumormillError('PROTOCOL', 'it sends records of this very broker');
    }
    const { time } = this.#runtime;
    const entry = [batch.origin, lastSeq(batch)] as const;
    const now = this.#runtime.clock.now();
    const fate = this.#offer(link, hasIds(batch) ? dateBatch(batch, time.at(ageMs)) : batch);
    this.#of(link)!.progress.learn(...entry);
    this.received.records += batch.count;
    if (fate === 'duplicate') this.received.duplicates += batch.count;
    this.#plumtree.came(link.peer.origin, now);
    this.#perform(this.#plumtree.announced(link.peer.origin, [entry], now));
    if (fate === 'dropped') this.#plumtree.dropped(batch.origin, now);
  }

  /** How far records of an origin are checked. */
  #endOf(origin: Origin): End {
    const { log } = this.#runtime;
    const held = this.#holdBack.last(origin);
    return held === undefined
      ? { next: log.nextSeq(origin), head: log.head(origin) }
      : { next: lastSeq(held.batch) + 1, head: held.head };
  }

  /** Takes in a batch of a peer. Says what became of it. @throws RumormillError PROTOCOL if it cannot be right */
  #offer(link: Link, batch: RecordBatch): 'taken' | 'duplicate' | 'dropped' {
    if (this.#forked.has(batch.origin)) return 'duplicate';
    const group = this.#gatherings.get(link.peer.origin)!.offer(batch);
    if (group === 'duplicate' || group === 'dropped') return group;
    if (group === 'gathered') return 'taken';
    if (group === 'forked') {
      this.#forked.add(batch.origin);
      this.#runtime.logger.error('an origin has two histories, both signed by its owner; no more of it is taken in', {
        origin: batch.origin, record: batch.seq,
      });
      return 'duplicate';
    }
    if (group.head === undefined && !this.#isAgreed(batch)) return 'dropped';
    this.#runtime.lamport.witnessPeer(lastLamport(batch));
    const fate = this.#holdBack.offer(group, link.peer.id);
    return fate === 'duplicate' || fate === 'dropped' ? fate : 'taken';
  }

  /** Whether most neighbours have a record that nobody has signed, since it is of a version without proofs. */
  #isAgreed(batch: RecordBatch): boolean {
    const has = [...this.#neighbours.values()].filter(({ progress }) => progress.has.get(batch.origin) >= batch.seq);
    return 2 * (has.length + 1) > this.#neighbours.size;
  }

  #accept({ batches, head }: Group): void {
    this.#runtime.log.receive(batches, head);
    this.#plumtree.progressed(batches[0]!.origin, this.#runtime.clock.now());
  }

  #perform(effects: readonly PlumtreeEffect[]): void {
    for (const effect of effects) {
      const link = this.#neighbours.get(effect.to)?.link;
      const origins = effect.type === 'prune' ? effect.origins : effect.wanted.map(([origin]) => origin);
      for (const origin of origins) this.#gatherings.get(effect.to)?.drop(origin);
      if (effect.type === 'prune') {
        link?.send({ type: 'PRUNE', origins: effect.origins });
        continue;
      }
      for (const origin of origins) {
        this.#holdBack.drop(origin);
        this.#held.rerouted(origin);
      }
      link?.send({ type: 'GRAFT', wanted: effect.wanted });
    }
    this.#tellHeld();
  }

  /** The peer wants records of these origins, each after a seq. */
  graft(link: Link, wanted: readonly Wanted[]): void {
    void this.#of(link)?.graft(wanted);
  }

  /** Which may have come while the disk was searched. */
  #placed(neighbour: Neighbour, origins: Iterable<Origin>): void {
    for (const origin of origins) this.#holds(neighbour, origin);
    this.#tellHeld();
  }

  /** What a neighbour holds is told on, unless it goes by the address of a member without having its key. */
  #holds({ origin: peer, link, progress }: Neighbour, origin: Origin): void {
    if (this.#isSeated(link)) this.#held.learn(origin, peer, progress.has.get(origin));
  }

  #isSeated({ peer: { address, id } }: Link): boolean {
    return this.#runtime.members().hasSeat(address, id);
  }

  /** Other brokers have seats now: what they hold counts from the beginning. */
  reseated(): void {
    for (const neighbour of this.#neighbours.values()) this.#placed(neighbour, neighbour.progress.feed.origins());
  }

  prune(link: Link, origins: readonly Origin[]): void {
    this.#of(link)?.prune(origins);
  }

  /** Sends a peer what it has grafted and not got, as far as there is room. */
  pump(link: Link): void {
    if (link.isIntroduced) void this.#of(link)?.pump();
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

  /** Tells what is held towards the origins, once per turn. */
  #tellHeld(): void {
    if (this.#telling || !this.#held.hasUntold(this.#runtime.log.origin)) return;
    this.#telling = true;
    this.#runtime.clock.defer(() => {
      this.#telling = false;
      const news = new Map<Origin, HeldOf[]>(); // by neighbour
      for (const origin of this.#held.takeUntold()) this.#gatherHeld(origin, news);
      for (const [to, held] of news) this.#neighbours.get(to)?.link.send({ type: 'HELD', held });
    });
  }

  #gatherHeld(origin: Origin, news: Map<Origin, HeldOf[]>): void {
    const { log } = this.#runtime;
    if (origin === log.origin) return;
    const parent = this.#plumtree.parent(origin);
    if (parent === undefined) this.#held.learn(origin, log.origin, log.vector.get(origin));
    for (const to of parent === undefined ? this.#neighbours.keys() : [parent]) {
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
    for (const neighbour of this.#neighbours.values()) neighbour.tell(news, beat);
  }
}

function listOf(lists: Map<Origin, HeldOf[]>, to: Origin): HeldOf[] {
  const list = lists.get(to) ?? [];
  lists.set(to, list);
  return list;
}
