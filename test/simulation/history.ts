/**
 * What a run leaves behind for the checker: what publishers asked for and were told, what subscribers were sent, what
 * every disk ever held, and how everything stood in the end. Plain values, so that a test can write a bad one by hand.
 */
import type { AckLevel } from '../../brokers/core/ack-level.ts';
import type { Address } from '../../brokers/core/address.ts';
import type { Vector } from '../../brokers/core/log/version-vector.ts';
import type { DiskEvent } from './disk.ts';
import type { MembersHistory } from './members-history.ts';
import type { QueueHistory } from './queue-history.ts';
import type { Incident, TermEvent, ViewEvent } from './world.ts';

/**
 * A message that a publisher wants published; its payload names it. With a dedupe id it may be tried more than once.
 */
export interface Publication {
  readonly topic: string;
  readonly key: string | null;
  readonly payload: string;
  readonly acks: AckLevel;
  readonly dedupeId: string | null;
  /** What it answers: payload and Lamport timestamp, which the publisher told the broker. */
  readonly question: { readonly payload: string; readonly lamport: number } | null;
  readonly attempts: Attempt[];
}

/** One PUBLISH of it, and what came of it. */
export interface Attempt {
  readonly broker: Address;
  readonly sentAt: number;
  endedAt: number; // Infinity while nothing came
  /** The Lamport timestamp of the reply, or the code of an error, or undefined while nothing came. */
  outcome: number | string | undefined;
}

/** A message as a subscriber got it. */
export interface Delivery {
  readonly id: string; // <lamport>@<host:port>
  readonly topic: string;
  readonly payload: string;
  readonly dedupeId: string | null;
  readonly broker: Address; // which sent it
  readonly askedAt: number;
  readonly at: number;
}

export interface Subscription {
  readonly name: string;
  readonly topics: readonly string[];
  /** What it does not want to get, because it was there before. Undefined while it has not begun. */
  start: Vector | undefined;
  /** In the order in which they came; the subscriber drops those whose dedupe id it has had. */
  readonly deliveries: Delivery[];
  /** It has read everything, after all had healed. */
  isComplete: boolean;
}

export interface History {
  readonly brokers: readonly Address[];
  readonly publications: readonly Publication[];
  readonly subscriptions: readonly Subscription[];
  /** Everything that happened to the disks, in order. */
  readonly disks: readonly DiskEvent[];
  readonly terms: readonly TermEvent[];
  /** Which views brokers began to use. */
  readonly views: readonly ViewEvent[];
  /** Undefined in a run in which no machine comes or goes. */
  readonly members: MembersHistory | undefined;
  /** Undefined in a run without queues. */
  readonly queues: QueueHistory | undefined;
  readonly incidents: readonly Incident[];
  /** The records of each disk in the end, in an order that is the same on all. */
  readonly records: ReadonlyMap<Address, readonly string[]>;
  /** What everybody takes for the coordinator in the end, and in which term. */
  readonly coordinators: readonly {
    readonly broker: Address;
    readonly coordinator: Address | undefined;
    readonly term: number;
  }[];
}
