/**
 * A store in memory, by the letter of core/log/store.ts. It checks what every caller owes a store: positions follow on,
 * an origin's records come in seq order without holes, and only after what they depend on (invariants 3 and 4).
 */
import { firstLive } from '../../brokers/core/catalog/catalog.ts';
import type { Life, Lived } from '../../brokers/core/log/life.ts';
import { assert, type RumormillError } from '../../brokers/core/error.ts';
import {
  BATCH_MESSAGES_MAX,
  batchBytes,
  lastLamport,
  lastSeq,
  type Origin,
  parseDeps,
  parseLengths,
  parseMeta,
  parseRepeats,
  type StoredBatch,
  type StoredColumns,
} from '../../brokers/core/log/record.ts';
import { type Head, headAfter } from '../../brokers/core/log/proof.ts';
import { goOn, type SavedTime } from '../../brokers/core/log/running-time.ts';
import type {
  AckCheckpoint, CountQuery, FoundId, IdColumns, LamportPlace, LiveCount, Page, RangeQuery, Store, StoreState,
} from '../../brokers/core/log/store.ts';
import type { Stamp } from '../../brokers/core/log/stamp.ts';
import type { Vector } from '../../brokers/core/log/version-vector.ts';
import { systemSignatures } from '../../brokers/io/identity.ts';

export class MemoryStore implements Store {
  origin: Origin;
  readonly batches: StoredBatch[] = [];
  /** How many batches each transaction had. */
  readonly transactions: number[] = [];
  readonly clocks: (readonly [lamport: number, term: number])[] = [];
  /** What the next appends fail with, one after another. */
  readonly failures: RumormillError[] = [];
  /** Why it is known to have lost records, until it takes a new name. */
  loss: string | undefined;
  /** From which the key of its broker follows: it lies beside the store, and is copied with it. */
  keySeed: Uint8Array | undefined;
  reads = 0;
  /** Searches for a position. */
  lookUps = 0;
  readonly acks = new Map<string, string>();
  acksPosition = 0;
  lived: Lived = { life: 0, electors: undefined };
  readonly lives = new Map<Origin, Life>();
  /** The running time whenever it was saved, and how many batches there were. */
  readonly times: (readonly [position: number, time: SavedTime])[] = [];
  catalog: { position: number; lines: readonly string[] } = { position: 0, lines: [] };
  #gate: Promise<void> | undefined;
  #lamport = 0; // of the newest record
  readonly #vector = new Map<Origin, number>();
  #owner: string;

  /** @param owner of the origin, if it is to name records (proof.ts) */
  constructor(origin: Origin, owner = '') {
    this.origin = origin;
    this.#owner = owner;
  }

