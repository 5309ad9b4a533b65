/**
 * The receiving side of gossip: from which neighbour each origin's records come.
 *
 * J. Leitao, J. Pereira, L. Rodrigues, "Epidemic Broadcast Trees", SRDS 2007 (Plumtree). One
 * broadcast tree an origin: eager links carry the records, lazy links only announce them (IHAVE,
 * here the version vector), a broker that misses something grafts, and prunes what it does not
 * want. Where we differ, and why:
 *   - The paper starts with every link eager and lets duplicates prune the tree. Here every link
 *     starts lazy and a broker grafts at exactly one neighbour, its parent in that origin's tree,
 *     so that not even the first payload is sent twice.
 *   - The parent of a neighbour's own origin is that neighbour, grafted as soon as the link is up:
 *     in a full mesh every tree is a star.
 *   - GRAFT carries seqs. The neighbour sends everything after them and goes on with what comes, so
 *     that live gossip, catch-up after a week and the repair of a loss are one mechanism.
 *   - One GRAFT names many origins, since a mesh knows the stores that it has now and those that it
 *     ever had. The neighbour looks up one place in its log, before all that is grafted, and sends
 *     from there in position order. Position order is causal, so what it sends of all that we lack
 *     can be stored as it comes.
 *
 * An origin is behind if a neighbour has announced more of it than is accepted here. What is owed is
 * kept by neighbour, so that nothing costs more the more names there are:
 *   owed    its parent has announced it. The parent sends one origin after another, so a long wait
 *           for one of them means nothing while it sends others: a parent stalls once no records
 *           have come from it for `stallMs`.
 *   adrift  its parent has not announced it, or what the parent sent was lost here. Each has
 *           `stallMs` of its own.
 * What has stalled is grafted at one neighbour. Batches that are here and wait for others
 * (hold-back) are no reason to ask again, as long as anything is accepted at all. Once nothing is,
 * they are asked for again together with what they wait for, so that all of it comes in one causal
 * order: whatever the mesh was doing, this makes progress.
 */
import type { Origin } from '../log/record.ts';

/** A neighbour, by the origin of its store. */
export type Neighbour = Origin;

/** An origin, and the seq after which its records are wanted. */
export type Wanted = readonly [origin: Origin, after: number];

export type PlumtreeEffect =
  | { readonly type: 'graft'; readonly to: Neighbour; readonly wanted: readonly Wanted[] }
  | { readonly type: 'prune'; readonly to: Neighbour; readonly origins: readonly Origin[] };

export interface PlumtreeOptions {
  readonly stallMs: number;
}

/** What is known of what is received. */
export interface Received {
  /** The highest seq of an origin that is stored or about to be. */
  accepted(origin: Origin): number;
  /** Whether batches of an origin are here and wait for others. */
  isHeldBack(origin: Origin): boolean;
}

/** A neighbour as a source of records. */
interface Source {
  readonly announced: Map<Origin, number>;
  readonly owed: Set<Origin>; // that it is the parent of
  cameAt: number; // when records came from it, or it began to owe some
}

/**
 * Since when an origin has been behind without a neighbour that sends it; `isLost` if its parent
 * thinks that it has sent it.
 */
interface Drift {
  readonly since: number;
  readonly isLost: boolean;
}

export class Plumtree {
  readonly #self: () => Origin;
  readonly #received: Received;
  readonly #options: PlumtreeOptions;
  readonly #sources = new Map<Neighbour, Source>();
  readonly #parents = new Map<Origin, Neighbour>();
  readonly #adrift = new Map<Origin, Drift>(); // the oldest first
  #acceptedAt = -Infinity;

  /** @param self the origin of this broker's own records, which nobody else can send */
  constructor(self: () => Origin, received: Received, options: PlumtreeOptions) {
    this.#self = self;
    this.#received = received;
    this.#options = options;
  }

  /** From whom an origin's records come. */
  parent(origin: Origin): Neighbour | undefined {
    return this.#parents.get(origin);
  }

  linkUp(neighbour: Neighbour, now: number): PlumtreeEffect[] {
    this.#sources.set(neighbour, { announced: new Map(), owed: new Set(), cameAt: now });
    return this.#graft(neighbour, [neighbour], now);
  }

