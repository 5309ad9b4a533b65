/**
 * From which port of one's own a connection goes out.
 *
 * Left to itself, a system takes any port that is free, and so at times the very one that is
 * dialled: if nobody listens there, TCP's simultaneous open (RFC 9293, section 3.5) then connects
 * the socket with itself. At other times it takes the port of a broker that is down, which cannot
 * listen there for as long as the connection lasts. So the dialler says from which port: one of
 * the dynamic ports (RFC 6335, section 6) in turn, except those that brokers are known to listen on.
 *
 * A port that is said is also bound with SO_REUSEADDR, so that no connection, or what is left of
 * one, keeps a listener away.
 */

/** The dynamic ports, inclusive. */
export const [PORT_MIN, PORT_MAX] = [49_152, 65_535];

/** How many ports, in use by others, are tried before the choice is left to the system. */
export const PORT_TRIES = 4;

export class LocalPorts {
  #next: number;

  /** @param random uniform in 0..2^32-1: processes of one machine begin at different ports */
  constructor(random: number) {
    this.#next = PORT_MIN + (random % (PORT_MAX - PORT_MIN + 1));
  }

  /** @param taken ports that brokers listen on; fewer than there are dynamic ports */
  take(taken: ReadonlySet<number>): number {
    for (;;) {
      const port = this.#next;
      this.#next = port < PORT_MAX ? port + 1 : PORT_MIN;
      if (!taken.has(port)) return port;
    }
  }
}

/** What a socket says of its two ends; undefined if it is not connected. */
export interface SocketEnds {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** Whether a connection's two ends are the same. */
export function isSelfConnected(socket: SocketEnds): boolean {
  return socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
}

const PORT_CODES = ['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES', 'EPERM'];

/** Whether a dial failed because of the port that it was to go out from, so that another one may do. */
export function isPortRefused(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isPortRefused); // a name's several addresses
  return error instanceof Error && 'code' in error && PORT_CODES.includes(String(error.code));
}
