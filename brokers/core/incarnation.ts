/**
 * Whether a store may go on under its name: that is, whether its origin may name one record more (invariant 1).
 *
 * A file may be an old copy: a backup put back, a folder copied to another machine. What it has lost lives on at its peers, and a new record under one
 * of those names would look like a known one to them and vanish silently (Basho, Riak issue kv679). The file itself cannot tell; its peers can. So
 * before the first record of a process is named, every configured broker says how far it holds this origin. If all hold no more than the file, the
 * origin stays. If one holds more, or a record waits and somebody cannot be asked in time, the store takes a new origin. Its old one becomes an
 * origin like any other, and what is lost of it comes back by gossip.
 */
import type { Address } from './address.ts';

export type Verdict = { readonly keep: true } | { readonly keep: false; readonly reason: string };

export class Incarnation {
  readonly #heard = new Map<Address, number>();
  #doubt: string | undefined;

  /** A broker has told how far it holds this store's origin. */
  heard(peer: Address, seq: number): void {
    this.#heard.set(peer, Math.max(seq, this.#heard.get(peer) ?? 0));
  }

  /** Another process runs on a store of this name. */
  copied(peer: Address): void {
    this.#doubt = `${peer} runs on a copy of it`;
  }

  /**
   * @param configured the other brokers of globalState.csv
   * @param held how far the file holds its own origin
   * @param urgent whether a record has waited for its name long enough
   */
  verdict(configured: readonly Address[], held: number, urgent: boolean): Verdict | undefined {
    if (this.#doubt !== undefined) return { keep: false, reason: this.#doubt };
    for (const [peer, seq] of this.#heard) {
      if (seq > held) return { keep: false, reason: `${peer} holds ${seq - held} records of it that it has lost` };
    }
    const unheard = configured.filter((address) => !this.#heard.has(address));
    if (unheard.length === 0) return { keep: true };
    return urgent ? { keep: false, reason: `${unheard.join(', ')} could not be asked whether it is the newest copy` } : undefined;
  }
}
