/**
 * The load generator: some connections that keep a number of messages in flight. Frames are encoded beforehand, and as
 * many are written at once as were acknowledged at once. The same for every system; what differs is in its
 * `Publishing`.
 */
import { connect, type Socket } from 'node:net';
import { within } from '../support/wait.ts';
import { Latencies } from './figures.ts';
import type { AckCounter } from './replies.ts';

/** How a system is published to. */
export interface Publishing {
  /** Where each connection goes, in turn. */
  readonly ports: readonly number[];
  /** How many messages one acknowledgement stands for, where a connection may have `share` in flight. */
  readonly unit: (share: number) => number;
  /** What a connection sends first. */
  readonly greeting: (index: number) => string;
  /** The messages of one acknowledgement. */
  readonly frame: (index: number, payload: Buffer, unit: number) => Buffer;
  readonly counter: (socket: Socket) => AckCounter;
}

export interface Load {
  readonly connections: number;
  /** Messages in flight, over all connections. */
  readonly window: number;
  readonly payload: Buffer;
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** Stop after so many instead of after a time. */
  readonly messages?: number;
}

export interface Published {
  /** All that was acknowledged, the warm-up and what was in flight at the end included. */
  readonly acked: number;
  readonly perSecond: number;
  /** Median, 99% and 99.9%, ms. */
  readonly latency: readonly number[];
}

export const SHARES = [0.5, 0.99, 0.999];
const LAST_MS = 120_000; // for what is in flight at the end, far beyond what it takes
const CHUNK_BYTES_MAX = 1024 * 1024; // of one write

/**
 * Publishes, waits for the last acknowledgement, and says what came of it. @throws Error where a connection fails or an
 * acknowledgement is one
 */
export async function publish(publishing: Publishing, load: Load): Promise<Published> {
  const count = Math.min(load.connections, load.window);
  const lanes = Array.from(
    { length: count },
    (_, index) => new Lane(publishing, load, index, shareOf(load.window, count, index), quotaOf(load, count, index)),
  );
  try {
    await Promise.all(lanes.map((lane) => lane.open()));
    const startedAt = performance.now();
    const done = Promise.all(lanes.map((lane) => lane.run()));
    done.catch(() => undefined); // awaited below; a failure while the warm-up lasts is not lost
    if (load.messages !== undefined) {
      await done;
      return result(lanes, sum(lanes, (lane) => lane.acked), performance.now() - startedAt);
    }
    await Promise.race([sleep(load.warmUpMs), done]);
    for (const lane of lanes) lane.latencies = new Latencies();
    const [before, from] = [sum(lanes, (lane) => lane.acked), performance.now()];
    await Promise.race([sleep(load.durationMs), done]);
    const [after, to] = [sum(lanes, (lane) => lane.acked), performance.now()];
    for (const lane of lanes) lane.stop();
    await within('the last message is acknowledged', done, LAST_MS);
    return result(lanes, after - before, to - from);
  } finally {
    for (const lane of lanes) lane.close();
  }
}

function result(lanes: readonly Lane[], counted: number, ms: number): Published {
  const latencies = new Latencies();
  for (const lane of lanes) latencies.addAll(lane.latencies);
  return {
    acked: sum(lanes, (lane) => lane.acked), perSecond: (counted * 1000) / ms,
    latency: latencies.percentiles(...SHARES),
  };
}

/** One connection. */
class Lane {
  /** Messages acknowledged. */
  acked = 0;
  latencies = new Latencies();
  readonly #publishing: Publishing;
  readonly #index: number;
  readonly #unit: number;
  readonly #frames: Buffer; // as many as are written at once at most
  readonly #frameBytes: number;
  readonly #sent: { readonly at: number; units: number }[] = [];
  #flight: number; // units that may be sent
  #quota: number; // units that are still to be sent
  #due = 0; // units without acknowledgement
  #socket!: Socket;
  #settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  constructor(publishing: Publishing, load: Load, index: number, share: number, quota: number) {
    this.#publishing = publishing;
    this.#index = index;
    this.#unit = publishing.unit(share);
    this.#flight = Math.max(1, Math.floor(share / this.#unit));
    this.#quota = Math.ceil(quota / this.#unit);
    const frame = publishing.frame(index, load.payload, this.#unit);
    this.#frameBytes = frame.length;
    this.#frames = Buffer.concat(
      Array.from(
        { length: Math.min(this.#flight, Math.max(1, Math.floor(CHUNK_BYTES_MAX / frame.length))) },
        () => frame,
      ),
    );
  }

  async open(): Promise<void> {
    const { ports, greeting, counter } = this.#publishing;
    const socket = connect({ port: ports[this.#index % ports.length]!, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.write(greeting(this.#index));
    const acks = counter(socket);
    socket.on('data', (chunk) => {
      try {
        this.#take(acks.take(chunk));
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('close', () => this.#settle?.reject(new Error(`the server closed connection ${this.#index}`)));
  }

  /** Resolves when all that was sent is acknowledged, and nothing more is to be sent. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      if (this.#socket.destroyed) reject(new Error(`the server closed connection ${this.#index}`));
      else this.#send();
    });
  }

  stop(): void {
    this.#quota = 0;
    if (this.#due === 0) this.#settle?.resolve();
  }

  close(): void {
    this.#socket?.destroy();
  }

  #take(units: number): void {
    if (units === 0) return;
    this.#due -= units;
    if (this.#due < 0) throw new Error('more acknowledgements than messages');
    this.acked += units * this.#unit;
    const now = performance.now();
    for (let left = units; left > 0; ) {
      const oldest = this.#sent[0]!;
      const answered = Math.min(left, oldest.units);
      this.latencies.add(now - oldest.at, answered * this.#unit);
      oldest.units -= answered;
      left -= answered;
      if (oldest.units === 0) this.#sent.shift();
    }
    this.#flight += units;
    this.#send();
    if (this.#due === 0 && this.#quota === 0) this.#settle?.resolve();
  }

  #send(): void {
    const units = Math.min(this.#flight, this.#quota);
    if (units === 0) return;
    this.#flight -= units;
    this.#quota -= units;
    this.#due += units;
    this.#sent.push({ at: performance.now(), units });
    const most = this.#frames.length / this.#frameBytes;
    for (let left = units; left > 0; left -= most) {
      this.#socket.write(this.#frames.subarray(0, Math.min(left, most) * this.#frameBytes));
    }
  }
}

function shareOf(total: number, count: number, index: number): number {
  return Math.floor(total / count) + (index < total % count ? 1 : 0);
}

function quotaOf({ messages }: Load, count: number, index: number): number {
  return messages === undefined ? Infinity : shareOf(messages, count, index);
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
