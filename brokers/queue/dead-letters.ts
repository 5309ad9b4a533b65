/**
 * What was delivered as often as may be and never acknowledged: a copy goes to the subscription's
 * dead-letter topic, and when that is on disk, the message is done.
 *
 * The copy has a dedupe id made of the subscription's life and the record's name: should this
 * broker be lost between the two, the next home publishes it again, and readers get one of both.
 * While the disk is full the messages wait.
 */
import type { Backlog } from './backlog.ts';
import type { Limits } from '../config.ts';
import { isDiskFull } from '../core/error.ts';
import { lifeOf, originTag } from '../core/queue/lease-token.ts';
import type { LeaseEntry } from '../core/queue/lease.ts';
import type { Leases } from '../core/queue/leases.ts';
import type { Log } from '../core/log/log.ts';
import { DEAD_LETTER_MOVES } from '../core/log/batch-check.ts';
import { type BatchMeta, type HeaderList, makeDraft, type Message, messageBytes } from '../core/log/record.ts';
import type { Clock } from '../core/runtime.ts';
import type { Subscription } from '../core/catalog/subscription.ts';

export interface DeadLettersRuntime {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly leases: Leases;
  readonly backlog: Backlog;
  readonly counts: { deadLettered: number };
  subscription(): Subscription;
  /** Messages are ready to be delivered after all. */
  revived(): void;
  /** The messages are done; settles when that is on disk. */
  settle(entries: readonly LeaseEntry[]): Promise<void>;
  storeFailed(error: unknown): void;
}

interface Dead {
  readonly entry: LeaseEntry;
  readonly message: Message;
}

export class DeadLetters {
  readonly #runtime: DeadLettersRuntime;
  #waiting: LeaseEntry[] = [];
  #isBusy = false;

  constructor(runtime: DeadLettersRuntime) {
    this.#runtime = runtime;
  }

  /** Sees to these, and to those that have waited because the disk was full. */
  add(entries: readonly LeaseEntry[]): void {
    for (const entry of entries) this.#waiting.push(entry);
    if (!this.#isBusy && this.#waiting.length > 0) void this.#work();
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    try {
      while (this.#waiting.length > 0) await this.#bury(this.#waiting.slice(0, this.#runtime.limits.deadLettersMax));
    } catch (error) {
      if (!isDiskFull(error)) this.#runtime.storeFailed(error); // else they wait for the next tick
    } finally {
      this.#isBusy = false;
    }
  }

  async #bury(entries: readonly LeaseEntry[]): Promise<void> {
    const { deadLetter } = this.#runtime.subscription().settings;
    if (deadLetter === null) return this.#revive(); // the settings have changed
    const dead: Dead[] = [];
    let bytes = 0;
    let seen = 0;
    for (const entry of entries) {
      const message = entry.state === 'gone' ? undefined : await this.#read(entry);
      if (
        message !== undefined &&
        dead.length > 0 &&
        bytes + messageBytes(message) > this.#runtime.limits.batchBytesMax
      ) {
        break;
      }
      seen += 1;
      if (message === undefined) this.#runtime.leases.remove(entry);
      else {
        dead.push({ entry, message });
        bytes += messageBytes(message);
      }
    }
    if (dead.length > 0) {
      await this.#publish(dead, deadLetter);
      await this.#runtime.settle(dead.map(({ entry }) => entry));
      this.#runtime.counts.deadLettered += dead.length;
    }
    this.#waiting.splice(0, seen);
  }

  async #read(entry: LeaseEntry): Promise<Message | undefined> {
    for (;;) {
      const message = this.#runtime.backlog.again(entry.source!, entry.seq - entry.source!.seq);
      if (!(message instanceof Promise)) return message;
      await message;
    }
  }

  #revive(): void {
    for (const entry of this.#waiting.splice(0)) if (entry.state === 'failed') this.#runtime.leases.revive(entry);
    this.#runtime.revived();
  }

  #publish(dead: readonly Dead[], topic: string): Promise<void> {
    const subscription = this.#runtime.subscription();
    const life = lifeOf(subscription).toString(16).padStart(8, '0');
    const meta: BatchMeta = {
      keys: dead.map(({ message }) => message.key),
      headers: dead.map(({ entry, message }) => {
        const move = [subscription.name, message.topic, message.id, String(entry.deliveries)];
        return [...recentMoves(message.headers), ...move.flatMap((value, index) => [MOVE[index]!, value])];
      }),
      ids: dead.map(({ entry }) => `dead-letter-${life}-${originTag(entry.origin)}-${entry.seq}`),
    };
    const payloads = dead.map(({ message }) => message.payload);
    const draft = makeDraft(topic, this.#runtime.clock.wallTime(), payloads, JSON.stringify(meta));
    return new Promise((resolve, reject) =>
      this.#runtime.log.publish(draft, { stored: () => resolve(), failed: reject }),
    );
  }
}

/** What each move adds to the headers of a message. */
const MOVE = ['dead-letter-subscription', 'dead-letter-topic', 'dead-letter-id', 'dead-letter-deliveries'] as const;

/** Headers with room for those of one more move: if they tell of as many as they may, the oldest move is left out. */
export function recentMoves(headers: HeaderList): HeaderList {
  const starts: number[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    if (!MOVE.every((name, each) => headers[index + 2 * each] === name)) continue;
    starts.push(index);
    index += 2 * (MOVE.length - 1);
  }
  if (starts.length < DEAD_LETTER_MOVES) return headers;
  const gone = new Set(starts.slice(0, starts.length - DEAD_LETTER_MOVES + 1));
  const kept: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    if (gone.has(index)) index += 2 * (MOVE.length - 1);
    else kept.push(headers[index]!, headers[index + 1]!);
  }
  return kept;
}
