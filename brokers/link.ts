/**
 * One connection with a peer: its handshake, its messages as values, what it has and what it was told.
 *
 * Both sides say PEER first. The one that dialled speaks first; the other answers with its own PEER, or with an error reply that says why not.
 * Whoever will not go on, then or later, says so with an error reply, and closes.
 */
import type { Account, Budget, Holder } from './core/budget.ts';
import { RumormillError } from './core/error.ts';
import { Feed } from './core/feed.ts';
import { Queue } from './core/queue.ts';
import type { Channel, ChannelHandler } from './core/runtime.ts';
import { VersionVector } from './core/version-vector.ts';
import type { Limits } from './config.ts';
import { CommandParser } from './wire/command-parser.ts';
import { decodePeerMessage, encodePeerMessage, type Hello, type PeerMessage } from './wire/peer-message.ts';
import { encodeReply } from './wire/resp.ts';

export interface LinkEvents {
  /** The peer has introduced itself; only then do other messages come. @throws RumormillError REFUSED */
  introduced(link: Link, hello: Hello): void;
  /** @throws RumormillError PROTOCOL where the message cannot be right */
  message(link: Link, message: PeerMessage): void;
  drained(link: Link): void;
  /** Nothing comes after this. `reason` where it was not an orderly close. */
  closed(link: Link, reason: string | undefined): void;
}

export class Link implements ChannelHandler, Holder {
  readonly dialled: boolean;
  /** What the peer has on disk, as far as it told. */
  readonly vector = new VersionVector();
  /** What the peer was told that we have. */
  readonly told = new VersionVector();
  readonly feed: Feed;
  /** The peer said that it shuts down. */
  leaving = false;
  /** Who would not have this link: the peer, which said so, or this broker. */
  refusedBy: 'peer' | 'self' | undefined;
  /** Another link with the same peer takes over. */
  replaced = false;
  /** The peer was told what we hold. */
  greeted = false;
  pumping = false;
  #hello: Hello | undefined;
  #reason: string | undefined;
  #open = true;
  readonly #channel: Channel;
  readonly #parser: CommandParser;
  #account: Account | undefined;
  readonly #events: LinkEvents;
  readonly #answerBufferBytes: number;
  readonly #answers = new Queue<PeerMessage>(); // which wait for room

  constructor(channel: Channel, parser: CommandParser | undefined, limits: Limits, position: number, events: LinkEvents) {
    this.dialled = parser === undefined;
    this.#channel = channel;
    this.#events = events;
    this.feed = new Feed(position, limits.linkWindowBytes);
    this.#answerBufferBytes = limits.linkAnswerBytes;
    const peerLimits = { // a whole batch and its columns; a vector of many origins
      bulkBytesMax: limits.batchBytesMax + limits.payloadBytesMax + 16 * 1024 * 1024,
      commandBytesMax: limits.batchBytesMax + limits.payloadBytesMax + 64 * 1024 * 1024,
    };
    this.#parser = parser ?? new CommandParser(peerLimits);
    this.#parser.setLimits(peerLimits);
    channel.attach(this);
  }

  /** Who the peer is. Only after it was introduced. */
  get peer(): Hello {
    return this.#hello!;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  get isIntroduced(): boolean {
    return this.#hello !== undefined;
  }

  introduce(hello: Hello): void {
    this.#hello = hello;
    this.#events.introduced(this, hello);
  }

  send(message: PeerMessage): void {
    this.sendRaw(...encodePeerMessage(message));
  }

  /** Sends the answer to an ASK behind those that wait, as soon as little is unsent: many long ones must not hold up what keeps the mesh together. */
  answer(id: number, reply: Uint8Array): void {
    this.#answers.push({ type: 'ANSWER', id, reply });
    this.#sendAnswers();
  }

  /** Whether answers wait, so that no more should be made for now. */
  get isClogged(): boolean {
    return this.#answers.length > 0;
  }

  #sendAnswers(): void {
    while (this.#answers.length > 0 && this.#channel.bufferedBytes < this.#answerBufferBytes) this.send(this.#answers.shift()!);
  }

  /** Sends a message that is encoded already, or the reason for a refusal. */
  sendRaw(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.#channel.write(part);
  }

  /** Sends what is queued now. */
  flush(): void {
    this.#channel.flush();
  }

  data(chunk: Buffer): void {
    if (!this.#open) return; // closed, and the peer sends on
    this.#account?.moved(chunk.length);
    this.#parser.push(chunk);
    this.work();
    this.#charge();
    this.#sendAnswers(); // while records flow without end, the channel may never drain
  }

  /** Handles what has been received, behind the handshake too. */
  work(): void {
    try {
      while (this.#open) {
        const args = this.#parser.next();
        if (args === undefined) return;
        if (args.text(0).startsWith('-')) return this.#refused(args.texts().join(' ').slice(1));
        const message = decodePeerMessage(args);
        if (message.type === 'PEER' && !this.isIntroduced) this.introduce(message);
        else if (message.type === 'PEER' || !this.isIntroduced) throw new RumormillError('PROTOCOL', `${message.type} out of turn`);
        else this.#events.message(this, message);
      }
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.refuse(error);
    }
  }

  /** Closes, and says why: an error reply is the last thing that the peer gets. */
  refuse(error: RumormillError): void {
    if (!this.#open) return;
    this.refusedBy = 'self';
    this.sendRaw(encodeReply(error));
    this.close(error.message);
  }

  /** The peer closes, and said why. It may do so after its PEER too, where that was before it knew ours. */
  #refused(reason: string): void {
    this.refusedBy = 'peer';
    this.close(reason);
  }

  sent(): void {
    this.#charge();
  }

  /** What it holds counts there from now on. */
  chargeTo(budget: Budget): void {
    this.#account = budget.open('link', this);
    this.#charge();
  }

  /** Tells the budget what it holds. */
  #charge(): void {
    this.#account?.set(this.#parser.heldBytes + this.#channel.bufferedBytes);
  }

  expel(held: number): void {
    this.destroy(`memory is short, and this link holds ${held} bytes`);
  }

  drain(): void {
    this.#sendAnswers();
    this.#events.drained(this);
  }

  ended(): void {
    this.close(undefined);
  }

  closed(reason: string | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.#account?.close();
    this.#answers.clear();
    this.#events.closed(this, this.#reason ?? reason);
  }

  /** Sends what is queued and closes. */
  close(reason: string | undefined): void {
    if (!this.#open) return;
    this.#reason = reason;
    for (const answer of this.#answers.clear()) this.send(answer);
    this.#channel.end();
    this.closed(reason);
  }

  /** Closes at once: the peer does not answer. */
  destroy(reason: string): void {
    this.#reason = reason;
    this.#channel.destroy();
    this.closed(reason);
  }
}
