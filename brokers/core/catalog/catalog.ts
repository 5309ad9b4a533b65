/**
 * The catalog: topics, subscriptions and bindings as a fold over the operations of `$catalog`.
 *
 * The state is that after all operations in the total order of their stamps (Lamport timestamp, origin), in whatever
 * order they arrive: so brokers that have the same operations have the same catalog. One that arrives late is put where
 * it belongs: what is behind it is taken back, and carried out again after it, so that it costs no more than what
 * is later. One that makes no sense at its place is passed over (catalog-state.ts).
 *
 * Only the newest operations are kept, `tailMax` of them, and the result of the others. If one comes so late that
 * it belongs among the others, that is told (`isTooLate`), and the catalog must be made again from the log, which
 * has them all (catalog/metadata.ts).
 *
 * What a deleted topic held before its deletion is gone for ever. That hangs on nothing but the greatest stamp of a
 * deletion that names it, so it only ever grows, and messages that come from a broker that was away are as dead as the
 * rest.
 */
import type { Operation } from './catalog-operation.ts';
import { CatalogState, type StateContent, type Topic } from './catalog-state.ts';
import type { RumormillError } from '../error.ts';
import { compareRecords, type RecordBatch } from '../log/record.ts';
import type { Subscription } from './subscription.ts';
import { isBefore, type Stamp } from '../log/stamp.ts';
import { nothing, type Undo } from './undo.ts';

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
  /** Topics, by stored name, that may have another name than before, or have lost messages. */
  readonly names: ReadonlySet<string>;
  /** Some belong among those that are not kept any more, and were left out. */
  readonly isTooLate: boolean;
}

/** What a catalog is made of, so that it can be kept: the state, and the operations that lead on from it. */
export interface CatalogContent extends StateContent {
  readonly floor: Stamp | undefined;
  readonly dead: readonly (readonly [topic: string, before: Stamp])[];
  readonly said: readonly Said[];
}

interface Carried {
  readonly said: Said;
  readonly undo: Undo;
}

export class Catalog implements TopicNames {
  readonly #tailMax: number;
  readonly #dead = new Map<string, Stamp>();
  readonly #state: CatalogState;
  #tail: Carried[] = []; // the newest, in the order of their stamps, each once
  #floor: Stamp | undefined; // of the newest that is not kept

  /**
   * @param transient whether its subscriptions are: those are in a catalog of their own, with what is said of topics
   * in it too
   * @param tailMax how many operations are kept at least, if there are as many
   */
  constructor(transient = false, tailMax = Infinity, content?: CatalogContent) {
    this.#tailMax = tailMax;
    this.#state = new CatalogState(transient, content);
    if (content === undefined) return;
    this.#floor = content.floor;
    for (const [topic, before] of content.dead) this.#dead.set(topic, before);
    for (const said of content.said) this.#carryOut(said);
  }

  /** Takes in operations, in any order; those that are here already change nothing. */
  apply(all: readonly Said[]): CatalogChange {
    for (const said of all) this.#bury(said);
    const wanted = all.filter(({ stamp }) => this.#floor === undefined || isBefore(this.#floor, stamp));
    const fresh = unique(wanted.filter(({ stamp }) => this.#place(stamp) !== undefined));
    const later = fresh.length === 0 ? [] : this.#takeBack(this.#place(fresh[0]!.stamp)!);
    const names = new Set([...fresh, ...later].flatMap(({ operation }) => this.#named(operation)));
    for (const said of merged(fresh, later)) this.#carryOut(said);
    for (const { operation } of fresh) for (const name of this.#named(operation)) names.add(name);
    this.#shorten();
    return { changed: fresh.length > 0, names, isTooLate: wanted.length < all.length };
  }

  /** What it is made of. */
  content(): CatalogContent {
    const said = this.#takeBack(0);
    const state = this.#state.content();
    for (const each of said) this.#carryOut(each);
    return { ...state, floor: this.#floor, dead: [...this.#dead], said };
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

  /** The topic that a name means, if it was created, renamed or bound; of any other there is nothing to say. */
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

  #carryOut(said: Said): void {
    const { operation, stamp } = said;
    const undo = this.#state.check(operation) === undefined ? this.#state.perform(operation, stamp) : nothing;
    this.#tail.push({ said, undo });
  }

  /** Takes back what is at a place or behind it. */
  #takeBack(place: number): Said[] {
    const back = this.#tail.splice(place);
    for (const { undo } of back.toReversed()) undo();
    return back.map(({ said }) => said);
  }

  /** Keeps the newest only, now and then. */
  #shorten(): void {
    if (this.#tail.length <= 2 * this.#tailMax) return;
    const gone = this.#tail.splice(0, this.#tail.length - this.#tailMax);
    this.#floor = gone.at(-1)!.said.stamp;
  }

  /** The topics, by stored name, that an operation may change the names or messages of. */
  #named(operation: Operation): readonly string[] {
    if (operation.op === 'topic.delete') return operation.topics.flatMap((topic) => this.storedTopics(topic));
    if (operation.op !== 'topic.rename') return [];
    return [...this.storedTopics(operation.topic), ...this.storedTopics(operation.to)];
  }

  #bury({ operation, stamp }: Said): void {
    if (operation.op !== 'topic.delete') return;
    for (const topic of operation.topics) {
      const before = this.#dead.get(topic);
      if (before === undefined || isBefore(before, stamp)) this.#dead.set(topic, stamp);
    }
  }

  /** Where in the order a stamp belongs; undefined if it is there. */
  #place(stamp: Stamp): number | undefined {
    let [low, high] = [0, this.#tail.length];
    if (high === 0 || isBefore(this.#tail[high - 1]!.said.stamp, stamp)) return high; // as a rule
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.#tail[middle]!.said.stamp, stamp)) low = middle + 1;
      else high = middle;
    }
    return compareRecords(this.#tail[low]!.said.stamp, stamp) === 0 ? undefined : low;
  }
}

/** In the order of their stamps, each once. */
function unique(all: readonly Said[]): Said[] {
  const sorted = [...all].sort((a, b) => compareRecords(a.stamp, b.stamp));
  return sorted.filter(({ stamp }, index) => index === 0 || compareRecords(sorted[index - 1]!.stamp, stamp) !== 0);
}

/** Two that are in order, as one. */
function merged(one: readonly Said[], other: readonly Said[]): readonly Said[] {
  return other.length === 0 ? one : [...one, ...other].sort((a, b) => compareRecords(a.stamp, b.stamp));
}

/** The index of the first message of a batch that is not dead; its count if all are. */
export function firstLive(
  { origin, lamport, count }: Pick<RecordBatch, 'origin' | 'lamport' | 'count'>,
  dead: Stamp | undefined,
): number {
  if (dead === undefined) return 0;
  // of this origin that is not dead
  const first = compareRecords({ lamport: dead.lamport, origin }, dead) < 0 ? dead.lamport + 1 : dead.lamport;
  return Math.max(0, Math.min(count, first - lamport));
}
