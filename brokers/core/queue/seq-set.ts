/**
 * A set of seqs of one origin, as a bitmap in chunks: adding one of a hundred thousand in any order
 * costs the same, and what lies together takes a bit each. A chunk whose seqs are all in the set is
 * one shared object, so that a long run costs next to nothing.
 *
 * As text it is its runs: a flat array gap, length, gap, length, ..., each gap counted from the end
 * of the run before.
 */
import { RumormillError } from '../error.ts';
import { isCount } from '../json.ts';

const WORD_BITS = 32;
const CHUNK_WORDS = 32;
const CHUNK_BITS = WORD_BITS * CHUNK_WORDS;

interface Chunk {
  readonly words: Uint32Array;
  count: number;
}

/** Never changed: the chunk that has every seq. */
const FULL: Chunk = { words: new Uint32Array(CHUNK_WORDS).fill(0xffffffff), count: CHUNK_BITS };

export class SeqSet {
  readonly #chunks = new Map<number, Chunk>();
  #size = 0;

  /**
   * The set that `runs` gave the array of.
   * @param max the greatest seq that may be in it
   * @throws RumormillError PROTOCOL for anything else
   */
  static parse(runs: unknown, max: number): SeqSet {
    const set = new SeqSet();
    if (!Array.isArray(runs) || runs.length % 2 !== 0) {
      throw new RumormillError('PROTOCOL', 'runs of seqs are not pairs');
    }
    let next = 1;
    for (let at = 0; at < runs.length; at += 2) {
      const [gap, length] = [runs[at] as unknown, runs[at + 1] as unknown];
      if (!isCount(gap) || !isCount(length) || length < 1) {
        throw new RumormillError('PROTOCOL', 'a run of seqs is not a gap and a length');
      }
      const first = next + gap;
      next = first + length;
      if (!Number.isSafeInteger(next) || next > max + 1) {
        throw new RumormillError('PROTOCOL', `seq ${next - 1} is beyond ${max}`);
      }
      set.addRun(first, length);
    }
    return set;
  }

  /** How many seqs are in it. */
  get size(): number {
    return this.#size;
  }

  has(seq: number): boolean {
    const chunk = this.#chunks.get(Math.floor(seq / CHUNK_BITS));
    return chunk !== undefined && (chunk.words[(seq % CHUNK_BITS) >>> 5]! & (1 << (seq & 31))) !== 0;
  }

  /** False if it was in the set. */
  add(seq: number): boolean {
    const key = Math.floor(seq / CHUNK_BITS);
    let chunk = this.#chunks.get(key);
    if (chunk === undefined) this.#chunks.set(key, (chunk = emptyChunk()));
    const [word, bit] = [(seq % CHUNK_BITS) >>> 5, 1 << (seq & 31)];
    if ((chunk.words[word]! & bit) !== 0) return false;
    chunk.words[word]! |= bit;
    this.#size += 1;
    chunk.count += 1;
    if (chunk.count === CHUNK_BITS) this.#chunks.set(key, FULL);
    return true;
  }

  /** Adds `length` seqs from `first` on. */
  addRun(first: number, length: number): void {
    const end = first + length;
    for (let seq = first; seq < end; ) {
      const key = Math.floor(seq / CHUNK_BITS);
      const chunkEnd = Math.min(end, (key + 1) * CHUNK_BITS);
      if (chunkEnd - seq === CHUNK_BITS) this.#put(key, FULL);
      else for (let each = seq; each < chunkEnd; each += 1) this.add(each);
      seq = chunkEnd;
    }
  }

  /** Adds everything that is in the other: the union. */
  addAll(other: SeqSet): void {
    for (const [key, theirs] of other.#chunks) {
      const ours = this.#chunks.get(key);
      if (ours === undefined || theirs === FULL) {
        this.#put(key, theirs === FULL ? FULL : { words: theirs.words.slice(), count: theirs.count });
      } else if (ours !== FULL) this.#unite(key, ours, theirs);
    }
  }

