/**
 * The client library.
 *
 *     const client = await connect({ brokers: 'localhost:3000' });
 *     await client.publish('news', 'hello', { key: 'k', acks: 'quorum' });
 *     for await (const message of client.subscribe(['news'], { from: 'earliest' })) console.log(message.text);
 *     for await (const message of client.consume('billing', { concurrency: 10 })) {
 *       await handle(message).then(() => message.ack());
 *     }
 *
 * `subscribe` returns a reader, which reads topics from its own cursor. `consume` shares the messages of a subscription
 * with other consumers; a subscription is a queue that the mesh keeps.
 *
 * The client has one connection for publishes and reads, one for commands about topics, subscriptions and bindings, and
 * one for each reader, consumer and waiting poll or pull. It learns the brokers of the mesh by itself and goes on with
 * another one if one dies. It keeps a Lamport clock: what it publishes is later than everything that it has seen.
 */
import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import type { Address } from '../brokers/core/address.ts';
import { RumormillError } from '../brokers/core/error.ts';
import { LamportClock } from '../brokers/core/log/lamport.ts';
import { decodeMessage, text } from '../brokers/wire/message.ts';
import { Asker } from './library/ask.ts';
import { Catalog, type FreeOptions, type ListOptions } from './library/catalog.ts';
import { checkOptions, checkPayload, checkTokens, faultOf } from './library/call-options.ts';
import type { ConsumeOptions, Consumption } from './library/consumption.ts';
import { type BrokerInfo, decodeBrokers, Dialer } from './library/dialer.ts';
import { Fields } from './library/fields.ts';
import type { LeasedMessage } from './library/leased-message.ts';
import { Leases, type NackOptions, type PullOptions } from './library/leases.ts';
import type { ForgetOptions, MemberInfo } from './library/members.ts';
import { type Message, type PollResult, toMessage } from './library/message.ts';
import { type ConnectOptions, type Settings, settingsOf } from './library/connect-options.ts';
import { decodePoll, poll, pollArgs, type PollOptions, type PollQuery } from './library/poll.ts';
import { type Poller, Pollers } from './library/poller.ts';
import { DedupeIds, publishCall, type Published, type PublishOptions } from './library/publish.ts';
import { decodeRange, rangeArgs, type RangeOptions } from './library/range.ts';
import { Reader, type SubscribeOptions } from './library/reader.ts';
import { type Answer, requestOf, withResolvers } from './library/request.ts';
import { SharedCalls } from './library/shared-calls.ts';
import type {
  BindingInfo, BindOptions, ConsumerInfo, PendingInfo, SubscriptionChanges, SubscriptionInfo, SubscriptionOptions,
} from './library/subscriptions.ts';
import type { TopicInfo, TopicOptions } from './library/topics.ts';

