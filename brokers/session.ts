/**
 * One client's connection: bytes in, commands, replies out in order.
 *
 * PUBLISH commands overlap: their replies wait in `#slots`, in order. Any other command waits for its turn, that is for the replies of
 * everything before it, and whatever comes behind it waits until it is done; so what a client pipelines happens in the order in which it was
 * written, and a POLL that waits holds up its own connection and nobody else's.
 *
 * Held back, so that nothing grows without bound: reading stops while too much is received behind a command that waits, while a
 * PUBLISH waits for room in the log, and while too many publishes are unanswered; commands stop while the client does not read its replies. A client of pushed
 * messages that does not read is disconnected, since nobody can make its publishers wait.
 */
import { checkArity, type Command, type Connection } from './commands/command.ts';
import { PublishBatcher, type SealedBatch } from './commands/publish.ts';
import { SUBSCRIBED_COMMANDS } from './commands/pub-sub.ts';
import { commands } from './commands/table.ts';
import type { AckLevel } from './config.ts';
import { RumormillError } from './core/error.ts';
import { Queue } from './core/queue.ts';
import type { Channel, ChannelHandler } from './core/runtime.ts';
import type { Broker } from './host.ts';
import { type Args, CommandParser } from './wire/command-parser.ts';
import { encodeIntegers, encodeReplies, encodeReply, encodeSteps, isLong, type RespVersion, type Value } from './wire/resp.ts';

const [PUBLISH_WORK, COMMAND_WORK] = [1, 20]; // about, µs; what takes much longer counts it as it goes (core/turns.ts)

/** The replies to a run of publishes; `bytes` once they are known. */
interface Slot {
  readonly count: number;
  bytes: Buffer | undefined;
}

export class Session implements ChannelHandler, Connection {
  readonly cancellation = { cancelled: false, onCancel: undefined as (() => void) | undefined };
  readonly id: number;
  readonly broker: Broker;
  readonly waitedMs = 0;
  name = '';
  version: RespVersion = 2;
  readonly #channel: Channel;
  readonly #parser: CommandParser;
  // Thousands of connections only wait: what few of them need is made when it is needed.
  #batcher: PublishBatcher | undefined;
  #channels: Set<string> | undefined;
  #patterns: Set<string> | undefined;
  readonly #slots = new Queue<Slot>();
  #unanswered = 0;
  #waiting: Args | undefined; // a command whose turn comes when the slots are empty
  #held: Args | undefined; // a PUBLISH whose turn comes when the log has room
  #busy = false; // a command is being carried out
  #givesWay = false; // goes on in a later turn
  #paused = false;
  #inputEnded = false; // the client sends no more
  #broken = false; // what it sends cannot be understood any more
  #ended = false;

