/**
 * What consumers, and those who make and remove subscriptions, leave behind for the checker: plain values, as in
 * history.ts.
 */
import type { Address } from '../../brokers/core/address.ts';

/** A subscription as the run makes it. */
export interface Queue extends Settings {
  readonly name: string;
  readonly bindings: readonly { readonly topic: string; readonly key: string | null }[];
}

/** What SUBSCRIPTION UPDATE may change. */
export interface Settings {
  readonly visibilityMs: number;
  readonly maxDeliveries: number | null;
  readonly deadLetter: string | null;
  readonly backoffMs: number | null;
}

/** A PULL, and what came of it: how many messages, or the code of an error, or undefined while nothing came. */
export interface Pull {
  readonly queue: string;
  readonly consumer: string;
  readonly broker: Address; // which was asked
  readonly sentAt: number;
  endedAt: number; // Infinity while nothing came
  outcome: number | string | undefined;
}

/** A message as PULL brought it. It was leased between `pull.sentAt` and `pull.endedAt`. */
export interface Lease {
  readonly pull: Pull;
  readonly token: string;
  readonly deliveries: number;
  readonly id: string; // <lamport>@<host:port>
  readonly topic: string;
  readonly key: string | null;
  readonly payload: string;
  /**
   * Whether the broker that was asked had no link with the home, so that others passed the command on, and the answer.
   */
  readonly isPassedOn: boolean;
}

/** ACK, NACK or EXTEND of some leases, under the name of their queue or of another, and what came of it. */
export interface Settlement {
  readonly kind: 'ack' | 'nack' | 'extend';
  readonly queue: string;
  readonly leases: readonly Lease[];
  readonly ms: number | null; // of `extend`, and of `nack` where it says so itself
  readonly broker: Address;
  readonly sentAt: number;
  endedAt: number;
  outcome: number | string | undefined;
}

/** A PURGE, and what came of it: how many messages waited, as it was answered, or the code of an error. */
export interface Purge {
  readonly queue: string;
  readonly broker: Address;
  readonly sentAt: number;
  endedAt: number;
  outcome: number | string | undefined;
}

/** A change of topics, subscriptions or bindings. */
export interface Act {
  readonly args: readonly string[];
  readonly sentAt: number;
  endedAt: number;
  /** 'OK', or what stood in its way, or undefined while nothing came. */
  outcome: string | undefined;
}

/** One process of a broker: leases bear its tag. */
export interface Process {
  readonly tag: string;
  readonly broker: Address;
  readonly since: number;
}

/** What one broker says in the end, when all is quiet. */
export interface Catalog {
  readonly broker: Address;
  readonly topics: readonly string[];
  readonly subscriptions: readonly string[];
  readonly bindings: readonly string[];
  /** `<queue> <settings as JSON> <home>`, as SUBSCRIPTION GET says. */
  readonly settings: readonly string[];
  /** Topics and `<topic that is shown> <id> <payload>` of all their messages, as RANGE and as POLL give them. */
  readonly messages: readonly (readonly [topic: string, lines: readonly string[]])[];
}

export interface QueueHistory {
  readonly queues: readonly Queue[];
  /** Whether each broker has links with some of the others only. */
  readonly isSparse: boolean;
  /** Topics that were renamed, to what they were called before. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly pulls: readonly Pull[];
  readonly leases: readonly Lease[];
  readonly settlements: readonly Settlement[];
  readonly purges: readonly Purge[];
  readonly acts: readonly Act[];
  readonly processes: readonly Process[];
  /** When some wall clock began to be off by so much. */
  readonly walls: readonly { readonly at: number; readonly offsetMs: number }[];
  /** When brokers did not run. */
  readonly absences: readonly { readonly absent: Address; readonly from: number; readonly to: number }[];
  /**
   * Times in which nothing was disturbed but that brokers did not run, and nothing had been for so long that all that
   * ran were linked; homes may move.
   */
  readonly peaces: readonly (readonly [from: number, to: number])[];
  /** The same, and for so long that all agreed on who is there. */
  readonly calms: readonly (readonly [from: number, to: number])[];
  /** The same as calms, but that brokers were stopped in an orderly way and started again. */
  readonly orderly: readonly (readonly [from: number, to: number])[];
  /**
   * Times in which every broker could do its work, though one pair of them may have been cut, and had been for long.
   */
  readonly bridged: readonly (readonly [from: number, to: number])[];
  /** What each broker says of settings that is cut off from all others, as in `Catalog`. */
  readonly opinions: readonly Pick<Catalog, 'broker' | 'settings'>[];
  /** Queues that could not be emptied in the end. */
  readonly stuck: readonly string[];
  readonly catalogs: readonly Catalog[];
  /** What each broker delivers that is cut off from all others once everything was acknowledged. */
  readonly leftovers: readonly {
    readonly broker: Address;
    readonly queue: string;
    readonly payload: string;
    readonly id: string;
  }[];
}
