/**
 * The client library.
 *
 *     const client = await connect({ brokers: 'localhost:3000' });
 *     await client.publish('news', 'hello', { key: 'k', acks: 'quorum' });
 *     for await (const message of client.subscribe(['news'], { from: 'earliest' })) console.log(message.text);
 *     for await (const message of client.consume('billing', { concurrency: 10 })) await handle(message).then(() => message.ack());
 *
 * `subscribe` reads topics from a cursor of its own; `consume` shares the messages of a subscription, a queue that the mesh keeps, with other consumers.
 *
 * One connection for publishes and reads, one for commands about topics, subscriptions and bindings, one for each reader or consumer or waiting poll. The client learns the brokers of the mesh by itself and
 * goes on with another when one dies. It keeps a Lamport clock: what it publishes is later than everything that it has seen.
 */
import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import type { Address } from '../brokers/core/address.ts';
import { RumormillError } from '../brokers/core/error.ts';
import { LamportClock } from '../brokers/core/log/lamport.ts';
import { decodeMessage, text } from '../brokers/wire/message.ts';
import { Asker } from './library/ask.ts';
import { type BlockingConnection, BlockingConnections } from './library/blocking.ts';
import { checkOptions, checkPayload, checkTokens, faultOf } from './library/check.ts';
import type { ConsumeOptions, Consumption } from './library/consumption.ts';
import { type BrokerInfo, decodeBrokers, Dialer } from './library/dialer.ts';
import { Fields } from './library/fields.ts';
import type { LeasedMessage } from './library/leased-message.ts';
import { Leases, type NackOptions, type PullOptions } from './library/leases.ts';
import { type Message, type PollResult, toMessage } from './library/message.ts';
import { type ConnectOptions, type Settings, settingsOf } from './library/options.ts';
import { decodePoll, poll, pollArgs, type PollRequest } from './library/poll.ts';
import { DedupeIds, publishCall, type Published, type PublishOptions } from './library/publish.ts';
import { type Answer, requestOf, withResolvers } from './library/request.ts';
import { Requests } from './library/requests.ts';
import { type SubscribeOptions, Subscription } from './library/subscription.ts';
import {
  bindArgs,
  type BindingInfo,
  type BindOptions,
  type ConsumerInfo,
  createSubscriptionArgs,
  decodeBinding,
  decodeConsumer,
  decodePending,
  decodeSubscription,
  type PendingInfo,
  type SubscriptionChanges,
  type SubscriptionInfo,
  type SubscriptionOptions,
  updateSubscriptionArgs,
} from './library/subscriptions.ts';
import { createTopicArgs, decodeTopic, type TopicInfo, type TopicOptions } from './library/topics.ts';

export { RumormillError } from '../brokers/core/error.ts';
export type { ConsumeOptions, Consumption } from './library/consumption.ts';
export type { BrokerInfo } from './library/dialer.ts';
export type { LeasedMessage } from './library/leased-message.ts';
export type { NackOptions, PullOptions } from './library/leases.ts';
export type { Message, PollResult } from './library/message.ts';
export type { ClientEvent, ConnectOptions } from './library/options.ts';
export type { Published, PublishOptions } from './library/publish.ts';
export type { SubscribeOptions, Subscription } from './library/subscription.ts';
export type {
  BindingInfo, BindOptions, ConsumerInfo, PendingInfo, SubscriptionChanges, SubscriptionInfo, SubscriptionOptions,
} from './library/subscriptions.ts';
export type { TopicInfo, TopicOptions, TopicType } from './library/topics.ts';

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

const COUNT = 100; // of a poll

