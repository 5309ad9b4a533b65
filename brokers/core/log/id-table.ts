/**
 * Where dedupe ids are remembered: a hash of each, and the record that it means, in typed arrays,
 * some 75 bytes per id.
 *
 * Entries are numbers. They lie on pages, which come and go as they are needed, and hang in two lists by
 * age, of all and of their topic. An entry is found by open addressing with linear probing, in one of 256
 * tables, so that no step takes long when a table grows.
 */
import { HASH_WORDS, makeIdHash } from './id-hash.ts';
import type { Origin } from './record.ts';

export type Entry = number;
/** Of no entry. */
export const NONE = -1;

/**
 * The message that an id means: the name of its record, its Lamport timestamp and the running
 * time at which it was published.
 */
export interface Known {
  readonly origin: Origin;
  readonly seq: number;
  readonly lamport: number;
  readonly seen: number;
}

/** Entries, the oldest first. */
export interface List {
  first: Entry;
  last: Entry;
  count: number;
}

interface Topic extends List {
  readonly name: string;
  readonly number: number;
}

const PAGE_BITS = 11;
const PAGE_ENTRIES = 1 << PAGE_BITS;
const TABLES = 256;
const TABLE_MIN = 8;

const emptyList = (): List => ({ first: NONE, last: NONE, count: 0 });

class Page {
  readonly hash = new Uint32Array(HASH_WORDS * PAGE_ENTRIES);
  readonly topic = new Uint32Array(PAGE_ENTRIES);
  readonly origin = new Uint32Array(PAGE_ENTRIES);
  readonly seq = new Float64Array(PAGE_ENTRIES); // 0 while the message is not stored
  readonly lamport = new Float64Array(PAGE_ENTRIES);
  readonly seen = new Float64Array(PAGE_ENTRIES);
  readonly older = new Int32Array(PAGE_ENTRIES);
  readonly newer = new Int32Array(PAGE_ENTRIES); // of a free entry, the next free one of the page
  readonly olderOfTopic = new Int32Array(PAGE_ENTRIES);
  readonly newerOfTopic = new Int32Array(PAGE_ENTRIES);
  free = 0;
  live = 0;

  constructor() {
    for (let index = 0; index < PAGE_ENTRIES; index += 1) this.newer[index] = index + 1;
  }
}

const PAGE_BYTES = PAGE_ENTRIES * (4 * HASH_WORDS + 2 * 4 + 3 * 8 + 4 * 4);

export class IdTable {
  /** All entries. */
  readonly all: List = emptyList();
  readonly #hash: ReturnType<typeof makeIdHash>;
  readonly #hashed = new Uint32Array(HASH_WORDS); // of the last id that was asked for
  #hashedId: string | undefined;
  #hashedTopic = NONE;
  #pages: (Page | undefined)[] = [];
  #pageCount = 0;
  #open = 0; // no page before this one has room
  // entry + 1, 0 if there is none
  readonly #tables: Int32Array[] = Array.from({ length: TABLES }, () => new Int32Array(0));
  readonly #fill = new Uint32Array(TABLES);
  #slots = 0;
  readonly #topics = new Map<string, Topic>();
  readonly #topicList: (Topic | undefined)[] = [];
  readonly #freeTopics: number[] = [];
  readonly #origins: Origin[] = [];
  readonly #originNumbers = new Map<Origin, number>();

  /** @param random uniform in 0..2^32-1 */
  constructor(random: () => number) {
    this.#hash = makeIdHash(random);
  }

  /** About how much memory the entries take. */
  get bytes(): number {
    return this.#pageCount * PAGE_BYTES + 4 * this.#slots;
  }

  find(topic: string, id: string): Entry {
    const known = this.#topics.get(topic);
    if (known === undefined) return NONE;
    this.#hashOf(known.number, id);
    return this.#lookUp();
  }

