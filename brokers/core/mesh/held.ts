/**
 * Held: how far brokers without a link to an origin hold its records, told back along that origin's
 * tree. Acknowledgements are counted from it in a partial mesh; a neighbour of the origin tells the
 * same by its version vector.
 *
 * A claim is (origin, holder, seq): the store `holder` has the origin's records up to `seq` on
 * disk. A broker learns claims from the vectors of neighbours that have grafted the origin here,
 * and from what those were told in turn. It tells its own parent in that tree what is news to the
 * parent. A broker that has no parent there tells every neighbour, since one of them has one.
 *
 * Of a broker with a link only its own vector counts. Why a claim is not false either, as long as no
 * member lies (invariant 5): it is made by the holder's own vector, which shows what is on disk; it is
 * only ever passed on; and it names a store, not an address. A wiped broker
 * is another store, for which nobody has claimed anything. The origin counts of each address only
 * the store that it runs now (hearsay.ts); until it hears of the new one, what it counts is
 * what was on that disk when it was claimed, as with any answer that is on its way while a disk is
 * lost. Which way a claim took, and how late it comes, does not matter: seqs only grow.
 */
import type { Neighbour } from './plumtree.ts';
import { type Origin, originAddress } from '../log/record.ts';

/** A store, and how far it holds the records of the origin in question. */
export type Claim = readonly [holder: Origin, seq: number];

/** Claims of one origin. */
export type HeldOf = readonly [origin: Origin, claims: readonly Claim[]];

type Seqs = Map<Origin, number>; // of holders

const STORES_MAX = 4; // of one broker, that claims of one origin are kept of; then the one that came first goes

export class Held {
  readonly #holdersMax: number;
  readonly #claims = new Map<Origin, Seqs>();
  readonly #told = new Map<Neighbour, Map<Origin, Seqs>>();
  readonly #untold = new Set<Origin>();

  /** @param holdersMax most stores that claims of one origin are kept of; others are ignored */
  constructor(holdersMax: number) {
    this.#holdersMax = holdersMax;
  }

  /** How far a store holds an origin's records, as far as is claimed here; 0 for nothing. */
  get(origin: Origin, holder: Origin): number {
    return this.#claims.get(origin)?.get(holder) ?? 0;
  }

  /** Says whether the claim is more than was known. */
  learn(origin: Origin, holder: Origin, seq: number): boolean {
    const seqs = entry(this.#claims, origin);
    if (!seqs.has(holder)) this.#makeRoom(origin, seqs, holder);
    const grew = (seqs.has(holder) || seqs.size < this.#holdersMax) && advance(seqs, holder, seq);
    if (grew) this.#untold.add(origin);
    return grew;
  }

  /** Of one broker only a few stores are remembered: made-up ones push each other out, and no store of another one. */
  #makeRoom(origin: Origin, seqs: Seqs, holder: Origin): void {
    const address = originAddress(holder);
    const stores = [...seqs.keys()].filter((store) => originAddress(store) === address);
    if (stores.length < STORES_MAX) return;
    seqs.delete(stores[0]!);
    for (const told of this.#told.values()) told.get(origin)?.delete(stores[0]!);
  }

  linkUp(neighbour: Neighbour): void {
    this.#told.set(neighbour, new Map());
  }

  linkDown(neighbour: Neighbour): void {
    this.#told.delete(neighbour);
  }

  /**
   * An origin's records come from another neighbour now, or from none: whatever is claimed may have
   * to be told again.
   */
  rerouted(origin: Origin): void {
    this.#untold.add(origin);
  }

  /**
   * Whether there may be something to tell, apart from claims of one's own records: those end here.
   */
  hasUntold(own: Origin): boolean {
    return this.#untold.size > (this.#untold.has(own) ? 1 : 0);
  }

  /** The origins that there may be something to tell of. */
  takeUntold(): Origin[] {
    const untold = [...this.#untold];
    this.#untold.clear();
    return untold;
  }

  /** The claims that a neighbour did not make and has not been told. Count as told. */
  news(to: Neighbour, origin: Origin): Claim[] {
    const told = this.#told.get(to);
    const claims = this.#claims.get(origin);
    if (told === undefined || claims === undefined) return [];
    const seqs = entry(told, origin);
    return [...claims].filter(([holder, seq]) => holder !== to && advance(seqs, holder, seq));
  }

  /** A neighbour made or passed on a claim, so it need not be told. */
  knows(neighbour: Neighbour, origin: Origin, [holder, seq]: Claim): void {
    const told = this.#told.get(neighbour);
    const isKept = this.#claims.get(origin)?.has(holder) === true;
    if (told !== undefined && isKept) advance(entry(told, origin), holder, seq);
  }
}

function entry(map: Map<Origin, Seqs>, origin: Origin): Seqs {
  const known = map.get(origin) ?? new Map<Origin, number>();
  map.set(origin, known);
  return known;
}

function advance(seqs: Seqs, holder: Origin, seq: number): boolean {
  if (seq <= (seqs.get(holder) ?? 0)) return false;
  seqs.set(holder, seq);
  return true;
}
