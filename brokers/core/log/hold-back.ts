/**
 * Hold-back: groups of batches (proof.ts) of peers that came before what they depend on wait here, so that position
 * order stays a causal order (invariant 4).
 *
 * K. Birman, A. Schiper, P. Stephenson, "Lightweight Causal and Atomic Group Multicast", ACM TOCS
 * 9(3), 1991. A batch is ready when it follows on its origin's last and everything in its deps is
 * accepted. What waits is filed under one origin that it still needs something of, and is looked at
 * when more of that is accepted: however many origins wait, a batch costs those that it may set
 * free.
 *
 * Bounded: what does not fit is dropped, and with it everything of that origin that comes after it.
 * The origin then counts as behind and is grafted again, from its last accepted record. The peer whose batches take
 * most room gives way: one that sends what never becomes ready does not keep others out.
 */
import type { Head } from './proof.ts';
import { batchBytes, lastSeq, type Origin, parseDeps, type RecordBatch } from './record.ts';

/** Batches that are accepted together, and the head of their origin after them, if they are signed. */
export interface Group {
  readonly batches: readonly RecordBatch[];
  readonly head: Head | undefined;
}

interface Held extends Group {
  readonly deps: readonly (readonly [Origin, number])[];
  met: number; // the first so many deps are accepted, and stay so
}

/** What is held of one origin, without holes. */
interface Line {
  readonly from: string; // the peer that sends it
  readonly held: Held[];
  waitsFor: Origin; // more of this has to be accepted before the first one can be ready
}

export class HoldBack {
  readonly #nextSeq: (origin: Origin) => number;
  readonly #accept: (group: Group) => void;
  readonly #bytesMax: number;
  readonly #lines = new Map<Origin, Line>();
  readonly #waiting = new Map<Origin, Set<Origin>>(); // for more of an origin: the lines of these
  readonly #dropped: (origin: Origin) => void;
  readonly #bytesOf = new Map<string, number>(); // of each peer's lines
  #bytes = 0;

  /**
   * @param nextSeq the seq that is accepted next of an origin
   * @param accept takes a group in, so that `nextSeq` moves on
   * @param dropped told of an origin whose batches gave way to those of another peer
   */
  constructor(
    nextSeq: (origin: Origin) => number, accept: (group: Group) => void, bytesMax: number,
    dropped: (origin: Origin) => void,
  ) {
    this.#dropped = dropped;
    this.#nextSeq = nextSeq;
    this.#accept = accept;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether batches of an origin wait. */
  has(origin: Origin): boolean {
    return this.#lines.has(origin);
  }

  /** The last batch of an origin that waits, and the head after it. */
  last(origin: Origin): { readonly batch: RecordBatch; readonly head: Head | undefined } | undefined {
    const last = this.#lines.get(origin)?.held.at(-1);
    return last && { batch: last.batches.at(-1)!, head: last.head };
  }

  /** Accepts a group and whatever it makes ready, or holds it. Says what became of it. */
  offer(group: Group, from: string): 'accepted' | 'held' | 'duplicate' | 'dropped' {
    const { origin, seq } = group.batches[0]!;
    if (seq < this.#nextSeq(origin)) return 'duplicate';
    const held = { ...group, deps: group.batches.flatMap((batch) => parseDeps(batch)), met: 0 };
    const line = this.#lines.get(origin);
    const waitsFor = line === undefined ? this.#missing(held) : line.waitsFor;
    if (waitsFor === undefined) {
      this.#accept(group);
      this.#release(origin);
      return 'accepted';
    }
    const last = this.last(origin)?.batch;
    const follows = seq === (last === undefined ? this.#nextSeq(origin) : lastSeq(last) + 1);
    if (!follows) return last !== undefined && seq <= lastSeq(last) ? 'duplicate' : 'dropped';
    if (!this.#makeRoom(bytesOf(group), from) || this.#lines.get(origin) !== line) return 'dropped';
    if (line === undefined) this.#wait({ from, held: [held], waitsFor });
    else line.held.push(held);
    this.#count(line?.from ?? from, bytesOf(group));
    return 'held';
  }

  /** Makes room for bytes of a peer: lines of one that holds more give way, the newest first. Says whether it did. */
  #makeRoom(bytes: number, from: string): boolean {
    while (this.#bytes + bytes > this.#bytesMax) {
      const [most] = [...this.#bytesOf].reduce((a, b) => (b[1] > a[1] ? b : a), [from, this.#bytesOf.get(from) ?? 0]);
      if (most === from) return false;
      for (const [origin, line] of [...this.#lines].reverse()) {
        if (line.from !== most || this.#bytes + bytes <= this.#bytesMax) continue;
        this.drop(origin);
        this.#dropped(origin);
      }
    }
    return true;
  }

  #count(from: string, bytes: number): void {
    const sum = (this.#bytesOf.get(from) ?? 0) + bytes;
    this.#bytes += bytes;
    if (sum === 0) this.#bytesOf.delete(from);
    else this.#bytesOf.set(from, sum);
  }

  /** Lets go of what is held of an origin: it comes again from another neighbour. */
  drop(origin: Origin): void {
    const line = this.#lines.get(origin);
    if (line === undefined) return;
    for (const group of line.held) this.#count(line.from, -bytesOf(group));
    this.#lines.delete(origin);
    this.#waiting.get(line.waitsFor)?.delete(origin);
    if (this.#waiting.get(line.waitsFor)?.size === 0) this.#waiting.delete(line.waitsFor);
  }

  /** Lets go of everything: what was accepted before it is not accepted any more. */
  clear(): void {
    this.#lines.clear();
    this.#waiting.clear();
    this.#bytesOf.clear();
    this.#bytes = 0;
  }

  /** More of an origin was accepted: accepts what that makes ready, and so on. */
  #release(origin: Origin): void {
    const grown = [origin];
    for (let next = grown.pop(); next !== undefined; next = grown.pop()) {
      const waiting = this.#waiting.get(next);
      if (waiting === undefined) continue;
      this.#waiting.delete(next);
      for (const name of waiting) {
        const line = this.#lines.get(name)!;
        if (this.#takeReady(line) > 0) grown.push(name);
        if (line.held.length === 0) this.#lines.delete(name);
        else this.#wait(line);
      }
    }
  }

  /** Accepts the first ones of a line, as long as they are ready. Says how many. */
  #takeReady(line: Line): number {
    let count = 0;
    for (; count < line.held.length; count += 1) {
      const missing = this.#missing(line.held[count]!);
      if (missing !== undefined) {
        line.waitsFor = missing;
        break;
      }
      const group = line.held[count]!;
      this.#count(line.from, -bytesOf(group));
      this.#accept(group);
    }
    line.held.splice(0, count);
    return count;
  }

  #wait(line: Line): void {
    const { origin } = line.held[0]!.batches[0]!;
    this.#lines.set(origin, line);
    const waiting = this.#waiting.get(line.waitsFor) ?? new Set();
    this.#waiting.set(line.waitsFor, waiting.add(origin));
  }

  /** An origin that a batch needs more of than is accepted; undefined if it is ready. */
  #missing(held: Held): Origin | undefined {
    const { batches: [first], deps } = held;
    if (first!.seq !== this.#nextSeq(first!.origin)) return first!.origin;
    for (; held.met < deps.length; held.met += 1) {
      const [origin, seq] = deps[held.met]!;
      if (this.#nextSeq(origin) <= seq) return origin;
    }
    return undefined;
  }
}

function bytesOf({ batches }: Group): number {
  return batches.reduce((sum, batch) => sum + batchBytes(batch), 0);
}