  constructor(id: number, broker: Broker, channel: Channel) {
    this.id = id;
    this.broker = broker;
    this.#channel = channel;
    this.#parser = new CommandParser(broker.config.limits);
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

  get subscriptions(): number {
    return (this.#channels?.size ?? 0) + (this.#patterns?.size ?? 0);
  }

  /** Whether anything is still to be answered. */
  get isBusy(): boolean {
    return this.#busy || this.#slots.length > 0;
  }

  data(chunk: Buffer): void {
    if (this.#ended || this.#broken) return;
    this.#parser.push(chunk);
    this.work();
  }

  drain(): void {
    this.work();
  }

  /** The client sends no more. What it published is still answered; a POLL that waits is given up, since it cannot be told from a client that is gone. */
  ended(): void {
    this.#inputEnded = true;
    this.#cancel();
    this.#endIfDone();
  }

  closed(): void {
    this.#ended = true;
    this.#cancel();
    this.unsubscribeAll();
    this.broker.sessionClosed(this);
  }

  /** Carries out what has been received, as far as it may. Called again whenever something that held it back is over. */
  work(): void {
    try {
      if (this.#held !== undefined && !this.broker.isFull) {
        const args = this.#held;
        this.#held = undefined;
        this.#execute(args);
      }
      while (this.#mayExecute() && !this.#giveWay()) {
        const args = this.#parser.next();
        if (args === undefined) break;
        if (args.length > 0) this.#execute(args);
      }
      this.#batcher?.seal();
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.#refuseStream(error);
    }
    this.#throttle();
    this.#endIfDone();
  }

  send(value: Value): void {
    this.#send(encodeReply(value, this.version));
  }

  sendAll(values: readonly Value[]): void {
    if (values.length > 0) this.#send(encodeReplies(values, this.version));
  }

  #send(bytes: Buffer): void {
    if (this.#ended) return;
    if (this.#channel.bufferedBytes > this.broker.config.limits.pushBytesMax) {
      this.broker.logger.warn('client too slow, disconnected', { client: this.#channel.remote, bufferedBytes: this.#channel.bufferedBytes });
      this.destroy();
    } else this.#channel.write(bytes);
  }

  end(): void {
    this.#ended = true;
    this.#channel.end();
  }

  /** Closes at once. */
  destroy(): void {
    this.#ended = true;
    this.#channel.destroy();
  }

  becomePeer(args: Args): void {
    this.#ended = true;
    this.broker.sessionClosed(this);
    if (this.#paused) this.#channel.resume(); // a link is always read from
    this.broker.acceptPeer(this.#channel, this.#parser, args);
  }

  unsubscribeAll(): void {
    for (const channel of this.#channels ?? []) this.broker.readers.pubSub.unsubscribe(channel, this);
    for (const pattern of this.#patterns ?? []) this.broker.readers.pubSub.punsubscribe(pattern, this);
    this.#channels = this.#patterns = undefined;
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
    return !this.#ended && !this.#broken && !this.#busy && !this.#givesWay && this.#waiting === undefined && this.#held === undefined
      && this.#unanswered < limits.unansweredMax && this.#channel.bufferedBytes < limits.outputBytesMax;
  }

  #execute(args: Args): void {
    const name = args.word(0).toUpperCase();
    if (name === 'PUBLISH' && this.#isAllowed(name)) {
      if (this.broker.isFull) this.#held = args;
      else (this.#batcher ??= this.#makeBatcher()).add(args);
      return;
    }
    this.#batcher?.seal();
    if (this.#slots.length > 0) this.#waiting = args;
    else this.#run(name, args);
  }

  /** A RESP2 connection that has subscribed may not do much else, since it could not tell replies from pushed messages. */
  #isAllowed(name: string): boolean {
    return this.version === 3 || this.subscriptions === 0 || SUBSCRIBED_COMMANDS.has(name);
  }

  #run(name: string, args: Args): void {
    this.broker.turns.isOver(COMMAND_WORK);
    try {
      const command = this.#lookup(name, args);
      const reply = command.subject === undefined ? command.run(args, this) : this.broker.runAtHome(command, args, this);
      if (reply instanceof Promise) this.#await(reply);
      else if (reply !== undefined) this.send(reply);
    } catch (error) {
      this.send(this.broker.errorReply(error));
    }
  }

  /** @throws RumormillError ERR for an unknown command or a wrong number of arguments */
  #lookup(name: string, args: Args): Command {
    if (name === 'POST' || name === 'HOST:') this.#dropProbe(name);
    const table = commands();
    const command = Object.hasOwn(table, name) ? table[name] : undefined;
    if (command === undefined) {
      throw new RumormillError('ERR', `unknown command ${JSON.stringify(args.word(0).slice(0, 64))}; COMMAND DOCS lists what there is`);
    }
    if (!this.#isAllowed(name)) {
      throw new RumormillError('ERR', `${name} cannot be used by a connection that has subscribed, but for ${[...SUBSCRIBED_COMMANDS].join(', ')}`);
    }
    checkArity(command, name, args);
    return command;
  }

  #await(reply: Promise<Value | undefined>): void {
    this.#busy = true;
    void reply.then((value) => this.#answer(value), (error: unknown) => this.#finish(this.broker.errorReply(error)));
  }

  /** A long answer is written in turns, and sent when all of it is there, so that nothing gets between. */
  #answer(value: Value | undefined): void {
    if (value === undefined || this.#ended || !isLong(value)) return this.#finish(value);
    const { turns } = this.broker;
    void turns.run(encodeSteps(value, this.version)).then((chunks) => {
      if (!this.#ended) for (const chunk of chunks) this.#channel.write(chunk);
      this.#finish(undefined);
    }, (error: unknown) => this.#finish(this.broker.errorReply(error)));
  }

  #finish(value: Value | undefined): void {
    this.#busy = false;
    if (this.#ended) return;
    if (value !== undefined) this.send(value);
    this.work();
  }

  /** A browser, or an HTTP request smuggled through one: nothing it says is to be carried out. */
  #dropProbe(name: string): never {
    this.broker.logger.warn('not a client: an HTTP request, connection dropped', { client: this.#channel.remote, command: name });
    this.#ended = true;
    this.#channel.destroy();
    throw new RumormillError('ERR', 'this is not an HTTP server');
  }

  #refuseStream(error: RumormillError): void {
    this.#batcher?.seal();
    this.broker.logger.debug('connection closed', { client: this.#channel.remote, reason: error.message });
    this.#fill(this.#reserve(1), encodeReply(error, this.version));
    this.#broken = true;
    this.#inputEnded = true;
  }

  #makeBatcher(): PublishBatcher {
    const { broker } = this;
    return new PublishBatcher(broker.config.limits, broker.config.acks, {
      publish: (batch) => this.#publish(batch),
      refuse: (error) => this.#fill(this.#reserve(1), encodeReply(error, this.version)),
      claimId: (topic, id) => broker.claimId(topic, id),
      repeat: (topic, id, acks) => this.#repeat(topic, id, acks),
      witness: (lamport) => broker.witnessPublisher(lamport),
      wallTime: () => broker.wallTime(),
      room: (bytes) => broker.bodies.take(bytes),
    });
  }

  #publish({ draft, acks }: SealedBatch): void {
    const slot = this.#reserve(draft.count);
    this.broker.publish(draft, acks, (outcome) => {
      const bytes = 'error' in outcome
        ? Buffer.concat(new Array<Buffer>(draft.count).fill(encodeReply(outcome.error, this.version)))
        : encodeIntegers(outcome.lamport, draft.count);
      this.#fill(slot, bytes);
    });
  }

  #repeat(topic: string, id: string, acks: AckLevel): void {
    const slot = this.#reserve(1);
    this.broker.repeat(topic, id, acks, (outcome) => {
      this.#fill(slot, 'error' in outcome ? encodeReply(outcome.error, this.version) : encodeIntegers(outcome.lamport, 1));
    });
  }

  #reserve(count: number): Slot {
    const slot: Slot = { count, bytes: undefined };
    this.#slots.push(slot);
    this.#unanswered += count;
    return slot;
  }

  /** Replies leave in order: what is known goes out up to the first slot that is not. */
  #fill(slot: Slot, bytes: Buffer): void {
    slot.bytes = bytes;
    if (slot !== this.#slots.first) return;
    for (let first = this.#slots.first; first?.bytes !== undefined; first = this.#slots.first) {
      this.#channel.write(first.bytes);
      this.#unanswered -= first.count;
      this.#slots.shift();
    }
    if (this.#slots.length === 0 && this.#waiting !== undefined) {
      const args = this.#waiting;
      this.#waiting = undefined;
      this.#run(args.word(0).toUpperCase(), args);
    }
    if (this.#paused || this.#inputEnded || this.#parser.bufferedBytes > 0) this.broker.clock.defer(() => this.work());
  }

  #throttle(): void {
    const stop = this.#held !== undefined || (!this.#mayExecute() && this.#parser.bufferedBytes > this.broker.config.limits.inputBytesMax);
    if (this.#ended) return;
    if (stop) this.broker.sessionPaused(this); // each time, since the broker calls each session once
    if (stop === this.#paused) return;
    this.#paused = stop;
    if (stop) this.#channel.pause();
    else this.#channel.resume();
  }

  #endIfDone(): void {
    if (!this.#inputEnded || this.#ended || this.isBusy || this.#waiting !== undefined || this.#held !== undefined) return;
    const isHeldBack = !this.#broken && !this.#mayExecute() && this.#parser.bufferedBytes > 0;
    if (!isHeldBack) this.end();
  }
}
