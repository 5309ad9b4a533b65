/**
 * Publishers and subscribers of a run, each a process on a host of its own that speaks the bare protocol and writes down what it did and got.
 *
 * A publisher goes to another broker where its own does not answer; what bears a dedupe id it tries again there. A subscriber long-polls and goes
 * from broker to broker with its cursor, at random and when its broker is gone. Some subscribers answer what they read, on another
 * broker too, so that there is an order of cause and effect to check.
 */
import { ACK_LEVELS, type AckLevel } from '../../brokers/config.ts';
import { decodeCursor } from '../../brokers/core/cursor.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { decodeMessage, text } from '../../brokers/wire/message.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import { SeededRandom } from '../support/random.ts';
import { VirtualClient } from './client.ts';
import type { Delivery, Publication, Subscription } from './history.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

const TOPICS = ['news', 'sport', 'weather'];
const [PUBLISHERS, SUBSCRIBERS] = [3, 4];
const ATTEMPTS_MAX = 6; // with one dedupe id; well within the window in which brokers remember it
const CATCH_UP_TRIES_MAX = 100;

/** A client process: a connection with one broker at a time, chosen by its dice. */
class Caller {
  readonly host: string;
  readonly world: World;
  readonly dice: SeededRandom;
  #machine: Machine;
  #client: VirtualClient | undefined;

  constructor(world: World, host: string, number: number) {
    this.host = host;
    this.world = world;
    this.dice = new SeededRandom(Math.imul(world.seed, 1009) + number);
    this.#machine = this.dice.pick(world.machines);
  }

  get machine(): Machine {
    return this.#machine;
  }

  get isConnected(): boolean {
    return this.#client !== undefined && !this.#client.isClosed;
  }

  /** Takes leave of its broker; the next one is another. */
  hop(): void {
    this.hangUp();
    this.#machine = this.dice.pick(this.world.machines.filter((machine) => machine !== this.#machine));
  }

