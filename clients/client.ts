/**
 * The client library.
 *
 *     const client = await connect({ brokers: 'localhost:3000' });
 *     await client.publish('news', 'hello', { key: 'k', acks: 'quorum' });
 *     for await (const message of client.subscribe(['news'], { from: 'earliest' })) console.log(message.text);
 *
 * One connection for publishes and reads, one for each subscription or waiting poll. The client learns the brokers of the mesh by itself and
 * goes on with another when one dies. It keeps a Lamport clock: what it publishes is later than everything that it has seen.
 */
import { setMaxListeners } from 'node:events';
import type { Address } from '../brokers/core/address.ts';
import { RumormillError } from '../brokers/core/error.ts';
import { LamportClock } from '../brokers/core/lamport.ts';
import { decodeMessage, text } from '../brokers/wire/message.ts';
import { type BrokerInfo, decodeBrokers, Dialer } from './dialer.ts';
import { type Message, type PollResult, toMessage } from './message.ts';
import { type ConnectOptions, type Settings, settingsOf } from './options.ts';
import { decodePoll, pollArgs, Poller, type PollRequest } from './poller.ts';
import { DedupeIds, publishCall, type Published, type PublishOptions } from './publish.ts';
import { type Answer, requestOf, withResolvers } from './request.ts';
import { Requests } from './requests.ts';
import { type SubscribeOptions, Subscription } from './subscription.ts';

export { RumormillError } from '../brokers/core/error.ts';
export type { BrokerInfo } from './dialer.ts';
export type { Message, PollResult } from './message.ts';
export type { ClientEvent, ConnectOptions } from './options.ts';
export type { Published, PublishOptions } from './publish.ts';
export type { SubscribeOptions, Subscription } from './subscription.ts';

export interface PollOptions {
  /** `latest` (the default), `earliest`, or a cursor. */
  readonly cursor?: string;
  /** 1 to 10,000; default 100. */
  readonly count?: number;
  /** How long to wait for the first message, ms; default 0. */
  readonly blockMs?: number;
  readonly signal?: AbortSignal;
}

export interface RangeOptions {
  readonly from?: number; // Lamport timestamp, inclusive
  readonly to?: number; // inclusive
  readonly count?: number; // 1 to 10,000; default 100
  readonly reverse?: boolean;
}

