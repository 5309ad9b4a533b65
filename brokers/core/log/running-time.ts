/**
 * Running time: how long ago something was, by a clock that never jumps.
 *
 * Whether two publishes with one dedupe id are one message depends on the time between them, and wall
 * clocks are wrong by years now and then. So no wall clock decides it. A broker counts the
 * milliseconds for which it runs, over all its lives. Brokers tell each other how old a record is (each
 * adds the time for which it had the record), never when it was made.
 *
 * A broker cannot count the time between two of its lives. The peers that ran meanwhile know how long
 * they missed it, and its own wall clock has a guess. The smaller of the two is believed; without a
 * peer the time counts as 0. So time may be counted too short, never too long, and an id may be
 * remembered for too long.
 *
 * A point in running time is a number, good for this store only. Each life begins HOLE_MS after the end
 * of the one before, so that points between two lives have numbers too, before it is known how long it
 * was.
 */

/** Where a life ended, and how long it took until the next one began, ms, as far as is known. */
export type Pause = readonly [end: number, ms: number];

/** What a store keeps of it. */
export interface SavedTime {
  /** The newest point. */
  readonly now: number;
  /** The wall clock at that point, ms since 1970. */
  readonly wall: number;
  /** Before each life, the oldest first. */
  readonly pauses: readonly Pause[];
}

/** What was saved, moved on if something was published at a later point since. */
export function goOn(saved: SavedTime, newest: number): SavedTime {
  const since = Math.max(0, newest - saved.now);
  return { ...saved, now: saved.now + since, wall: saved.wall + since };
}

const HOLE_MS = 2 ** 32; // 49 days; a longer pause counts as that
const PAUSES_MAX = 256; // one more for each start

export class RunningTime {
  /** The last point of the life before. */
  readonly end: number;
  readonly #monotonic: () => number;
  readonly #wall: () => number;
  readonly #startedAt: number;
  readonly #guessMs: number; // of the wall clock, how long this store did not run
  #pauses: readonly Pause[];
  #isBounded = false; // a peer has told something of the pause before this life

  /**
   * @param saved undefined for a store that has none yet
   * @param monotonic ms
   * @param wall ms since 1970
   */
  constructor(saved: SavedTime | undefined, monotonic: () => number, wall: () => number) {
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#startedAt = monotonic();
    // the number means nothing; it goes on from the wall-clock times that stores of earlier versions have
    this.end = saved?.now ?? Math.floor(wall());
    this.#guessMs = Math.min(HOLE_MS, Math.max(0, Math.floor(wall() - (saved?.wall ?? wall()))));
    this.#pauses = [...(saved?.pauses ?? []), [this.end, 0] as const].slice(-PAUSES_MAX);
  }

  now(): number {
    return this.end + HOLE_MS + Math.floor(this.#monotonic() - this.#startedAt);
  }

  /** What is to be saved. */
  get saved(): SavedTime {
    return { now: this.now(), wall: Math.floor(this.#wall()), pauses: this.#pauses };
  }

  /** ms between two points, in either order. */
  between(one: number, other: number): number {
    const [from, to] = one < other ? [one, other] : [other, one];
    let ms = to - from;
    for (let index = this.#pauses.length - 1; index >= 0; index -= 1) {
      const [end, pauseMs] = this.#pauses[index]!;
      if (end + HOLE_MS <= from) break;
      if (end + HOLE_MS <= to) ms -= HOLE_MS - Math.max(pauseMs, Math.min(from - end, HOLE_MS));
    }
    return ms;
  }

  /** How old something is, ms. */
  age(point: number): number {
    return Math.max(0, this.between(Math.min(point, this.now()), this.now()));
  }

  /** The point so many ms before another one. */
  before(point: number, ms: number): number {
    let [at, left] = [point, ms];
    for (let index = this.#pauses.length - 1; index >= 0; index -= 1) {
      const [end, pauseMs] = this.#pauses[index]!;
      const begin = end + HOLE_MS;
      if (begin > at) continue;
      if (left <= at - begin) return at - left;
      left -= at - begin;
      at = end + pauseMs;
    }
    return at - left;
  }

  /** The point so many ms after another one; this life has no end. */
  after(point: number, ms: number): number {
    let [at, left] = [point, ms];
    for (const [end, pauseMs] of this.#pauses) {
      if (end + HOLE_MS <= at) continue;
      const pauseEnd = Math.max(at, end + pauseMs);
      if (left < pauseEnd - at) return at + left;
      left -= pauseEnd - at;
      at = end + HOLE_MS;
    }
    return at + left;
  }

  /** The point at which something was made that is so old now. */
  at(ageMs: number): number {
    return this.before(this.now(), ageMs);
  }

  /** A peer has missed this broker for so long. Says whether there is something to save because of it. */
  missed(ms: number): boolean {
    const upMs = Math.floor(this.#monotonic() - this.#startedAt);
    if (ms < upMs) return false; // it has heard of this life before
    const [end, known] = this.#pauses.at(-1)!;
    const pauseMs = Math.min(ms - upMs, this.#guessMs);
    const isNews = this.#isBounded ? pauseMs < known : pauseMs !== known;
    this.#isBounded = true;
    if (!isNews) return false;
    this.#pauses = [...this.#pauses.slice(0, -1), [end, pauseMs]];
    return true;
  }
}
