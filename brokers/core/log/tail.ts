/** The newest batches of a log, in memory, so that live readers and peers are served without reading the disk. */
import { batchBytes, type StoredBatch } from './record.ts';
import type { Page } from './store.ts';

/** Batches that are looked at in one go, also those of other topics. */
const LOOKED_AT_MAX = 2000;

/** Consecutive positions, bounded in bytes; the oldest leave first. */
export class Tail {
  readonly #bytesMax: number;
  #batches: (StoredBatch | undefined)[] = [];
  #start = 0; // index of the oldest that is still here
  #first: number; // its position; of the next to come, if there is none
  #bytes = 0;

  constructor(first: number, bytesMax: number) {
    this.#first = first;
    this.#bytesMax = bytesMax;
  }

  push(batch: StoredBatch): void {
    this.#batches.push(batch);
    this.#bytes += batchBytes(batch);
    this.#cut(this.#bytesMax);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Gives back all but an eighth of what it may hold. */
  shrink(): void {
    this.#cut(this.#bytesMax / 8);
  }

  #cut(bytesMax: number): void {
    while (this.#bytes > bytesMax && this.#start < this.#batches.length) {
      this.#bytes -= batchBytes(this.#batches[this.#start]!);
      this.#batches[this.#start] = undefined; // its bytes are free at once, its place when there are many
      this.#start += 1;
      this.#first += 1;
    }
    if (this.#start > 1024 && this.#start * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#start);
      this.#start = 0;
    }
  }

  /** Undefined if the tail does not reach back to the position. */
  readAfter(position: number, topics: ReadonlySet<string> | undefined, bytesMax: number): Page | undefined {
    if (position + 1 < this.#first) return undefined;
    const batches: StoredBatch[] = [];
    let bytes = 0;
    let index = this.#start + (position + 1 - this.#first);
    const end = Math.min(this.#batches.length, index + LOOKED_AT_MAX);
    for (; index < end && bytes < bytesMax; index += 1) {
      const batch = this.#batches[index]!;
      if (topics !== undefined && !topics.has(batch.topic)) continue;
      batches.push(batch);
      bytes += batchBytes(batch);
    }
    return { batches, through: Math.max(position, this.#first + (index - this.#start) - 1) };
  }
}
