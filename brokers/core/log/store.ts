/**
 * The store of a broker as an interface: batches on disk, and what is kept beside them.
 *
 * `io/store.ts` implements it on SQLite, the simulation on a virtual disk.
 */
import type { Life, Lived } from './life.ts';
import type { Head } from './proof.ts';
import type { Origin, StoredBatch, StoredColumns } from './record.ts';
import type { SavedTime } from './running-time.ts';
import type { Stamp } from './stamp.ts';
import type { Vector } from './version-vector.ts';

/** What a store holds when it is opened. */
export interface StoreState extends Lived {
  readonly origin: Origin;
  /** Who owns it (proof.ts), if it was taken by this process; else '', and it has a head or none that is signed. */
  readonly owner: string;
  readonly vector: Vector;
  /** Of each origin whose records are signed. */
  readonly heads: ReadonlyMap<Origin, Head>;
  /** At least the Lamport timestamp of every record stored, and of every event seen up to the last `saveClock`. */
  readonly lamport: number;
  /** The greatest Lamport timestamp of a record stored, 0 for none. */
  readonly newest: number;
  readonly term: number;
  /** What `saveTime` kept, and went on since; undefined for none. */
  readonly time: SavedTime | undefined;
  /** The newest position; 0 for an empty store. */
  readonly position: number;
  /** Why the store is known to have lost records, for people. Its origin must name no more of them. */
  readonly loss?: string;
  /** What is known of other brokers' stores. */
  readonly lives: ReadonlyMap<Origin, Life>;
}

/** Batches, and the position up to which the store was searched: nothing that was asked for is missing up to there. */
export interface Page {
  readonly batches: readonly StoredBatch[];
  readonly through: number;
}

export interface RangeQuery {
  readonly topic: string;
  readonly from: number; // Lamport timestamp, inclusive
  readonly to: number; // inclusive
  readonly reverse: boolean;
}

/** What is read back of a batch with dedupe ids. */
export interface IdColumns extends Pick<StoredColumns, 'origin' | 'seq' | 'lamport' | 'topic'> {
  readonly seen: number;
  readonly ids: readonly (string | null)[];
}

/** Where a dedupe id was found: the name of the record, and the running time at which it was published. */
export interface FoundId {
  readonly id: string;
  readonly origin: Origin;
  readonly seq: number;
  readonly seen: number;
}

/**
 * Which messages of one stored topic are counted: those after a position, up to another one, that no entry of `settled`
 * covers, without repeats.
 */
export interface CountQuery {
  readonly topic: string;
  /** Only with one of these keys; if undefined, with any key or none. */
  readonly keys: readonly string[] | undefined;
  readonly after: number;
  readonly until: number; // inclusive
  readonly settled: Vector;
  readonly batchesMax: number;
}

/** What `saveAcks` kept: states as text by subscription, which hold at least everything up to a position. */
export interface AckCheckpoint {
  readonly states: readonly (readonly [subscription: string, state: string])[];
  readonly position: number;
}

/**
 * What is live of a topic in some of its batches; `through` is the position of the last of them, if there may be more.
 */
export interface LiveCount {
  readonly messages: number; // repeats are none
  readonly bytes: number; // of their payloads
  readonly through: number | undefined;
}

/** A place in the order of a topic's batches by first Lamport timestamp, then position. */
export interface LamportPlace {
  readonly lamport: number;
  readonly position: number;
}

/**
 * One broker's durable log. Reads may run beside an append and see at least what was committed before they were called.
 */
