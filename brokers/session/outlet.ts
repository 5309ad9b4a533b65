/**
 * What is on its way to a client: replies, which are its own, and pushed messages, which it shares with
 * everybody else who gets them.
 *
 * A channel tells how many bytes it still has, in the order in which they were written; so a push that
 * lies behind `end` bytes is over when so many have left.
 */
import type { SharedBytes } from '../core/budget.ts';
import { Fifo } from '../core/fifo.ts';
import type { Channel } from '../core/runtime.ts';

const PUSH_BYTES = 64; // about what it takes to wait for shared bytes

interface Waiting {
  readonly shared: SharedBytes;
  readonly end: number;
}

export class Outlet {
  readonly #channel: Channel;
  #written = 0; // bytes, ever
  #left = 0; // of them
  #pushes: Fifo<Waiting> | undefined;
  #sharedBytes = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Bytes that the client has not read, about. */
  get unsentBytes(): number {
    return this.#channel.bufferedBytes;
  }

  /** Those of them that others may wait for as well. */
  get sharedBytes(): number {
    return this.#sharedBytes;
  }

  /** Memory that it alone keeps. */
  get ownBytes(): number {
    const replies = Math.max(0, this.unsentBytes - this.#sharedBytes);
    return replies + (this.#pushes?.length ?? 0) * PUSH_BYTES;
  }

  write(bytes: Uint8Array): void {
    this.#channel.write(bytes);
    this.#written += bytes.length;
  }

  push(shared: SharedBytes): void {
    shared.hold();
    this.write(shared.bytes);
    (this.#pushes ??= new Fifo()).push({ shared, end: this.#written });
    this.#sharedBytes += shared.bytes.length;
  }

  /** Some has left. Returns how many bytes. */
  sent(): number {
    const left = this.#written - this.#channel.bufferedBytes;
    const bytes = left - this.#left;
    this.#left = left;
    for (let first = this.#pushes?.first; first !== undefined && first.end <= left; first = this.#pushes?.first) {
      this.#release();
    }
    return bytes;
  }

  /** Nothing more leaves. */
  close(): void {
    while (this.#pushes !== undefined && this.#pushes.length > 0) this.#release();
  }

  #release(): void {
    const { shared } = this.#pushes!.shift()!;
    this.#sharedBytes -= shared.bytes.length;
    shared.release();
  }
}
