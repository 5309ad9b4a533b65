/**
 * A virtual disk: one broker's store, which outlives its process. Writes take virtual time, one after another. A write that is under way when
 * the process crashes is on disk or it is not, as the dice fall.
 */
import { type Address } from '../../brokers/core/address.ts';
import { makeOrigin, type Origin, type StoredBatch } from '../../brokers/core/record.ts';
import type { FoundId, Page, RangeQuery, Store, StoreState } from '../../brokers/core/runtime.ts';
import type { Vector } from '../../brokers/core/version-vector.ts';
import { MemoryStore } from '../support/memory-store.ts';
import type { SeededRandom } from '../support/random.ts';
import type { Life, VirtualTime } from './time.ts';

const [SYNC_MIN_US, SYNC_MAX_US] = [300, 5000];
const [READ_MIN_US, READ_MAX_US] = [20, 500];

export class VirtualDisk {
  readonly data: MemoryStore;
  /** Writes that a crash cut off, and how many of them were on disk. */
  readonly counts = { cutOff: 0, survived: 0 };
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;

  constructor(address: Address, time: VirtualTime, random: SeededRandom) {
    this.data = new MemoryStore(makeOrigin(address, random.word));
    this.#time = time;
    this.#random = random;
  }

  /** The store for one life of the broker. */
  open(life: Life): Store {
    return new DiskStore(this, life);
  }

  get now(): number {
    return this.#time.now;
  }

  syncMs(): number {
    return this.#random.integer(SYNC_MIN_US, SYNC_MAX_US) / 1000;
  }

  /** Does something at a virtual time. If the process is gone by then, its promise never settles, and a write happens only by chance. */
  at<T>(time: number, life: Life, action: () => Promise<T>, isWrite: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#time.after(time - this.#time.now, () => {
        if (!life.isOver) return void action().then(resolve, reject);
        if (isWrite) this.#afterCrash(action);
      });
    });
  }

  readMs(): number {
    return this.#random.integer(READ_MIN_US, READ_MAX_US) / 1000;
  }

  #afterCrash(action: () => Promise<unknown>): void {
    this.counts.cutOff += 1;
    if (this.#random.integer(0, 1) === 0) return;
    this.counts.survived += 1;
    void action();
  }
}

class DiskStore implements Store {
  readonly #disk: VirtualDisk;
  readonly #life: Life;
  #state: StoreState;
  #busyUntil = 0;

  constructor(disk: VirtualDisk, life: Life) {
    this.#disk = disk;
    this.#life = life;
    this.#state = disk.data.state;
  }

  get state(): StoreState {
    return this.#state;
  }

  async renew(origin: Origin): Promise<void> {
    await this.#write(() => this.#disk.data.renew(origin));
    this.#state = { ...this.#state, origin };
  }

  append(batches: readonly StoredBatch[]): Promise<void> {
    return this.#write(() => this.#disk.data.append(batches));
  }

  saveClock(lamport: number, term: number): Promise<void> {
    return this.#write(() => this.#disk.data.saveClock(lamport, term));
  }

  readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page> {
    return this.#read(() => this.#disk.data.readAfter(position, topics, bytesMax));
  }

  positionCovered(vector: Vector): Promise<number> {
    return this.#read(() => this.#disk.data.positionCovered(vector));
  }

  readRange(query: RangeQuery, previous: StoredBatch | undefined, bytesMax: number): Promise<StoredBatch[]> {
    return this.#read(() => this.#disk.data.readRange(query, previous, bytesMax));
  }

  readWithIds(windowMs: number, limit: number): Promise<StoredBatch[]> {
    return this.#read(() => this.#disk.data.readWithIds(windowMs, limit));
  }

  findIds(topic: string, ids: readonly string[], from: number, to: number): Promise<FoundId[]> {
    return this.#read(() => this.#disk.data.findIds(topic, ids, from, to));
  }

  lastDeps(origin: Origin, limit: number): Promise<[Origin, number][][]> {
    return this.#read(() => this.#disk.data.lastDeps(origin, limit));
  }

  readRepeats(limit: number): Promise<StoredBatch[]> {
    return this.#read(() => this.#disk.data.readRepeats(limit));
  }

  close(): Promise<void> {
    return this.#write(() => Promise.resolve());
  }

  #write(action: () => Promise<void>): Promise<void> {
    this.#busyUntil = Math.max(this.#busyUntil, this.#disk.now) + this.#disk.syncMs();
    return this.#disk.at(this.#busyUntil, this.#life, action, true);
  }

  #read<T>(action: () => Promise<T>): Promise<T> {
    return this.#disk.at(this.#disk.now + this.#disk.readMs(), this.#life, action, false);
  }
}