  /** What the store holds now, as a store of its own: a backup. */
  copy(): MemoryStore {
    const copy = new MemoryStore(this.origin, this.#owner);
    copy.#insert(this.batches);
    copy.clocks.push(...this.clocks.slice(-1));
    for (const [subscription, state] of this.acks) copy.acks.set(subscription, state);
    copy.acksPosition = this.acksPosition;
    copy.lived = this.lived;
    for (const [store, life] of this.lives) copy.lives.set(store, life);
    copy.times.push(...this.times);
    copy.catalog = this.catalog;
    copy.keySeed = this.keySeed;
    return copy;
  }

  /**
   * The same without its newest batches, as when a WAL is lost; it knows what it had. The running time
   * is that of the moment to which it is cut, as in a file: no batch is dated before a time is saved.
   */
  withoutNewest(count: number): MemoryStore {
    const rest = this.copy();
    const cut = new MemoryStore(this.origin, this.#owner);
    cut.#insert(rest.batches.slice(0, Math.max(0, rest.batches.length - count)));
    cut.keySeed = rest.keySeed;
    cut.clocks.push(...rest.clocks);
    cut.times.push(...rest.times.filter(([position]) => position <= cut.batches.length));
    if (cut.batches.length < rest.batches.length) {
      cut.loss = `it held ${rest.batches.length} batches when it last ran, and holds ${cut.batches.length} now`;
    }
    return cut;
  }

  get state(): StoreState {
    const [lamport, term] = this.clocks.at(-1) ?? [0, 0];
    const time = this.times.at(-1)?.[1];
    return {
      origin: this.origin,
      owner: this.#owner,
      heads: this.#heads(),
      vector: new Map(this.#vector),
      lamport: Math.max(lamport, this.#lamport),
      newest: this.#lamport,
      time: time && goOn(time, this.batches.reduce((newest, { seen = 0 }) => Math.max(newest, seen), 0)),
      term,
      position: this.batches.length,
      ...(this.loss !== undefined && { loss: this.loss }),
      ...this.lived,
      lives: new Map(this.lives),
    };
  }

  #heads(): Map<Origin, Head> {
    const [first, newest] = [new Map<Origin, StoredBatch>(), new Map<Origin, StoredBatch>()];
    for (const batch of this.batches) {
      if (batch.seq === 1) first.set(batch.origin, batch);
      newest.set(batch.origin, batch);
    }
    const heads = new Map<Origin, Head>();
    for (const [origin, batch] of newest) {
      const head = headAfter(batch, first.get(origin)!, systemSignatures);
      if (head !== undefined) heads.set(origin, head);
    }
    return heads;
  }

  async renew(origin: Origin, owner: string): Promise<void> {
    this.origin = origin;
    this.#owner = owner;
    this.loss = undefined;
    this.lived = { life: 1, electors: undefined };
  }

  async saveName(lived: Lived): Promise<void> {
    this.lived = lived;
  }

  async saveLife(store: Origin, life: Life): Promise<void> {
    this.lives.set(store, life);
  }

  /** Makes appends wait until the function that it returns is called. */
  hold(): () => void {
    let release = (): void => undefined;
    this.#gate = new Promise((resolve) => (release = resolve));
    return () => {
      this.#gate = undefined;
      release();
    };
  }

  async append(batches: readonly StoredBatch[]): Promise<void> {
    await this.#gate;
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    const vector = new Map(this.#vector);
    for (const [index, batch] of batches.entries()) {
      assert(batch.position === this.batches.length + index + 1, `position ${batch.position} does not follow on`);
      assert(batch.seq === (vector.get(batch.origin) ?? 0) + 1, `${batch.origin} ${batch.seq} does not follow on`);
      for (const [origin, seq] of parseDeps(batch)) {
        assert(
          (vector.get(origin) ?? 0) >= seq,
          `${batch.origin} ${batch.seq} comes before ${origin} ${seq}, on which it depends`,
        );
      }
      vector.set(batch.origin, lastSeq(batch));
    }
    this.#insert(batches);
    this.transactions.push(batches.length);
  }

  async saveTime(time: SavedTime): Promise<void> {
    this.times.push([this.batches.length, time]);
  }

  async saveClock(lamport: number, term: number): Promise<void> {
    this.clocks.push([lamport, term]);
  }

  async readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page> {
    this.reads += 1;
    const head = this.batches.length;
    const found = this.batches.slice(position).filter(({ topic }) => topics?.includes(topic) ?? true);
    const batches = cutPage(found, bytesMax);
    return { batches, through: batches.length < found.length ? batches.at(-1)!.position : head };
  }

  async positionBefore(lacking: Iterable<readonly [Origin, number]>): Promise<number> {
    this.lookUps += 1;
    const seqs = new Map(lacking);
    const first = this.batches.find((batch) => lastSeq(batch) > (seqs.get(batch.origin) ?? Infinity));
    return first === undefined ? this.batches.length : first.position - 1;
  }

  async readRange(query: RangeQuery, previous: StoredBatch | undefined, bytesMax: number): Promise<StoredBatch[]> {
    const { topic, from, to, reverse } = query;
    const sign = reverse ? -1 : 1;
    const order = (a: StoredBatch, b: StoredBatch): number => sign * (a.lamport - b.lamport || a.position - b.position);
    const found = this.batches.filter(
      (batch) =>
        batch.topic === topic &&
        batch.lamport <= to &&
        lastLamport(batch) >= from &&
        batch.lamport >= from - BATCH_MESSAGES_MAX &&
        (previous === undefined || order(batch, previous) > 0),
    );
    return cutPage(found.sort(order), bytesMax);
  }

  async *readIds(since: number): AsyncGenerator<IdColumns[]> {
    yield this.batches.filter((batch) => parseMeta(batch).ids !== undefined && (batch.seen ?? 0) >= since)
      .map((batch) => ({ ...batch, seen: batch.seen ?? 0, ids: parseMeta(batch).ids! }));
  }

  async findIds(topic: string, ids: readonly string[], from: number, to: number): Promise<FoundId[]> {
    return this.batches
      .filter((batch) => batch.topic === topic && (batch.seen ?? 0) >= from && (batch.seen ?? 0) <= to)
      .flatMap((batch) =>
        (parseMeta(batch).ids ?? []).flatMap((id, index) =>
          id !== null && ids.includes(id)
            ? [{ id, origin: batch.origin, seq: batch.seq + index, seen: batch.seen ?? 0 }]
            : [],
        ),
      );
  }

  async lastDeps(origin: Origin, limit: number): Promise<[Origin, number][][]> {
    return this.batches.filter((batch) => batch.origin === origin).slice(-limit).map(parseDeps);
  }

  async readRepeats(limit: number): Promise<StoredColumns[]> {
    return this.batches.filter(({ repeats }) => repeats !== '').slice(-limit);
  }

  async vectorAt(position: number): Promise<Vector> {
    return new Map(this.batches.slice(0, position).map((batch) => [batch.origin, lastSeq(batch)]));
  }

  async count({
    topic, keys, after, until, settled, batchesMax,
  }: CountQuery): Promise<{ messages: number; through: number }> {
    const all = this.batches.slice(after, until).filter((batch) => batch.topic === topic);
    const counted = all.slice(0, batchesMax);
    let messages = 0;
    for (const batch of counted) {
      const [copies, names] = [parseRepeats(batch), parseMeta(batch).keys];
      for (let index = 0; index < parseLengths(batch).length; index += 1) {
        const isWanted = keys === undefined || keys.includes(names?.[index] ?? null!);
        if (isWanted && !copies.has(index) && batch.seq + index > (settled.get(batch.origin) ?? 0)) messages += 1;
      }
    }
    return { messages, through: counted.length < batchesMax ? until : counted.at(-1)!.position };
  }

  async saveAcks({ states, position }: AckCheckpoint, gone: readonly string[]): Promise<void> {
    for (const [subscription, state] of states) this.acks.set(subscription, state);
    for (const subscription of gone) this.acks.delete(subscription);
    this.acksPosition = position;
  }

  async loadAcks(): Promise<AckCheckpoint> {
    return { states: [...this.acks], position: this.acksPosition };
  }

  async saveCatalog(position: number, lines: readonly string[]): Promise<void> {
    this.catalog = { position, lines };
  }

  async loadCatalog(): Promise<{ position: number; lines: readonly string[] }> {
    return this.catalog;
  }

  async readTopics(after: string, limit: number): Promise<string[]> {
    return [...new Set(this.batches.map(({ topic }) => topic))].filter((topic) => topic > after).sort().slice(0, limit);
  }

  async countLive(topic: string, dead: Stamp | undefined, after: number, limit: number): Promise<LiveCount> {
    const batches = this.batches.filter((batch) => batch.topic === topic && batch.position > after).slice(0, limit);
    const sum = (count: (batch: StoredBatch, lengths: readonly number[], first: number) => number): number =>
      batches.reduce((total, batch) => total + count(batch, parseLengths(batch), firstLive(batch, dead)), 0);
    return {
      messages: sum(
        (batch, lengths, first) =>
          lengths.filter((_, index) => index >= first && !parseRepeats(batch).has(index)).length,
      ),
      bytes: sum((_, lengths, first) => lengths.slice(first).reduce((total, length) => total + length, 0)),
      through: batches.length < limit ? undefined : batches.at(-1)!.position,
    };
  }

  async cover(topic: string, dead: Stamp, after: LamportPlace, limit: number): Promise<LamportPlace | undefined> {
    const compare = (a: LamportPlace, b: LamportPlace): number => a.lamport - b.lamport || a.position - b.position;
    const found = this.batches
      .filter((batch) => batch.topic === topic && batch.lamport <= dead.lamport && compare(batch, after) > 0)
      .sort(compare)
      .slice(0, limit);
    for (const batch of found) {
      if (firstLive(batch, dead) === batch.count) {
        this.batches[batch.position - 1] = { ...batch, lengths: '[]', meta: '', repeats: '', body: new Uint8Array() };
      }
    }
    return found.length < limit ? undefined : found.at(-1);
  }

  async look(): Promise<void> {}

  async close(): Promise<void> {}

  #insert(batches: readonly StoredBatch[]): void {
    for (const batch of batches) {
      this.batches.push(batch);
      this.#vector.set(batch.origin, lastSeq(batch));
      this.#lamport = Math.max(this.#lamport, lastLamport(batch));
    }
  }
}

/** About `bytesMax`, at least one. */
function cutPage(batches: StoredBatch[], bytesMax: number): StoredBatch[] {
  let bytes = 0;
  const end = batches.findIndex((batch) => bytes >= bytesMax || ((bytes += batchBytes(batch)), false));
  return end < 0 ? batches : batches.slice(0, Math.max(1, end));
}
