/**
 * How old something is that was written by this broker in an earlier life, or by another one, though
 * any wall clock may be wrong and may jump.
 *
 * The writer notes two times: its wall clock, and its process's time, which is the wall clock at
 * the start of the process and the monotonic clock since, so that it never jumps. Brokers tell each
 * other their process's time when they meet, so each knows how far the others' differ from its own.
 * The age is the lesser of what the wall clock says and what the process's time says: it is
 * overestimated only if both are wrong, and underestimated by the time that it takes to meet.
 *
 * So while processes that know each other run on, wall clocks do not matter. Across a restart the wall
 * clock is all that there is, and one that went ahead meanwhile makes things look older than they are.
 * An age is never negative: what waits, waits from now on at the longest.
 */
import type { Address } from '../address.ts';
import { type Origin, originAddress } from './record.ts';
import type { Clock } from '../runtime.ts';

/** When something was written: two times, ms since 1970. */
export interface Written {
  readonly wall: number;
  readonly steady: number; // its process's time
}

export class Ages {
  readonly #clock: Pick<Clock, 'now' | 'wallTime'>;
  readonly #address: Address;
  readonly #startedAt: number; // wall clock when the monotonic clock stood at 0
  readonly #ahead = new Map<Address, number>(); // how far this process's time is ahead of a peer's

  /** @param address of this broker */
  constructor(clock: Pick<Clock, 'now' | 'wallTime'>, address: Address) {
    this.#clock = clock;
    this.#address = address;
    this.#startedAt = clock.wallTime() - clock.now();
  }

  /** What is written now says so. */
  written(): Written {
    return { wall: Math.round(this.#clock.wallTime()), steady: this.processTime };
  }

  /** Of this process, ms since 1970. */
  get processTime(): number {
    return Math.round(this.#startedAt + this.#clock.now());
  }

  /** A peer has said which time its process has. */
  met(peer: Address, processTime: number): void {
    this.#ahead.set(peer, this.processTime - processTime);
  }

  /**
   * When something was written, on this process's monotonic clock, ms; never later than now.
   * @param origin who wrote it
   */
  writtenAt({ wall, steady }: Written, origin: Origin): number {
    const peer = originAddress(origin);
    const ahead = peer === this.#address ? 0 : this.#ahead.get(peer);
    const byWall = this.#clock.wallTime() - wall;
    const byProcess = ahead === undefined ? byWall : this.processTime - ahead - steady;
    return this.#clock.now() - Math.max(0, Math.min(byWall, byProcess));
  }
}
