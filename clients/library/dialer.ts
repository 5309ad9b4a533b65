/**
 * Finding a broker: the addresses that were given, those that the mesh told of, and a connection to the first that
 * answers.
 *
 * Brokers are tried in order, the last good one first. One that refuses gives way to the next at once; one that is
 * silent gets company after `STAGGER_MS`, and the first to answer wins (RFC 8305, "Happy Eyeballs", does so with the
 * addresses of a host). When none answers, all are tried again after a growing wait, until time is up. A connection
 * counts as good once the broker has said who it is and which brokers it knows (MESH STATUS, MESH BROKERS).
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import { messageOf, RumormillError } from '../../brokers/core/error.ts';
import { text } from '../../brokers/wire/message.ts';
import { backoffMs } from './backoff.ts';
import { type Command, Connection, dialSocket } from './connection.ts';
import type { Settings } from './connect-options.ts';
import { type Answer, request } from './request.ts';

const KNOWN_MAX = 1024;
const STAGGER_MS = 200;
const REFRESH_MS = 30_000;
const PROBE_ROUNDS = 3; // a probe may take so much longer than the last connection took

export class Dialer {
  readonly #settings: Settings;
  readonly #closing: AbortSignal;
  readonly #tookMs = new Map<Address, number>(); // for connecting and handshake, the last time
  readonly #probes = new Map<Address, Promise<boolean>>(); // that have no answer yet
  #known: Address[];
  #told: ReadonlySet<Address> = new Set(); // the brokers of the mesh, as it was told last

  /** @param closing aborted when the client closes */
  constructor(settings: Settings, closing: AbortSignal) {
    this.#settings = settings;
    this.#closing = closing;
    this.#known = [...settings.brokers];
  }

  /** The brokers that would be tried, in this order. */
  get known(): readonly Address[] {
    return this.#known;
  }

  /**
   * Each round gives every broker more time, since the path may be long.
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
      const timeoutMs = Math.min(
        this.#settings.connectTimeoutMs * 2 ** round,
        Math.max(this.#settings.connectTimeoutMs, Math.ceil(rest)),
      );
      const connection = await this.#first<C>([...this.#known], reasons, signal, timeoutMs);
      if (connection !== undefined) return connection;
      signal.throwIfAborted();
    }
  }

  /** Whether a broker answers at all. Those who ask at the same time share one connection. */
  isAlive(address: Address): Promise<boolean> {
    const known = this.#probes.get(address);
    if (known !== undefined) return known;
    const timeoutMs = Math.max(this.#settings.connectTimeoutMs, PROBE_ROUNDS * (this.#tookMs.get(address) ?? 0));
    const probe = this.#try(address, this.#closing, timeoutMs).then(
      (connection) => {
        connection.destroy('was a probe');
        return true;
      },
      () => false, // the answer, not a fault: a probe asks just this
    ).finally(() => this.#probes.delete(address));
    this.#probes.set(address, probe);
    return probe;
  }

  /** Takes in what MESH BROKERS answered: living brokers come before dead ones; who was in it and is not has left. */
  learn(brokers: Answer): void {
    const rows = decodeBrokers(brokers);
    const living = rows.filter(({ state }) => state === 'alive' || state === 'self').map(({ address }) => address);
    const others = rows.filter(({ state }) => state !== 'alive' && state !== 'self').map(({ address }) => address);
    const there = new Set([...living, ...others]);
    const stays = this.#known.filter((address) => there.has(address) || !this.#told.has(address));
    this.#told = there;
    this.#known = [...new Set([...stays, ...there])].slice(0, KNOWN_MAX);
  }

  /**
   * Asks now and then which brokers there are: in the life of one connection all that were known may be replaced.
   * @param ask for what MESH BROKERS answers
   */
  refresh(ask: () => Promise<Answer>, everyMs = REFRESH_MS): void {
    const timer = setInterval(() => {
      ask().then((brokers) => this.learn(brokers)).catch((error: unknown) => {
        if (!(error instanceof RumormillError)) throw error; // who needs a broker will hear of it
      });
    }, everyMs).unref();
    this.#closing.addEventListener('abort', () => clearInterval(timer));
  }

  /** A connection to the first of the brokers that answers, undefined if none does. */
  async #first<C extends Command>(
    addresses: readonly Address[], reasons: Map<Address, string>, signal: AbortSignal, timeoutMs: number,
  ): Promise<Connection<C> | undefined> {
    const found = new AbortController();
    const until = AbortSignal.any([signal, found.signal]);
    let winner: Connection<C> | undefined;
    const attempt = async (address: Address): Promise<void> => {
      try {
        const connection = await this.#try<C>(address, until, timeoutMs);
        if (winner === undefined && !signal.aborted) winner = connection;
        else connection.destroy('another broker was faster');
        found.abort();
      } catch (error) {
        reasons.set(address, messageOf(error).replace(`${address}: `, ''));
      }
    };
    const attempts: Promise<void>[] = [];
    for (const address of addresses) {
      if (until.aborted) break;
      attempts.push(attempt(address));
      await Promise.race([
        attempts.at(-1),
        wait(STAGGER_MS, undefined, { signal: until, ref: false }).catch(() => undefined),
      ]); // aborted: somebody answered
    }
    await Promise.all(attempts);
    if (winner !== undefined) this.#known = [winner.address, ...this.#known.filter((each) => each !== winner!.address)];
    return winner;
  }

  /** @param timeoutMs for connecting and for the handshake each */
  async #try<C extends Command>(address: Address, signal: AbortSignal, timeoutMs: number): Promise<Connection<C>> {
    const { name } = this.#settings;
    const since = performance.now();
    const connection = new Connection<Command>(await dialSocket(address, timeoutMs, signal), address);
    try {
      const ask = (...args: string[]): Promise<Answer> => request(connection, args, timeoutMs, signal);
      const [status, brokers] = await Promise.all([
        ask('MESH', 'STATUS'),
        ask('MESH', 'BROKERS'),
        name && ask('CLIENT', 'SETNAME', name),
      ]);
      connection.broker = parseAddress(field(status, 'broker'));
      this.learn(brokers);
      if (this.#tookMs.size >= KNOWN_MAX) this.#tookMs.clear();
      this.#tookMs.set(address, performance.now() - since);
    } catch (error) {
      connection.destroy('handshake failed');
      throw error;
    }
    // commands of the handshake are answered; from here on it carries its owner's
    return connection as unknown as Connection<C>;
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
    if (!Array.isArray(row) || typeof row[2] !== 'number') {
      throw new RumormillError('PROTOCOL', 'MESH BROKERS answered a row that is none');
    }
    return { address: parseAddress(text(row[0])), state: text(row[1]) as BrokerInfo['state'], behind: row[2] };
  });
}

/** The text value of a name in a flat array. @throws RumormillError PROTOCOL if it is not there */
function field(flat: Answer, name: string): string {
  if (Array.isArray(flat)) {
    for (let index = 0; index + 1 < flat.length; index += 2) {
      if (text(flat[index]) === name) return text(flat[index + 1]);
    }
  }
  throw new RumormillError('PROTOCOL', `MESH STATUS has no ${name}: this is not a Rumormill broker`);
}

function unreachable(reasons: ReadonlyMap<Address, string>): RumormillError {
  const tried = [...reasons].map(([address, reason]) => `${address} (${reason})`);
  const shown = tried.length > 10 ? [...tried.slice(0, 10), `and ${tried.length - 10} more`] : tried;
  return new RumormillError('UNREACHABLE', `no broker can be reached; tried ${shown.join(', ')}`);
}
