/**
 * What topics, subscriptions and bindings there are after some operations, and what one more does to them.
 *
 * `check` says what is wrong with an operation here and now; `perform` is for those that pass. A command that fails the
 * check gets its error as the answer. An operation that fails it at its place in the order, because somebody else said
 * something else meanwhile, is passed over.
 *
 * A topic is a class of names with one name to show. Batches keep the name that they were published under, and a
 * client that still uses a former name means the topic of now. A topic that nobody created, renamed or bound is not
 * here: its name is its only one, and it routes as `fanout`.
 */
import { comesBack } from './dead-letter-cycles.ts';
import type { Operation, Settings } from './catalog-operation.ts';
import { cycle, formerName, noBinding, notFound, topicExists } from './catalog-error.ts';
import { RumormillError } from '../error.ts';
import { compareRecords } from '../log/record.ts';
import type { Binding, BindingStart, Subscription, TopicType } from './subscription.ts';
import { parseStamp, type Stamp, stampText } from '../log/stamp.ts';
import { allOf, nothing, type Undo } from './undo.ts';

export interface Topic {
  readonly name: string; // to be shown
  readonly names: readonly string[]; // under which its messages are stored, this one and former ones
  readonly type: TopicType | undefined; // undefined if nobody has created it
  readonly bindingCount: number;
}

interface Entry {
  readonly name: string;
  readonly since: Stamp;
  settings: Settings;
  readonly bindings: Map<string, Bound>;
  view: Subscription | undefined; // until something of it changes
}

interface Bound {
  readonly subscription: Entry;
  readonly topic: TopicClass;
  readonly key: string | null;
  readonly since: Stamp; // of its first start
  readonly starts: BindingStart[];
}

class TopicClass implements Topic {
  readonly id: number;
  name: string;
  names: readonly string[];
  type: TopicType | undefined;
  readonly bindings = new Set<Bound>();

  constructor(id: number, name: string) {
    this.id = id;
    this.name = name;
    this.names = [name];
  }

  get bindingCount(): number {
    return this.bindings.size;
  }
}

/** A state as values. */
export interface StateContent {
  readonly topics: readonly Pick<Topic, 'name' | 'names' | 'type'>[];
  readonly subscriptions: readonly (Pick<Subscription, 'name' | 'since'> & {
    readonly settings: Settings;
    readonly bindings: readonly Omit<Binding, 'storedTopics'>[];
  })[];
}

export class CatalogState {
  readonly #transient: boolean;
  readonly #topics = new Map<string, TopicClass>(); // by each of its names
  readonly #subscriptions = new Map<string, Entry>();
  #classes = 0;
  #allBindings = 0;
  #renamed = 0; // renames that were carried out

