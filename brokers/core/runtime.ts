/**
 * What a Broker needs from the world, as interfaces: clock, randomness, byte streams, a store, a log for people.
 *
 * `io/` implements them on Node and SQLite; the simulation implements them on a virtual network, clock and disk.
 * Whatever is in `core/`, `commands/` and `host.ts` reaches the world through these and nothing else.
 */
import type { Address } from './address.ts';
import type { Lived } from './mesh/incarnation.ts';
import type { Life } from './mesh/lives.ts';
import type { Origin, StoredBatch, StoredColumns } from './log/record.ts';
import type { SavedTime } from './log/running-time.ts';
import type { Stamp } from './catalog/subscription.ts';
import type { Vector } from './log/version-vector.ts';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic, ms. For every wait, lease and measurement. */
  now(): number;
  /** Wall clock, ms since 1970. For people; never for order. */
  wallTime(): number;
  schedule(delayMs: number, task: () => void): Timer;
  /** Runs the task once what is being received in this round of I/O has been handled: the moment to form a batch. */
  defer(task: () => void): void;
}

/** A uniform integer in 0..2^32-1. */
export type Random = () => number;

/** A stream of bytes to one other process. */
export interface Channel {
  /** Where it leads, for log lines; `unknown` once it is closed. */
  readonly remote: string;
  /** Bytes taken by `write` that the other side's system has not taken over yet. */
  readonly bufferedBytes: number;
  /** Bytes received that wait here because of `pause`; the rest waits at the other side. */
  readonly receivedBytes: number;
  /**
   * Queues bytes, which the caller leaves unchanged. What is written in one turn travels together. After close:
   * ignored.
   */
  write(bytes: Uint8Array): void;
  /** Sends what is queued now and not at the end of the turn, since whoever waits for it has nothing else to do. */
  flush(): void;
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
  /** Takes over the channel's events, from whoever had them before. Nothing is delivered before the first call. */
  attach(handler: ChannelHandler): void;
}

export interface ChannelHandler {
  data(chunk: Buffer): void;
  /** `bufferedBytes` has shrunk, as the other side reads. */
  sent(): void;
  /** `bufferedBytes` has come back to 0. */
  drain(): void;
  /** The other side will send no more; it may still read. */
  ended(): void;
  /** Nothing comes after this. `reason` where it was not an orderly close. */
  closed(reason: string | undefined): void;
}

export interface Transport {
  /**
   * @param failed told where a connection could not be accepted; the next one may be
   * @throws RumormillError CONFIG that says why one cannot listen there
   */
  listen(address: Address, accept: (channel: Channel) => void, failed: (reason: string) => void): Promise<Listener>;
  /**
   * A connection with another process, or with this one where it listens there: never one with
   * itself (core/mesh/local-port.ts).
   * @param taken ports on which brokers are known to listen: the connection goes out from another
   * @throws RumormillError UNREACHABLE
   */
  dial(address: Address, timeoutMs: number, taken?: ReadonlySet<number>): Promise<Channel>;
}

export interface Listener {
  /** Accepts nothing more. Channels that are open stay open. */
  close(): Promise<void>;
}

/** What a store holds when it is opened. */
export interface StoreState extends Lived {
  readonly origin: Origin;
  readonly vector: Vector;
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
  /** With one of these keys only; with any, or none, where it is undefined. */
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
 * What lives of a topic in some of its batches; `through` is the position of the last of them where there may be more.
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
  renew(origin: Origin): Promise<void>;
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
   * How many messages match, in the first `batchesMax` batches, and up to where that is: `until` where these were all.
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
   * Lines that hold all that was said up to a position, in place of those that were kept before. @throws RumormillError
   * DISKFULL or STORE; then those stay
   */
  saveCatalog(position: number, lines: readonly string[]): Promise<void>;
  /** Position 0 where nothing is kept. */
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
   * come after a place. Returns how far it came, or undefined where nothing behind it is dead.
   * @throws RumormillError DISKFULL or STORE
   */
  cover(topic: string, dead: Stamp, after: LamportPlace, limit: number): Promise<LamportPlace | undefined>;

  /**
   * To be called every now and then: looks whether the store is still where it was opened, and does what waits for room
   * or quiet.
   * @throws RumormillError STORE where its files were removed or replaced: nothing may be acknowledged any more
   */
  look(): Promise<void>;

  /** @throws RumormillError STORE where its files were removed or replaced: what was acknowledged last may be lost */
  close(): Promise<void>;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** A line for people (or, as JSON, for their tools). `event` is a constant phrase; what varies stands in the fields. */
export type Logger = Readonly<Record<LogLevel, (event: string, fields?: LogFields) => void>>;
