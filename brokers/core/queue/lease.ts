/** A lease: a message of a subscription that was delivered and is not done, and what the next home is told of it. */
import { type LeaseToken, originTag } from './lease-token.ts';
import type { Origin } from '../log/record.ts';

/** What a batch's messages share: where it lies in this broker's log, and the names of its first message. */
export interface Source {
  readonly position: number;
  readonly topic: string; // under which it is stored
  readonly origin: Origin;
  readonly seq: number;
  readonly lamport: number;
}

/** What is done when a delivery fails; of `SubscriptionSettings`, which may change. */
export interface LeasePolicy {
  readonly visibilityMs: number;
  readonly maxDeliveries: number | null;
  readonly backoffMs: number | null;
  readonly backoffMsMax: number;
}

export type LeaseState = 'leased' | 'delayed' | 'ready' | 'failed' | 'gone';

export interface LeaseEntry {
  readonly origin: Origin;
  readonly seq: number;
  /** Undefined if it was handed over and the reader has not come to it. */
  readonly source: Source | undefined;
  readonly state: LeaseState;
  readonly deliveries: number;
  /** Who gave the newest lease, as which of its leases. */
  readonly instance: string;
  readonly lease: number;
  readonly consumer: string;
  readonly dueAt: number; // monotonic clock, ms; of leased and delayed ones
  readonly isSettling: boolean;
  /** How many leases had been given when it became ready. */
  readonly readySince: number;
}

/** What the next home of the subscription is told of a lease. */
export interface HandedLease extends Pick<
  LeaseEntry,
  'origin' | 'seq' | 'deliveries' | 'instance' | 'lease' | 'consumer'
> {
  readonly state: 'leased' | 'delayed';
  readonly remainingMs: number;
}

/** About what one takes in memory. */
export const LEASE_BYTES = 256;

/** The tag of the record's origin and its seq, with the lease's own numbers. */
export function tokenOf({ origin, seq, instance, lease }: LeaseEntry): LeaseToken {
  return { instance, lease, tag: originTag(origin), seq };
}