  /**
   * What came from the neighbour is gone, so other neighbours are asked for it at once. Names the
   * origins that came from there.
   */
  linkDown(
    neighbour: Neighbour,
    now: number,
  ): { readonly orphans: readonly Origin[]; readonly effects: PlumtreeEffect[] } {
    this.#sources.delete(neighbour);
    const orphans = [...this.#parents].flatMap(([origin, parent]) => (parent === neighbour ? [origin] : []));
    const grafts = new Map<Neighbour, Origin[]>();
    for (const origin of orphans) {
      this.#parents.delete(origin);
      this.#adrift.delete(origin);
      const other = this.#mostAhead(origin);
      if (other !== undefined) entry(grafts, other).push(origin);
    }
    return { orphans, effects: [...grafts].flatMap(([other, origins]) => this.#graft(other, origins, now)) };
  }

  /** A neighbour has these seqs on disk. */
  announced(neighbour: Neighbour, entries: Iterable<readonly [Origin, number]>, now: number): PlumtreeEffect[] {
    const source = this.#sources.get(neighbour);
    if (source === undefined) return [];
    const wanted: Origin[] = [];
    for (const [origin, seq] of entries) {
      if (seq <= (source.announced.get(origin) ?? 0)) continue;
      source.announced.set(origin, seq);
      if (origin === this.#self() || seq <= this.#received.accepted(origin)) continue;
      const parent = this.#parents.get(origin);
      if (parent === undefined) wanted.push(origin);
      else if (parent === neighbour) this.#owe(source, origin, now);
      else if (!this.#isAhead(parent, origin)) this.#drift(origin, now, false);
    }
    return wanted.length === 0 ? [] : this.#graft(neighbour, wanted, now);
  }

  /** Records have come from a neighbour, or a part of them: now, or a while ago. */
  came(neighbour: Neighbour, at: number): void {
    const source = this.#sources.get(neighbour);
    if (source !== undefined) source.cameAt = Math.max(source.cameAt, at);
  }

  /** More of an origin was accepted. */
  progressed(origin: Origin, now: number): void {
    this.#acceptedAt = now;
    const isLost = this.#adrift.get(origin)?.isLost ?? false;
    const parent = this.#parents.get(origin);
    const isOwed = parent !== undefined && this.#isAhead(parent, origin);
    this.#adrift.delete(origin);
    if (!isOwed && parent !== undefined) this.#sources.get(parent)?.owed.delete(origin);
    if (isOwed ? isLost : this.#mostAhead(origin) !== undefined) this.#drift(origin, now, isLost);
  }

  /** What came of an origin could not be kept: its parent does not send it again by itself. */
  dropped(origin: Origin, now: number): void {
    this.#drift(origin, now, true);
  }

  /**
   * A transaction failed, so `accepted` has fallen: what neighbours announced long ago may be
   * missing again.
   */
  rolledBack(now: number): void {
    for (const { announced } of this.#sources.values()) {
      for (const [origin, seq] of announced) {
        if (origin !== this.#self() && seq > this.#received.accepted(origin)) this.#drift(origin, now, true);
      }
    }
  }

  /** Asks again for what has stalled, all of it at one neighbour. */
  tick(now: number): PlumtreeEffect[] {
    const stalled = [...this.#strandedAt(now), ...this.#owedInVain(now)];
    const neighbour = stalled.length === 0 ? undefined : this.#mostAhead(stalled[0]!, this.#parents.get(stalled[0]!));
    if (neighbour === undefined) return [];
    // the turn of others comes with the next tick
    return this.#graft(neighbour, stalled.filter((origin) => this.#isAhead(neighbour, origin)), now);
  }

  /** Those adrift for long. */
  #strandedAt(now: number): Origin[] {
    const stranded: Origin[] = [];
    for (const [origin, { since }] of this.#adrift) {
      if (now - since < this.#options.stallMs) break;
      if (this.#mostAhead(origin) === undefined) this.#adrift.delete(origin);
      else stranded.push(origin);
    }
    return stranded;
  }

  /** What is owed by neighbours from which nothing has come for long. */
  #owedInVain(now: number): Origin[] {
    const { stallMs } = this.#options;
    const isMoving = now - this.#acceptedAt < stallMs;
    return [...this.#sources.values()].flatMap((source) => {
      if (source.owed.size === 0 || now - source.cameAt < stallMs) return [];
      const owed = [...source.owed].filter(
        (origin) => !this.#adrift.has(origin) && !(isMoving && this.#received.isHeldBack(origin)),
      );
      if (owed.length === 0) source.cameAt = now; // all of it is here: it is looked at again in a while
      return owed;
    });
  }

  #graft(neighbour: Neighbour, origins: readonly Origin[], now: number): PlumtreeEffect[] {
    const prunes = new Map<Neighbour, Origin[]>();
    const source = this.#sources.get(neighbour)!;
    for (const origin of origins) {
      const before = this.#parents.get(origin);
      if (before !== undefined && before !== neighbour) {
        entry(prunes, before).push(origin);
        this.#sources.get(before)?.owed.delete(origin);
      }
      this.#parents.set(origin, neighbour);
      this.#adrift.delete(origin);
      if (this.#isAhead(neighbour, origin)) source.owed.add(origin);
    }
    source.cameAt = now;
    const effects: PlumtreeEffect[] = [...prunes].map(([to, pruned]) => ({ type: 'prune', to, origins: pruned }));
    return [
      ...effects,
      { type: 'graft', to: neighbour, wanted: origins.map((origin) => [origin, this.#received.accepted(origin)]) },
    ];
  }

  #owe(source: Source, origin: Origin, now: number): void {
    if (source.owed.size === 0) source.cameAt = now;
    source.owed.add(origin);
  }

  #drift(origin: Origin, now: number, isLost: boolean): void {
    const known = this.#adrift.get(origin);
    if (known === undefined || (isLost && !known.isLost)) {
      this.#adrift.set(origin, { since: known?.since ?? now, isLost });
    }
  }

  #isAhead(neighbour: Neighbour, origin: Origin): boolean {
    return (this.#sources.get(neighbour)?.announced.get(origin) ?? 0) > this.#received.accepted(origin);
  }

  /**
   * The neighbour that has announced most of an origin beyond what is accepted; `unlike` only if
   * no other has more.
   */
  #mostAhead(origin: Origin, unlike?: Neighbour): Neighbour | undefined {
    let best: Neighbour | undefined;
    let most = this.#received.accepted(origin);
    for (const [neighbour, { announced }] of this.#sources) {
      const seq = announced.get(origin) ?? 0;
      if (neighbour !== unlike && seq > most) [best, most] = [neighbour, seq];
    }
    return best ?? (unlike !== undefined && this.#isAhead(unlike, origin) ? unlike : undefined);
  }
}

function entry(map: Map<Neighbour, Origin[]>, neighbour: Neighbour): Origin[] {
  const known = map.get(neighbour) ?? [];
  map.set(neighbour, known);
  return known;
}
