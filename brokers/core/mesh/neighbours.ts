/**
 * Neighbours: the brokers that a broker keeps links with if the mesh is larger than its fan-out.
 *
 * Two kinds of links, as in HyParView's and Chord's successors; J. Leitao, J. Pereira, L. Rodrigues, "HyParView", DSN
 * 2007; I. Stoica et al., "Chord", SIGCOMM 2001, section IV.E:
 *   - Ring. Brokers are on a ring in the order of their addresses' hashes, which scatters machines that are side by
 *   side. Each keeps a link with
 *     its nearest reachable successor: it walks on past those that it does not reach, and keeps trying them. So those
 *     that live and reach each other
 *     are always connected, and two halves of a partition find each other again.
 *   - Fill. Up to `fanout` links with others, dialled by either side, keep paths short: a random graph. Brokers prefer
 *   each other by a hash of the pair
 *     (rendezvous hashing), so that the choice is stable, and mostly mutual. One is dialled at a time, since others
 *     dial us meanwhile.
 *
 * The walk doubles: it has one dial open, and one more for each broker that was not reached, so that it comes past a
 * dead half of a thousand brokers in ten rounds. A broker with more than twice `fanout` links asks some of its
 * neighbours to hang up (`surplus`); one that has it next on the ring refuses. A broker that hung up does not choose
 * it again for a while, so links do not flap.
 */
import type { Address } from '../address.ts';
import { hashText, mix } from '../hash.ts';

/** What the choice depends on; `address` is unique among candidates. */
export interface Candidate {
  readonly address: Address;
  readonly linked: boolean;
  readonly dialling: boolean;
  /** A dial failed, or it said that it leaves, since it was last heard of. */
  readonly refused: boolean;
  /** Until when (ms) it is not chosen for a fill link: it had links enough. */
  readonly fullUntil: number;
}

export class Neighbours<Member extends Candidate> {
  readonly #fanout: number;
  readonly #selfHash: number;
  readonly #ring: Member[] = []; // successors of oneself, nearest first
  readonly #preferred: Member[] = [];

  /** @param fanout links wanted, 2 or more */
  constructor(self: Address, fanout: number) {
    this.#fanout = fanout;
    this.#selfHash = hashText(self);
  }

  add(member: Member): void {
    insert(this.#ring, member, (each) => this.#distance(each));
    insert(this.#preferred, member, (each) => this.#preference(each));
  }

  remove(member: Member): void {
    for (const list of [this.#ring, this.#preferred]) {
      const index = list.indexOf(member);
      if (index >= 0) list.splice(index, 1);
    }
  }

  /** Those without a link that should have one: to be dialled, or being dialled. */
  wanted(now: number): Member[] {
    const wanted = this.#successors();
    const links = this.#ring.filter(({ linked }) => linked).length;
    const fill = this.#preferred.find((member) => member.dialling && !wanted.includes(member))
      ?? this.#preferred.find((member) => !member.linked && !member.refused && member.fullUntil <= now);
    if (links < this.#fanout && fill !== undefined && !wanted.includes(fill)) wanted.push(fill);
    return wanted;
  }

  /** Neighbours of whom some have to hang up, and how many. */
  surplus(): { readonly count: number; readonly among: readonly Member[] } {
    const linked = this.#ring.filter((member) => member.linked);
    return { count: Math.max(0, linked.length - 2 * this.#fanout), among: linked.slice(1, -1) };
  }

  /** Whether no other neighbour is between oneself and this one, on either side of the ring. */
  isNext(address: Address): boolean {
    const linked = this.#ring.filter((member) => member.linked);
    return linked[0]?.address === address || linked.at(-1)?.address === address;
  }

  #successors(): Member[] {
    const wanted: Member[] = [];
    let [refused, open] = [0, 0];
    for (const member of this.#ring) {
      if (member.linked) break;
      wanted.push(member);
      if (member.refused) refused += 1;
      else if ((open += 1) > refused) break;
    }
    return wanted;
  }

  #distance({ address }: Member): number {
    return (hashText(address) - this.#selfHash) >>> 0;
  }

  #preference({ address }: Member): number {
    return mix((hashText(address) + this.#selfHash) >>> 0); // the same from both sides
  }
}

/** Inserts in ascending order of (key, address), the same on every broker. */
function insert<Member extends Candidate>(list: Member[], member: Member, key: (member: Member) => number): void {
  const rank = key(member);
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const each = list[middle]!;
    const order = key(each) - rank || (each.address < member.address ? -1 : 1);
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, member);
}
