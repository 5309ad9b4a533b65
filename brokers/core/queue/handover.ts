/**
 * Leases as text: what a subscription's home hands over to the next one when the subscription moves, so that no message
 * is leased to two consumers at once, and tokens stay good. A JSON array of groups: o origin, s state, i who gave the
 * leases, c consumer, and l: seq, deliveries, lease, ms left, seq, ...
 */
import { RumormillError } from '../error.ts';
import { isCount, isObject, parseJson } from '../json.ts';
import { type Origin, parseOrigin } from '../log/record.ts';
import type { HandedLease, LeaseEntry } from './lease.ts';

/** What the next home of a subscription has to know. */
export interface Handover {
  readonly subscription: string;
  /** As `encodeHandover` makes it. */
  readonly leases: string;
}

/** What is known of a message that was delivered, as far as the next home needs it. */
export type Handing = Pick<
  LeaseEntry,
  'origin' | 'seq' | 'state' | 'deliveries' | 'instance' | 'lease' | 'consumer' | 'dueAt'
>;

interface Group {
  readonly o: string;
  readonly s: string;
  readonly i: string;
  readonly c: string;
  readonly l: number[];
}

/**
 * What was delivered and is not done, '' if there is nothing. What may be delivered again at once is delayed by
 * nothing, so that its deliveries count on.
 */
export function encodeHandover(entries: Iterable<Handing>, now: number): string {
  const groups = new Map<string, Group>();
  for (const entry of entries) {
    const { origin, seq, deliveries, instance, lease, consumer } = entry;
    if (entry.state === 'gone') continue;
    const state = entry.state === 'leased' ? 'leased' : 'delayed';
    const dueAt = entry.state === 'leased' || entry.state === 'delayed' ? entry.dueAt : now;
    const name = `${origin} ${state} ${instance} ${consumer}`;
    let group = groups.get(name);
    if (group === undefined) groups.set(name, (group = { o: origin, s: state, i: instance, c: consumer, l: [] }));
    group.l.push(seq, deliveries, lease, Math.max(0, Math.round(dueAt - now)));
  }
  return groups.size === 0 ? '' : JSON.stringify([...groups.values()]);
}

export interface HandoverLimits {
  readonly leasesMax: number;
  readonly remainingMsMax: number;
}

/** The first `leasesMax` leases of a text. @throws RumormillError PROTOCOL for what is not one */
export function decodeHandover(text: string, { leasesMax, remainingMsMax }: HandoverLimits): HandedLease[] {
  const fail = (): never => {
    throw new RumormillError('PROTOCOL', 'what a former home had leased cannot be read');
  };
  const leases: HandedLease[] = [];
  for (const { o, s, i, c, l } of groupsOf(text, fail)) {
    const origin: Origin = parseOrigin(String(o));
    const state = s === 'leased' || s === 'delayed' ? s : fail();
    if (!/^[0-9a-f]{12}$/.test(i) || typeof c !== 'string' || !Array.isArray(l) || !l.every(isCount)) fail();
    for (let at = 0; at + 3 < l.length && leases.length < leasesMax; at += 4) {
      const [seq, deliveries, lease, remainingMs] = l.slice(at, at + 4) as [number, number, number, number];
      leases.push({
        origin, seq, deliveries, lease, state, instance: i, consumer: c,
        remainingMs: Math.min(remainingMs, remainingMsMax),
      });
    }
  }
  return leases;
}

function groupsOf(text: string, fail: () => never): Group[] {
  const groups = text === '' ? [] : parseJson(text);
  return Array.isArray(groups) && groups.every(isObject) ? (groups as unknown as Group[]) : fail();
}
