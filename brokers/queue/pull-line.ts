/**
 * PULLs of one subscription: served one at a time. Consumers take turns, each with its PULLs in the
 * order in which they came; while others wait, one gets a share at a time (`pullShareMax`). So a
 * consumer that asks for much, or often, or over many connections, takes no more turns than one
 * that asks for one message.
 *
 * A PULL that finds nothing stays (core/read/long-poll.ts) until a commit, a lease that has run out or
 * its deadline wakes the line; the one behind it waits too, since there is nothing for anybody. A
 * PULL is in the long-poll from the beginning, so that nothing that comes while it is looked after
 * is missed.
 */
import type { Limits } from '../config.ts';
import type { Cancellation } from '../core/cancellation.ts';
import { messageOf } from '../core/error.ts';
import type { LongPoll } from '../core/read/long-poll.ts';
import type { Clock } from '../core/runtime.ts';
import type { Delivery, Limited, Pull, PullRequest } from './pull.ts';

export interface PullLineRuntime {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly waiters: LongPoll<Pull>;
  /**
   * Leases to a PULL what there is, `countMax` messages at most, and answers it in the same turn,
   * so that nothing is leased to one that is over; does neither if there is nothing.
   */
  fill(pull: Pull, countMax: number): Promise<Limited | undefined>;
  storeFailed(error: unknown): void;
}

export class PullLine {
  readonly #runtime: PullLineRuntime;
  readonly #pulls = new Set<Pull>();
  readonly #turns = new Map<string, Set<Pull>>(); // by consumer; whose turn comes next is first
  #limited: Limited | undefined; // for all, when somebody was served last
  #ownLimits = new Map<string, Limited>(); // of consumers, then
  #wasLimited = false;
  #isServing = false;
  #isWoken = false;

  constructor(runtime: PullLineRuntime) {
    this.#runtime = runtime;
  }

  get size(): number {
    return this.#pulls.size;
  }

  consumers(): Iterable<string> {
    return this.#turns.keys();
  }

  /** What held a consumer up when somebody was served last. */
  limitOf(consumer: string): Limited | undefined {
    return this.#limited ?? this.#ownLimits.get(consumer);
  }

  /** Whether a limit has held somebody up since this was asked last. */
  takeLimited(): boolean {
    const wasLimited = this.#wasLimited;
    this.#wasLimited = false;
    return wasLimited;
  }

  /** What held somebody up when somebody was served last. */
  get limited(): Limited | undefined {
    if (this.#limited !== undefined) return this.#limited;
    for (const limited of this.#ownLimits.values()) return limited;
    return undefined;
  }

  /** @param topics under which what it waits for is stored */
  add(request: PullRequest, topics: readonly string[], cancellation: Cancellation): Promise<Delivery[]> {
    const { clock } = this.#runtime;
    if (cancellation.cancelled) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const end = (): void => {
        pull.isOver = true;
        cancellation.onCancel = undefined;
        this.#leave(pull);
      };
      const pull: Pull = {
        ...request, topics, deadline: clock.now() + request.blockMs, isOver: false,
        wake: () => this.wake(),
        answer: (deliveries) => {
          end();
          resolve(deliveries);
        },
        fail: (error) => {
          end();
          reject(error instanceof Error ? error : new Error(messageOf(error)));
        },
      };
      cancellation.onCancel = () => pull.answer([]);
      this.#join(pull);
      this.wake();
    });
  }

  /** There may be something for those who wait, or somebody's time is up. */
  wake(): void {
    this.#isWoken = true;
    if (!this.#isServing && this.#pulls.size > 0) void this.#serve();
  }

  /** What they wait for is stored under other topics now. */
  retarget(topics: readonly string[]): void {
    for (const pull of this.#pulls) {
      this.#runtime.waiters.remove(pull);
      pull.topics = topics;
      this.#runtime.waiters.add(pull);
    }
  }

  /** Whoever waits gets the error, or nothing. */
  close(error: Error | undefined): void {
    for (const pull of [...this.#pulls]) {
      if (error === undefined) pull.answer([]);
      else pull.fail(error);
    }
  }

  #join(pull: Pull): void {
    this.#pulls.add(pull);
    this.#runtime.waiters.add(pull);
    const pulls = this.#turns.get(pull.consumer);
    if (pulls === undefined) this.#turns.set(pull.consumer, new Set([pull]));
    else pulls.add(pull);
  }

  #leave(pull: Pull): void {
    this.#pulls.delete(pull);
    this.#runtime.waiters.remove(pull);
    const pulls = this.#turns.get(pull.consumer);
    pulls?.delete(pull);
    if (pulls?.size === 0) this.#turns.delete(pull.consumer);
  }

  /**
   * Serves consumers in turn, until there is nothing for the one whose turn it is. Who was served
   * and has more comes again last.
   */
  async #serveAll(): Promise<void> {
    const { fill, limits } = this.#runtime;
    this.#ownLimits = new Map();
    this.#limited = undefined;
    for (const [consumer, pulls] of this.#turns) {
      const [pull] = pulls;
      const limited = await fill(
        pull!,
        this.#turns.size > 1 ? Math.min(pull!.count, limits.pullShareMax) : pull!.count,
      );
      this.#wasLimited ||= limited !== undefined;
      if (limited?.isOwn === true) {
        this.#ownLimits.set(consumer, limited);
        continue; // there may be something for the others
      }
      this.#limited = limited;
      if (!pull!.isOver) {
        if (limited === undefined) this.#ownLimits = new Map(); // there is nothing that they miss
        return;
      }
      if (pulls.size === 0 || this.#turns.get(consumer) !== pulls) continue;
      this.#turns.delete(consumer);
      this.#turns.set(consumer, pulls); // a Map goes through what is added meanwhile
    }
  }

  async #serve(): Promise<void> {
    const { clock, storeFailed } = this.#runtime;
    this.#isServing = true;
    try {
      while (this.#isWoken) {
        this.#isWoken = false;
        await this.#serveAll();
      }
      const now = clock.now();
      for (const pull of this.#pulls) {
        const limited = this.limitOf(pull.consumer);
        if (pull.deadline > now) continue;
        if (limited === undefined) pull.answer([]);
        else pull.fail(limited.error);
      }
    } catch (error) {
      storeFailed(error);
      this.close(error instanceof Error ? error : new Error(messageOf(error)));
    } finally {
      this.#isServing = false;
    }
  }
}
