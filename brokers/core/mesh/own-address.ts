/**
 * Whether other brokers can dial a broker by the address that it gives itself.
 *
 * If only its own machine can dial it, each machine has a mesh of its own, and each of these acknowledges publishes. So
 * such a broker does not start, and its error says what to start it with.
 */
import { type Address, splitAddress } from '../address.ts';
import { RumormillError } from '../error.ts';

export interface Surroundings {
  readonly rows: readonly Address[];
  /** What the rows are called in errors: the name of the file, or of the option. */
  readonly source: string;
  /** Addresses of this machine, the one that others are most likely to reach first. */
  readonly hosts: readonly string[];
  /** Whether there is a store of this broker already: its log may say who is a member, whatever the rows are. */
  readonly hasStore: boolean;
  /** Whether an address leads to this machine; undefined if its name leads nowhere now. */
  isHere(address: Address): Promise<boolean | undefined>;
}

/** @throws RumormillError CONFIG that says what would be right */
export async function checkOwnAddress(own: Address, surroundings: Surroundings): Promise<void> {
  const { rows, source } = surroundings;
  const { host, port } = splitAddress(own);
  if (isUnspecified(host)) {
    const remedy = `${await flagsFor(own, surroundings)} --bind ${host}`;
    throw new RumormillError('CONFIG', `no other broker can dial ${host}: start with ${remedy}`);
  }
  const far = rows.find((row) => !isLoopback(splitAddress(row).host));
  if (isLoopback(host) && far !== undefined) {
    const what = `${host} is this machine alone, and other brokers of ${source} cannot dial it (${far} is one)`;
    throw new RumormillError('CONFIG', `${what}: start with ${await flagsFor(own, surroundings)}`);
  }
  if (rows.length === 0 || rows.includes(own) || surroundings.hasStore) return;
  if (await hasOtherName(port, surroundings)) return;
  throw new RumormillError(
    'CONFIG',
    `${own} is in no row of ${source}: start with the --host and --port of a row, or add the row ${host},${port}`,
  );
}

/** Whether a row may be this broker under another name. A name that leads nowhere may be one. */
async function hasOtherName(port: number, { rows, isHere }: Surroundings): Promise<boolean> {
  const likely = rows.filter((row) => splitAddress(row).port === port);
  return (await Promise.all(likely.map((row) => isHere(row)))).some((here) => here !== false);
}

/** Flags with which others can dial this broker: those of a row that leads to this machine, if there is one. */
async function flagsFor(own: Address, { rows, hosts, isHere }: Surroundings): Promise<string> {
  const { port } = splitAddress(own);
  const dialable = rows.filter((row) => !isUnspecified(splitAddress(row).host));
  const far = dialable.filter((row) => !isLoopback(splitAddress(row).host));
  const fit = far.length > 0 ? far : dialable; // a mesh on one machine may have loopback addresses
  const here = await Promise.all(fit.map((row) => isHere(row)));
  const likely = fit.filter((_, index) => here[index] === true).map(splitAddress);
  const row = likely.find((each) => each.port === port) ?? likely[0];
  if (row === undefined) return `--host ${hosts.find((each) => !isLoopback(each)) ?? '<address of this machine>'}`;
  return `--host ${row.host}${row.port === port ? '' : ` --port ${row.port}`}`;
}

/** RFC 1122, section 3.2.1.3; RFC 4291, sections 2.5.2 and 2.5.5.2. */
function isUnspecified(host: string): boolean {
  return ['0.0.0.0', '::', '::ffff:0:0'].includes(host);
}

/** RFC 1122, section 3.2.1.3; RFC 4291, sections 2.5.3 and 2.5.5.2; RFC 6761, section 6.3. */
function isLoopback(host: string): boolean {
  return /^127\.|^::1$|^::ffff:7f[0-9a-f]{2}:|(^|\.)localhost$/.test(host);
}