  hangUp(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** @throws RumormillError UNREACHABLE */
  async connect(): Promise<VirtualClient> {
    if (this.#client === undefined || this.#client.isClosed) this.#client = await VirtualClient.connect(this.world, this.host, this.#machine);
    return this.#client;
  }

  /** The host sleeps up to so long. */
  rest(ms: number): Promise<void> {
    return this.world.time.sleep(this.dice.integer(1, ms));
  }
}

export class Workload {
  readonly publications: Publication[] = [];
  readonly subscriptions: Subscription[] = [];
  /** Hosts of all clients. */
  readonly hosts: string[] = [];
  readonly #world: World;
  readonly #publishers: Caller[] = [];
  readonly #subscribers: Subscriber[] = [];
  #isOver = false;

  constructor(world: World) {
    this.#world = world;
    for (let number = 1; number <= PUBLISHERS; number += 1) this.#publishers.push(this.#caller(`publisher-${number}`));
    for (let number = 1; number <= SUBSCRIBERS; number += 1) {
      const topics = number === 1 ? TOPICS : TOPICS.slice(0, 2);
      const answers = number <= 2 ? new Publisher(this.#caller(`answerer-${number}`), `a${number}`, this.publications) : undefined;
      const subscriber = new Subscriber(this.#caller(`subscriber-${number}`), topics, number === 4 ? 'latest' : 'earliest', answers);
      this.#subscribers.push(subscriber);
      this.subscriptions.push(subscriber.subscription);
    }
  }

  /** Runs until `end` is called. */
  async run(): Promise<void> {
    const publishing = this.#publishers.map((caller, index) => this.#publishAll(new Publisher(caller, `p${index + 1}`, this.publications)));
    await Promise.all([...publishing, ...this.#subscribers.map((subscriber) => this.#subscribe(subscriber))]);
  }

  end(): void {
    this.#isOver = true;
  }

  /** Everybody reads what is left. For when all brokers are up. */
  async catchUp(): Promise<void> {
    await Promise.all(this.#subscribers.map((subscriber) => subscriber.catchUp()));
  }

  #caller(host: string): Caller {
    this.hosts.push(host);
    return new Caller(this.#world, host, this.hosts.length);
  }

  async #publishAll(publisher: Publisher): Promise<void> {
    const { dice } = publisher.caller;
    while (!this.#isOver) {
      await publisher.caller.rest(dice.pick([100, 500, 2000]));
      await publisher.publish(dice.pick(TOPICS), dice.integer(1, 4), null);
    }
    publisher.caller.hangUp();
  }

  async #subscribe(subscriber: Subscriber): Promise<void> {
    while (!this.#isOver) {
      await subscriber.poll(subscriber.caller.dice.pick([0, 100, 2000]));
      await subscriber.caller.rest(100);
    }
    subscriber.caller.hangUp();
  }
}

class Publisher {
  readonly caller: Caller;
  readonly #name: string;
  readonly #publications: Publication[];
  #count = 0;

  constructor(caller: Caller, name: string, publications: Publication[]) {
    this.caller = caller;
    this.#name = name;
    this.#publications = publications;
  }

  /** Publishes some messages together, and again what bears an id and got no answer, until it does or patience ends. */
  async publish(topic: string, count: number, question: Publication['question']): Promise<void> {
    const { dice } = this.caller;
    const acks = dice.pick(ACK_LEVELS);
    const hasId = dice.integer(0, 2) === 0;
    let waiting = Array.from({ length: count }, (): Publication => {
      const name = `${this.#name}.${(this.#count += 1)}`;
      const payload = question === null ? name : `${name} re ${question.payload.split(' ')[0]}`;
      return { topic, payload, acks, dedupeId: hasId ? name : null, question, attempts: [] };
    });
    this.#publications.push(...waiting);
    for (let tries = 1; waiting.length > 0; tries += 1) {
      await this.#attempt(waiting, acks);
      waiting = waiting.filter(({ attempts }) => typeof attempts.at(-1)!.outcome === 'string');
      if (waiting.length > 0) this.caller.hop();
      if (!hasId || tries === ATTEMPTS_MAX) return;
      if (waiting.length > 0) await this.caller.rest(500);
    }
  }

  async #attempt(publications: readonly Publication[], acks: AckLevel): Promise<void> {
    const { caller } = this;
    const timeoutMs = caller.dice.pick([200, 2000, 8000]);
    const { now } = caller.world.time;
    const attempts = publications.map(({ attempts }) => {
      const attempt = { broker: caller.machine.address, sentAt: now, endedAt: Infinity, outcome: undefined };
      attempts.push(attempt);
      return attempts.at(-1)!;
    });
    const settle = (index: number, outcome: number | string): void => void Object.assign(attempts[index]!, { outcome, endedAt: caller.world.time.now });
    let client: VirtualClient;
    try {
      client = await caller.connect();
    } catch (error) {
      for (const index of attempts.keys()) settle(index, codeOf(error));
      return;
    }
    await Promise.all(publications.map(async ({ topic, payload, dedupeId, question }, index) => {
      const options = [...(dedupeId === null ? [] : ['ID', dedupeId]), ...(question === null ? [] : ['LAMPORT', question.lamport])];
      try {
        const reply = await client.within(timeoutMs, 'PUBLISH', topic, payload, 'ACKS', acks, ...options);
        settle(index, typeof reply === 'number' ? reply : codeOf(reply));
      } catch (error) {
        settle(index, codeOf(error));
      }
    }));
  }
}

class Subscriber {
  readonly caller: Caller;
  readonly subscription: Subscription;
  readonly #answers: Publisher | undefined;
  #cursor: string;

  constructor(caller: Caller, topics: readonly string[], from: 'earliest' | 'latest', answers: Publisher | undefined) {
    this.caller = caller;
    this.subscription = { name: caller.host, topics, start: from === 'earliest' ? new Map() : undefined, deliveries: [], isComplete: false };
    this.#answers = answers;
    this.#cursor = from;
  }

  /** One POLL, and what it leads to. Now and then it goes to another broker first. Says whether the broker answered, and with how many messages. */
  async poll(blockMs: number, mayAnswer = true): Promise<number | undefined> {
    const { caller, subscription } = this;
    const { dice, world } = caller;
    if (dice.integer(0, 19) === 0) caller.hop();
    const askedAt = world.time.now;
    let reply: Reply;
    try {
      const client = await caller.connect();
      const options = ['CURSOR', this.#cursor, 'COUNT', dice.pick([1, 5, 100]), 'BLOCK', blockMs];
      reply = await client.within(blockMs + dice.pick([300, 3000]), 'POLL', ...subscription.topics, ...options);
      if (reply instanceof RumormillError) throw reply;
    } catch (error) {
      if (!['UNREACHABLE', 'DISCONNECTED', 'TIMEOUT', 'CLOSING'].includes(codeOf(error))) world.incident(caller.host, `POLL: ${String(error)}`);
      await caller.rest(200);
      caller.hop();
      return undefined;
    }
    const [cursor, messages] = reply as [Reply, Reply[]];
    this.#cursor = text(cursor);
    subscription.start ??= decodeCursor(this.#cursor).vector;
    for (const message of messages) this.#take(message, askedAt);
    if (mayAnswer && this.#answers !== undefined && messages.length > 0 && dice.integer(0, 4) === 0) await this.#answer(messages.at(-1)!);
    return messages.length;
  }

  async catchUp(): Promise<void> {
    for (let tries = 0; tries < CATCH_UP_TRIES_MAX; tries += 1) {
      if ((await this.poll(0, false)) !== 0) continue;
      this.subscription.isComplete = true;
      return;
    }
  }

  #take(reply: Reply, askedAt: number): void {
    const { id, topic, payload, dedupe } = decodeMessage(reply);
    const delivery: Delivery = {
      id, topic, payload: Buffer.from(payload).toString(), dedupeId: dedupe?.id ?? null, broker: this.caller.machine.address, askedAt, at: this.caller.world.time.now,
    };
    this.subscription.deliveries.push(delivery);
  }

  async #answer(reply: Reply): Promise<void> {
    const { topic, lamport, payload } = decodeMessage(reply);
    await this.#answers!.publish(topic, 1, { payload: Buffer.from(payload).toString(), lamport });
  }
}

function codeOf(error: unknown): string {
  if (error instanceof RumormillError) return error.code;
  throw error;
}