  /** Adds an entry, which is not there yet, as the newest; of a message that is not stored. */
  add(topic: string, id: string, seen: number): Entry {
    const known = this.#topics.get(topic) ?? this.#addTopic(topic);
    const entry = this.#allocate();
    const [page, at] = [this.#pages[entry >>> PAGE_BITS]!, entry & (PAGE_ENTRIES - 1)];
    this.#hashOf(known.number, id);
    page.hash.set(this.#hashed, HASH_WORDS * at);
    page.topic[at] = known.number;
    page.seq[at] = 0;
    page.seen[at] = seen;
    append(this.all, entry, this.#older, this.#newer);
    append(known, entry, this.#olderOfTopic, this.#newerOfTopic);
    this.#enter(entry);
    return entry;
  }

  remove(entry: Entry): void {
    const [page, at] = [this.#pages[entry >>> PAGE_BITS]!, entry & (PAGE_ENTRIES - 1)];
    const topic = this.#topicList[page.topic[at]!]!;
    this.#leave(entry);
    cut(this.all, entry, this.#older, this.#newer);
    cut(topic, entry, this.#olderOfTopic, this.#newerOfTopic);
    if (topic.count === 0) this.#dropTopic(topic);
    this.#release(entry);
  }

  /** The entries of the entry's topic. */
  topicOf(entry: Entry): List {
    return this.#topicList[this.#page(entry).topic[entry & (PAGE_ENTRIES - 1)]!]!;
  }

  /** When its message was published, or claimed as long as it is pending. */
  seen(entry: Entry): number {
    return this.#page(entry).seen[entry & (PAGE_ENTRIES - 1)]!;
  }

  isPending(entry: Entry): boolean {
    return this.#page(entry).seq[entry & (PAGE_ENTRIES - 1)] === 0;
  }

  /** The message of an entry, undefined while it is pending. */
  known(entry: Entry): Known | undefined {
    const [page, at] = [this.#page(entry), entry & (PAGE_ENTRIES - 1)];
    const seq = page.seq[at]!;
    return seq === 0
      ? undefined
      : { origin: this.#origins[page.origin[at]!]!, seq, lamport: page.lamport[at]!, seen: page.seen[at]! };
  }

  /** The entry's message is stored. */
  settle(entry: Entry, { origin, seq, lamport }: Omit<Known, 'seen'>): void {
    const [page, at] = [this.#page(entry), entry & (PAGE_ENTRIES - 1)];
    let number = this.#originNumbers.get(origin);
    if (number === undefined) {
      this.#originNumbers.set(origin, (number = this.#origins.length));
      this.#origins.push(origin);
    }
    page.origin[at] = number;
    page.seq[at] = seq;
    page.lamport[at] = lamport;
  }

  #page(entry: Entry): Page {
    return this.#pages[entry >>> PAGE_BITS]!;
  }

  // Lists

  readonly #older: Links = (entry) => this.#page(entry).older;
  readonly #newer: Links = (entry) => this.#page(entry).newer;
  readonly #olderOfTopic: Links = (entry) => this.#page(entry).olderOfTopic;
  readonly #newerOfTopic: Links = (entry) => this.#page(entry).newerOfTopic;

  // Topics

  #addTopic(name: string): Topic {
    const number = this.#freeTopics.pop() ?? this.#topicList.length;
    const topic: Topic = { ...emptyList(), name, number };
    this.#topicList[number] = topic;
    this.#topics.set(name, topic);
    return topic;
  }

  #dropTopic({ name, number }: Topic): void {
    this.#topics.delete(name);
    this.#topicList[number] = undefined;
    this.#freeTopics.push(number);
  }

  // Pages

  #allocate(): Entry {
    while ((this.#pages[this.#open]?.live ?? 0) === PAGE_ENTRIES) this.#open += 1;
    let page = this.#pages[this.#open];
    if (page === undefined) {
      this.#pages[this.#open] = page = new Page();
      this.#pageCount += 1;
    }
    const at = page.free;
    page.free = page.newer[at]!;
    page.live += 1;
    return (this.#open << PAGE_BITS) | at;
  }

  #release(entry: Entry): void {
    const number = entry >>> PAGE_BITS;
    const page = this.#pages[number]!;
    this.#open = Math.min(this.#open, number);
    page.live -= 1;
    page.newer[entry & (PAGE_ENTRIES - 1)] = page.free;
    page.free = entry & (PAGE_ENTRIES - 1);
    if (page.live > 0 || this.#pageCount === 1) return;
    this.#pages[number] = undefined;
    this.#pageCount -= 1;
  }

  // Tables

  /** Into `#hashed`. Most ids are asked for several times in a row. */
  #hashOf(topic: number, id: string): void {
    if (id === this.#hashedId && topic === this.#hashedTopic) return;
    this.#hash(topic, id, this.#hashed);
    this.#hashedId = id;
    this.#hashedTopic = topic;
  }

  /** The entry with the hash in `#hashed`. */
  #lookUp(): Entry {
    const hashed = this.#hashed;
    const h0 = hashed[0]!;
    const h1 = hashed[1]!;
    const h2 = hashed[2]!;
    const h3 = hashed[3]!;
    const table = this.#tables[h3 >>> 24]!;
    const mask = table.length - 1;
    if (mask < 0) return NONE;
    for (let slot = h0 & mask; ; slot = (slot + 1) & mask) {
      const entry = table[slot]! - 1;
      if (entry === NONE) return NONE;
      const { hash } = this.#pages[entry >>> PAGE_BITS]!;
      const at = HASH_WORDS * (entry & (PAGE_ENTRIES - 1));
      if (hash[at] === h0 && hash[at + 1] === h1 && hash[at + 2] === h2 && hash[at + 3] === h3) return entry;
    }
  }

  #hashWord(entry: Entry, word: number): number {
    return this.#page(entry).hash[HASH_WORDS * (entry & (PAGE_ENTRIES - 1)) + word]!;
  }

  #enter(entry: Entry): void {
    const number = this.#hashWord(entry, 3) >>> 24;
    const fill = (this.#fill[number]! += 1);
    if (8 * fill > 5 * this.#tables[number]!.length) {
      this.#resize(number, Math.max(TABLE_MIN, 2 * this.#tables[number]!.length));
    }
    this.#place(this.#tables[number]!, entry);
  }

  #place(table: Int32Array, entry: Entry): void {
    const mask = table.length - 1;
    let slot = this.#hashWord(entry, 0) & mask;
    while (table[slot] !== 0) slot = (slot + 1) & mask;
    table[slot] = entry + 1;
  }

  /** Those behind it that would not be found any more move up (Knuth, TAOCP 3, 6.4, algorithm R). */
  #leave(entry: Entry): void {
    const number = this.#hashWord(entry, 3) >>> 24;
    const table = this.#tables[number]!;
    const mask = table.length - 1;
    let hole = this.#hashWord(entry, 0) & mask;
    while (table[hole] !== entry + 1) hole = (hole + 1) & mask;
    for (let slot = (hole + 1) & mask; table[slot] !== 0; slot = (slot + 1) & mask) {
      const wanted = this.#hashWord(table[slot]! - 1, 0) & mask;
      if (((slot - wanted) & mask) < ((slot - hole) & mask)) continue;
      table[hole] = table[slot]!;
      hole = slot;
    }
    table[hole] = 0;
    const fill = (this.#fill[number]! -= 1);
    if (8 * fill < table.length && table.length > TABLE_MIN) this.#resize(number, table.length / 2);
  }

  #resize(number: number, length: number): void {
    const former = this.#tables[number]!;
    const table = new Int32Array(length);
    this.#slots += length - former.length;
    this.#tables[number] = table;
    for (const each of former) if (each !== 0) this.#place(table, each - 1);
  }
}

/** The column of the page that holds an entry. */
type Links = (entry: Entry) => Int32Array;

function append(list: List, entry: Entry, older: Links, newer: Links): void {
  const at = entry & (PAGE_ENTRIES - 1);
  older(entry)[at] = list.last;
  newer(entry)[at] = NONE;
  if (list.last === NONE) list.first = entry;
  else newer(list.last)[list.last & (PAGE_ENTRIES - 1)] = entry;
  list.last = entry;
  list.count += 1;
}

function cut(list: List, entry: Entry, older: Links, newer: Links): void {
  const at = entry & (PAGE_ENTRIES - 1);
  const [before, after] = [older(entry)[at]!, newer(entry)[at]!];
  if (before === NONE) list.first = after;
  else newer(before)[before & (PAGE_ENTRIES - 1)] = after;
  if (after === NONE) list.last = before;
  else older(after)[after & (PAGE_ENTRIES - 1)] = before;
  list.count -= 1;
}
