/**
 * One client's connection: bytes in, commands, replies out in order.
 *
 * PUBLISH commands overlap (`publishing.ts`). Any other command waits for its turn, that is for the
 * replies of everything before it, and what comes behind it waits until it is done. So what a client
 * pipelines happens in the order in which it was written, and a POLL that waits holds up its own
 * connection and no other.
 *
 * Nothing grows without bound. Reading stops while too much is received behind a command that waits,
 * while a PUBLISH waits for room in the log, and while too many publishes are unanswered. Commands
 * stop while the client does not read its replies. A client of pushed messages that does not read is
 * disconnected, since nobody can make its publishers wait. All that it holds is counted in the
 * broker's budget; half a command has a deadline (`inlet.ts`).
 */
import { type Account, type Holder, mebibytes } from '../core/budget.ts';
import { RumormillError } from '../core/error.ts';
import type { Channel, ChannelHandler } from '../core/runtime.ts';
import { type Answered, Executor } from './executor.ts';
import { Inlet } from './inlet.ts';
import { Outlet } from './outlet.ts';
import { Publishing, type Publishes } from './publishing.ts';
import type { SessionRuntime } from './session-runtime.ts';
import type { Pushed } from '../wire/pushed.ts';
import type { Args } from '../wire/command-parser.ts';
import { encodeReplies, encodeReply, type RespVersion, type Value } from '../wire/resp.ts';

const PUBLISH_WORK = 1; // about, µs (core/turns.ts)

/** Who keeps all sessions. */
export interface Keeper {
  /** It waits for room, in the log or in memory. */
  paused(session: Session): void;
  /** It came while there were too many, and is no peer. */
  turnAway(session: Session): void;
  closed(session: Session): void;
}

export class Session implements Answered, ChannelHandler, Holder, Publishes {
  readonly cancellation = { cancelled: false, onCancel: undefined as (() => void) | undefined };
  readonly id: number;
  readonly broker: SessionRuntime;
  readonly waitedMs = 0;
  name = '';
  version: RespVersion = 2;
  readonly #keeper: Keeper;
  readonly #channel: Channel;
  readonly out: Outlet;
  readonly #account: Account;
  readonly #in: Inlet;
  readonly #isGuest: boolean;
  // Thousands of connections only wait: what few of them need is made when it is needed.
  #channels: Set<string> | undefined;
  #patterns: Set<string> | undefined;
  readonly #publishing: Publishing;
  readonly #executor: Executor;
  #waiting: Args | undefined; // a command whose turn comes when all that was published is answered
  #held: Args | undefined; // a PUBLISH whose turn comes when the log has room
  #givesWay = false; // goes on in a later turn
  #inputEnded = false; // the client sends no more
  #broken = false; // what it sends cannot be understood any more
  #ended = false;
  #keptBytes = 0; // by commands, for what the client has subscribed to

  /** @param isGuest there are too many clients: all that it may turn out to be is a peer */
  constructor(id: number, broker: SessionRuntime, keeper: Keeper, channel: Channel, isGuest = false) {
    this.id = id;
    this.broker = broker;
    this.#keeper = keeper;
    this.#channel = channel;
    this.out = new Outlet(channel);
    this.#account = broker.budget.open('client', this);
    this.#isGuest = isGuest;
    this.#publishing = new Publishing(broker.config, broker.publisher, this);
    this.#executor = new Executor(this);
    this.#in = new Inlet(channel, broker.clock, broker.config.limits);
    channel.attach(this);
  }

  get consumer(): string {
    return this.name === '' ? `client-${this.id}@${this.broker.config.address}` : this.name;
  }

