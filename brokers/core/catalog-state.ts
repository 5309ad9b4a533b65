/**
 * What topics, subscriptions and bindings there are after some operations, and what one more does to them.
 *
 * `check` says what is wrong with an operation here and now; `perform` is for those with which nothing is wrong. A command that fails the check is
 * answered its error; an operation that fails it where it stands in the order, because somebody else said something else meanwhile, is passed over.
 *
 * A topic is a class of names with one name to show. Batches keep the name that they were published under, and whoever still uses a former name means the
 * topic as it is called now. A topic that nobody created, renamed or bound does not stand here: its name is its only one, and it routes as `fanout`.
 */
import type { Operation, Settings } from './catalog-operation.ts';
import { RumormillError } from './error.ts';
import { type Binding, type BindingStart, type Stamp, stampText, type Subscription, type TopicType } from './subscription.ts';

export interface Topic {
  readonly name: string; // to be shown
  readonly names: readonly string[]; // under which its messages are stored, this one and former ones
  readonly type: TopicType | undefined; // undefined where nobody has created it
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

export class CatalogState {
  /** Whether a topic has or had more than one name. */
  hasRenamed = false;
  readonly #transient: boolean;
  readonly #topics = new Map<string, TopicClass>(); // by each of its names
  readonly #subscriptions = new Map<string, Entry>();
  #classes = 0;
  #allBindings = 0;

  constructor(transient: boolean) {
    this.#transient = transient;
  }

  /** The topic that a name means, where anything was said of it. */
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
        return entry === undefined ? notFound(operation.name) : this.#checkSettings(operation.name, { ...entry.settings, ...operation.settings });
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

  /** Carries out an operation with which `check` finds nothing wrong. */
  perform(operation: Operation, stamp: Stamp): void {
    switch (operation.op) {
      case 'topic.create':
        this.#class(operation.topic).type = operation.type;
        return;
      case 'topic.rename':
        return this.#rename(operation.topic, operation.to);
      case 'topic.delete':
        for (const name of operation.topics) this.#dissolve(name);
        return;
      case 'subscription.create':
        return this.#create(operation.name, operation.settings, stamp);
      case 'subscription.update': {
        const entry = this.#subscriptions.get(operation.name)!;
        entry.settings = { ...entry.settings, ...operation.settings };
        entry.view = undefined;
        return;
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
  forget(name: string): void {
    const { bindings } = this.#subscriptions.get(name) ?? { bindings: new Map<string, Bound>() };
    for (const bound of bindings.values()) bound.topic.bindings.delete(bound);
    this.#allBindings -= bindings.size;
    this.#subscriptions.delete(name);
  }

  #view({ name, since, settings, bindings }: Entry): Subscription {
    const views = [...bindings.values()].map(({ topic, key, starts }): Binding => ({
      topic: topic.name, storedTopics: topic.names, key, starts: [...starts],
    }));
    return { name, since, settings: { transient: this.#transient, ...settings }, bindings: views };
  }

  /** The class that a name is in; it begins one where it is in none. */
  #class(name: string): TopicClass {
    let topic = this.#topics.get(name);
    if (topic === undefined) this.#topics.set(name, (topic = new TopicClass((this.#classes += 1), name)));
    return topic;
  }

  #rename(from: string, to: string): void {
    const topic = this.#class(from);
    if (topic.name === to) return;
    topic.name = to;
    if (!topic.names.includes(to)) topic.names = [...topic.names, to];
    this.#topics.set(to, topic);
    this.hasRenamed = true;
    for (const { subscription } of topic.bindings) subscription.view = undefined;
  }

  #dissolve(name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    for (const each of topic.names) this.#topics.delete(each);
    for (const bound of topic.bindings) this.#unbind(bound);
  }

  #create(name: string, settings: Settings, since: Stamp): void {
    const entry = this.#subscriptions.get(name);
    if (entry === undefined) this.#subscriptions.set(name, { name, since, settings, bindings: new Map(), view: undefined });
    else Object.assign(entry, { settings, view: undefined });
  }

  #bind({ name, topic: topicName, key, start }: Extract<Operation, { op: 'bind' }>, stamp: Stamp): void {
    const subscription = this.#subscriptions.get(name)!;
    const topic = this.#class(topicName);
    const id = bindingId(topic, key);
    let bound = subscription.bindings.get(id);
    if (bound === undefined) {
      bound = { subscription, topic, key, starts: [] };
      subscription.bindings.set(id, bound);
      topic.bindings.add(bound);
      this.#allBindings += 1;
    }
    bound.starts.push({ id: stampText(stamp), start });
    subscription.view = undefined;
  }

