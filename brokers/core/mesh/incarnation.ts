/**
 * Whether a store may go on under its name: that is, whether its origin may name one record more
 * (invariant 1).
 *
 * A file may be an old copy: a backup put back, a folder copied to another machine. What it has
 * lost is still at its peers, and a new record under one of those names would look like a known one
 * to them and vanish silently (Basho, Riak issue kv679). The file itself cannot tell; its peers
 * can. If it may be a copy, the store takes a new origin. Its old one becomes an origin like any
 * other, and what is lost of it comes back by gossip.
 *
 * Each process that names records of a store that was there before it lives one life of it. Lives
 * are numbered, and the number is on disk at peers (lives.ts) before the first record of the
 * life is named. A peer keeps, of each store, the highest life and the process that claimed it, and
 * grants a life to one process only, and only above those that it knows.
 *
 * After an orderly stop the file says so, in its last write: this was life n, all that it named is
 * in here, and these rows, its electors, have life n on disk. A process that finds such a file
 * keeps the name if enough of the electors know life n and none later, and have granted it life n +
 * 1. Why no name is used twice:
 *   1. Files that say that life n has stopped are all the same file: only the one process that was
 *      granted life n writes that, and it names nothing afterwards.
 *   2. All of them name the same electors and need the same number of them. Any two such numbers of
 *      electors overlap, in more electors than may have lost their disks too (`neededOf`). One that
 *      is in both grants life n + 1 once. So of all copies one at most goes on, and a copy from
 *      before that is told of a later life. It does not matter which rows are down, as long as
 *      those that are needed answer; one's own file is no witness, since it is the one in question.
 *   3. An elector that has lost its disk does not know life n, and counts for nothing.
 * Half of the rows, rounded down, are electors, or more: with oneself that is a majority. A row
 * that is down when a broker stops is no elector, so a mesh with a dead row keeps its names. Of
 * more electors some may be down at the next start; as many are taken as allow for most, the fewest
 * of those.
 *
 * Any other file was left in the middle of a life: by a crash, or copied meanwhile. Then every
 * configured broker is asked, and has to grant the next life: if none holds more of the origin than
 * the file, and none knows of a later life, the origin stays.
 *
 * Either way, if a record waits and somebody who is needed cannot be asked in time, the store takes
 * a new origin. A name that was just drawn needs nobody's leave: there is no copy of it, and of its
 * file none that could go on under it before its life 1 is known.
 */
import type { Address } from '../address.ts';
import type { Electors, Lived } from '../log/life.ts';

export type Verdict = { readonly keep: true } | { readonly keep: false; readonly reason: string };

/**
 * How many of so many electors have to grant a life, so that any two such groups have more in
 * common than those other rows that may have lost their disks together with the store itself: of
 * all rows, a minority may.
 */
export function neededOf(electors: number, rows: number): number {
  const lost = Math.max(0, Math.floor((rows - 1) / 2) - 1);
  return Math.ceil((electors + lost + 1) / 2);
}

/**
 * Who elects the next life of a store that stops.
 * @param granted rows, without oneself, that have its life on disk; those first that are likely to
 *   be there at the next start
 * @param rows how many there are, oneself included
 */
export function chooseElectors(granted: readonly Address[], rows: number): Electors | undefined {
  const least = Math.floor(rows / 2);
  if (least === 0 || granted.length < least) return undefined;
  let count = least;
  for (let more = least + 1; more <= granted.length; more += 1) {
    if (more - neededOf(more, rows) > count - neededOf(count, rows)) count = more;
  }
  return { rows: granted.slice(0, count), needed: neededOf(count, rows) };
}

/** What a peer knows of the store's lives. */
interface Testimony {
  readonly life: number;
  readonly isOurs: boolean; // it was claimed by this process
}

export class Incarnation {
  /** The life that this process asks for. */
  readonly life: number;
  readonly #lived: Lived;
  readonly #heard = new Map<Address, number>();
  readonly #testimonies = new Map<Address, Testimony>();
  #doubt: string | undefined;

  constructor(lived: Lived) {
    this.#lived = lived;
    this.life = lived.life + 1;
  }

  /** A broker has told how far it holds this store's origin. */
  heard(peer: Address, seq: number): void {
    this.#heard.set(peer, Math.max(seq, this.#heard.get(peer) ?? 0));
  }

  /**
   * A broker has this life of the store on disk, 0 for none, and whether this process claimed it.
   */
  told(peer: Address, life: number, isOurs: boolean): void {
    this.#testimonies.set(peer, { life, isOurs });
  }

  /** Another process runs on a store of this name. */
  copied(peer: Address): void {
    this.#doubt = `${peer} runs on a copy of it`;
  }

  /**
   * Who is to grant the life: nobody before all that are needed have told what they know, since a
   * life is granted once.
   */
  candidates(configured: readonly Address[]): readonly Address[] {
    const { electors, life } = this.#lived;
    if (electors === undefined) {
      return configured.every((row) => this.#heard.has(row) && this.#testimonies.has(row)) ? configured : [];
    }
    const knowing = electors.rows.filter((row) => this.#testimonies.get(row)?.life === life || this.#hasGranted(row));
    return knowing.length >= electors.needed ? knowing : [];
  }

  /**
   * @param configured the other brokers of globalState.csv
   * @param held how far the file holds its own origin
   * @param urgent whether a record has waited for its name long enough
   */
  verdict(configured: readonly Address[], held: number, urgent: boolean): Verdict | undefined {
    const reason = this.#doubt ?? this.#foundMore(held, urgent);
    if (reason !== undefined) return { keep: false, reason };
    const asked = this.#lived.electors?.rows ?? configured;
    const missing = asked.filter((row) => !this.#hasGranted(row));
    if (asked.length - missing.length >= (this.#lived.electors?.needed ?? configured.length)) return { keep: true };
    return urgent
      ? { keep: false, reason: `${missing.join(', ')} could not be asked whether it is the newest copy` }
      : undefined;
  }

  /**
   * What shows that the file is an old copy. A peer says of its life what it knows before it has
   * told all that it holds.
   */
  #foundMore(held: number, urgent: boolean): string | undefined {
    for (const [peer, seq] of this.#heard) {
      if (seq > held) return `${peer} holds ${seq - held} records of it that it has lost`;
    }
    for (const [peer, { life, isOurs }] of this.#testimonies) {
      if (life < this.life || isOurs || !(this.#heard.has(peer) || urgent)) continue;
      return `${peer} knows a later life of it`;
    }
    return undefined;
  }

  #hasGranted(row: Address): boolean {
    const testimony = this.#testimonies.get(row);
    return testimony !== undefined && testimony.isOurs && testimony.life === this.life;
  }
}
