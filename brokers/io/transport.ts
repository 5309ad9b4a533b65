/**
 * Byte streams over `node:net`.
 *
 * What is written to a channel in one turn of the event loop is corked and leaves in one system call, unless `flush`
 * sends it before. Nagle's algorithm is off, since we gather ourselves. The socket is given little at a time, since it
 * tells only when it has passed on all that it was given: so a client that reads slowly can be told from one that does
 * not. A channel stays open for writing after the other side has ended, so that `printf ... | nc` gets its answer.
 * Keep-alive finds out clients whose machine or network is gone, for whom we would wait without end; peers have
 * heartbeats.
 */
import { randomInt } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type Address, splitAddress } from '../core/address.ts';
import { messageOf, RumormillError } from '../core/error.ts';
import { isPortRefused, isSelfConnected, LocalPorts, PORT_TRIES } from '../core/mesh/local-port.ts';
import { Fifo } from '../core/fifo.ts';
import type { Channel, ChannelHandler, Listener, Transport } from '../core/runtime.ts';

const KEEP_ALIVE_MS = 60_000; // of silence, before the system asks
const SOCKET_BYTES = 128 * 1024; // given to a socket at a time
const EMPTY: Buffer = Buffer.alloc(0);
const LINGER_MS = 5000;

const NONE: ReadonlySet<number> = new Set();

export const tcpTransport = makeTcpTransport(LINGER_MS);

/** @param lingerMs for which the other side may go on sending once we have said all */
export function makeTcpTransport(lingerMs: number): Transport {
  return {
    listen(address, accept, failed) {
      const server = createServer(
        { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
        (socket) => accept(new SocketChannel(socket, lingerMs)),
      );
      return new Promise((resolve, reject) => {
        server.once('error', (error) => reject(listenError(address, error)));
        server.listen({ ...splitAddress(address), backlog: 4096 }, () => {
          server.removeAllListeners('error');
          server.on('error', (error) => failed(messageOf(error)));
          resolve(new TcpListener(server));
        });
      });
    },

    async dial(address, timeoutMs, taken = NONE) {
      const { port } = splitAddress(address);
      const others = new Set([port, ...taken]);
      const deadline = performance.now() + timeoutMs;
      for (let tries = 1; ; tries += 1) {
        const isLast = tries > PORT_TRIES;
        try {
          const localPort = isLast ? undefined : ports.take(others);
          return await dialFrom(localPort, address, deadline - performance.now(), others, lingerMs);
        } catch (cause) {
          if (!isLast && isPortRefused(cause)) continue;
          const reason = messageOf(cause).replace(/ - Local \(.*\)$/, ''); // another port each time says nothing
          throw new RumormillError('UNREACHABLE', `${address}: ${reason || 'connection refused'}`, { cause });
        }
      }
    },
  };
}

const ports = new LocalPorts(randomInt(2 ** 32));

/** @param localPort where the connection goes out from; undefined except for those of `others` */
function dialFrom(
  localPort: number | undefined, address: Address, timeoutMs: number, others: ReadonlySet<number>, lingerMs: number,
): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const from = localPort === undefined ? {} : { localPort };
    const options = { allowHalfOpen: true, noDelay: true, autoSelectFamily: true };
    const socket = connect({ ...splitAddress(address), ...from, ...options });
    const late = `no connection within ${Math.ceil(timeoutMs)} ms`;
    const timer = setTimeout(() => socket.destroy(new Error(late)), timeoutMs);
    const fail = (cause: Error): void => {
      clearTimeout(timer);
      reject(cause);
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      if (!isSelfConnected(socket) && !others.has(socket.localPort!)) {
        socket.removeListener('error', fail);
        return resolve(new SocketChannel(socket, lingerMs));
      }
      socket.resetAndDestroy(); // the port is free at once: a reset leaves nobody waiting
      reject(new Error(`the connection took port ${socket.localPort}, on which a broker listens`));
    });
  });
}

class TcpListener implements Listener {
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  /** Does not wait for open channels, which are none of the listener's business. */
  close(): Promise<void> {
    this.#server.close();
    return Promise.resolve();
  }
}

const CHANNEL = Symbol('channel');

/**
 * The socket of a channel. Its listeners are the same functions for all: with thousands of idle connections, some for
 * each would weigh more than all else that is ours.
 */
interface ChannelSocket extends Socket {
  [CHANNEL]: SocketChannel;
}

class SocketChannel implements Channel {
  readonly #socket: Socket;
  readonly #lingerMs: number;
  #handler: ChannelHandler | undefined;
  #corked = false;
  #reason: string | undefined;
  // What the socket has not been given yet; most channels never need it.
  #waiting: Fifo<Uint8Array> | undefined;
  #rest: Uint8Array | undefined; // of the first of it
  #waitingBytes = 0;
  #isEnding = false;
  #isBehind = false; // something was left after all that could be sent at once
  #isAwaited = false; // that the socket passes on what it was given; it does not tell by itself