  /** Takes out everything up to `seq`, inclusive. */
  dropUpTo(seq: number): void {
    const border = Math.floor((seq + 1) / CHUNK_BITS);
    for (const [key, chunk] of this.#chunks) {
      if (key > border) continue;
      if (key < border) this.#remove(key, chunk);
      else this.#cut(key, chunk, (seq + 1) % CHUNK_BITS);
    }
  }

  /** How many are above `seq`. */
  countAbove(seq: number): number {
    let count = 0;
    const border = Math.floor((seq + 1) / CHUNK_BITS);
    for (const [key, chunk] of this.#chunks) {
      if (key > border) count += chunk.count;
      else if (key === border) {
        for (let each = seq + 1; each < (key + 1) * CHUNK_BITS; each += 1) if (this.has(each)) count += 1;
      }
    }
    return count;
  }

  /** All of them, in ascending order. */
  *seqs(): Iterable<number> {
    let next = 1;
    const runs = this.runs();
    for (let at = 0; at < runs.length; at += 2) {
      const first = next + runs[at]!;
      next = first + runs[at + 1]!;
      for (let seq = first; seq < next; seq += 1) yield seq;
    }
  }

  /** gap, length, gap, length, ...: the first gap counts from seq 1. */
  runs(): number[] {
    const runs: number[] = [];
    let end = 1; // behind the last run
    const add = (first: number, length: number): void => {
      if (first === end && runs.length > 0) runs[runs.length - 1]! += length;
      else runs.push(first - end, length);
      end = first + length;
    };
    for (const key of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const chunk = this.#chunks.get(key)!;
      if (chunk === FULL) add(key * CHUNK_BITS, CHUNK_BITS);
      else eachRun(chunk, (first, length) => add(key * CHUNK_BITS + first, length));
    }
    return runs;
  }

  #put(key: number, chunk: Chunk): void {
    this.#size += chunk.count - (this.#chunks.get(key)?.count ?? 0);
    this.#chunks.set(key, chunk);
  }

  #unite(key: number, ours: Chunk, theirs: Chunk): void {
    let count = 0;
    for (let word = 0; word < CHUNK_WORDS; word += 1) count += bitCount((ours.words[word]! |= theirs.words[word]!));
    this.#size += count - ours.count;
    ours.count = count;
    if (count === CHUNK_BITS) this.#chunks.set(key, FULL);
  }

  #remove(key: number, chunk: Chunk): void {
    this.#size -= chunk.count;
    this.#chunks.delete(key);
  }

  /** Takes out a chunk's seqs before index `from`. */
  #cut(key: number, chunk: Chunk, from: number): void {
    if (from === 0) return;
    const words = chunk.words.slice();
    words.fill(0, 0, from >>> 5);
    words[from >>> 5]! &= ~((1 << (from & 31)) - 1);
    const count = words.reduce((sum, word) => sum + bitCount(word), 0);
    if (count === 0) this.#remove(key, chunk);
    else this.#put(key, { words, count });
  }
}

/** What `runs` gives of a set with these seqs, which ascend. */
export function runsOf(seqs: readonly number[]): number[] {
  const runs: number[] = [];
  let end = 1; // behind the last run
  for (const seq of seqs) {
    if (seq === end && runs.length > 0) runs[runs.length - 1]! += 1;
    else runs.push(seq - end, 1);
    end = seq + 1;
  }
  return runs;
}

function emptyChunk(): Chunk {
  return { words: new Uint32Array(CHUNK_WORDS), count: 0 };
}

function eachRun(chunk: Chunk, found: (first: number, length: number) => void): void {
  let first = -1;
  for (let index = 0; index <= CHUNK_BITS; index += 1) {
    const isIn = index < CHUNK_BITS && (chunk.words[index >>> 5]! & (1 << (index & 31))) !== 0;
    if (isIn && first < 0) first = index;
    else if (!isIn && first >= 0) {
      found(first, index - first);
      first = -1;
    }
  }
}

function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