  get channels(): Set<string> {
    return (this.#channels ??= new Set());
  }

  get patterns(): Set<string> {
    return (this.#patterns ??= new Set());
  }

  /** How many channels and patterns it has subscribed to. */
  get listening(): number {
    return (this.#channels?.size ?? 0) + (this.#patterns?.size ?? 0);
  }

  /** It has said all that it will. */
  get isOver(): boolean {
    return this.#ended;
  }

  /** Whether anything is still to be answered. */
  get isBusy(): boolean {
    return this.#executor.isBusy || this.#publishing.isBusy;
  }

  data(chunk: Buffer): void {
    if (this.#ended || this.#broken) return;
    if (this.out.unsentBytes === 0) this.#account.moved(chunk.length);
    this.#in.push(chunk);
    this.work();
  }

  sent(): void {
    this.#account.moved(this.out.sent());
    this.charge();
  }

  drain(): void {
    this.work();
  }

  /**
   * The client sends no more. What it published is still answered; a POLL that waits is given up, since it cannot be
   * told from a client that is gone.
   */
  ended(): void {
    this.#inputEnded = true;
    this.#cancel();
    this.#endIfDone();
  }

  closed(): void {
    this.#ended = true;
    this.#giveBack();
    this.#keeper.closed(this);
  }

  /** Holds nothing more, and waits for nothing. */
  #giveBack(): void {
    this.#cancel();
    this.unsubscribeAll();
    this.out.close();
    this.#account.close();
  }

  /**
   * Carries out what has been received, as far as it may. Called again whenever something that held it back is over.
   */
  work(): void {
    let isHalf = false; // all that is here is carried out, except a part of a command
    try {
      if (this.#held !== undefined && !this.broker.isFull) {
        const args = this.#held;
        this.#held = undefined;
        this.#execute(args);
      }
      while (this.#mayExecute() && !this.#giveWay()) {
        const args = this.#in.next();
        if (args === undefined) {
          isHalf = this.#in.bufferedBytes > 0;
          break;
        }
        if (args.length > 0) this.#execute(args);
      }
      this.#publishing.seal();
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.#refuseStream(error);
    }
    this.charge();
    this.#settle(isHalf);
    this.#endIfDone();
  }

  /** Whether half a command has been here for too long; as `Inlet.isLate`. Counts again what it holds. */
  isLate(now: number, passedMs: number, stoodStill: boolean): boolean {
    if (this.#ended) return false;
    if (this.#in.isHeld) this.charge(); // what waits unread may have grown
    return this.#in.isLate(now, passedMs, stoodStill);
  }

  send(value: Value): void {
    this.#send(encodeReply(value, this.version));
  }

  sendAll(values: readonly Value[]): void {
    if (values.length > 0) this.#send(encodeReplies(values, this.version));
  }

  #send(bytes: Buffer): void {
    if (this.#ended || this.#isSlow()) return;
    this.out.write(bytes);
    this.charge();
  }

  push(pushed: Pushed): void {
    if (this.#ended || this.#isSlow()) return;
    const shared = pushed.encoded(this.version);
    if (shared.bytes.length === 0) return; // all of it is deleted, or was pushed before
    this.out.push(shared);
    this.charge();
  }

  keep(bytes: number): void {
    this.#keptBytes += bytes;
  }

  /** A client that reads so little of what it is sent is disconnected. */
  #isSlow(): boolean {
    const { unsentBytes } = this.out;
    if (unsentBytes <= this.broker.config.limits.pushBytesMax) return false;
    this.broker.tally.warn('client too slow, disconnected', {
      client: this.#channel.remote,
      bufferedBytes: unsentBytes,
    });
    this.destroy();
    return true;
  }

  end(): void {
    this.#ended = true;
    this.#channel.end();
  }

  /** Closes at once. */
  destroy(): void {
    this.#channel.destroy();
    this.closed();
  }

  expel(held: number): void {
    const limit = mebibytes(this.broker.config.limits.memoryBytes);
    const fields = { client: this.#channel.remote, held_bytes: held, limit };
    this.broker.tally.warn('memory is short, the client that holds the most of it and does not move is closed', fields);
    const holds = `this connection holds ${mebibytes(held)} of it and does not move`;
    this.dismiss(
      new RumormillError('ERR', `the broker's memory (--memory ${limit}) is all in use, and ${holds}: closed`),
    );
  }

  /** Closes, and gives back what it holds. The client is told why, unless it would not come to that. */
  dismiss(reason: RumormillError): void {
    if (this.#ended) return;
    if (this.out.unsentBytes > 0 || this.isBusy) return this.destroy();
    this.out.write(encodeReply(reason, this.version));
    this.end();
    this.#in.discard();
    this.#giveBack();
  }

  becomePeer(args: Args): void {
    this.#ended = true;
    this.#giveBack();
    this.#keeper.closed(this);
    if (this.#in.isHeld) this.#channel.resume(); // a link is always read from
    this.broker.acceptPeer(this.#channel, this.#in.parser, args);
  }

  unsubscribeAll(): void {
    for (const channel of this.#channels ?? []) this.broker.readers.pubSub.unsubscribe(channel, this);
    for (const pattern of this.#patterns ?? []) this.broker.readers.pubSub.punsubscribe(pattern, this);
    this.#channels = this.#patterns = undefined;
    this.#keptBytes = 0;
  }

  /** Tells the budget what it holds. */
  charge(): void {
    const kept = this.#keptBytes + this.#executor.heldBytes + this.#publishing.heldBytes;
    this.#account.set(this.#in.heldBytes + this.out.ownBytes + kept, this.out.sharedBytes);
  }

  #cancel(): void {
    const { onCancel } = this.cancellation;
    Object.assign(this.cancellation, { cancelled: true, onCancel: undefined });
    onCancel?.();
  }

  /** Whether others have their turn first: then `work` is called again in a later one. */
  #giveWay(): boolean {
    const { turns } = this.broker;
    if (!turns.isOver(PUBLISH_WORK)) return false;
    this.#givesWay = true;
    turns.later(() => {
      this.#givesWay = false;
      this.work();
    });
    return true;
  }

  #mayExecute(): boolean {
    const { limits } = this.broker.config;
    return (
      !this.#ended &&
      !this.#broken &&
      !this.#executor.isBusy &&
      !this.#givesWay &&
      this.#waiting === undefined &&
      this.#held === undefined &&
      this.#publishing.unanswered < limits.unansweredMax &&
      this.out.unsentBytes < limits.outputBytesMax
    );
  }

  #execute(args: Args): void {
    const name = args.word(0).toUpperCase();
    if (this.#isGuest && name !== 'PEER') return this.#keeper.turnAway(this);
    if (name === 'PUBLISH' && this.#executor.isAllowed(name)) {
      if (this.broker.isFull) this.#held = args;
      else this.#publishing.add(args);
      return;
    }
    this.#publishing.seal();
    if (this.#publishing.isBusy) this.#waiting = args;
    else this.#executor.run(name, args);
  }

  answer(chunks: readonly Uint8Array[]): void {
    if (this.#ended) return;
    if (chunks.length > 0 && !this.#isSlow()) for (const chunk of chunks) this.out.write(chunk);
    this.work();
  }

  dropProbe(command: string): void {
    const fields = { client: this.#channel.remote, command };
    this.broker.logger.warn('not a client: an HTTP request, connection dropped', fields);
    this.destroy();
  }

  #refuseStream(error: RumormillError): void {
    this.#publishing.seal();
    this.broker.logger.debug('connection closed', { client: this.#channel.remote, reason: error.message });
    this.#publishing.refuse(error);
    this.#broken = true;
    this.#inputEnded = true;
  }

  /** Replies to publishes have left. */
  replied(): void {
    if (!this.#publishing.isBusy && this.#waiting !== undefined) {
      const args = this.#waiting;
      this.#waiting = undefined;
      this.#executor.run(args.word(0).toUpperCase(), args);
    }
    if (this.#in.isHeld || this.#inputEnded || this.#in.bufferedBytes > 0) this.broker.clock.defer(() => this.work());
  }

  #settle(isHalf: boolean): void {
    if (this.#ended) return;
    const [{ budget, config: { limits } }, { bufferedBytes }] = [this.broker, this.#in];
    const hold =
      this.#held !== undefined ||
      !budget.mayGrow(this.#account, bufferedBytes) ||
      (!this.#mayExecute() && bufferedBytes > limits.inputBytesMax);
    if (hold) this.#keeper.paused(this); // each time, since the broker calls each session once
    this.#in.settle(isHalf, hold);
  }

  #endIfDone(): void {
    if (!this.#inputEnded || this.#ended || this.isBusy || this.#waiting !== undefined || this.#held !== undefined) {
      return;
    }
    if (this.#broken || this.#mayExecute() || this.#in.bufferedBytes === 0) this.end();
  }
}
