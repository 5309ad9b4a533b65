/**
 * What gossip knows of one neighbour: what it has, what it was told, and what it is being sent. As
 * `tracker/progress.go` of etcd-io/raft has for a follower.
 *
 * It lives as long as the link. A neighbour that comes back starts at nothing, and tells again.
 *
 * Always true:
 *   - `has` only grows, and only by what the neighbour said itself or sent.
 *   - Nothing is told before the greeting, which tells everything at once.
 *   - A seq is told once: `told` grows with each message that says so, and with each record sent.
 *   - What the neighbour has is not under way to it: the feed forgets what `has` covers.
 */
import { lastSeq, type Origin, type StoredBatch } from '../log/record.ts';
import { VersionVector } from '../log/version-vector.ts';
import { Feed } from './feed.ts';

type Entry = readonly [Origin, number];

export class Progress {
  readonly feed: Feed;
  readonly #has = new VersionVector(); // on its disk
  readonly #told = new VersionVector(); // that we have
  #isGreeted = false;

  /**
   * @param position where the log ends now: what comes later is live
   * @param windowBytes how much may be under way
   */
  constructor(position: number, windowBytes: number) {
    this.feed = new Feed(position, windowBytes);
  }

  /** What the neighbour has on disk, as far as it told. */
  get has(): Pick<VersionVector, 'get' | 'snapshot' | 'size'> {
    return this.#has;
  }

  get isGreeted(): boolean {
    return this.#isGreeted;
  }

  /** Whether it was told of any record of an origin. */
  knows(origin: Origin): boolean {
    return this.#told.get(origin) > 0;
  }

  /** It has an origin's records up to a seq. Says whether that is more than before. */
  learn(origin: Origin, seq: number): boolean {
    this.feed.acknowledged(origin, seq);
    return this.#has.advance(origin, seq);
  }

  /** From now on it is told what is here. */
  greet(): void {
    this.#isGreeted = true;
  }

  /** Those entries that it is to be told, which then count as told. */
  news(entries: Iterable<Entry>): Entry[] {
    return this.#isGreeted ? [...entries].filter(([origin, seq]) => this.#told.advance(origin, seq)) : [];
  }

  /** Goes past a batch of the log. True if it is to be sent, which tells of it too. */
  pass(batch: StoredBatch): boolean {
    if (!this.feed.pass(batch)) return false;
    this.#told.advance(batch.origin, lastSeq(batch));
    return true;
  }
}