  constructor(socket: Socket, lingerMs: number) {
    this.#lingerMs = lingerMs;
    this.#socket = Object.assign(socket, { [CHANNEL]: this }) satisfies ChannelSocket;
    socket.on('error', SocketChannel.#onError); // 'close' follows
    socket.on('close', SocketChannel.#onClose);
  }

  static #onError(this: ChannelSocket, error: Error): void {
    this[CHANNEL].#reason = messageOf(error);
  }

  static #onClose(this: ChannelSocket): void {
    const channel = this[CHANNEL];
    channel.#forget();
    channel.#handler?.closed(channel.#reason);
  }

  static #onData(this: ChannelSocket, chunk: Buffer): void {
    this[CHANNEL].#handler?.data(chunk);
  }

  static #onDrain(this: ChannelSocket): void {
    this[CHANNEL].#advance();
  }

  static #onEnd(this: ChannelSocket): void {
    this[CHANNEL].#handler?.ended();
  }

  get remote(): string {
    return `${this.#socket.remoteAddress ?? 'unknown'}:${this.#socket.remotePort ?? 0}`;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength + this.#waitingBytes;
  }

  get receivedBytes(): number {
    return this.#socket.readableLength;
  }

  write(bytes: Uint8Array): void {
    if (!this.#socket.writable || this.#isEnding) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => this.flush());
    }
    if (this.#waitingBytes === 0 && this.#socket.writableLength + bytes.length <= SOCKET_BYTES) {
      this.#socket.write(bytes);
    } else {
      (this.#waiting ??= new Fifo()).push(bytes);
      this.#waitingBytes += bytes.length;
    }
  }

  flush(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#feed();
    this.#socket.uncork();
    this.#isBehind ||= this.bufferedBytes > 0;
    if (this.#socket.writableLength === 0) this.#advance();
    else if (!this.#socket.writableNeedDrain && !this.#isAwaited) {
      this.#isAwaited = true;
      this.#socket.write(EMPTY, () => {
        this.#isAwaited = false;
        if (this.#socket.writableLength === 0) this.#advance();
      });
    }
  }

  /** The socket has passed on what it was given. */
  #advance(): void {
    while (this.#waitingBytes > 0 && this.#socket.writableLength === 0 && !this.#socket.destroyed) {
      this.#socket.cork();
      this.#feed();
      this.#socket.uncork();
    }
    if (this.#isEnding && this.#waitingBytes === 0) return this.#endSocket();
    this.#handler?.sent();
    if (!this.#isBehind || this.bufferedBytes > 0) return;
    this.#isBehind = false;
    this.#handler?.drain();
  }

  /** Gives the socket as much as it may have. */
  #feed(): void {
    while (this.#waitingBytes > 0 && this.#socket.writableLength < SOCKET_BYTES) {
      const bytes = this.#rest ?? this.#waiting!.shift()!;
      const room = SOCKET_BYTES - this.#socket.writableLength;
      const part = bytes.subarray(0, room);
      this.#rest = bytes.length > room ? bytes.subarray(room) : undefined;
      this.#waitingBytes -= part.length;
      this.#socket.write(part);
    }
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#isEnding = true;
    if (this.#waitingBytes === 0) this.#endSocket();
    this.#socket.resume(); // what still comes is not read by anybody, but its end must be seen
  }

  #endSocket(): void {
    if (this.#socket.writable) this.#socket.end(() => this.#linger());
  }

  #linger(): void {
    const timer = setTimeout(() => this.#socket.destroy(), this.#lingerMs).unref();
    this.#socket.once('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#forget();
    this.#socket.destroy();
  }

  #forget(): void {
    this.#waiting = this.#rest = undefined;
    this.#waitingBytes = 0;
  }

  attach(handler: ChannelHandler): void {
    const first = this.#handler === undefined;
    this.#handler = handler;
    if (!first) return;
    this.#socket.on('data', SocketChannel.#onData);
    this.#socket.on('drain', SocketChannel.#onDrain);
    this.#socket.on('end', SocketChannel.#onEnd);
  }
}

function listenError(address: Address, error: NodeJS.ErrnoException): RumormillError {
  const { host, port } = splitAddress(address);
  const reasons: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${host} is in use; is a broker running there already?`,
    EADDRNOTAVAIL: `${host} is not an address of this machine; use --bind to listen on another`,
    EACCES: `port ${port} may not be used by this user`,
    ENOTFOUND: `host name ${host} is not known; use --bind to listen on an address of this machine`,
  };
  return new RumormillError('CONFIG', reasons[error.code ?? ''] ?? `cannot listen on ${address}: ${error.message}`, {
    cause: error,
  });
}
