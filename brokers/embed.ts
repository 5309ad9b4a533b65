/**
 * A broker inside a program of your own: `import { startBroker } from 'rumormill/broker'`. The real clock, network and
 * disk around `Broker`; what the command line does, without flags and signals.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ConfigOptions, makeConfig } from './config.ts';
import { type Address, parseAddress } from './core/address.ts';
import { RumormillError } from './core/error.ts';
import { checkOwnAddress } from './core/mesh/own-address.ts';
import type { Logger } from './core/runtime.ts';
import { Broker } from './host.ts';
import { systemClock, systemRandom } from './io/clock.ts';
import { readGlobalState, watchGlobalState } from './io/global-state.ts';
import { isOfMachine, machineHosts } from './io/hosts.ts';
import { openIdentity, systemSignatures } from './io/identity.ts';
import { makeLogger } from './io/logger.ts';
import { machineLimits } from './io/machine.ts';
import { openStore } from './io/open-store.ts';
import { packageVersion } from './io/version.ts';
import { tcpTransport } from './io/transport.ts';
import { mendClock } from './log/mend-clock.ts';

export type { ConfigOptions, Limits } from './config.ts';
export { RumormillError } from './core/error.ts';
export type { Logger, LogFields, LogLevel } from './core/runtime.ts';
export { Broker } from './host.ts';
export { makeLogger } from './io/logger.ts';

const WATCH_MS = 500;

export interface EmbedOptions extends ConfigOptions {
  /**
   * The brokers of the mesh: a CSV file, which is read again when it changes, or a list of `host:port`. Default
   * `globalState.csv`.
   */
  readonly brokers?: string | readonly string[];
  /** The log is `<dataDir>/<host>-<port>/broker.db`, or `<dataDir>/broker.db` if that is there. Default `data`. */
  readonly dataDir?: string;
  /** Default: lines of level info on standard error. */
  readonly logger?: Logger;
}

/**
 * Starts a broker; `broker.stop()` stops it, `broker.stopped` settles when it has.
 * @throws RumormillError CONFIG or STORE, in one line for a person
 */
export async function startBroker(options: EmbedOptions = {}): Promise<Broker> {
  return (await openBroker(options)).broker;
}

/** What `startBroker` does. `reread` reads globalState.csv now; it does nothing if the brokers are a list. */
export async function openBroker(
  options: EmbedOptions,
): Promise<{ readonly broker: Broker; readonly reread: () => void }> {
  checkKinds(options);
  const { brokers = 'globalState.csv', dataDir = 'data' } = options;
  const logger = options.logger ?? makeLogger('info', 'text', (line) => process.stderr.write(line));
  const settings = { ...options, limits: { ...machineLimits(), ...options.limits } };
  const { address } = makeConfig(settings);
  const listed = typeof brokers === 'string' ? await readGlobalState(brokers) : parseList(brokers);
  const rows = options.joins === true ? [...new Set([...listed, address])] : listed;
  const folder = folderOf(dataDir, address);
  await checkOwnAddress(address, {
    rows, hasStore: existsSync(join(folder, 'broker.db')), hosts: machineHosts(),
    source: typeof brokers === 'string' ? brokers : 'brokers',
    isHere: (row) => isOfMachine(row).catch(() => undefined), // a name that nobody knows now
  });
  const broker = await Broker.start(settings, rows, {
    version: packageVersion(),
    clock: systemClock,
    random: systemRandom,
    transport: tcpTransport,
    signatures: systemSignatures,
    logger,
    openStore: () => openStore(folder, address, systemRandom, logger),
    openIdentity: () => openIdentity(folder),
  });
  const reread = typeof brokers === 'string' ? watch(broker, brokers, rows, logger) : () => {};
  return { broker, reread };
}

/** JavaScript has no types. */
function checkKinds(options: EmbedOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new RumormillError('CONFIG', 'the options of a broker are no object');
  }
  for (const name of ['host', 'bind', 'mesh', 'dataDir'] as const) {
    if (!['undefined', 'string'].includes(typeof options[name])) {
      throw new RumormillError('CONFIG', `${name} is no text`);
    }
  }
}

function parseList(brokers: unknown): Address[] {
  const isList = Array.isArray(brokers) && brokers.every((each) => typeof each === 'string');
  if (!isList) throw new RumormillError('CONFIG', 'brokers is no file and no list of host:port');
  return brokers.map(parseAddress);
}

/**
 * Sets back the Lamport clock and the term of a broker that does not run (log/mend-clock.ts). Returns what was done, in
 * a line for people.
 * @throws RumormillError CONFIG or STORE, in one line for a person
 */
export async function mendStoredClock(options: EmbedOptions = {}): Promise<string> {
  const { address } = makeConfig(options);
  const folder = folderOf(options.dataDir ?? 'data', address);
  if (!existsSync(join(folder, 'broker.db'))) throw new RumormillError('CONFIG', `there is no broker.db in ${folder}`);
  const store = await openStore(folder, address, systemRandom);
  try {
    return `${address}: ${await mendClock(store)}`;
  } finally {
    await store.close();
  }
}

function watch(broker: Broker, file: string, rows: readonly Address[], logger: Logger): () => void {
  const { reread, stop } = watchGlobalState(
    file, rows, WATCH_MS, (changed) => broker.configure(changed),
    (error) => logger.error('globalState.csv not taken over, the last good list stays', { reason: error.message }));
  broker.stopped.then(stop, stop);
  return reread;
}

/** The folder of a broker's files: in the data folder, or that itself, if it has such files. */
function folderOf(dataDir: string, address: Address): string {
  return existsSync(join(dataDir, 'broker.db')) ? dataDir : join(dataDir, folderName(address));
}

/** `<host>-<port>`, less the characters of an IPv6 address that folders cannot have everywhere. */
function folderName(address: Address): string {
  const colon = address.lastIndexOf(':');
  return `${address.slice(0, colon).replaceAll(/[[\]]/g, '').replaceAll(':', '_')}-${address.slice(colon + 1)}`;
}
