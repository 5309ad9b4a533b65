/** A connection between two ends in one process, whose bytes lie on the way until the test delivers them. */
import type { Channel, ChannelHandler } from '../../brokers/core/runtime.ts';

export class VirtualChannel implements Channel {
  readonly remote: string;
  bufferedBytes = 0;
  receivedBytes = 0;
  paused = false;
  /** Everything written, in order; `deliver` takes from here. */
  readonly onTheWay: Uint8Array[] = [];
  ended = false;
  destroyed = false;
  #other: VirtualChannel | undefined;
  #handler: ChannelHandler | undefined;

  constructor(remote: string) {
    this.remote = remote;
  }

  /** Both ends of one connection; each is named after the other one. */
  static pair(left: string, right: string): [VirtualChannel, VirtualChannel] {
    const ends: [VirtualChannel, VirtualChannel] = [new VirtualChannel(right), new VirtualChannel(left)];
    [ends[0].#other, ends[1].#other] = [ends[1], ends[0]];
    return ends;
  }

  get handler(): ChannelHandler {
    return this.#handler!;
  }

  get isOpen(): boolean {
    return !this.ended && !this.destroyed;
  }

  write(bytes: Uint8Array): void {
    if (this.isOpen) this.onTheWay.push(bytes);
  }

  flush(): void {
    // nothing is held back
  }

  /** Hands the oldest bytes on the way to the other end. False where there are none. */
  deliver(): boolean {
    const bytes = this.onTheWay.shift();
    if (bytes !== undefined) this.#other?.receive(bytes);
    return bytes !== undefined;
  }

  receive(bytes: Uint8Array): void {
    if (!this.destroyed) this.handler.data(Buffer.from(bytes));
  }

  /** The connection breaks: what was on the way is lost, both ends learn it. */
  cut(): void {
    for (const end of [this, this.#other]) {
      if (end === undefined || end.destroyed) continue;
      end.destroyed = true;
      end.onTheWay.length = 0;
      end.#handler?.closed('cut');
    }
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.destroyed = true;
  }

  attach(handler: ChannelHandler): void {
    this.#handler = handler;
  }
}
