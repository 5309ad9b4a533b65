/**
 * Ways to brokers with which there is no link, or one that is silent: over which neighbour each is
 * reached, and when to ask for a way.
 *
 * A way is learned from beats (hearsay.ts): the neighbour that was the first to tell of a
 * broker's newest beat leads there, without circles, since the broker counts its beats itself. That
 * is DSDV (C. Perkins, P. Bhagwat, SIGCOMM 1994) with the hop count left out: the first to tell is
 * the fastest. If no way is known, the broker asks for one (SEEK): the broker that is sought beats
 * at once, and each broker that hears of that beat passes it on at once. So what is known of a way is as fresh as
 * the last beat, and one that is older than `freshMs` is not believed. And a broker that was sought and has not been
 * heard of since is missing.
 *
 * Bounded: a SEEK goes on at most once in `againMs` for each broker, and over so many hops; as many
 * brokers are remembered as there may be members.
 */
import type { Address } from '../address.ts';

export interface WaysOptions {
  /** How long a beat shows that its broker is reached the way that it came. */
  readonly freshMs: number;
  /** Between two SEEK for one broker. */
  readonly againMs: number;
  readonly membersMax: number;
}

export class Ways {
  readonly #options: WaysOptions;
  readonly #heardAt = new Map<Address, number>(); // when there was news of a broker last
  readonly #soughtAt = new Map<Address, number>(); // when a SEEK was sent, or sent on
  readonly #missedSince = new Map<Address, number>(); // when the first one was since there was news of the broker

  constructor(options: WaysOptions) {
    this.#options = options;
  }

  /** There is news of a broker. */
  heard(address: Address, now: number): void {
    this.#missedSince.delete(address);
    if (this.#heardAt.has(address) || this.#heardAt.size < this.#options.membersMax) this.#heardAt.set(address, now);
  }

  /** There is a link with it. */
  linked(address: Address): void {
    this.#missedSince.delete(address);
  }

  /** Only what is heard from now on shows that a broker is reached: the link with it is gone. */
  lost(address: Address): void {
    this.#heardAt.delete(address);
  }

  forget(address: Address): void {
    this.#heardAt.delete(address);
    this.#soughtAt.delete(address);
    this.#missedSince.delete(address);
  }

  /** Whether a broker was heard of so lately that it is reached the way that the news came. */
  isFresh(address: Address, now: number): boolean {
    return now - (this.#heardAt.get(address) ?? -Infinity) < this.#options.freshMs;
  }

  /** Whether to send a SEEK for a broker now, or to send one on; counts as done. */
  maySeek(address: Address, now: number): boolean {
    const { againMs, membersMax } = this.#options;
    const at = this.#soughtAt.get(address);
    if (at === undefined ? this.#soughtAt.size >= membersMax : now - at < againMs) return false;
    this.#soughtAt.set(address, now);
    if (!this.#missedSince.has(address)) this.#missedSince.set(address, now);
    return true;
  }

  /** For how long a broker has been sought, with no news of it since, ms; 0 for one that is not. */
  missedMs(address: Address, now: number): number {
    return now - (this.#missedSince.get(address) ?? now);
  }

  /** Whether somebody waits for news of a broker. */
  isSought(address: Address, now: number): boolean {
    return now - (this.#soughtAt.get(address) ?? -Infinity) < this.#options.freshMs;
  }
}
