/**
 * Hearsay: which brokers there are, under which store each runs, and that it lives or has stopped, even if no link
 * shows it.
 *
 * R. van Renesse, Y. Minsky, M. Hayden, "A Gossip-Style Failure Detection Service", Middleware 1998. Every broker
 * counts its own beats; neighbours tell each other the highest beat that they know of each broker, and only what is
 * news to the other, so each beat goes over each link about once. A broker is heard of when its beat grows, so nobody
 * but itself can make it look alive, and news that goes in circles ends.
 *
 * A broker that comes back begins at beat 1 and is told what the mesh remembers of it. It goes on above that, as in
 * SWIM a suspected member refutes with a higher incarnation (A. Das, I. Gupta, A. Motivala, DSN 2002, section 4.2); so
 * the store with the highest beat is the one that an address runs now, and needs no clock.
 *
 * An odd beat says that the broker lives. The even one after it says that it has stopped; only the broker itself counts
 * to it, as the last thing that it does. So a broker that was started again is not held for gone: its next beat is odd
 * and later.
 */
import type { Address } from '../address.ts';
import { checkCounter } from '../counter.ts';
import { type Origin, originAddress } from '../log/record.ts';

/** A broker, by its store, and its beat, 1 or more: odd while it lives, even once it has stopped. */
export type Beat = readonly [origin: Origin, beat: number];

const isLast = (beat: number): boolean => beat % 2 === 0;

/** The next beat of a broker that lives, after this one. */
const nextOf = (beat: number): number => beat + (isLast(beat) ? 1 : 2);

/**
 * Of two stores with one beat, the greater name counts as later; which one does not matter, as long as it is the same
 * everywhere.
 */
function isLater([origin, beat]: Beat, than: Beat | undefined): boolean {
  return than === undefined || beat > than[1] || (beat === than[1] && origin > than[0]);
}

export class Hearsay {
  readonly #self: () => Origin;
  readonly #membersMax: number;
  readonly #heard = new Map<Address, Beat>(); // oneself too
  readonly #told = new Map<Address, Map<Address, Beat>>(); // neighbour -> broker -> beat
  readonly #via = new Map<Address, Address>(); // broker -> the neighbour that was the first to tell of its newest beat
  #hasNews = false;

  /**
   * @param self the origin of this broker's store
   * @param membersMax most brokers that are remembered; others are ignored
   */
  constructor(self: () => Origin, membersMax: number) {
    this.#self = self;
    this.#membersMax = membersMax;
    this.beat();
  }

  /**
   * Whether a broker, a new store of one, or a return has been heard of since this was last asked: that is worth
   * telling at once.
   */
  takeNews(): boolean {
    const hasNews = this.#hasNews;
    this.#hasNews = false;
    return hasNews;
  }

  /** The store that an address runs now, as far as is known. */
  origin(address: Address): Origin | undefined {
    return this.#heard.get(address)?.[0];
  }

  /**
   * The neighbour over which news of a broker comes fastest: the way back leads there too, without circles, since beats
   * grow towards it.
   */
  via(address: Address): Address | undefined {
    return this.#via.get(address);
  }

  /** Whether a broker has said that it stops, and nothing since. */
  isGone(address: Address): boolean {
    return isLast(this.#heard.get(address)?.[1] ?? 1);
  }

  /** This broker lives. */
  beat(): void {
    const self = this.#self();
    const address = originAddress(self);
    this.#set(address, [self, nextOf(this.#heard.get(address)?.[1] ?? 0)]);
  }

  /** This broker stops. */
  leave(): void {
    const self = this.#self();
    const address = originAddress(self);
    this.#set(address, [self, this.#heard.get(address)![1] + 1]);
  }

  linkUp(neighbour: Address): void {
    this.#told.set(neighbour, new Map());
  }

  linkDown(neighbour: Address): void {
    this.#told.delete(neighbour);
    for (const [address, via] of this.#via) if (via === neighbour) this.#via.delete(address);
  }

  /**
   * What a neighbour knows. Returns the brokers that this is news of. @throws RumormillError PROTOCOL for a beat that
   * nobody counts to
   */
  learn(from: Address, beats: readonly Beat[]): Address[] {
    const self = originAddress(this.#self());
    const told = this.#told.get(from);
    return beats.flatMap((beat) => {
      const address = originAddress(beat[0]);
      const known = this.#heard.get(address);
      checkCounter('beat', beat[1], known?.[1]);
      if (known === undefined && this.#heard.size > this.#membersMax) return [];
      if (isLater(beat, told?.get(address))) told?.set(address, beat);
      if (!isLater(beat, known)) return [];
      // The mesh remembers an earlier life of ours, and may hold us for gone: we are later than that.
      this.#set(address, address === self ? [this.#self(), nextOf(beat[1])] : beat);
      if (address === self) {
        this.#hasNews = true;
        return [];
      }
      this.#via.set(address, from);
      return [address];
    });
  }

  /** What a neighbour has not been told and did not tell us, of those that are worth telling. Counts as told. */
  news(to: Address, isWorthTelling: (address: Address) => boolean): Beat[] {
    const told = this.#told.get(to);
    if (told === undefined) return [];
    const news: Beat[] = [];
    for (const [address, beat] of this.#heard) {
      if (!isLater(beat, told.get(address)) || !isWorthTelling(address)) continue;
      told.set(address, beat);
      news.push(beat);
    }
    return news;
  }

  forget(address: Address): void {
    this.#heard.delete(address);
    this.#via.delete(address);
    for (const told of this.#told.values()) told.delete(address);
  }

  #set(address: Address, beat: Beat): void {
    const known = this.#heard.get(address);
    if (known?.[0] !== beat[0] || isLast(known[1]) !== isLast(beat[1])) this.#hasNews = true;
    this.#heard.set(address, beat);
  }
}
