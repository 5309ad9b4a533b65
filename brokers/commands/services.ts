/** What commands use of the broker that carries them out, and no more. */
import type { Metadata } from '../catalog/metadata.ts';
import type { Topics } from '../catalog/topics.ts';
import type { Config } from '../config.ts';
import type { Address } from '../core/address.ts';
import type { Closings } from '../core/log/closings.ts';
import type { Vector } from '../core/log/version-vector.ts';
import type { Turns } from '../core/turns.ts';
import type { Changes } from '../members/changes.ts';
import type { MemberInfo } from '../members/list.ts';
import type { BrokerInfo } from '../mesh/holdings.ts';
import type { Queues } from '../queue/queues.ts';
import type { Readers } from '../read/readers.ts';

export interface Services {
  readonly config: Config;
  /** Of Rumormill. */
  readonly version: string;
  readonly turns: Turns;
  readonly metadata: Pick<
    Metadata,
    | 'change'
    | 'topic'
    | 'storedTopics'
    | 'subscription'
    | 'subscriptions'
    | 'subscriptionNames'
    | 'subscriptionCount'
    | 'allBindings'
    | 'forget'
  >;
  readonly topics: Pick<Topics, 'find' | 'exists' | 'names' | 'describe'>;
  readonly readers: Pick<
    Readers, 'poll' | 'range' | 'latestCursor' | 'earliestCursor' | 'parseCursor' | 'parseRead' | 'pubSub'
  >;
  readonly queues: Pick<
    Queues,
    'pull' | 'acknowledge' | 'negativeAcknowledge' | 'extend' | 'purge' | 'describe' | 'pending' | 'consumers' | 'free'
  >;
  readonly members: {
    readonly changes: Pick<Changes, 'invite' | 'leave' | 'forget'>;
    readonly closer: { readonly closings: Pick<Closings, 'split'> };
  };
  /** Every member, and those who are invited, in broker order. */
  memberList(): MemberInfo[];
  /** The broker that the election chose, as far as is known. */
  readonly coordinator: Address | undefined;
  /** Every broker that is known, this one too, in broker order. */
  brokers(): BrokerInfo[];
  /** What is stored here. */
  vector(): Vector;
  /** What MESH STATUS and INFO show, by name. */
  status(): Record<string, string | number>;
}
