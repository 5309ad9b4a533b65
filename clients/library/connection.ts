/**
 * One connection to one broker: commands go out, replies come back strictly in order.
 *
 * A connection decides nothing. What it is told to write it writes; each reply goes to the command that has waited
 * longest; and when it ends, for whatever reason, its owner is handed that reason and every command that has no answer.
 * Retrying is the owner's.
 *
 * Invariants: a command leaves exactly once, answered or handed back; nothing is delivered after `closed`; a reply that
 * nobody waits for, or bytes that are no reply, end the connection, since from there on every answer would go to the
 * wrong command.
 */
import { randomInt } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type Address, splitAddress } from '../../brokers/core/address.ts';
import { messageOf, RumormillError } from '../../brokers/core/error.ts';
import { isPortRefused, isSelfConnected, LocalPorts, PORT_TRIES } from '../../brokers/core/mesh/local-port.ts';
import { type Reply, ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { Fifo } from '../../brokers/core/fifo.ts';
import { SendWindow } from './send-window.ts';

/**
 * Bytes that may wait in a socket before its owner is asked to hold back: what waits with the owner can still go
 * elsewhere.
 */
const SOCKET_BYTES_MAX = 1024 * 1024;
const PIECE_BYTES = 64 * 1024; // of one write, whose end is heard of: what shows that a slow path carries something
const KEEP_ALIVE_MS = 10_000;

/** One command, encoded, and what becomes of it. */
export interface Command {
  readonly frame: Buffer;
  /** The broker has answered; an error reply is a RumormillError. Must not throw. */
  settle(reply: Reply, broker: Address): void;
  /** There will be no answer. Must not throw. */
  fail(error: RumormillError): void;
}

/** Who a connection belongs to. */
export interface Owner<C extends Command> {
  answered(command: C, reply: Reply): void;
  /** There is room in the socket again. */
  drained(): void;
  /** The connection is gone. `reason` reads after a colon; `unanswered` were written, in order, and have no answer. */
  closed(reason: string, unanswered: readonly C[]): void;
}

export class Connection<C extends Command = Command> {
  /** What was dialled. */
  readonly address: Address;
  /** What the broker calls itself: the address in the ids of messages that it takes. Known after the handshake. */
  broker: Address;
  /**
   * When there was progress last towards the answer that is due, on the monotonic clock: bytes came, or went out that
   * it waits for.
   */
  movedAt = performance.now();
  readonly #window = new SendWindow();
  #drainedBytes = 0; // of all that was written, what the system has taken over
  #settledBytes = 0; // of all that was written, what has its answers
  readonly #socket: Socket;
  readonly #parser = new ReplyParser();
  readonly #pending = new Fifo<C>();
  #owner: Owner<C> | undefined;
  #reason: string | undefined;
  #isOver = false; // the socket's last event has been

  /** Takes over a connected socket. Until `attach`, replies go straight to the commands. */
  constructor(socket: Socket, address: Address) {
    this.#socket = socket;
    this.address = this.broker = address;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('drain', () => this.#owner?.drained());
    socket.on('error', (error) => (this.#reason ??= socketReason(error)));
    socket.on('close', () => {
      this.#isOver = true;
      this.#closed();
    });
  }

  /** The command that has waited longest for its answer. */
  get oldest(): C | undefined {
    return this.#pending.first;
  }

  get unanswered(): number {
    return this.#pending.length;
  }

  /**
   * How many more bytes should be written now; none if the path has enough to carry, until something is answered or
   * `drained`. One command may be larger.
   */
  get roomBytes(): number {
    return this.#socket.writableLength < SOCKET_BYTES_MAX ? this.#window.roomBytes : 0;
  }

  /** How long the answer that is due may take on this path, beside what a broker needs, ms. */
  get patienceMs(): number {
    return this.#window.patienceMs;
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  attach(owner: Owner<C>): void {
    this.#owner = owner;
  }

  /** Writes commands together. On a connection that has closed they come back through `closed` or `fail`. */
  write(commands: readonly C[]): void {
    const now = performance.now();
    if (this.#pending.length === 0) this.movedAt = now;
    for (const command of commands) this.#pending.push(command);
    if (this.#isOver) setImmediate(() => this.#closed());
    // else its last event is still to come, and hands them back
    else if (!this.closed) this.#writeAll(joined(commands), now);
  }

  #writeAll(bytes: Buffer, now: number): void {
    this.#window.sent(bytes.length, now);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      this.#socket.write(piece, () => this.#drained(piece.length)); // with an error too: `closed` follows
    }
  }

  /**
   * The system has taken over some bytes. Those of later commands are no progress of the one that has waited longest.
   */
  #drained(bytes: number): void {
    const dueBytes = this.#settledBytes + (this.#pending.first?.frame.length ?? 0);
    if (this.#drainedBytes < dueBytes) this.movedAt = performance.now();
    this.#drainedBytes += bytes;
  }

  /** Ends the connection at once. The owner hears of it, with this reason, in a later turn. */
  destroy(reason: string): void {
    this.#reason ??= reason;
    this.#socket.destroy();
  }

  #received(chunk: Buffer): void {
    this.movedAt = performance.now();
    this.#parser.push(chunk);
    while (!this.closed) {
      const reply = this.#next();
      if (reply === undefined) return;
      const command = this.#pending.shift();
      if (command === undefined) return this.destroy('the broker answered what nobody asked');
      this.#settledBytes += command.frame.length;
      this.#window.answered(command.frame.length, this.movedAt);
      if (this.#owner !== undefined) this.#owner.answered(command, reply);
      else command.settle(reply, this.broker);
    }
  }

  #next(): Reply | undefined {
    try {
      return this.#parser.next();
    } catch (error) {
      this.destroy(messageOf(error));
      return undefined;
    }
  }

  #closed(): void {
    const reason = this.#reason ?? 'the broker closed the connection';
    const unanswered = this.#pending.clear();
    const owner = this.#owner;
    this.#owner = undefined; // it is told once, whatever it may still write
    if (owner !== undefined) owner.closed(reason, unanswered);
    else
      for (const command of unanswered) {
        command.fail(new RumormillError('DISCONNECTED', `${this.address}: ${reason}`));
      }
  }
}

function joined(commands: readonly Command[]): Buffer {
  return commands.length === 1 ? commands[0]!.frame : Buffer.concat(commands.map(({ frame }) => frame));
}

const ports = new LocalPorts(randomInt(2 ** 32));

/**
 * A TCP connection to a broker, not yet used.
 * @throws RumormillError DISCONNECTED, or the signal's reason
 */
export async function dialSocket(address: Address, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  const taken = new Set([splitAddress(address).port]);
  const deadline = performance.now() + timeoutMs;
  for (let tries = 1; ; tries += 1) {
    const localPort = tries > PORT_TRIES ? undefined : ports.take(taken);
    try {
      return await dialFrom(localPort, address, deadline - performance.now(), signal);
    } catch (error) {
      if (localPort === undefined || !(error instanceof RumormillError && isPortRefused(error.cause))) throw error;
    }
  }
}

/** @param localPort where the connection goes out from; undefined if the system may choose */
function dialFrom(
  localPort: number | undefined, address: Address, timeoutMs: number, signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const from = localPort === undefined ? {} : { localPort };
    const socket = connect({ ...splitAddress(address), ...from });
    const late = `no connection within ${Math.ceil(timeoutMs)} ms`;
    const timer = setTimeout(() => settle(disconnected(late)), timeoutMs);
    const abort = (): void => settle(signal.reason);
    const settle = (failure?: unknown): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.removeAllListeners('connect');
      if (failure === undefined) {
        socket.removeAllListeners('error');
        return resolve(socket);
      }
      socket.destroy();
      reject(failure);
    };
    const disconnected = (reason: string, cause?: Error): RumormillError =>
      new RumormillError('DISCONNECTED', reason, { cause });
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => {
      if (!isSelfConnected(socket)) return settle();
      socket.resetAndDestroy();
      settle(disconnected('connection refused')); // nobody listens: the socket met itself
    });
    socket.on('error', (error) => settle(disconnected(socketReason(error), error)));
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'host name cannot be looked up now',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connection timed out',
};

/** A socket error in words. Where a name has several addresses, Node's error has a code and an empty message. */
function socketReason(error: Error & { code?: string }): string {
  return REASONS[error.code ?? ''] ?? (error.message || error.code || 'connection failed');
}
