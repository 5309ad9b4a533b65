/**
 * A virtual disk: one broker's store, which outlives its process. Writes take virtual time, one after another. A write
 * that is under way when the process crashes is on disk or it is not, as the dice fall; those that wait behind it are
 * lost with the process.
 *
 * Every batch that it ever held, and every time when it was replaced by an empty disk or an older copy, stands in
 * `log`: what a checker needs in order to say who held what when.
 */
import { type Address } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import type { Life as StoreLife, Lived } from '../../brokers/core/log/life.ts';
import { makeOrigin, type Origin, type StoredBatch, type StoredColumns } from '../../brokers/core/log/record.ts';
import type {
  AckCheckpoint, CountQuery, FoundId, IdColumns, LamportPlace, LiveCount, Page, RangeQuery, Store, StoreState,
} from '../../brokers/core/log/store.ts';
import type { Identity } from '../../brokers/core/mesh/identity.ts';
import type { SavedTime } from '../../brokers/core/log/running-time.ts';
import type { Stamp } from '../../brokers/core/log/stamp.ts';
import type { Vector } from '../../brokers/core/log/version-vector.ts';
import { virtualIdentity } from '../support/identity.ts';
import { MemoryStore } from '../support/memory-store.ts';
import type { SeededRandom } from '../support/random.ts';
import type { Life, VirtualTime } from './time.ts';

/** Why a broker stops whose files were removed. */
export const GONE = 'broker.db is gone';

const [SYNC_MIN_US, SYNC_MAX_US] = [300, 5000];
const [READ_MIN_US, READ_MAX_US] = [20, 500];

/** What happened to a disk: batches were written, or its content was replaced by a copy that held `batches`. */
export interface DiskEvent {
  readonly kind: 'written' | 'replaced';
  readonly disk: Address;
  readonly store: Origin; // which is on the disk
  readonly at: number;
  readonly batches: readonly StoredBatch[];
}

export class VirtualDisk {
  /**
   * Writes that a crash cut off, and how many of them were on disk; writes refused because the disk was full; slow
   * reads and writes.
   */
  readonly counts = { cutOff: 0, survived: 0, refused: 0, slowed: 0 };
  /** No more batches can be written. */
  isFull = false;
  /** Not even the clock can be. */
  isFullForClock = false;
  /**
   * The process whose files were removed while it ran: whatever it asks fails from then on, as it does once it looks at
   * where its files are.
   */
  removedFrom: Life | undefined;
  /** ms that each write, or read, takes longer, at most. */
  slowWritesMs = 0;
  slowReadsMs = 0;
  /** Called once, when the next write begins. */
  onWrite: (() => void) | undefined;
  readonly #address: Address;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #log: DiskEvent[];
  #data: MemoryStore;
  #writing: { readonly life: Life; readonly write: () => Promise<void> } | undefined;

  constructor(address: Address, time: VirtualTime, random: SeededRandom, log: DiskEvent[]) {
    this.#address = address;
    this.#time = time;
    this.#random = random;
    this.#log = log;
    this.#data = new MemoryStore(makeOrigin(address, random.word));
  }

  get data(): MemoryStore {
    return this.#data;
  }

  /** The store for one life of the broker. */
  open(life: Life): Store {
    return new DiskStore(this, life);
  }

  /** The key in its folder; the first process makes one. */
  async identity(life: Life): Promise<Identity> {
    const data = this.#data;
    if (data.keySeed === undefined) {
      const seed = this.#random.bytes(32);
      await this.write(life, async () => void (data.keySeed = seed));
    }
    return virtualIdentity(data.keySeed!);
  }

  /** Puts an empty disk in the place of this one. Only while the broker is down, as `restore`. */
  wipe(): void {
    this.restore(new MemoryStore(makeOrigin(this.#address, this.#random.word)));
  }

  /** Puts an earlier copy in the place of the disk. */
  restore(backup: MemoryStore): void {
    this.#replace(backup.copy());
  }

  /**
   * Its newest batches are lost, as with a WAL that is deleted; the store knows it when it is opened. Only while the
   * broker is down.
   */
  lose(count: number): void {
    this.#replace(this.#data.withoutNewest(count));
  }

  #replace(data: MemoryStore): void {
    this.#data = data;
    this.#note('replaced', data.batches);
  }

  /** Writes, unless the disk is full. What is written is on disk when the promise resolves, or the process has died. */
  write(life: Life, write: () => Promise<void>, isFull = (): boolean => this.isFull): Promise<void> {
    this.#writing = { life, write };
    this.onWrite?.();
    this.onWrite = undefined;
    return new Promise((resolve, reject) => {
      this.#time.after(this.#ms(SYNC_MIN_US, SYNC_MAX_US, this.slowWritesMs), () => {
        if (life.isOver) return;
        this.#writing = undefined;
        if (this.removedFrom === life) return life.run(() => reject(gone()));
        if (isFull()) {
          this.counts.refused += 1;
          return life.run(() => reject(new RumormillError('DISKFULL', 'the disk is full; nothing was stored')));
        }
        write().then(() => life.run(resolve), (error: unknown) => life.run(() => reject(error)));
      });
    });
  }

