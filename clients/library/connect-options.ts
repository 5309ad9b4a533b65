/**
 * What `connect` takes: every limit and time of a client, with units and defaults, validated in one place.
 */
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { shown } from './call-options.ts';

/** Something a person may want to know about a client's connections. */
export type ClientEvent =
  /** The connection to a broker was lost; another is looked for. */
  | { readonly type: 'lost'; readonly purpose: Purpose; readonly broker: string; readonly reason: string }
  /** After a loss: work goes on with this broker. */
  | { readonly type: 'failover'; readonly purpose: Purpose; readonly broker: string; readonly from: string };

/**
 * `requests`: the connection that publishes and reads share. `queue`: the one that commands about topics, subscriptions
 * and bindings share. `poll`: one that a reader or a consumer, or a poll or pull that waits, has for itself.
 */
export type Purpose = 'requests' | 'queue' | 'poll';

export interface ConnectOptions {
  /** Where to begin: `host:port`, several of them separated by commas, or a list. The rest of the mesh is learned. */
  readonly brokers: string | readonly string[];
  /**
   * How long one call may look for a broker, and how long nothing may move while its answer is due (a poll: beside
   * `blockMs`), ms. Default 10,000.
   */
  readonly timeoutMs?: number;
  /**
   * How long one broker may take to accept a connection, ms; twice as long each time that all were tried. Default
   * 1,000.
   */
  readonly connectTimeoutMs?: number;
  /**
   * How long a broker may be silent while answers are due, before the client checks whether it is alive, ms. Default
   * 1,000.
   */
  readonly silenceMs?: number;
  /** How often a reader or consumer asks which brokers there are, ms. Default 30,000. Every new connection asks too. */
  readonly refreshMs?: number;
  /**
   * Whether each publish without an `id` gets one of the client's own, so that it can be made again, once, on another
   * broker when its own is lost. Without, such a publish fails with DISCONNECTED. Default true; it costs some 30 bytes
   * a message on the wire and 18 on disk.
   */
  readonly idempotent?: boolean;
  /** Most calls without an answer; a publish beyond is rejected with BUSY. Default 100,000. */
  readonly unansweredMax?: number;
  /** Most bytes of calls without an answer; a publish beyond is rejected with BUSY. Default 64 MiB. */
  readonly unansweredBytesMax?: number;
  /**
   * Most readers, consumers and waiting polls and pulls at a time. Each has its own connection; one more is rejected
   * with BUSY. Default 1,000.
   */
  readonly pollsMax?: number;
  /** Shown by the brokers beside this client's connections. */
  readonly name?: string;
  /**
   * Told of lost connections and of failovers. Called in a microtask of its own; what it throws is an uncaught
   * exception.
   */
  readonly onEvent?: (event: ClientEvent) => void;
}

/** `ConnectOptions` with every default filled in. */
export type Settings = Required<Omit<ConnectOptions, 'brokers' | 'name' | 'onEvent'>> & {
  readonly brokers: readonly Address[];
  readonly name: string | undefined;
  readonly emit: (event: ClientEvent) => void;
};

// about 23 days. Beyond 2 ** 31 - 1 a Node timer fires at once, and some wait for one of these and a beat
const TIMER_MS_MAX = 2_000_000_000;
const BROKERS_MAX = 1_024;

const DEFAULTS = {
  timeoutMs: 10_000,
  connectTimeoutMs: 1_000,
  silenceMs: 1_000,
  refreshMs: 30_000,
  unansweredMax: 100_000,
  unansweredBytesMax: 64 * 1024 * 1024,
  pollsMax: 1_000,
} as const;

/** @throws RumormillError CONFIG that names the option and what is wrong with it */
export function settingsOf(options: ConnectOptions): Settings {
  if (typeof options !== 'object' || options === null) {
    throw new RumormillError('CONFIG', 'options are missing: give { brokers } at least');
  } // JavaScript has no types
  const { onEvent } = options;
  const numbers = Object.fromEntries(
    Object.entries(DEFAULTS).map(([name, value]) => {
      const given = options[name as keyof typeof DEFAULTS] ?? value;
      return [name, atLeastOne(name, given, name.endsWith('Ms') ? TIMER_MS_MAX : Number.MAX_SAFE_INTEGER)];
    }),
  ) as Record<keyof typeof DEFAULTS, number>;
  if (onEvent !== undefined && typeof onEvent !== 'function') {
    throw new RumormillError('CONFIG', 'onEvent must be a function');
  }
  if (options.name !== undefined && !isClientName(options.name)) {
    const what = 'name must be text of 1 to 100 printable ASCII characters without spaces';
    throw new RumormillError('CONFIG', `${what}, not ${shown(options.name)}`);
  }
  const { idempotent = true } = options;
  if (typeof idempotent !== 'boolean') {
    throw new RumormillError('CONFIG', `idempotent must be true or false, not ${shown(idempotent)}`);
  }
  return {
    ...numbers,
    brokers: brokerAddresses(options.brokers),
    idempotent,
    name: options.name,
    emit: (event) => {
      if (onEvent !== undefined) queueMicrotask(() => onEvent(event));
    },
  };
}

/** The addresses in `a:1,b:2` or in a list, each once. @throws RumormillError CONFIG */
export function brokerAddresses(brokers: string | readonly string[]): Address[] {
  const texts: unknown = typeof brokers === 'string' ? brokers.split(',') : brokers;
  if (!Array.isArray(texts) || !texts.every((text) => typeof text === 'string')) {
    throw new RumormillError('CONFIG', "brokers must be 'host:port,host:port' or a list of host:port");
  }
  const addresses = new Set(texts.map((text) => parseAddress(text.trim())));
  if (addresses.size === 0) throw new RumormillError('CONFIG', 'brokers is empty: give at least one host:port');
  if (addresses.size > BROKERS_MAX) {
    throw new RumormillError('CONFIG', `brokers lists ${addresses.size} addresses, at most ${BROKERS_MAX}`);
  }
  return [...addresses];
}

function isClientName(name: unknown): boolean {
  return typeof name === 'string' && /^[!-~]{1,100}$/.test(name);
}

function atLeastOne(name: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new RumormillError('CONFIG', `${name} must be a whole number from 1 to ${max}, not ${shown(value)}`);
}