  #unbind(bound: Bound): void {
    bound.topic.bindings.delete(bound);
    this.#allBindings -= 1;
    bound.subscription.bindings.delete(bindingId(bound.topic, bound.key));
    bound.subscription.view = undefined;
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
      if (settings.deadLetter === to && this.#returns(name, to, boundTopics(bindings), { to, now })) {
        return new RumormillError('ERR', `topic ${JSON.stringify(to)} would take dead letters of subscription ${JSON.stringify(name)} back to it`);
      }
    }
    return undefined;
  }

  #checkSettings(name: string, { maxDeliveries, deadLetter }: Settings): RumormillError | undefined {
    if (maxDeliveries !== null && deadLetter === null) return new RumormillError('ERR', 'MAXDELIVERIES needs a DEADLETTER topic, or messages would be lost');
    const topics = boundTopics(this.#subscriptions.get(name)?.bindings);
    return deadLetter !== null && this.#returns(name, deadLetter, topics) ? cycle(name, deadLetter) : undefined;
  }

  #checkBind(name: string, topic: string): RumormillError | undefined {
    const entry = this.#subscriptions.get(name);
    if (entry === undefined) return notFound(name);
    const { deadLetter } = entry.settings;
    if (deadLetter === null) return undefined;
    const topics = new Set([...boundTopics(entry.bindings), this.#topics.get(topic)?.name ?? topic]);
    return this.#returns(name, deadLetter, topics) ? cycle(name, deadLetter) : undefined;
  }

  /**
   * Whether dead letters of a subscription that is bound to these topics come back to it, over other subscriptions whose messages nobody acknowledges.
   * @param renamed that the topic which is called `now` has the name `to` as well
   */
  #returns(name: string, deadLetter: string, topics: ReadonlySet<string>, renamed?: { to: string; now: string }): boolean {
    const reached = new Set<string>();
    const reach = (topic: string): void => void reached.add(topic === renamed?.to ? renamed.now : this.#topics.get(topic)?.name ?? topic);
    reach(deadLetter);
    for (const topic of reached) { // a set that grows is gone through to its end
      if (topics.has(topic)) return true;
      for (const { subscription } of this.#topics.get(topic)?.bindings ?? []) {
        if (subscription.name !== name && subscription.settings.deadLetter !== null) reach(subscription.settings.deadLetter);
      }
    }
    return false;
  }
}

function boundTopics(bindings: ReadonlyMap<string, Bound> | undefined): Set<string> {
  return new Set([...(bindings?.values() ?? [])].map(({ topic }) => topic.name));
}

function bindingId({ id }: TopicClass, key: string | null): string {
  return key === null ? `${id}` : `${id}:${key}`;
}

export function notFound(name: string): RumormillError {
  return new RumormillError('NOTFOUND', `subscription ${JSON.stringify(name)}`);
}

export function topicNotFound(name: string): RumormillError {
  return new RumormillError('NOTFOUND', `topic ${JSON.stringify(name)}`);
}

function noBinding(name: string, topic: string, key: string | null): RumormillError {
  const which = key === null ? 'without a key' : `with key ${JSON.stringify(key)}`;
  return new RumormillError('NOTFOUND', `binding of subscription ${JSON.stringify(name)} to topic ${JSON.stringify(topic)} ${which}`);
}

/** A topic stands in the way of another one that would have its name. */
export function topicExists(name: string, topic: Topic | undefined): RumormillError {
  if (topic !== undefined && topic.name !== name) return formerName(name, topic);
  return new RumormillError('EXISTS', `topic ${JSON.stringify(name)}`);
}

function formerName(name: string, topic: Topic): RumormillError {
  return new RumormillError('EXISTS', `${JSON.stringify(name)} is a former name of topic ${JSON.stringify(topic.name)}`);
}

function cycle(name: string, deadLetter: string): RumormillError {
  return new RumormillError(
    'ERR', `dead letters of subscription ${JSON.stringify(name)} would come back to it: topic ${JSON.stringify(deadLetter)} leads to a topic that it is bound to`);
}
