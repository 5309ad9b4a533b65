/**
 * What comes in from a client: its commands, whether it is read from, and how long half a command may be here.
 *
 * A client that has much to send takes turns: a system hands over up to two mebibytes of each connection
 * in one round of the event loop, so that a hundred of them would hold everybody up. While more than
 * `LONG_INPUT_BYTES` are left behind what could be carried out, one chunk a round is taken.
 *
 * Half a command has a deadline, which what comes of it extends; it stops while the client is not
 * read from.
 */
import type { Limits } from '../config.ts';
import { LONG_INPUT_BYTES } from '../core/budget.ts';
import type { Channel, Clock } from '../core/runtime.ts';
import { type Args, CommandParser } from '../wire/command-parser.ts';

export class Inlet {
  readonly parser: CommandParser;
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #limits: Limits;
  #isHeld = false;
  #isResting = false;
  #halfSince: number | undefined; // when the unfinished command began
  #isNew = false; // a command was handed out since that was noted

  constructor(channel: Channel, clock: Clock, limits: Limits) {
    this.#channel = channel;
    this.#clock = clock;
    this.#limits = limits;
    this.parser = new CommandParser(limits);
  }

  /** Bytes received and not handed out yet. */
  get bufferedBytes(): number {
    return this.parser.bufferedBytes;
  }

  /** Memory that they take, with what is held back. */
  get heldBytes(): number {
    return this.parser.heldBytes + this.#channel.receivedBytes;
  }

  /** Whether `settle` had the client wait. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  push(chunk: Buffer): void {
    this.parser.push(chunk);
  }

  /** The next whole command. @throws RumormillError PROTOCOL */
  next(): Args | undefined {
    const args = this.parser.next();
    if (args !== undefined) this.#isNew = true;
    return args;
  }

  /**
   * What is here is carried out, as far as it may be.
   * @param isHalf what is left is a part of a command
   * @param hold the client is not to be read from until this is said to be false
   */
  settle(isHalf: boolean, hold: boolean): void {
    if (!isHalf) this.#halfSince = undefined;
    else if (this.#isNew || this.#halfSince === undefined) this.#halfSince = this.#clock.now();
    this.#isNew = false;
    if (hold !== this.#isHeld) {
      this.#isHeld = hold;
      if (hold) this.#channel.pause();
      else if (!this.#isResting) this.#channel.resume();
    }
    if (!hold && this.bufferedBytes > LONG_INPUT_BYTES) this.#rest();
  }

  /** Others are read from first. */
  #rest(): void {
    if (this.#isResting) return;
    this.#isResting = true;
    this.#channel.pause();
    this.#clock.defer(() => {
      this.#isResting = false;
      if (!this.#isHeld) this.#channel.resume();
    });
  }

  /**
   * Whether half a command has been here for too long.
   * @param passedMs since this was asked before; it does not count if the client was not read from
   * @param stoodStill nobody was
   */
  isLate(now: number, passedMs: number, stoodStill: boolean): boolean {
    if (this.#halfSince === undefined) return false;
    if (this.#isHeld || stoodStill) this.#halfSince += passedMs;
    const { halfSentMs, halfSentBytesPerS } = this.#limits;
    return now - this.#halfSince >= halfSentMs + (1000 * this.bufferedBytes) / halfSentBytesPerS;
  }

  /** Nothing of what came in will be asked for. */
  discard(): void {
    this.parser.discard();
    this.#halfSince = undefined;
  }
}
