/**
 * Which topics there are, and what is in them. A topic exists if somebody created, renamed or bound it, or if
 * messages of it live, even if nothing else was ever said of it.
 */
import { isReserved } from '../core/topic-name.ts';
import { LAMPORT_MAX } from '../core/log/lamport.ts';
import type { Store } from '../core/log/store.ts';
import type { TopicType } from '../core/catalog/subscription.ts';
import type { Metadata } from './metadata.ts';
import type { Readers } from '../read/readers.ts';

const NAMES_READ = 1000; // at a time
const BATCHES_COUNTED = 2048; // at a time, so that other reads have their turn

export interface TopicDescription {
  readonly topic: string;
  readonly type: TopicType;
  readonly messages: number;
  readonly bytes: number; // of payloads
  readonly bindings: number;
  readonly lamport: number | null; // of the newest message
}

export class Topics {
  readonly #store: Store;
  readonly #metadata: Metadata;
  readonly #readers: Readers;

  constructor(store: Store, metadata: Metadata, readers: Readers) {
    this.#store = store;
    this.#metadata = metadata;
    this.#readers = readers;
  }

  async exists(topic: string): Promise<boolean> {
    return this.#metadata.topic(topic) !== undefined || (await this.#newest(topic)) !== undefined;
  }

  /** The name and type of a topic; undefined if there is none. */
  async find(name: string): Promise<{ readonly name: string; readonly type: TopicType } | undefined> {
    if (!(await this.exists(name))) return undefined;
    const topic = this.#metadata.topic(name); // not before: it may have been created meanwhile
    return { name: topic?.name ?? name, type: topic?.type ?? 'fanout' };
  }

  /** The names of all except the brokers' own, in no order. */
  async names(): Promise<Iterable<string>> {
    const metadata = this.#metadata;
    const found = new Set<string>();
    for (
      let page = await this.#store.readTopics('', NAMES_READ);
      page.length > 0;
      page = await this.#store.readTopics(page.at(-1)!, NAMES_READ)
    ) {
      for (const stored of page) {
        if (isReserved(stored) || metadata.topic(stored) !== undefined) continue;
        if (metadata.deadBefore(stored) === undefined || (await this.exists(stored))) found.add(stored);
      }
    }
    return this.#shown(found);
  }

  *#shown(stored: ReadonlySet<string>): Iterable<string> {
    for (const { name } of this.#metadata.topics()) if (!stored.has(name)) yield name;
    yield* stored;
  }

  /** Undefined if there is no such topic. */
  async describe(name: string): Promise<TopicDescription | undefined> {
    const topic = await this.find(name);
    if (topic === undefined) return undefined;
    let [messages, bytes] = [0, 0];
    for (const stored of this.#metadata.storedTopics(name)) {
      for (let after: number | undefined = 0; after !== undefined; ) {
        const count = await this.#store.countLive(stored, this.#metadata.deadBefore(stored), after, BATCHES_COUNTED);
        messages += count.messages;
        bytes += count.bytes;
        after = count.through;
      }
    }
    return {
      topic: topic.name, type: topic.type, messages, bytes, bindings: this.#metadata.bindingCount(name),
      lamport: (await this.#newest(name)) ?? null,
    };
  }

  /** The Lamport timestamp of a topic's newest message. */
  async #newest(topic: string): Promise<number | undefined> {
    const [message] = await this.#readers.range({ topic, from: 0, to: LAMPORT_MAX, reverse: true }, 1);
    return message?.lamport;
  }
}