  constructor(transient: boolean, content?: StateContent) {
    this.#transient = transient;
    for (const { name, names, type } of content?.topics ?? []) {
      const topic = this.#class(name);
      Object.assign(topic, { names, type });
      for (const each of names) this.#topics.set(each, topic);
      if (names.length > 1) this.#renamed += 1;
    }
    for (const { name, since, settings, bindings } of content?.subscriptions ?? []) {
      const entry: Entry = { name, since, settings, bindings: new Map(), view: undefined };
      this.#subscriptions.set(name, entry);
      for (const { topic, key, starts } of bindings) {
        this.#add({
          subscription: entry, topic: this.#class(topic), key, since: parseStamp(starts[0]!.id), starts: [...starts],
        });
      }
    }
  }

  /** What it is made of, from which it can be made again. */
  content(): StateContent {
    const topics = [...this.topics()].map(({ name, names, type }) => ({ name, names, type }));
    const subscriptions = [...this.subscriptions()].map(
      ({ name, since, settings: { transient: _, ...settings }, bindings }) => ({
        name, since, settings, bindings: bindings.map(({ topic, key, starts }) => ({ topic, key, starts })),
      }),
    );
    return { topics, subscriptions };
  }

  /** Whether a topic has or had more than one name. */
  get hasRenamed(): boolean {
    return this.#renamed > 0;
  }

  /** The topic that a name means, if anything was said of it. */
  topic(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** Each once. */
  *topics(): Iterable<Topic> {
    for (const [name, topic] of this.#topics) if (topic.name === name) yield topic;
  }

  /** How many bindings there are, of all subscriptions. */
  get allBindings(): number {
    return this.#allBindings;
  }

  get subscriptionCount(): number {
    return this.#subscriptions.size;
  }

  /** The same object until something of it changes. */
  subscription(name: string): Subscription | undefined {
    const entry = this.#subscriptions.get(name);
    return entry && (entry.view ??= this.#view(entry));
  }

  hasSubscription(name: string): boolean {
    return this.#subscriptions.has(name);
  }

  subscriptionNames(): Iterable<string> {
    return this.#subscriptions.keys();
  }

  *subscriptions(): Iterable<Subscription> {
    for (const entry of this.#subscriptions.values()) yield (entry.view ??= this.#view(entry));
  }

  /** What is wrong with an operation here: NOTFOUND, EXISTS, or ERR with the reason. */
  check(operation: Operation): RumormillError | undefined {
    switch (operation.op) {
      case 'topic.create': {
        const topic = this.#topics.get(operation.topic);
        return topic === undefined || topic.name === operation.topic ? undefined : formerName(operation.topic, topic);
      }
      case 'topic.rename':
        return this.#checkRename(operation.topic, operation.to);
      case 'topic.delete':
        return undefined;
      case 'subscription.create':
        return this.#checkSettings(operation.name, operation.settings);
      case 'subscription.update': {
        const entry = this.#subscriptions.get(operation.name);
        return entry === undefined
          ? notFound(operation.name)
          : this.#checkSettings(operation.name, { ...entry.settings, ...operation.settings });
      }
      case 'subscription.delete':
        return this.#subscriptions.has(operation.name) ? undefined : notFound(operation.name);
      case 'bind':
        return this.#checkBind(operation.name, operation.topic);
      case 'unbind': {
        const { name, topic, key } = operation;
        const entry = this.#subscriptions.get(name);
        if (entry === undefined) return notFound(name);
        return this.#bound(entry, topic, key) === undefined ? noBinding(name, topic, key) : undefined;
      }
    }
  }

  /**
   * Carries out an operation with which `check` finds nothing wrong.
   * @returns what takes it back, to be called when all that was carried out since is taken back
   */
  perform(operation: Operation, stamp: Stamp): Undo {
    switch (operation.op) {
      case 'topic.create':
        return this.#createTopic(operation.topic, operation.type);
      case 'topic.rename':
        return this.#rename(operation.topic, operation.to);
      case 'topic.delete':
        return allOf(operation.topics.map((name) => this.#dissolve(name)));
      case 'subscription.create':
        return this.#create(operation.name, operation.settings, stamp);
      case 'subscription.update': {
        const entry = this.#subscriptions.get(operation.name)!;
        return set(entry, { ...entry.settings, ...operation.settings });
      }
      case 'subscription.delete':
        return this.forget(operation.name);
      case 'bind':
        return this.#bind(operation, stamp);
      case 'unbind':
        return this.#unbind(this.#bound(this.#subscriptions.get(operation.name)!, operation.topic, operation.key)!);
    }
  }

  /** Drops a subscription, if there is one of the name. */
  forget(name: string): Undo {
    const entry = this.#subscriptions.get(name);
    if (entry === undefined) return nothing;
    const bounds = [...entry.bindings.values()];
    this.#subscriptions.delete(name);
    for (const bound of bounds) bound.topic.bindings.delete(bound);
    this.#allBindings -= bounds.length;
    return () => {
      this.#subscriptions.set(name, entry);
      for (const bound of bounds) bound.topic.bindings.add(bound);
      this.#allBindings += bounds.length;
      entry.view = undefined;
    };
  }

  /** In an order that does not hang on how it came about: as their first starts were said. */
  #view({ name, since, settings, bindings }: Entry): Subscription {
    const views = [...bindings.values()]
      .sort((a, b) => compareRecords(a.since, b.since))
      .map(({ topic, key, starts }): Binding => ({
        topic: topic.name, storedTopics: topic.names, key, starts: [...starts],
      }));
    return { name, since, settings: { transient: this.#transient, ...settings }, bindings: views };
  }

  /** The class that a name is in; it begins one if it is in none. */
  #class(name: string): TopicClass {
    let topic = this.#topics.get(name);
    if (topic === undefined) this.#topics.set(name, (topic = new TopicClass((this.#classes += 1), name)));
    return topic;
  }

  /** Takes back that `#class` began one, if the name was in none. */
  #unclass(name: string, before: TopicClass | undefined): void {
    if (before === undefined) this.#topics.delete(name);
  }

  #createTopic(name: string, type: TopicType): Undo {
    const before = this.#topics.get(name);
    const topic = this.#class(name);
    const { type: typeBefore } = topic;
    topic.type = type;
    return () => {
      topic.type = typeBefore;
      this.#unclass(name, before);
    };
  }

  #rename(from: string, to: string): Undo {
    const before = this.#topics.get(from);
    const topic = this.#class(from);
    const { name, names } = topic;
    if (name === to) return () => this.#unclass(from, before);
    topic.name = to;
    if (!names.includes(to)) topic.names = [...names, to];
    this.#topics.set(to, topic);
    this.#renamed += 1;
    refresh(topic);
    return () => {
      this.#renamed -= 1;
      if (!names.includes(to)) this.#topics.delete(to);
      Object.assign(topic, { name, names });
      refresh(topic);
      this.#unclass(from, before);
    };
  }

  #dissolve(name: string): Undo {
    const topic = this.#topics.get(name);
    if (topic === undefined) return nothing;
    for (const each of topic.names) this.#topics.delete(each);
    const unbound = allOf([...topic.bindings].map((bound) => this.#unbind(bound)));
    return () => {
      for (const each of topic.names) this.#topics.set(each, topic);
      unbound();
    };
  }

  #create(name: string, settings: Settings, since: Stamp): Undo {
    const entry = this.#subscriptions.get(name);
    if (entry !== undefined) return set(entry, settings);
    this.#subscriptions.set(name, { name, since, settings, bindings: new Map(), view: undefined });
    return () => void this.#subscriptions.delete(name);
  }

  #bind({ name, topic: topicName, key, start }: Extract<Operation, { op: 'bind' }>, stamp: Stamp): Undo {
    const subscription = this.#subscriptions.get(name)!;
    const before = this.#topics.get(topicName);
    const topic = this.#class(topicName);
    const known = subscription.bindings.get(bindingId(topic, key));
    const bound = known ?? { subscription, topic, key, since: stamp, starts: [] };
    if (known === undefined) this.#add(bound);
    bound.starts.push({ id: stampText(stamp), start });
    subscription.view = undefined;
    return () => {
      bound.starts.pop();
      subscription.view = undefined;
      if (known === undefined) this.#remove(bound);
      this.#unclass(topicName, before);
    };
  }

  #unbind(bound: Bound): Undo {
    this.#remove(bound);
    return () => this.#add(bound);
  }

  #add(bound: Bound): void {
    bound.topic.bindings.add(bound);
    bound.subscription.bindings.set(bindingId(bound.topic, bound.key), bound);
    bound.subscription.view = undefined;
    this.#allBindings += 1;
  }

  #remove(bound: Bound): void {
    bound.topic.bindings.delete(bound);
    bound.subscription.bindings.delete(bindingId(bound.topic, bound.key));
    bound.subscription.view = undefined;
    this.#allBindings -= 1;
  }

  #bound(entry: Entry, topicName: string, key: string | null): Bound | undefined {
    const topic = this.#topics.get(topicName);
    return topic && entry.bindings.get(bindingId(topic, key));
  }

  #checkRename(from: string, to: string): RumormillError | undefined {
    const topic = this.#topics.get(from);
    const other = this.#topics.get(to);
    if (other !== undefined) return other === topic ? undefined : topicExists(to, other);
    const now = topic?.name ?? from;
    for (const { name, settings, bindings } of this.#subscriptions.values()) {
      const renamed = { to, now };
      if (settings.deadLetter === to && comesBack(this.#topics, name, to, boundTopics(bindings), renamed)) {
        return new RumormillError(
          'ERR',
          `topic ${JSON.stringify(to)} would take dead letters of subscription ${JSON.stringify(name)} back to it`,
        );
      }
    }
    return undefined;
  }

  #checkSettings(name: string, { maxDeliveries, deadLetter }: Settings): RumormillError | undefined {
    if (maxDeliveries !== null && deadLetter === null) {
      return new RumormillError('ERR', 'MAXDELIVERIES needs a DEADLETTER topic, or messages would be lost');
    }
    const topics = boundTopics(this.#subscriptions.get(name)?.bindings);
    const isCycle = deadLetter !== null && comesBack(this.#topics, name, deadLetter, topics);
    return isCycle ? cycle(name, deadLetter) : undefined;
  }

  #checkBind(name: string, topic: string): RumormillError | undefined {
    const entry = this.#subscriptions.get(name);
    if (entry === undefined) return notFound(name);
    const { deadLetter } = entry.settings;
    if (deadLetter === null) return undefined;
    const topics = new Set([...boundTopics(entry.bindings), this.#topics.get(topic)?.name ?? topic]);
    return comesBack(this.#topics, name, deadLetter, topics) ? cycle(name, deadLetter) : undefined;
  }
}

function set(entry: Entry, settings: Settings): Undo {
  const before = entry.settings;
  Object.assign(entry, { settings, view: undefined });
  return () => void Object.assign(entry, { settings: before, view: undefined });
}

/** The views of the subscriptions that are bound to a topic must be made again. */
function refresh(topic: TopicClass): void {
  for (const { subscription } of topic.bindings) subscription.view = undefined;
}

function boundTopics(bindings: ReadonlyMap<string, Bound> | undefined): Set<string> {
  return new Set([...(bindings?.values() ?? [])].map(({ topic }) => topic.name));
}

function bindingId({ id }: TopicClass, key: string | null): string {
  return key === null ? `${id}` : `${id}:${key}`;
}