  async append(batches: readonly StoredBatch[]): Promise<void> {
    const data = this.#data;
    await data.append(batches);
    // else it was replaced just after the crash that let this one through
    if (data === this.#data) this.#note('written', batches);
  }

  read<T>(life: Life, read: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#time.after(this.#ms(READ_MIN_US, READ_MAX_US, this.slowReadsMs), () => {
        if (this.removedFrom === life) return life.run(() => reject(gone()));
        if (!life.isOver) {
          read().then(
            (value) => life.run(() => resolve(value)),
            (error: unknown) => life.run(() => reject(error)),
          );
        }
      });
    });
  }

  /** The process has died. */
  crashed(life: Life): void {
    const writing = this.#writing;
    if (writing?.life !== life) return;
    this.#writing = undefined;
    this.counts.cutOff += 1;
    if (this.isFull || this.#random.integer(0, 1) === 0) return;
    this.counts.survived += 1;
    writing.write().catch((error: unknown) => this.#time.fail(error));
  }

  #ms(minUs: number, maxUs: number, slowMs: number): number {
    if (slowMs > 0) this.counts.slowed += 1;
    const extraMs = slowMs > 0 ? this.#random.integer(Math.min(100, slowMs), slowMs) : 0;
    return extraMs + this.#random.integer(minUs, maxUs) / 1000;
  }

  #note(kind: DiskEvent['kind'], batches: readonly StoredBatch[]): void {
    this.#log.push({ kind, disk: this.#address, store: this.#data.origin, at: this.#time.now, batches: [...batches] });
  }
}

function gone(): RumormillError {
  return new RumormillError('STORE', GONE);
}

class DiskStore implements Store {
  readonly #disk: VirtualDisk;
  readonly #life: Life;
  #state: StoreState;
  #lastWrite: Promise<unknown> = Promise.resolve();

  constructor(disk: VirtualDisk, life: Life) {
    this.#disk = disk;
    this.#life = life;
    this.#state = disk.data.state;
  }

  get state(): StoreState {
    return this.#state;
  }

  async renew(origin: Origin, owner: string): Promise<void> {
    await this.#write(() => this.#disk.data.renew(origin, owner));
    this.#state = { ...this.#state, origin, owner, life: 1, electors: undefined };
  }

  saveName(lived: Lived): Promise<void> {
    return this.#write(() => this.#disk.data.saveName(lived));
  }

  saveLife(store: Origin, life: StoreLife): Promise<void> {
    return this.#write(() => this.#disk.data.saveLife(store, life));
  }

  append(batches: readonly StoredBatch[]): Promise<void> {
    return this.#write(() => this.#disk.append(batches));
  }

  saveTime(time: SavedTime): Promise<void> {
    return this.#write(() => this.#disk.data.saveTime(time), () => this.#disk.isFullForClock);
  }

  saveClock(lamport: number, term: number): Promise<void> {
    return this.#write(() => this.#disk.data.saveClock(lamport, term), () => this.#disk.isFullForClock);
  }

  readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page> {
    return this.#read(() => this.#disk.data.readAfter(position, topics, bytesMax));
  }

  positionBefore(lacking: Iterable<readonly [Origin, number]>): Promise<number> {
    return this.#read(() => this.#disk.data.positionBefore(lacking));
  }

  readRange(query: RangeQuery, previous: StoredBatch | undefined, bytesMax: number): Promise<StoredBatch[]> {
    return this.#read(() => this.#disk.data.readRange(query, previous, bytesMax));
  }

  async *readIds(since: number): AsyncGenerator<readonly IdColumns[]> {
    yield* await this.#read(async () => {
      const pages: (readonly IdColumns[])[] = [];
      for await (const page of this.#disk.data.readIds(since)) pages.push(page);
      return pages;
    });
  }

  findIds(topic: string, ids: readonly string[], from: number, to: number): Promise<FoundId[]> {
    return this.#read(() => this.#disk.data.findIds(topic, ids, from, to));
  }

  lastDeps(origin: Origin, limit: number): Promise<[Origin, number][][]> {
    return this.#read(() => this.#disk.data.lastDeps(origin, limit));
  }

  readRepeats(limit: number): Promise<StoredColumns[]> {
    return this.#read(() => this.#disk.data.readRepeats(limit));
  }

  vectorAt(position: number): Promise<Vector> {
    return this.#read(() => this.#disk.data.vectorAt(position));
  }

  count(query: CountQuery): Promise<{ messages: number; through: number }> {
    return this.#read(() => this.#disk.data.count(query));
  }

  saveAcks(checkpoint: AckCheckpoint, gone: readonly string[]): Promise<void> {
    return this.#write(() => this.#disk.data.saveAcks(checkpoint, gone));
  }

  loadAcks(): Promise<AckCheckpoint> {
    return this.#read(() => this.#disk.data.loadAcks());
  }

  saveCatalog(position: number, lines: readonly string[]): Promise<void> {
    return this.#write(() => this.#disk.data.saveCatalog(position, lines));
  }

  loadCatalog(): Promise<{ position: number; lines: readonly string[] }> {
    return this.#read(() => this.#disk.data.loadCatalog());
  }

  readTopics(after: string, limit: number): Promise<string[]> {
    return this.#read(() => this.#disk.data.readTopics(after, limit));
  }

  countLive(topic: string, dead: Stamp | undefined, after: number, limit: number): Promise<LiveCount> {
    return this.#read(() => this.#disk.data.countLive(topic, dead, after, limit));
  }

  async cover(topic: string, dead: Stamp, after: LamportPlace, limit: number): Promise<LamportPlace | undefined> {
    let next: LamportPlace | undefined;
    await this.#write(async () => void (next = await this.#disk.data.cover(topic, dead, after, limit)));
    return next;
  }

  async look(): Promise<void> {
    if (this.#disk.removedFrom === this.#life) throw gone();
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    await this.#lastWrite.catch(() => undefined); // whoever wrote it has the error
  }

  #write(write: () => Promise<void>, isFull?: () => boolean): Promise<void> {
    const next = (): Promise<void> => this.#disk.write(this.#life, write, isFull);
    const writing = this.#lastWrite.then(next, next);
    this.#lastWrite = writing;
    return writing;
  }

  #read<T>(read: () => Promise<T>): Promise<T> {
    return this.#disk.read(this.#life, read);
  }
}