/**
 * Connects to the first broker that answers.
 * @throws RumormillError CONFIG for options that cannot be; UNREACHABLE with the addresses tried, after `timeoutMs`
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  return Client.open(settingsOf(options));
}

export class Client implements AsyncDisposable {
  readonly #settings: Settings;
  readonly #dialer: Dialer;
  readonly #requests: Requests;
  readonly #closing = new AbortController();
  readonly #lamport = new LamportClock();
  readonly #ids = new DedupeIds();
  #polls = 0;

  /** What `connect` calls, once the options are checked. */
  static async open(settings: Settings): Promise<Client> {
    const client = new Client(settings);
    await client.#requests.open();
    return client;
  }

  private constructor(settings: Settings) {
    this.#settings = settings;
    setMaxListeners(0, this.#closing.signal); // every poll that waits listens; `pollsMax` bounds them
    this.#dialer = new Dialer(settings, this.#closing.signal);
    this.#requests = new Requests(settings, this.#dialer, this.#closing.signal);
  }

  /** The brokers that the client would try, the one last used first. */
  get knownBrokers(): readonly Address[] {
    return this.#dialer.known;
  }

  /**
   * Publishes a message. Those published in one turn of the event loop travel together, and are answered in order. Where its broker is lost it is
   * published on another, once.
   * @throws RumormillError of the broker (TOOBIG, DISKFULL, ...), UNREACHABLE, BUSY (too many unanswered), CLOSED: it is not stored. NOQUORUM,
   *   DISCONNECTED where there was no answer in time, and any error after a broker was lost: it may or may not be stored, and the error says
   *   with which id it can be published again
   */
  publish(topic: string, payload: string | Uint8Array, options: PublishOptions = {}): Promise<Published> {
    const { promise, resolve, reject } = withResolvers<Published>();
    const makesId = this.#settings.idempotent && options.acks !== 'none';
    this.#requests.submit(publishCall({
      topic, payload, options,
      dedupeId: options.id ?? (makesId ? this.#ids.next() : null),
      lamport: this.#lamport.increment(),
      deadline: this.#requests.deadline,
      resolve: (published) => {
        this.#lamport.witness(published.lamport);
        resolve(published);
      },
      reject,
    }));
    return promise;
  }

  /** A new dedupe id, for a caller that retries by itself: publish with it as often as it takes. */
  dedupeId(): string {
    return this.#ids.next();
  }

  /** @throws RumormillError; the signal's reason */
  async poll(topics: string | readonly string[], options: PollOptions = {}): Promise<PollResult> {
    const { cursor = 'latest', count = 100, blockMs = 0, signal } = options;
    const request: PollRequest = { topics: [topics].flat(), cursor, count, blockMs };
    signal?.throwIfAborted();
    if (blockMs === 0) return this.#seen(decodePoll(await this.#read(pollArgs(request))));
    const poller = this.#openPoller();
    const until = this.#until(signal);
    try {
      // A wait from `latest` begins at a cursor, so that nothing is missed when its broker is lost and another goes on.
      const from = cursor === 'latest' ? (await poller.poll({ ...request, count: 1, blockMs: 0 }, until)).cursor : cursor;
      return this.#seen(await poller.poll({ ...request, cursor: from }, until));
    } finally {
      this.#closePoller(poller);
    }
  }

  /** Messages of the topics as they come: `for await (const message of client.subscribe(['news']))`. Begins when iterated. */
  subscribe(topics: string | readonly string[], options: SubscribeOptions = {}): Subscription {
    const until = this.#until(options.signal);
    let poller: Poller | undefined;
    const poll = async (request: PollRequest): Promise<PollResult> => this.#seen(await (poller ??= this.#openPoller()).poll(request, until));
    return new Subscription([topics].flat(), options, poll, () => {
      if (poller !== undefined) this.#closePoller(poller);
      poller = undefined;
    });
  }

  /** The topic's newest message in Lamport order, or null. */
  async latest(topic: string): Promise<Message | null> {
    const reply = await this.#read(['LATEST', topic]);
    return reply === null ? null : this.#seen({ messages: [toMessage(decodeMessage(reply))] }).messages[0]!;
  }

  /** Messages in Lamport order; from the newest on if `reverse`. */
  async range(topic: string, options: RangeOptions = {}): Promise<Message[]> {
    const { from, to, count, reverse } = options;
    const args: (string | number)[] = ['RANGE', topic];
    if (from !== undefined) args.push('FROM', from);
    if (to !== undefined) args.push('TO', to);
    if (count !== undefined) args.push('COUNT', count);
    if (reverse === true) args.push('REV');
    const reply = await this.#read(args);
    if (!Array.isArray(reply)) throw new RumormillError('PROTOCOL', 'RANGE did not answer an array');
    return this.#seen({ messages: reply.map((each) => toMessage(decodeMessage(each))) }).messages;
  }

  /** The coordinator's address, or null while there is none. */
  async leader(): Promise<string | null> {
    const reply = await this.#read(['MESH', 'LEADER']);
    return reply === null ? null : text(reply);
  }

  /** The brokers of the mesh, as the broker that is asked sees them. */
  async brokers(): Promise<BrokerInfo[]> {
    return decodeBrokers(await this.#read(['MESH', 'BROKERS']));
  }

  /** Ends every connection. Calls without an answer fail with CLOSED, subscriptions too. */
  async close(): Promise<void> {
    const error = new RumormillError('CLOSED', 'the client was closed');
    this.#closing.abort(error);
    this.#requests.close(error);
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #read(args: readonly (string | number)[]): Promise<Answer> {
    const { command, reply } = requestOf(args);
    this.#requests.submit({ ...command, repeatable: true, attempts: 0, deadline: this.#requests.deadline });
    return reply;
  }

  #until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([this.#closing.signal, signal]);
  }

  #openPoller(): Poller {
    if (this.#polls >= this.#settings.pollsMax) throw new RumormillError('BUSY', `${this.#polls} polls and subscriptions are open already`);
    this.#polls += 1;
    return new Poller(this.#settings, this.#dialer);
  }

  #closePoller(poller: Poller): void {
    this.#polls -= 1;
    poller.close();
  }

  /** What was seen comes before whatever is published next. */
  #seen<T extends { readonly messages: readonly Message[] }>(result: T): T {
    for (const { lamport } of result.messages) this.#lamport.witness(lamport);
    return result;
  }
}
