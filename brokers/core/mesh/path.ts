/**
 * What the path to one neighbour carries: how long a byte takes there, and how many bytes may be
 * under way at once.
 *
 * The neighbour reports how many bytes have come, so what is counted is all that lies between the
 * two processes: in our own buffers, in both systems, and on the wire. The window is Little's law:
 * as many bytes as the path delivers in the time that a byte takes when nothing waits
 * (`roundTripMs`), and for `pathQueueMs` more. So a path stays busy, and what is urgent waits behind
 * about `pathQueueMs` of other bytes, whatever the path carries. Compare TCP Vegas (L. Brakmo, L.
 * Peterson, IEEE JSAC 13(8), 1995) and FAST (C. Jin, D. Wei, S. Low, INFOCOM 2004), which steer by
 * delay as well. Where we differ, and why:
 *   - The window at most doubles what was under way when the newest confirmed byte was sent, so it
 *     starts small and follows.
 *   - It grows only if it was full. After `pathRestMs` in which it never was, it is halved, since the
 *     path may have changed.
 *   - The least round trip is believed until the window has come down to its least: the delay that
 *     is left then is the path's own, and is believed from then on (the way through the network may
 *     have become longer).
 *
 * Memory: a mark every `MARK_BYTES` under way.
 */
import { Fifo } from '../fifo.ts';

const MARK_BYTES = 4096;
const ELAPSED_MS_MIN = 0.05; // below which a clock tells nothing

export interface PathOptions {
  readonly pathWindowBytesMin: number;
  readonly pathWindowBytesStart: number;
  readonly pathWindowBytesMax: number;
  /** How long what is urgent may wait behind bytes under way. */
  readonly pathQueueMs: number;
  /** A window that was not full for so long is halved. */
  readonly pathRestMs: number;
}

/** That byte number `total` was sent. */
interface Mark {
  readonly total: number;
  readonly at: number; // ms
  readonly confirmed: number; // bytes that were known to have arrived then
  readonly isFull: boolean; // whether the window was full with it
}

export class Path {
  /** How many bytes may be under way. */
  windowBytes: number;
  readonly #options: PathOptions;
  readonly #marks = new Fifo<Mark>(); // not confirmed yet
  #sent = 0;
  #marked = 0; // the total of the newest mark
  #confirmed = 0;
  #roundTripMs: number | undefined;
  #wanted = 0; // up to which byte a report is to be expected
  #wantedSince: number | undefined;
  #restedAt: number; // when the window was full for the last time, or was halved
  #timed: Pick<Mark, 'total' | 'at'> | undefined; // the byte that is timed now
  #tookMs = 0; // the last one that was timed

  constructor(options: PathOptions, now: number) {
    this.#options = options;
    this.windowBytes = options.pathWindowBytesStart;
    this.#restedAt = now;
  }

  /** Sent, and not known to have arrived. */
  get flyingBytes(): number {
    return this.#sent - this.#confirmed;
  }

  /** Whether more may be sent that is not urgent. */
  get isOpen(): boolean {
    return this.flyingBytes < this.windowBytes;
  }

  /** The least time from here to the neighbour and back, ms; 0 while nothing is known. */
  get roundTripMs(): number {
    return this.#roundTripMs ?? 0;
  }

  /** Since when an answer is due that has not come, ms on the clock of `now`; undefined if none is. */
  get waitsSince(): number | undefined {
    return this.#wantedSince;
  }

  /**
   * How long a byte takes to the neighbour and the report of it back, ms: what the last one took
   * that was timed, or has taken so far that is timed now. Bytes that come show that a neighbour
   * is alive; this shows for how long what is said now would wait behind others, in either direction.
   */
  latenessMs(now: number): number {
    return Math.max(this.#tookMs, this.#timed === undefined ? 0 : now - this.#timed.at);
  }

  /** A message and its answer took so long. */
  measured(roundTripMs: number): void {
    this.#roundTripMs = Math.min(roundTripMs, this.#roundTripMs ?? Infinity);
  }

  /** @param isReported whether the neighbour will report these bytes soon, as it does with all but reports */
  sent(bytes: number, isReported: boolean, now: number): void {
    this.#sent += bytes;
    if (isReported) {
      this.#wanted = this.#sent;
      this.#wantedSince ??= now;
      this.#timed ??= { total: this.#sent, at: now };
    }
    const isFull = !this.isOpen;
    if (isFull) this.#restedAt = now;
    else if (now - this.#restedAt >= this.#options.pathRestMs) this.#rest(now);
    if (this.#marks.length > 0 && this.#sent - this.#marked < MARK_BYTES && !isFull) return;
    this.#marked = this.#sent;
    this.#marks.push({ total: this.#sent, at: now, confirmed: this.#confirmed, isFull });
  }

  /**
   * The neighbour has received so many bytes in all.
   * @param heldMs for how long it has had the last of them
   * @returns false if that cannot be: it is fewer than before, or more than were sent
   */
  arrived(total: number, heldMs: number, now: number): boolean {
    if (total < this.#confirmed || total > this.#sent) return false;
    this.#confirmed = total;
    this.#wantedSince = total >= this.#wanted ? undefined : now;
    if (this.#timed !== undefined && this.#timed.total <= total) {
      this.#tookMs = Math.max(0, now - this.#timed.at - heldMs);
      this.#timed = this.#wantedSince === undefined ? undefined : { total: this.#wanted, at: now };
    }
    let newest: Mark | undefined;
    while ((this.#marks.first?.total ?? Infinity) <= total) newest = this.#marks.shift();
    if (newest !== undefined) this.#follow(newest, Math.max(ELAPSED_MS_MIN, now - newest.at - heldMs));
    return true;
  }

  #follow(mark: Mark, tookMs: number): void {
    const { pathWindowBytesMin: least, pathWindowBytesMax: most, pathQueueMs } = this.#options;
    if (this.windowBytes <= least && mark.isFull) this.#roundTripMs = tookMs;
    else this.measured(tookMs);
    const carriedMs = this.roundTripMs + pathQueueMs;
    if (!mark.isFull && tookMs <= carriedMs) return;
    const carried = ((this.#confirmed - mark.confirmed) / tookMs) * carriedMs;
    const grown = mark.isFull ? 2 * (mark.total - mark.confirmed) : this.windowBytes;
    this.windowBytes = Math.round(Math.min(most, Math.max(least, Math.min(carried, grown))));
  }

  #rest(now: number): void {
    this.#restedAt = now;
    const { pathWindowBytesStart: start } = this.#options;
    if (this.windowBytes > start) this.windowBytes = Math.max(start, this.windowBytes >> 1);
  }
}
