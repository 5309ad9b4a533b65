/**
 * The receiving side of gossip: from which neighbour each origin's records come.
 *
 * J. Leitao, J. Pereira, L. Rodrigues, "Epidemic Broadcast Trees", SRDS 2007 (Plumtree). One broadcast tree an origin: eager links carry the
 * records, lazy links only announce them (IHAVE, here the version vector), a broker that misses something grafts, and prunes what it
 * does not want. Where we differ, and why:
 *   - The paper starts with every link eager and lets duplicates prune the tree. Here every link starts lazy and a broker grafts at exactly one
 *     neighbour, its parent in that origin's tree, so that not even the first payload is sent twice.
 *   - The parent of a neighbour's own origin is that neighbour, grafted as soon as the link is up: in a full mesh every tree is a star.
 *   - GRAFT carries a seq. The neighbour sends everything after it and goes on with what comes, so that live gossip, catch-up after a
 *     week and the repair of a loss are one mechanism.
 *
 * An origin stalls where a neighbour has announced more of it than we have accepted and nothing was accepted for `stallMs`. Then all that stalls is
 * grafted at one neighbour. A neighbour sends in its own position order, which is causal, so what it sends of all that we lack
 * can be stored as it comes: whatever the mesh was doing, this makes progress.
 */
import type { Origin } from './record.ts';

/** A neighbour, by the origin of its store. */
export type Neighbour = Origin;

export type PlumtreeEffect =
  | { readonly type: 'graft'; readonly to: Neighbour; readonly origin: Origin; readonly after: number }
  | { readonly type: 'prune'; readonly to: Neighbour; readonly origin: Origin };

export interface PlumtreeOptions {
  readonly stallMs: number;
}

export class Plumtree {
  readonly #self: () => Origin;
  readonly #accepted: (origin: Origin) => number;
  readonly #options: PlumtreeOptions;
  readonly #announced = new Map<Neighbour, Map<Origin, number>>();
  readonly #parents = new Map<Origin, Neighbour>();
  readonly #behindSince = new Map<Origin, number>(); // since when behind without progress

  /**
   * @param self the origin of this broker's own records, which nobody else can send
   * @param accepted the highest seq of an origin that is stored or about to be
   */
  constructor(self: () => Origin, accepted: (origin: Origin) => number, options: PlumtreeOptions) {
    this.#self = self;
    this.#accepted = accepted;
    this.#options = options;
  }

  /** From whom an origin's records come. */
  parent(origin: Origin): Neighbour | undefined {
    return this.#parents.get(origin);
  }

  linkUp(neighbour: Neighbour): PlumtreeEffect[] {
    this.#announced.set(neighbour, new Map());
    return this.#graft(neighbour, neighbour);
  }

  /** What came from the neighbour is gone, so other neighbours are asked for it at once. */
  linkDown(neighbour: Neighbour): PlumtreeEffect[] {
    this.#announced.delete(neighbour);
    const effects: PlumtreeEffect[] = [];
    for (const [origin, parent] of this.#parents) {
      if (parent !== neighbour) continue;
      this.#parents.delete(origin);
      const other = this.#mostAhead(origin);
      if (other !== undefined) effects.push(...this.#graft(other, origin));
    }
    return effects;
  }

  /** A neighbour has these seqs on disk. */
  announced(neighbour: Neighbour, entries: Iterable<readonly [Origin, number]>, now: number): PlumtreeEffect[] {
    const announced = this.#announced.get(neighbour);
    if (announced === undefined) return [];
    const effects: PlumtreeEffect[] = [];
    for (const [origin, seq] of entries) {
      if (seq <= (announced.get(origin) ?? 0)) continue;
      announced.set(origin, seq);
      if (origin === this.#self() || seq <= this.#accepted(origin)) continue;
      if (!this.#behindSince.has(origin)) this.#behindSince.set(origin, now);
      if (!this.#parents.has(origin)) effects.push(...this.#graft(neighbour, origin));
    }
    return effects;
  }

  /** More of an origin was accepted. */
  progressed(origin: Origin, now: number): void {
    if (!this.#behindSince.has(origin)) return;
    if (this.#mostAhead(origin) === undefined) this.#behindSince.delete(origin);
    else this.#behindSince.set(origin, now);
  }

  /** A transaction failed, so `accepted` has fallen: what neighbours announced long ago may be missing again. */
  rolledBack(now: number): void {
    for (const announced of this.#announced.values()) {
      for (const [origin, seq] of announced) {
        if (origin !== this.#self() && seq > this.#accepted(origin) && !this.#behindSince.has(origin)) this.#behindSince.set(origin, now);
      }
    }
  }

  /** Grafts anew what has stalled, all of it at one neighbour. */
  tick(now: number): PlumtreeEffect[] {
    const stalled: Origin[] = [];
    for (const [origin, since] of this.#behindSince) {
      if (this.#mostAhead(origin) === undefined) this.#behindSince.delete(origin);
      else if (now - since >= this.#options.stallMs) stalled.push(origin);
    }
    const first = stalled[0];
    if (first === undefined) return [];
    const neighbour = this.#mostAhead(first, this.#parents.get(first))!;
    const effects: PlumtreeEffect[] = [];
    for (const origin of stalled) {
      if (!this.#isAhead(neighbour, origin)) continue; // its turn comes with the next tick
      this.#behindSince.set(origin, now);
      effects.push(...this.#graft(neighbour, origin));
    }
    return effects;
  }

  #graft(neighbour: Neighbour, origin: Origin): PlumtreeEffect[] {
    const effects: PlumtreeEffect[] = [];
    const before = this.#parents.get(origin);
    if (before !== undefined && before !== neighbour) effects.push({ type: 'prune', to: before, origin });
    this.#parents.set(origin, neighbour);
    effects.push({ type: 'graft', to: neighbour, origin, after: this.#accepted(origin) });
    return effects;
  }

  #isAhead(neighbour: Neighbour, origin: Origin): boolean {
    return (this.#announced.get(neighbour)?.get(origin) ?? 0) > this.#accepted(origin);
  }

  /** The neighbour that has announced most of an origin beyond what is accepted; `unlike` only where nobody else has more. */
  #mostAhead(origin: Origin, unlike?: Neighbour): Neighbour | undefined {
    let best: Neighbour | undefined;
    let most = this.#accepted(origin);
    for (const [neighbour, announced] of this.#announced) {
      const seq = announced.get(origin) ?? 0;
      if (neighbour !== unlike && seq > most) [best, most] = [neighbour, seq];
    }
    return best ?? (unlike !== undefined && this.#isAhead(unlike, origin) ? unlike : undefined);
  }
}
