/** What the mesh holds, as `admin` lists it: the rows as objects for `--json`, and as tables for people. */
import { RumormillError } from '../../brokers/core/error.ts';
import type {
  BindingInfo, BrokerInfo, Client, ConsumerInfo, MemberInfo, PendingInfo, SubscriptionInfo, TopicInfo,
} from '../client.ts';
import { type Cell, tableLines } from './table.ts';

/** Something to be shown in either form. */
export interface Listing {
  /** What `--json` prints. */
  readonly data: unknown;
  lines(isTerminal: boolean): string[];
}

const ID_SHOWN = 12; // characters; as many as people need, and more than FORGET does
const ASKED_AT_ONCE = 8; // each GET counts, and the last one's answer must not be waited for too long

export async function topicListing(client: Client, pattern: string | undefined): Promise<Listing> {
  const rows = await described(await client.topics(pattern), (name) => client.topic(name));
  return listing(['TOPIC', 'TYPE', 'MESSAGES', 'BYTES', 'BINDINGS', 'LAMPORT'], rows, topicRow);
}

export async function subscriptionListing(client: Client, pattern: string | undefined): Promise<Listing> {
  const rows = await described(await client.subscriptions(pattern), (name) => client.subscription(name));
  const counts = ['BACKLOG', 'IN FLIGHT', 'DELAYED', 'REDELIVERED', 'DEAD-LETTERED', 'CONSUMERS'];
  return listing(
    [
      'SUBSCRIPTION', 'KIND', ...counts, 'BINDINGS', 'VISIBILITY', 'MAX DELIVERIES', 'DEAD LETTER', 'BACKOFF', 'HOME',
      'HELD BACK BY',
    ],
    rows,
    subscriptionRow,
  );
}

export async function bindingListing(client: Client, subscription: string | undefined): Promise<Listing> {
  const rows = (await client.bindings(subscription)).sort(
    (a, b) => compare(a.subscription, b.subscription) || compare(a.topic, b.topic) || compare(a.key ?? '', b.key ?? ''),
  );
  return listing(['SUBSCRIPTION', 'TOPIC', 'KEY'], rows, ({ subscription: name, topic, key }: BindingInfo) => [
    name, topic, key,
  ]);
}

export async function pendingListing(client: Client, name: string, count: number): Promise<Listing> {
  const rows = await client.pending(name, { count });
  const row = ({ id, consumer, deliveries, msLeft, state }: PendingInfo): Cell[] => [
    id, state, consumer, deliveries, duration(msLeft),
  ];
  return listing(['MESSAGE', 'STATE', 'CONSUMER', 'DELIVERIES', 'TIME LEFT'], rows, row);
}

export async function consumerListing(client: Client, name: string, count: number): Promise<Listing> {
  const row = ({ consumer, inFlight, idleMs }: ConsumerInfo): Cell[] => [
    consumer, inFlight, idleMs === null ? null : duration(idleMs),
  ];
  return listing(['CONSUMER', 'IN FLIGHT', 'IDLE'], await client.consumers(name, { count }), row);
}

/** The brokers of the mesh, and what the one that is asked says of itself. */
export async function statusListing(client: Client): Promise<Listing> {
  const [brokers, status] = await Promise.all([client.brokers(), client.status()]);
  const rows = Object.entries(status);
  const ofBrokers = listing(['BROKER', 'STATE', 'BEHIND'], brokers, ({ address, state, behind }: BrokerInfo) => [
    address, state, behind,
  ]);
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return {
    data: { brokers, status },
    lines: (isTerminal) => [
      ...ofBrokers.lines(isTerminal), '', ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()),
    ],
  };
}

/** Who the members are. */
export async function memberListing(client: Client): Promise<Listing> {
  const row = ({ address, id, state, since, reached, behind }: MemberInfo): Cell[] => [
    address, id === '' ? null : id.slice(0, ID_SHOWN), state, since, reached, behind,
  ];
  return listing(['MEMBER', 'ID', 'STATE', 'SINCE', 'REACHED', 'BEHIND'], await client.members(), row);
}

function listing<T>(headings: readonly string[], rows: readonly T[], cells: (row: T) => readonly Cell[]): Listing {
  return { data: rows, lines: (isTerminal) => tableLines(headings, rows.map(cells), isTerminal) };
}

function topicRow({ topic, type, messages, bytes, bindings, lamport }: TopicInfo): Cell[] {
  return [topic, type, messages, bytes, bindings, lamport];
}

function subscriptionRow(info: SubscriptionInfo): Cell[] {
  const {
    name, backlog, inFlight, delayed, redelivered, deadLettered, consumers, bindings, visibilityMs, maxDeliveries,
    deadLetter, backoffMs, home,
  } = info;
  const counts = [backlog, inFlight, delayed, redelivered, deadLettered, consumers];
  const kind = info.transient ? 'transient' : 'durable';
  return [
    name, kind, ...counts, bindings, duration(visibilityMs), maxDeliveries, deadLetter,
    backoffMs === null ? null : duration(backoffMs), home, info.limit,
  ];
}

/** What is known of each; those that were deleted meanwhile are left out. */
async function described<T>(names: readonly string[], ask: (name: string) => Promise<T>): Promise<T[]> {
  const rows: T[] = [];
  const sorted = [...names].sort(compare);
  for (let at = 0; at < sorted.length; at += ASKED_AT_ONCE) {
    const some = await Promise.all(sorted.slice(at, at + ASKED_AT_ONCE).map((name) => ask(name).catch(unlessGone)));
    rows.push(...some.filter((row) => row !== undefined));
  }
  return rows;
}

function unlessGone(error: unknown): undefined {
  if (!(error instanceof RumormillError) || error.code !== 'NOTFOUND') throw error;
}

/** `250 ms`, `30 s`, `1.5 s` */
function duration(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${Math.round(ms / 100) / 10} s`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
