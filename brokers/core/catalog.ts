/**
 * The catalog: topics, subscriptions and bindings as a fold over the operations of `$catalog`.
 *
 * The state is that after all operations in the total order of their stamps (Lamport timestamp, origin), in whatever order they arrive: so brokers that have the same
 * operations have the same catalog. One that arrives late, behind the newest, makes the catalog fold anew from the start; operations are few.
 * One that makes no sense where it stands is passed over (catalog-state.ts).
 *
 * What a deleted topic held before its deletion is gone for ever. That hangs on nothing but the greatest stamp of a deletion that names it, so it only ever grows, and
 * messages that come from a broker that was away are as dead as the rest.
 */
import type { Operation } from './catalog-operation.ts';
import { CatalogState, type Topic } from './catalog-state.ts';
import type { RumormillError } from './error.ts';
import { compareRecords, type RecordBatch } from './record.ts';
import { isBefore, type Stamp, type Subscription } from './subscription.ts';

/** An operation, and the name of the record that carries it. */
export interface Said {
  readonly stamp: Stamp;
  readonly operation: Operation;
}

/** What readers of topics need to know of renames and deletions. */
export interface TopicNames {
  /** Nothing was ever renamed or deleted: each name means what is stored under it, all of it. */
  readonly isPlain: boolean;
  /** The names under which the messages are stored of the topic that a name means. */
  storedTopics(name: string): readonly string[];
  /** What the topic of messages that are stored under a name is called now. */
  shownTopic(stored: string): string;
  /** Messages stored under a name whose (Lamport timestamp, origin) is before this are gone. */
  deadBefore(stored: string): Stamp | undefined;
}

export interface CatalogChange {
  readonly changed: boolean;
  /** Names may mean other topics than before, or messages are gone. */
  readonly namesChanged: boolean;
}

export class Catalog implements TopicNames {
  readonly #transient: boolean;
  readonly #dead = new Map<string, Stamp>();
  #said: Said[] = []; // in the order of their stamps, each once
  #state: CatalogState;

  /** @param transient whether its subscriptions are: those stand in a catalog of their own, with what is said of topics in it too */
  constructor(transient = false) {
    this.#transient = transient;
    this.#state = new CatalogState(transient);
  }

  /** Takes in operations, in any order; those that are here already change nothing. */
  apply(all: readonly Said[]): CatalogChange {
    let isLate = false;
    const fresh = all.filter((said) => {
      const place = this.#place(said.stamp);
      if (place === undefined) return false;
      if (place < this.#said.length) isLate = true;
      this.#said.splice(place, 0, said);
      this.#bury(said);
      return true;
    });
    if (isLate) {
      this.#state = new CatalogState(this.#transient);
      for (const said of this.#said) this.#fold(said);
    } else for (const said of fresh) this.#fold(said);
    return { changed: fresh.length > 0, namesChanged: isLate || fresh.some(({ operation: { op } }) => op === 'topic.rename' || op === 'topic.delete') };
  }

  /** What is wrong with an operation now: NOTFOUND, EXISTS, or ERR with the reason. */
  check(operation: Operation): RumormillError | undefined {
    return this.#state.check(operation);
  }

  get isPlain(): boolean {
    return !this.#state.hasRenamed && this.#dead.size === 0;
  }

  storedTopics(name: string): readonly string[] {
    return this.#state.topic(name)?.names ?? [name];
  }

  shownTopic(stored: string): string {
    return this.#state.topic(stored)?.name ?? stored;
  }

  deadBefore(stored: string): Stamp | undefined {
    return this.#dead.get(stored);
  }

  /** The names of topics that were ever deleted. */
  buried(): ReadonlyMap<string, Stamp> {
    return this.#dead;
  }

  /** The topic that a name means, where it was created, renamed or bound; of any other there is nothing to say. */
  topic(name: string): Topic | undefined {
    return this.#state.topic(name);
  }

  topics(): Iterable<Topic> {
    return this.#state.topics();
  }

  get allBindings(): number {
    return this.#state.allBindings;
  }

  get subscriptionCount(): number {
    return this.#state.subscriptionCount;
  }

  /** The same object until something of it changes. */
  subscription(name: string): Subscription | undefined {
    return this.#state.subscription(name);
  }

  subscriptions(): Iterable<Subscription> {
    return this.#state.subscriptions();
  }

  hasSubscription(name: string): boolean {
    return this.#state.hasSubscription(name);
  }

  subscriptionNames(): Iterable<string> {
    return this.#state.subscriptionNames();
  }

  /** Drops a subscription and everything that was said of it. */
  forget(name: string): void {
    this.#said = this.#said.filter(({ operation }) => !('name' in operation && operation.name === name));
    this.#state.forget(name);
  }

  #fold({ operation, stamp }: Said): void {
    if (this.#state.check(operation) === undefined) this.#state.perform(operation, stamp);
  }

  #bury({ operation, stamp }: Said): void {
    if (operation.op !== 'topic.delete') return;
    for (const topic of operation.topics) {
      const before = this.#dead.get(topic);
      if (before === undefined || isBefore(before, stamp)) this.#dead.set(topic, stamp);
    }
  }

  /** Where in the order a stamp belongs; undefined where it is there. */
  #place(stamp: Stamp): number | undefined {
    let [low, high] = [0, this.#said.length];
    if (high === 0 || isBefore(this.#said[high - 1]!.stamp, stamp)) return high; // as a rule
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.#said[middle]!.stamp, stamp)) low = middle + 1;
      else high = middle;
    }
    return compareRecords(this.#said[low]!.stamp, stamp) === 0 ? undefined : low;
  }
}

/** The index of the first message of a batch that is not dead; its count where all are. */
export function firstLive({ origin, lamport, count }: Pick<RecordBatch, 'origin' | 'lamport' | 'count'>, dead: Stamp | undefined): number {
  if (dead === undefined) return 0;
  const first = compareRecords({ lamport: dead.lamport, origin }, dead) < 0 ? dead.lamport + 1 : dead.lamport; // of this origin that is not dead
  return Math.max(0, Math.min(count, first - lamport));
}