export interface Store {
  readonly state: StoreState;
  /**
   * Durably takes another origin, in its life 1; `state` shows it. What is stored stays under the origins that it has.
   */
  renew(origin: Origin, owner: string): Promise<void>;
  /**
   * Writes the batches, whose positions follow on the newest one, in one transaction; resolves when it is on disk.
   * @throws RumormillError DISKFULL or STORE; then nothing of it is stored
   */
  append(batches: readonly StoredBatch[]): Promise<void>;
  /** Durably keeps how far the store has come under its origin. */
  saveName(lived: Lived): Promise<void>;
  /** Durably keeps what is known of another broker's store. */
  saveLife(store: Origin, life: Life): Promise<void>;
  /** Durably keeps the running time. @throws RumormillError DISKFULL or STORE */
  saveTime(time: SavedTime): Promise<void>;
  /** Durably keeps the clock and the election term. */
  saveClock(lamport: number, term: number): Promise<void>;
  /**
   * Batches after a position, of these topics or of all, in position order; about `bytesMax`, at least one if there is
   * one.
   */
  readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page>;
  /**
   * The greatest position up to which nothing is stored of these origins beyond these seqs. Costs a search for each of
   * them.
   */
  positionBefore(lacking: Iterable<readonly [Origin, number]>): Promise<number>;
  /**
   * Batches that overlap a Lamport range, ordered by (first Lamport timestamp, position), descending if reverse, that
   * come after `previous` in that order; about `bytesMax`, at least one if there is one.
   */
  readRange(query: RangeQuery, previous: StoredBatch | undefined, bytesMax: number): Promise<StoredBatch[]>;
  /**
   * What carries dedupe ids and was published at a point of running time or later, in position order, some thousand
   * batches at a time.
   */
  readIds(since: number): AsyncIterable<readonly IdColumns[]>;
  /**
   * Messages of a topic with one of these dedupe ids in batches published from one point of running time to another, in
   * position order.
   */
  findIds(topic: string, ids: readonly string[], from: number, to: number): Promise<FoundId[]>;
  /** The deps of an origin's newest `limit` batches. */
  lastDeps(origin: Origin, limit: number): Promise<(readonly (readonly [Origin, number])[])[]>;
  /** The newest `limit` batches that repeat messages, in position order. */
  readRepeats(limit: number): Promise<StoredColumns[]>;

  // Acknowledgements
  /** The last seq of each origin that is stored at a position or before. */
  vectorAt(position: number): Promise<Vector>;
  /**
   * How many messages match, in the first `batchesMax` batches, and up to where that is: `until` if these were all.
   */
  count(query: CountQuery): Promise<{ readonly messages: number; readonly through: number }>;
  /**
   * The states first, then the position; those that are gone are dropped. May be cut short between them. @throws
   * RumormillError DISKFULL or STORE
   */
  saveAcks(checkpoint: AckCheckpoint, gone: readonly string[]): Promise<void>;
  loadAcks(): Promise<AckCheckpoint>;

  // What is said of topics and subscriptions
  /**
   * Lines that hold all that was said up to a position; they replace those kept before. @throws RumormillError
   * DISKFULL or STORE; then those stay
   */
  saveCatalog(position: number, lines: readonly string[]): Promise<void>;
  /** Position 0 if nothing is kept. */
  loadCatalog(): Promise<{ readonly position: number; readonly lines: readonly string[] }>;

  /**
   * The names under which batches are stored, the reserved ones too, in order: the first `limit` of those that come
   * after a name.
   */
  readTopics(after: string, limit: number): Promise<string[]>;
  /** What is stored under a name and is not dead, in the next `limit` batches after a position. */
  countLive(topic: string, dead: Stamp | undefined, after: number, limit: number): Promise<LiveCount>;
  /**
   * Durably makes covered ones of the dead batches among the next `limit` or fewer that are stored under a name, which
   * come after a place. Returns how far it came, or undefined if nothing behind it is dead.
   * @throws RumormillError DISKFULL or STORE
   */
  cover(topic: string, dead: Stamp, after: LamportPlace, limit: number): Promise<LamportPlace | undefined>;

  /**
   * To be called now and then: looks whether the store is still where it was opened, and does what waits for room
   * or quiet.
   * @throws RumormillError STORE if its files were removed or replaced: nothing may be acknowledged any more
   */
  look(): Promise<void>;

  /** @throws RumormillError STORE if its files were removed or replaced: what was acknowledged last may be lost */
  close(): Promise<void>;
}
