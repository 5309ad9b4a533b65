/**
 * What a Broker needs from the world, as interfaces: clock, randomness, byte streams, a log for people; the store is in
 * log/store.ts.
 *
 * `io/` implements them on Node and SQLite; the simulation implements them on a virtual network, clock and disk.
 * Everything in `core/`, `commands/` and `host.ts` reaches the world through these interfaces and through nothing else.
 */
import type { Address } from './address.ts';

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
  /**
   * Sends what is queued now and not at the end of the turn, since the one that waits for it has nothing else to do.
   */
  flush(): void;
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
  /**
   * Takes over the channel's events, from the handler that had them before. Nothing is delivered before the first call.
   */
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
  /** Nothing comes after this. `reason` if it was not an orderly close. */
  closed(reason: string | undefined): void;
}

export interface Transport {
  /**
   * @param failed told if a connection could not be accepted; the next one may be
   * @throws RumormillError CONFIG that says why one cannot listen there
   */
  listen(address: Address, accept: (channel: Channel) => void, failed: (reason: string) => void): Promise<Listener>;
  /**
   * A connection with another process, or with this one if it listens there; never a socket that is connected with
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

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** A line for people (or, as JSON, for their tools). `event` is a constant phrase; what varies is in the fields. */
export type Logger = Readonly<Record<LogLevel, (event: string, fields?: LogFields) => void>>;
