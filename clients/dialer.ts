/**
 * Finding a broker: the addresses that were given, those that the mesh told of, and a connection to the first that answers.
 *
 * Brokers are tried in order, the last good one first; when none answers, all are tried again after a growing wait, until time is up.
 * A connection counts as good once the broker has said who it is and which brokers it knows (MESH STATUS, MESH BROKERS).
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { type Address, parseAddress } from '../brokers/core/address.ts';
import { messageOf, RumormillError } from '../brokers/core/error.ts';
import { text } from '../brokers/wire/message.ts';
import { backoffMs } from './backoff.ts';
import { type Command, Connection, dialSocket } from './connection.ts';
import type { Settings } from './options.ts';
import { type Answer, request } from './request.ts';

const KNOWN_MAX = 1024;

export class Dialer {
  readonly #settings: Settings;
  #known: Address[];

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#known = [...settings.brokers];
  }

  /** The brokers that would be tried, in this order. */
  get known(): readonly Address[] {
    return this.#known;
  }

  /**
   * @param avoid the broker that was just lost: it is tried last
   * @throws RumormillError UNREACHABLE with every address tried and why not; the signal's reason
   */
  async open<C extends Command>(deadline: number, signal: AbortSignal, avoid?: Address): Promise<Connection<C>> {
    if (avoid !== undefined) this.#known = [...this.#known.filter((address) => address !== avoid), avoid];
    const reasons = new Map<Address, string>();
    for (let round = 0; ; round += 1) {
      const rest = deadline - performance.now();
      const pause = backoffMs(round, Math.random);
      if (round > 0 && pause >= rest) throw unreachable(reasons);
      if (round > 0) await wait(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
      for (const address of [...this.#known]) {
        try {
          return await this.#try<C>(address, signal);
        } catch (error) {
          signal.throwIfAborted();
          reasons.set(address, messageOf(error).replace(`${address}: `, ''));
        }
      }
    }
  }

  /** Whether a broker answers at all. */
  async isAlive(address: Address, signal: AbortSignal): Promise<boolean> {
    try {
      (await this.#try(address, signal)).destroy('was a probe');
      return true;
    } catch {
      return false; // the answer, not a fault: a probe asks just this
    }
  }

  /** Takes in what MESH BROKERS answered: living brokers stand before dead ones. */
  learn(brokers: Answer): void {
    const rows = decodeBrokers(brokers);
    const living = rows.filter(({ state }) => state === 'alive' || state === 'self').map(({ address }) => address);
    const others = rows.filter(({ state }) => state !== 'alive' && state !== 'self').map(({ address }) => address);
    this.#known = [...new Set([...this.#known, ...living, ...others])].slice(0, KNOWN_MAX);
  }

  async #try<C extends Command>(address: Address, signal: AbortSignal): Promise<Connection<C>> {
    const { connectTimeoutMs, name } = this.#settings;
    const connection = new Connection<Command>(await dialSocket(address, connectTimeoutMs, signal), address);
    try {
      const ask = (...args: string[]): Promise<Answer> => request(connection, args, connectTimeoutMs, signal);
      const [status, brokers] = await Promise.all([ask('MESH', 'STATUS'), ask('MESH', 'BROKERS'), name && ask('CLIENT', 'SETNAME', name)]);
      connection.broker = parseAddress(field(status, 'broker'));
      this.learn(brokers);
    } catch (error) {
      connection.destroy('handshake failed');
      throw error;
    }
    this.#known = [address, ...this.#known.filter((each) => each !== address)];
    return connection as unknown as Connection<C>; // commands of the handshake are answered; from here on it carries its owner's
  }
}

/** A broker of the mesh, as the broker that was asked sees it. */
export interface BrokerInfo {
  readonly address: Address;
  readonly state: 'self' | 'alive' | 'suspect' | 'dead';
  /** Records that the broker that was asked holds and this one does not yet, as far as it knows. */
  readonly behind: number;
}

/** @throws RumormillError PROTOCOL */
export function decodeBrokers(reply: Answer): BrokerInfo[] {
  if (!Array.isArray(reply)) throw new RumormillError('PROTOCOL', 'MESH BROKERS did not answer an array');
  return reply.map((row) => {
    if (!Array.isArray(row) || typeof row[2] !== 'number') throw new RumormillError('PROTOCOL', 'MESH BROKERS answered a row that is none');
    return { address: parseAddress(text(row[0])), state: text(row[1]) as BrokerInfo['state'], behind: row[2] };
  });
}

/** The text value of a name in a flat array. @throws RumormillError PROTOCOL where it is not there */
function field(flat: Answer, name: string): string {
  if (Array.isArray(flat)) {
    for (let index = 0; index + 1 < flat.length; index += 2) if (text(flat[index]) === name) return text(flat[index + 1]);
  }
  throw new RumormillError('PROTOCOL', `MESH STATUS has no ${name}: this is not a Rumormill broker`);
}

function unreachable(reasons: ReadonlyMap<Address, string>): RumormillError {
  const tried = [...reasons].map(([address, reason]) => `${address} (${reason})`);
  const shown = tried.length > 10 ? [...tried.slice(0, 10), `and ${tried.length - 10} more`] : tried;
  return new RumormillError('UNREACHABLE', `no broker can be reached; tried ${shown.join(', ')}`);
}
