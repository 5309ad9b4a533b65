/**
 * Broker addresses, `host:port`, and the one order of brokers.
 *
 * An address is written in one canonical way everywhere (IPv6 in brackets and compressed as RFC 5952 says, names in
 * lower case), so that equal brokers have equal strings. The order decides elections and ties between Lamport
 * timestamps: IPv4 and IPv6 addresses compare as numbers, IPv4 first, then names as text, then ports as numbers, so
 * that `10.0.0.9:3000` < `10.0.0.10:3000` and `h:999` < `h:3000`.
 */
import { RumormillError } from './error.ts';

declare const brand: unique symbol;

/** A broker's address in canonical form, `host:port`. Made by `parseAddress` and `makeAddress` only. */
export type Address = string & { readonly [brand]: 'Address' };

const HOST_CHARACTERS_MAX = 253; // RFC 1035, section 2.3.4, less the root label
const NAME = /^(?=.*[a-z_])[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/;

/**
 * Parses `host:port`; an IPv6 host is in brackets.
 * @throws RumormillError CONFIG that names what is wrong
 */
export function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':');
  if (colon < 1) throw new RumormillError('CONFIG', `address ${quote(text)} is not host:port`);
  const host = text.slice(0, colon);
  if (host.includes(':') && !host.startsWith('[')) {
    throw new RumormillError('CONFIG', `address ${quote(text)}: write an IPv6 address in brackets, as in [::1]:3000`);
  }
  return makeAddress(host, text.slice(colon + 1));
}

/**
 * Joins a host (a name, an IPv4 or an IPv6 address, bracketed or not) and a port (1..65535).
 * @throws RumormillError CONFIG that names what is wrong
 */
export function makeAddress(host: string, port: string | number): Address {
  return `${canonicalHost(host)}:${parsePort(port)}` as Address;
}

/** The host of an address without brackets, as `node:net` takes it, and its port. */
export function splitAddress(address: Address): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon);
  return { host: host.startsWith('[') ? host.slice(1, -1) : host, port: Number(address.slice(colon + 1)) };
}

/** The order of brokers: negative if `a` comes first, 0 if they are the same. */
export function compareAddresses(a: Address, b: Address): number {
  if (a === b) return 0;
  const left = orderKey(a);
  const right = orderKey(b);
  if (left.rank !== right.rank) return left.rank - right.rank;
  if (left.host !== right.host) return left.host < right.host ? -1 : 1;
  return left.port - right.port;
}

interface OrderKey {
  readonly rank: 0 | 1 | 2; // IPv4, IPv6, name
  readonly host: string; // numbers as fixed-width hexadecimal, so that text order is number order
  readonly port: number;
}

function orderKey(address: Address): OrderKey {
  const { host, port } = splitAddress(address);
  const four = parseIPv4(host);
  if (four !== undefined) return { rank: 0, host: hex(four), port };
  const six = parseIPv6(host);
  if (six !== undefined) return { rank: 1, host: six.map((group) => hex([group >> 8, group & 255])).join(''), port };
  return { rank: 2, host, port };
}

function hex(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function parsePort(port: string | number): number {
  const number = typeof port === 'number' ? port : /^\d{1,5}$/.test(port) ? Number(port) : NaN;
  if (!Number.isInteger(number) || number < 1 || number > 65535) {
    throw new RumormillError('CONFIG', `port ${quote(String(port))} is not a number from 1 to 65535`);
  }
  return number;
}

function canonicalHost(host: string): string {
  const text = host.toLowerCase();
  const bracketed = text.startsWith('[') && text.endsWith(']');
  if (bracketed || text.includes(':')) {
    const groups = parseIPv6(bracketed ? text.slice(1, -1) : text);
    if (groups === undefined) throw new RumormillError('CONFIG', `host ${quote(host)} is not an IPv6 address`);
    return `[${formatIPv6(groups)}]`;
  }
  const four = parseIPv4(text);
  if (four !== undefined) return four.join('.');
  if (text.length > HOST_CHARACTERS_MAX || !NAME.test(text)) {
    throw new RumormillError('CONFIG', `host ${quote(host)} is neither an IP address nor a host name`);
  }
  return text.endsWith('.') ? text.slice(0, -1) : text;
}

function parseIPv4(text: string): number[] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const bytes = match?.slice(1).map(Number);
  return bytes?.every((byte) => byte <= 255) ? bytes : undefined;
}

/** Eight 16-bit groups, or undefined. RFC 4291, section 2.2, with an IPv4 tail; without zone identifiers. */
function parseIPv6(text: string): number[] | undefined {
  if (!text.includes(':')) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = [parseGroups(halves[0]!, halves.length === 1), parseGroups(halves[1] ?? '', true)];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** Groups between colons. Only the last part of the whole address may be an IPv4 address. */
function parseGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const four = isEnd && index === parts.length - 1 ? parseIPv4(part) : undefined;
    if (four !== undefined) groups.push((four[0]! << 8) | four[1]!, (four[2]! << 8) | four[3]!);
    else if (/^[0-9a-f]{1,4}$/.test(part)) groups.push(parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** RFC 5952, section 4: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatIPv6(groups: readonly number[]): string {
  let [bestStart, bestLength] = [0, 1];
  for (let start = 0; start < groups.length; start += 1) {
    let end = start;
    while (groups[end] === 0) end += 1;
    if (end - start > bestLength) [bestStart, bestLength] = [start, end - start];
  }
  const texts = groups.map((group) => group.toString(16));
  if (bestLength < 2) return texts.join(':');
  return `${texts.slice(0, bestStart).join(':')}::${texts.slice(bestStart + bestLength).join(':')}`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