export { RumormillError } from '../brokers/core/error.ts';
export type { FreeOptions, ListOptions } from './library/catalog.ts';
export type { ConsumeOptions, Consumption } from './library/consumption.ts';
export type { BrokerInfo } from './library/dialer.ts';
export type { LeasedMessage } from './library/leased-message.ts';
export type { NackOptions, PullOptions } from './library/leases.ts';
export type { ForgetOptions, MemberInfo } from './library/members.ts';
export type { Message, PollResult } from './library/message.ts';
export type { ClientEvent, ConnectOptions } from './library/connect-options.ts';
export type { PollOptions } from './library/poll.ts';
export type { Published, PublishOptions } from './library/publish.ts';
export type { RangeOptions } from './library/range.ts';
export type { Reader, SubscribeOptions, Subscription } from './library/reader.ts';
export type {
  BindingInfo, BindOptions, ConsumerInfo, PendingInfo, SubscriptionChanges, SubscriptionInfo, SubscriptionOptions,
} from './library/subscriptions.ts';
export type { TopicInfo, TopicOptions, TopicType } from './library/topics.ts';

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
  readonly #calls: SharedCalls; // publishes and reads
  readonly #commands: SharedCalls; // about topics, subscriptions and bindings; connects when it is first used
  readonly #catalog: Catalog;
  readonly #leases: Leases;
  readonly #pollers: Pollers;
  readonly #closing = new AbortController();
  readonly #lamport = new LamportClock();
  readonly #ids = new DedupeIds();
  readonly #idempotent: boolean;

  /** What `connect` calls, once the options are checked. */
  static async open(settings: Settings): Promise<Client> {
    const client = new Client(settings);
    await client.#calls.open();
    return client;
  }

  private constructor(settings: Settings) {
    this.#idempotent = settings.idempotent;
    setMaxListeners(0, this.#closing.signal); // every poll that waits listens; `pollsMax` bounds them
    this.#dialer = new Dialer(settings, this.#closing.signal);
    this.#calls = new SharedCalls(settings, this.#dialer, this.#closing.signal, 'requests');
    this.#commands = new SharedCalls(settings, this.#dialer, this.#closing.signal, 'queue');
    this.#pollers = new Pollers(settings, this.#dialer, this.#closing.signal);
    this.#dialer.refresh(() => this.#read(['MESH', 'BROKERS']));
    const asker = new Asker(this.#commands, this.#closing.signal);
    this.#catalog = new Catalog(asker);
    this.#leases = new Leases(asker, this.#pollers, (lamport) => this.#lamport.witness(lamport));
  }

  /** The brokers that the client would try, the one last used first. */
  get knownBrokers(): readonly Address[] {
    return this.#dialer.known;
  }

  /**
   * Publishes a message. Messages published in one turn of the event loop travel together, and are answered in order.
   * If the broker is lost, the message is published on another one, and stored once.
   * @throws RumormillError of the broker (TOOBIG, DISKFULL, ...), UNREACHABLE, BUSY (too many unanswered), CLOSED: it
   *   is not stored. NOQUORUM, DISCONNECTED (no answer in time), and any error after a broker was lost: it may be
   *   stored, and the error names the id with which it can be published again
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
    this.#calls.submit(publishCall({
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
    const query: PollQuery = { topics: [topics].flat(), cursor, count, blockMs };
    signal?.throwIfAborted();
    if (blockMs === 0) return this.#seen(decodePoll(await this.#read(pollArgs(query))));
    return this.#pollers.use(signal, async (poller, until) => {
      // A wait from `latest` begins at a cursor, so that nothing is missed if its broker is lost and another goes on.
      const isLatest = cursor === 'latest';
      const from = isLatest ? (await poll(poller, { ...query, count: 1, blockMs: 0 }, until)).cursor : cursor;
      return this.#seen(await poll(poller, { ...query, cursor: from }, until));
    });
  }

  /**
   * A reader of the topics: their messages as they come. `for await (const message of client.subscribe(['news']))`.
   * Begins when it is iterated.
   */
  subscribe(topics: string | readonly string[], options: SubscribeOptions = {}): Reader {
    const fault = faultOf(() => checkOptions('subscribe', options));
    const valid = fault === undefined ? options : {};
    const until = this.#pollers.until(valid.signal);
    let poller: Poller | undefined;
    const read = async (query: PollQuery): Promise<PollResult> => {
      if (fault !== undefined) throw fault;
      return this.#seen(await poll(poller ??= this.#pollers.open(), query, until));
    };
    return new Reader([topics].flat(), valid, read, () => {
      if (poller !== undefined) this.#pollers.close(poller);
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
    const reply = await this.#read(rangeArgs(topic, checkOptions('range', options)));
    return this.#seen({ messages: decodeRange(reply) }).messages;
  }

  /** The coordinator's address, or null if there is none. */
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

  // Topics, subscriptions, bindings, members. Each command below is made again until it is answered or `timeoutMs` is
  // over (library/ask.ts). After TRYAGAIN, UNREACHABLE or DISCONNECTED it may have been carried out.

  /** Repeating it changes nothing. @throws RumormillError EXISTS if the topic has another type */
  async createTopic(topic: string, options: TopicOptions = {}): Promise<void> {
    return this.#catalog.createTopic(topic, options);
  }

  /** Counts messages, which takes the broker a while for millions. @throws RumormillError NOTFOUND */
  async topic(topic: string): Promise<TopicInfo> {
    return this.#catalog.topic(topic);
  }

  /** The names of all topics, or of those that match the pattern (`*`, `?`, `[a-z]`). */
  async topics(pattern?: string): Promise<string[]> {
    return this.#catalog.topics(pattern);
  }

  /**
   * Publishers, readers and bindings that still use the old name mean the same topic.
   * @throws RumormillError NOTFOUND, EXISTS
   */
  async renameTopic(topic: string, newName: string): Promise<void> {
    return this.#catalog.renameTopic(topic, newName);
  }

  /**
   * With its messages and bindings.
   * @throws RumormillError NOTFOUND; not if a broker was lost and the topic is gone at the next
   */
  async deleteTopic(topic: string): Promise<void> {
    return this.#catalog.deleteTopic(topic);
  }

  /** Repeating it changes nothing. @throws RumormillError EXISTS if it has other settings; ERR for wrong settings */
  async createSubscription(name: string, options: SubscriptionOptions = {}): Promise<void> {
    return this.#catalog.createSubscription(name, options);
  }

  /** Counts the backlog, which takes its home a while for millions. @throws RumormillError NOTFOUND */
  async subscription(name: string): Promise<SubscriptionInfo> {
    return this.#catalog.subscription(name);
  }

  /** The names of all subscriptions, or of those that match the pattern. */
  async subscriptions(pattern?: string): Promise<string[]> {
    return this.#catalog.subscriptions(pattern);
  }

  /** Leases that were given stay as they are. @throws RumormillError NOTFOUND; ERR for wrong settings */
  async updateSubscription(name: string, changes: SubscriptionChanges): Promise<void> {
    return this.#catalog.updateSubscription(name, changes);
  }

  /** With its bindings and its backlog. @throws RumormillError NOTFOUND, as `deleteTopic` */
  async deleteSubscription(name: string): Promise<void> {
    return this.#catalog.deleteSubscription(name);
  }

  /** Consumers that hold messages, wait or have pulled lately; those that hold the most come first. */
  async consumers(name: string, options: ListOptions = {}): Promise<ConsumerInfo[]> {
    return this.#catalog.consumers(name, options);
  }

  /** Ends leases and delays, so that their messages are delivered again at once. Returns how many. */
  async free(name: string, options: FreeOptions = {}): Promise<number> {
    return this.#catalog.free(name, options);
  }

  /** What is leased or delayed. @throws RumormillError NOTFOUND */
  async pending(name: string, options: ListOptions = {}): Promise<PendingInfo[]> {
    return this.#catalog.pending(name, options);
  }

  /**
   * Repeating it changes nothing.
   * @throws RumormillError NOTFOUND; ERR for a key on a fanout topic, and for no key on a direct one
   */
  async bind(name: string, topic: string, options: BindOptions = {}): Promise<void> {
    return this.#catalog.bind(name, topic, options);
  }

  /** @throws RumormillError NOTFOUND, as `deleteTopic` */
  async unbind(name: string, topic: string, options: BindOptions = {}): Promise<void> {
    return this.#catalog.unbind(name, topic, options);
  }

  /** The bindings of one subscription, or of all. @throws RumormillError NOTFOUND */
  async bindings(name?: string): Promise<BindingInfo[]> {
    return this.#catalog.bindings(name);
  }

  /**
   * Leases messages: those that are there, or else the first that come within `blockMs`, or none. Settle or extend each
   * message before the visibility timeout of the subscription is over; `consume` extends by itself.
   * @throws RumormillError NOTFOUND; the signal's reason
   */
  async pull(name: string, options: PullOptions = {}): Promise<LeasedMessage[]> {
    return this.#leases.pull(name, checkOptions('pull', options));
  }

  /**
   * Leased messages of a subscription as they come: `for await (const message of client.consume('billing'))`. Settle
   * each with `message.ack()` or `nack()`; if `concurrency` of them are not settled, the iteration waits. Leases are
   * extended until the iteration ends. If one is lost all the same (its home died), `message.lost` is true and
   * `message.signal` is aborted. Begins when it is iterated, and ends by `break` or its signal; then what was pulled
   * and not handed out is given back.
   * @throws RumormillError when iterated: CONFIG, NOTFOUND, TRYAGAIN, UNREACHABLE, BUSY, CLOSED
   */
  consume(name: string, options: ConsumeOptions = {}): Consumption {
    return this.#leases.consume(name, options);
  }

  /**
   * How many of the leases were still good; it may say fewer if a broker was lost.
   * @throws RumormillError NOTFOUND, DISKFULL
   */
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

  /**
   * Drops the backlog and every lease. How many messages that were, in the last attempt if a broker was lost.
   * @throws RumormillError NOTFOUND
   */
  async purge(name: string): Promise<number> {
    return this.#catalog.purge(name);
  }

  /** The members of the mesh, and those who are invited, as the broker that is asked knows them. */
  async members(): Promise<MemberInfo[]> {
    return this.#catalog.members();
  }

  /** A broker may join. @throws RumormillError ERR, NOTFOUND, BUSY (another change is under way), NOQUORUM */
  async invite(address: string): Promise<void> {
    return this.#catalog.invite(address);
  }

  /** A member that runs leaves: once what it has is elsewhere, it ends. @throws RumormillError as `invite` */
  async leave(broker: string): Promise<void> {
    return this.#catalog.leave(broker);
  }

  /** A broker, by its address or id, that is gone for good is a member no more. @throws RumormillError as `invite` */
  async forget(broker: string, options: ForgetOptions = {}): Promise<void> {
    return this.#catalog.forget(broker, options);
  }

  /** Ends every connection. Calls without an answer fail with CLOSED, readers and consumers too. */
  async close(): Promise<void> {
    const error = new RumormillError('CLOSED', 'the client was closed');
    this.#closing.abort(error);
    this.#calls.close(error);
    this.#commands.close(error);
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #read(args: readonly (string | number)[]): Promise<Answer> {
    const { command, reply } = requestOf(args);
    this.#calls.submit({ ...command, repeatable: true, attempts: 0, since: performance.now(), until: Infinity });
    return reply;
  }

  /** What was seen comes before whatever is published next. */
  #seen<T extends { readonly messages: readonly Message[] }>(result: T): T {
    for (const { lamport } of result.messages) this.#lamport.witness(lamport);
    return result;
  }
}