/**
 * Connects to the first broker that answers.
 * @throws RumormillError CONFIG for options that cannot be; UNREACHABLE with the addresses tried, after `timeoutMs`
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  return Client.open(settingsOf(options));
}

export class Client implements AsyncDisposable {
  readonly #dialer: Dialer;
  readonly #requests: Requests;
  readonly #queue: Requests; // connects when it is first used
  readonly #asker: Asker;
  readonly #leases: Leases;
  readonly #waiting: BlockingConnections;
  readonly #closing = new AbortController();
  readonly #lamport = new LamportClock();
  readonly #ids = new DedupeIds();
  readonly #idempotent: boolean;

  /** What `connect` calls, once the options are checked. */
  static async open(settings: Settings): Promise<Client> {
    const client = new Client(settings);
    await client.#requests.open();
    return client;
  }

  private constructor(settings: Settings) {
    this.#idempotent = settings.idempotent;
    setMaxListeners(0, this.#closing.signal); // every poll that waits listens; `pollsMax` bounds them
    this.#dialer = new Dialer(settings, this.#closing.signal);
    this.#requests = new Requests(settings, this.#dialer, this.#closing.signal, 'requests');
    this.#queue = new Requests(settings, this.#dialer, this.#closing.signal, 'queue');
    this.#asker = new Asker(this.#queue, this.#closing.signal);
    this.#waiting = new BlockingConnections(settings, this.#dialer, this.#closing.signal);
    this.#leases = new Leases(this.#asker, this.#waiting, (lamport) => this.#lamport.witness(lamport));
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
    const fault = faultOf(() => this.#submit(topic, payload, options, resolve, reject));
    if (fault !== undefined) reject(fault);
    return promise;
  }

  #submit(
    topic: string, payload: string | Uint8Array, options: PublishOptions, resolve: (published: Published) => void,
    reject: (error: unknown) => void,
  ): void {
    checkPayload('publish', payload);
    checkOptions('publish', options);
    const makesId = this.#idempotent && options.acks !== 'none';
    this.#requests.submit(publishCall({
      topic, payload, options,
      dedupeId: options.id ?? (makesId ? this.#ids.next() : null),
      lamport: this.#lamport.increment(),
      since: performance.now(),
      resolve: (published) => {
        this.#lamport.witness(published.lamport);
        resolve(published);
      },
      reject,
    }));
  }

  /** A new dedupe id, for a caller that retries by itself: publish with it as often as it takes. */
  dedupeId(): string {
    return this.#ids.next();
  }

  /** @throws RumormillError; the signal's reason */
  async poll(topics: string | readonly string[], options: PollOptions = {}): Promise<PollResult> {
    const { cursor = 'latest', count = COUNT, blockMs = 0, signal } = checkOptions('poll', options);
    const request: PollRequest = { topics: [topics].flat(), cursor, count, blockMs };
    signal?.throwIfAborted();
    if (blockMs === 0) return this.#seen(decodePoll(await this.#read(pollArgs(request))));
    return this.#waiting.use(signal, async (connection, until) => {
      // A wait from `latest` begins at a cursor, so that nothing is missed when its broker is lost and another goes on.
      const from =
        cursor === 'latest' ? (await poll(connection, { ...request, count: 1, blockMs: 0 }, until)).cursor : cursor;
      return this.#seen(await poll(connection, { ...request, cursor: from }, until));
    });
  }

  /** Messages of the topics as they come: `for await (const message of client.subscribe(['news']))`. Begins when iterated. */
  subscribe(topics: string | readonly string[], options: SubscribeOptions = {}): Subscription {
    const fault = faultOf(() => checkOptions('subscribe', options));
    const valid = fault === undefined ? options : {};
    const until = this.#waiting.until(valid.signal);
    let connection: BlockingConnection | undefined;
    const read = async (request: PollRequest): Promise<PollResult> => {
      if (fault !== undefined) throw fault;
      return this.#seen(await poll(connection ??= this.#waiting.open(), request, until));
    };
    return new Subscription([topics].flat(), valid, read, () => {
      if (connection !== undefined) this.#waiting.close(connection);
      connection = undefined;
    });
  }

  /** The topic's newest message in Lamport order, or null. */
  async latest(topic: string): Promise<Message | null> {
    const reply = await this.#read(['LATEST', topic]);
    return reply === null ? null : this.#seen({ messages: [toMessage(decodeMessage(reply))] }).messages[0]!;
  }

  /** Messages in Lamport order; from the newest on if `reverse`. */
  async range(topic: string, options: RangeOptions = {}): Promise<Message[]> {
    const { from, to, count, reverse } = checkOptions('range', options);
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

  /** What the broker that is asked says of itself: broker, coordinator, term, lamport, messages, uptime_ms, ... */
  async status(): Promise<Record<string, string | number>> {
    return new Fields(await this.#read(['MESH', 'STATUS']), 'MESH STATUS').all();
  }

  // Topics, subscriptions, bindings. All of what follows is made again until it is answered or `timeoutMs` is over: see clients/library/ask.ts for what that means, and which errors
  // may come then: TRYAGAIN (the subscription's home cannot be reached), UNREACHABLE, DISCONNECTED. It may have been carried out all the same.

  /** The same again changes nothing. @throws RumormillError EXISTS where it is of another type */
  async createTopic(topic: string, options: TopicOptions = {}): Promise<void> {
    await this.#asker.ask(createTopicArgs(topic, checkOptions('createTopic', options)));
  }

  /** Counts messages, which takes the broker a while for millions. @throws RumormillError NOTFOUND */
  async topic(topic: string): Promise<TopicInfo> {
    return decodeTopic(await this.#asker.ask(['TOPIC', 'GET', topic]));
  }

  /** Their names; those that match where a pattern (`*`, `?`, `[a-z]`) is given. */
  async topics(pattern?: string): Promise<string[]> {
    return this.#asker.names(['TOPIC', 'LIST', ...optional(pattern)]);
  }

  /** Publishers, readers and bindings that still say `topic` go on: it means the same topic. @throws RumormillError NOTFOUND, EXISTS */
  async renameTopic(topic: string, newName: string): Promise<void> {
    await this.#asker.ask(['TOPIC', 'RENAME', topic, newName]);
  }

  /** With its messages and bindings. @throws RumormillError NOTFOUND, but not where a broker was lost and the topic is gone at the next */
  async deleteTopic(topic: string): Promise<void> {
    await this.#asker.ask(['TOPIC', 'DELETE', topic], { doneBy: 'NOTFOUND' });
  }

  /** The same again changes nothing. @throws RumormillError EXISTS where it has other settings; ERR for settings that cannot be */
  async createSubscription(name: string, options: SubscriptionOptions = {}): Promise<void> {
    await this.#asker.ask(createSubscriptionArgs(name, checkOptions('createSubscription', options)));
  }

  /** Counts the backlog, which takes its home a while for millions. @throws RumormillError NOTFOUND */
  async subscription(name: string): Promise<SubscriptionInfo> {
    return decodeSubscription(await this.#asker.ask(['SUBSCRIPTION', 'GET', name]));
  }

  /** Their names; those that match where a pattern is given. */
  async subscriptions(pattern?: string): Promise<string[]> {
    return this.#asker.names(['SUBSCRIPTION', 'LIST', ...optional(pattern)]);
  }

  /** Leases that were given stay as they are. @throws RumormillError NOTFOUND; ERR for settings that cannot be */
  async updateSubscription(name: string, changes: SubscriptionChanges): Promise<void> {
    await this.#asker.ask(updateSubscriptionArgs(name, checkOptions('updateSubscription', changes)));
  }

  /** With its bindings and its backlog. @throws RumormillError NOTFOUND, but not where a broker was lost and it is gone at the next */
  async deleteSubscription(name: string): Promise<void> {
    await this.#asker.ask(['SUBSCRIPTION', 'DELETE', name], { doneBy: 'NOTFOUND' });
  }

  /** Who holds messages of a subscription, waits for some or has pulled lately: those first who hold most, at most `count` (default 100). */
  async consumers(name: string, { count }: { readonly count?: number } = {}): Promise<ConsumerInfo[]> {
    return (
      await this.#asker.list(['SUBSCRIPTION', 'CONSUMERS', name, ...(count === undefined ? [] : ['COUNT', count])])
    ).map(decodeConsumer);
  }

  /** Ends the leases and delays of a consumer, or of all, so that their messages are delivered again at once. Returns how many. */
  free(name: string, { consumer }: { readonly consumer?: string } = {}): Promise<number> {
    return this.#asker.count(['SUBSCRIPTION', 'FREE', name, ...(consumer === undefined ? [] : ['CONSUMER', consumer])]);
  }

  /** What is leased or delayed. @throws RumormillError NOTFOUND */
  async pending(name: string, options: { readonly count?: number } = {}): Promise<PendingInfo[]> {
    const { count } = checkOptions('pending', options);
    return (
      await this.#asker.list(['SUBSCRIPTION', 'PENDING', name, ...(count === undefined ? [] : ['COUNT', count])])
    ).map(decodePending);
  }

  /** The same again changes nothing. @throws RumormillError NOTFOUND; ERR for a key on a fanout topic, or none on a direct one */
  async bind(name: string, topic: string, options: BindOptions = {}): Promise<void> {
    await this.#asker.ask(bindArgs('BIND', name, topic, checkOptions('bind', options)));
  }

  /** @throws RumormillError NOTFOUND, but not where a broker was lost and the binding is gone at the next */
  async unbind(name: string, topic: string, options: BindOptions = {}): Promise<void> {
    await this.#asker.ask(bindArgs('UNBIND', name, topic, checkOptions('unbind', options)), { doneBy: 'NOTFOUND' });
  }

  /** Those of one subscription, or all. @throws RumormillError NOTFOUND */
  async bindings(name?: string): Promise<BindingInfo[]> {
    return (await this.#asker.list(['BINDINGS', ...optional(name)])).map(decodeBinding);
  }

  /**
   * Leases messages: what is there, or else what comes first within `blockMs`; none where nothing does. Settle each before the subscription's visibility timeout is over,
   * or extend it; `consume` does that by itself.
   * @throws RumormillError NOTFOUND; the signal's reason
   */
  async pull(name: string, options: PullOptions = {}): Promise<LeasedMessage[]> {
    return this.#leases.pull(name, checkOptions('pull', options));
  }

  /**
   * Messages of a subscription as they come, leased: `for await (const message of client.consume('billing'))`, each to be settled with `message.ack()` or `nack()`, or the
   * iteration stalls when `concurrency` of them are not. Their leases are extended meanwhile, until the iteration ends; if one is lost all the same (its home died),
   * `message.lost` is true and `message.signal` aborted. Begins when iterated; ends by `break` or its signal, when what was pulled and not handed out is given back.
   * @throws RumormillError when iterated: CONFIG, NOTFOUND, TRYAGAIN, UNREACHABLE, BUSY, CLOSED
   */
  consume(name: string, options: ConsumeOptions = {}): Consumption {
    return this.#leases.consume(name, options);
  }

  /** How many of the leases were still good; fewer may be told where a broker was lost. @throws RumormillError NOTFOUND, DISKFULL */
  async ack(name: string, tokens: readonly string[]): Promise<number> {
    checkTokens('ack', tokens);
    return this.#leases.ack(name, tokens);
  }

  /** To be delivered again. How many of the leases were still good, as `ack`. @throws RumormillError NOTFOUND */
  async nack(name: string, tokens: readonly string[], options: NackOptions = {}): Promise<number> {
    checkTokens('nack', tokens);
    return this.#leases.nack(name, tokens, checkOptions('nack', options));
  }

  /** Lets the leases end `ms` from now. How many were still good. @throws RumormillError NOTFOUND */
  async extend(name: string, ms: number, tokens: readonly string[]): Promise<number> {
    checkTokens('extend', tokens);
    return this.#leases.extend(name, ms, tokens);
  }

  /** Drops the backlog and every lease; how many messages that were, in the last attempt where a broker was lost. @throws RumormillError NOTFOUND */
  async purge(name: string): Promise<number> {
    return this.#asker.count(['PURGE', name]);
  }

  /** Ends every connection. Calls without an answer fail with CLOSED, subscriptions and consumers too. */
  async close(): Promise<void> {
    const error = new RumormillError('CLOSED', 'the client was closed');
    this.#closing.abort(error);
    this.#requests.close(error);
    this.#queue.close(error);
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #read(args: readonly (string | number)[]): Promise<Answer> {
    const { command, reply } = requestOf(args);
    this.#requests.submit({ ...command, repeatable: true, attempts: 0, since: performance.now(), until: Infinity });
    return reply;
  }

  /** What was seen comes before whatever is published next. */
  #seen<T extends { readonly messages: readonly Message[] }>(result: T): T {
    for (const { lamport } of result.messages) this.#lamport.witness(lamport);
    return result;
  }
}

function optional(argument: string | undefined): string[] {
  return argument === undefined ? [] : [argument];
}
