/** A PULL, and what it gets. */
import type { RumormillError } from '../core/error.ts';
import type { Message } from '../core/log/record.ts';
import type { Waiter } from '../core/read/long-poll.ts';

export interface PullRequest {
  readonly consumer: string;
  readonly count: number;
  readonly blockMs: number;
}

/** A message with its lease. */
export interface Delivery {
  readonly token: string;
  /** Which delivery of the message it is, from 1 on. */
  readonly deliveries: number;
  readonly message: Message;
}

/** A PULL that is not answered. */
export interface Pull extends Waiter, PullRequest {
  topics: readonly string[];
  isOver: boolean;
  wake(): void;
  answer(deliveries: Delivery[]): void;
  fail(error: unknown): void;
}

/** Why a PULL gets nothing of what there is. */
export interface Limited {
  /** Whether others may get something nevertheless. */
  readonly isOwn: boolean;
  /** For the client. */
  readonly error: RumormillError;
}
