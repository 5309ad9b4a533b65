/**
 * A network between real processes that can be cut, without root: a TCP proxy in front of each broker.
 *
 * A broker listens on BIND at its port; the address that it advertises, and that globalState.csv has, is HOST at the
 * same port, where its proxy listens. So all that peers and clients send it passes here. Who dials is read from the
 * first bytes: a peer introduces itself with its address, anybody else is a client. So each ordered pair of parties is
 * a direction of its own.
 *
 * A direction that is cut loses nothing and tells nobody: bytes, and the ends of connections, wait in the sockets until
 * it is healed, as packets are sent again behind a cable that was pulled out. A connection that is dialled meanwhile
 * opens and stays silent.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Address, splitAddress } from '../../brokers/core/address.ts';

export const HOST = '127.0.0.1';
/** Another address of this machine: Linux has all of 127/8, others have IPv6. */
export const BIND = process.platform === 'linux' ? '127.0.0.2' : '::1';

/** One side of a direction: a broker, or all clients together. */
export type Party = Address | 'clients';

// PEER version mesh address ...
const PEER_HELLO = /^\*\d+\r\n\$4\r\nPEER\r\n(?:\$\d+\r\n[^\r]*\r\n){2}\$\d+\r\n([^\r]+)\r\n/;

export class FaultNetwork implements AsyncDisposable {
  readonly #servers: Server[] = [];
  readonly #pipes = new Set<Pipe>();
  readonly #cut = new Set<string>();

  /** Proxies for brokers with these addresses, which are to listen on BIND. */
  static async start(addresses: readonly Address[]): Promise<FaultNetwork> {
    const network = new FaultNetwork();
    for (const address of addresses) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => network.#accept(socket, address));
      network.#servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(splitAddress(address), resolve);
      });
    }
    return network;
  }

  /** What `from` sends does not reach `to` any more. */
  cut(from: Party, to: Party): void {
    this.#cut.add(direction(from, to));
    for (const pipe of this.#pipes) pipe.adapt();
  }

  /** Undoes a cut: what waited arrives. */
  heal(from: Party, to: Party): void {
    this.#cut.delete(direction(from, to));
    for (const pipe of this.#pipes) pipe.adapt();
  }

  /** Resets a connection that a client has with one of the brokers. False where there is none. */
  reset(brokers: readonly Address[], pick: <T>(values: readonly T[]) => T): boolean {
    const pipes = [...this.#pipes].filter(({ dialler, target }) => dialler === 'clients' && brokers.includes(target));
    if (pipes.length > 0) pick(pipes).reset();
    return pipes.length > 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pipe of this.#pipes) pipe.reset();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #accept(socket: Socket, target: Address): void {
    const pipe = new Pipe(socket, target, (from, to) => this.#cut.has(direction(from, to)));
    this.#pipes.add(pipe);
    pipe.over = () => this.#pipes.delete(pipe);
  }
}

function direction(from: Party, to: Party): string {
  return `${from} > ${to}`;
}

/** One connection: two sockets, and what each receives goes out of the other, where the direction is not cut. */
class Pipe {
  /** Unknown until it has said something. */
  dialler: Party | undefined;
  readonly target: Address;
  over: (() => void) | undefined;
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #isCut: (from: Party, to: Party) => boolean;
  readonly #failed = new Set<Socket>(); // refused or reset

  constructor(near: Socket, target: Address, isCut: (from: Party, to: Party) => boolean) {
    const { port } = splitAddress(target);
    this.#near = near;
    this.target = target;
    this.#isCut = isCut;
    this.#far = connect({ host: BIND, port, allowHalfOpen: true, noDelay: true });
    this.#far.pause(); // until it is known to whom it sends
    this.#join(near, this.#far);
    this.#join(this.#far, near);
    near.once('data', (first: Buffer) => {
      near.pause();
      near.unshift(first);
      this.dialler = (PEER_HELLO.exec(first.toString('latin1'))?.[1] as Address | undefined) ?? 'clients';
      this.#forward(near, this.#far);
      this.#forward(this.#far, near);
      this.adapt();
    });
  }

  /** Goes on where the direction is healed, holds where it is cut. */
  adapt(): void {
    if (this.dialler === undefined) return;
    this.#flow(this.#near, this.#far, this.dialler, this.target);
    this.#flow(this.#far, this.#near, this.target, this.dialler);
  }

  reset(): void {
    for (const socket of [this.#near, this.#far]) socket.resetAndDestroy();
  }

  #join(source: Socket, sink: Socket): void {
    source.on('end', () => sink.end());
    source.on('error', () => {
      this.#failed.add(source);
      this.adapt();
    });
    source.on('close', () => {
      if (this.dialler === undefined) sink.destroy(); // it has said nothing
      if (sink.destroyed) this.over?.();
    });
  }

  #forward(source: Socket, sink: Socket): void {
    source.on('data', (chunk: Buffer) => {
      if (!sink.destroyed && !sink.write(chunk)) source.pause();
    });
    sink.on('drain', () => this.adapt());
  }

  #flow(source: Socket, sink: Socket, from: Party, to: Party): void {
    const isCut = this.#isCut(from, to);
    if (this.#failed.has(source) && !isCut) sink.resetAndDestroy(); // as the other side would see it
    else if (isCut || sink.writableNeedDrain) source.pause();
    else source.resume();
  }
}
