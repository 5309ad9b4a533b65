/**
 * Publishers and subscribers of a run, each a process on a host of its own that speaks the bare protocol and writes
 * down what it did and got.
 *
 * A subscriber long-polls and goes from broker to broker with its cursor, at random and when its broker is gone. Some
 * subscribers answer what they read, on another broker too, so that there is an order of cause and effect to check.
 */
import { CLOSED_TOPIC, closingName, Closings, parseClosing } from '../../brokers/core/log/closings.ts';
import { messagesOf, payloadText } from '../../brokers/core/log/record.ts';
import type { Vector } from '../../brokers/core/log/version-vector.ts';
import { decodeCursor } from '../../brokers/core/read/cursor.ts';
import { LAMPORT_MAX } from '../../brokers/core/log/lamport.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { decodeMessage, text } from '../../brokers/wire/message.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import { Caller, codeOf, LOST } from './caller.ts';
import type { Delivery, Publication, Subscription } from './history.ts';
import { Publisher } from './publisher.ts';
import type { World } from './world.ts';

const TOPICS = ['news', 'sport', 'weather'];
const [PUBLISHERS, SUBSCRIBERS] = [3, 4];
const CATCH_UP_TRIES_MAX = 100;

export class Workload {
  readonly publications: Publication[] = [];
  readonly subscriptions: Subscription[] = [];
  /** Hosts of all clients. */
  readonly hosts: string[] = [];
  readonly #world: World;
  readonly #publishers: Caller[] = [];
  readonly #subscribers: Subscriber[] = [];
  readonly #greedy: Publisher;
  #isOver = false;

  constructor(world: World) {
    this.#world = world;
    for (let number = 1; number <= PUBLISHERS; number += 1) this.#publishers.push(this.#caller(`publisher-${number}`));
    this.#greedy = new Publisher(this.#caller('greedy'), 'g', this.publications);
    for (let number = 1; number <= SUBSCRIBERS; number += 1) {
      const topics = number === 1 ? TOPICS : TOPICS.slice(0, 2);
      const answers =
        number <= 2 ? new Publisher(this.#caller(`answerer-${number}`), `a${number}`, this.publications) : undefined;
      const subscriber = new Subscriber(
        this.#caller(`subscriber-${number}`), topics, number === 4 ? 'latest' : 'earliest', answers,
      );
      this.#subscribers.push(subscriber);
      this.subscriptions.push(subscriber.subscription);
    }
  }

  /** Runs until `end` is called. */
  async run(): Promise<void> {
    const publishing = this.#publishers.map((caller, index) =>
      this.#publishAll(new Publisher(caller, `p${index + 1}`, this.publications)),
    );
    await Promise.all([
      ...publishing, this.#grab(), ...this.#subscribers.map((subscriber) => this.#subscribe(subscriber)),
    ]);
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

  /** Somebody publishes with clocks that he has not read anywhere. */
  async #grab(): Promise<void> {
    const { caller } = this.#greedy;
    while (!this.#isOver) {
      await caller.rest(caller.dice.pick([20, 1000, 5000]));
      const lamport =
        caller.dice.pick([LAMPORT_MAX, 2 ** 51, 2 ** 40, 2 ** 30, 2 ** 22]) - caller.dice.integer(1, 1000);
      await this.#greedy.publish('greed', 1, { payload: 'nothing', lamport: Math.max(lamport, 1) }, null, false);
      if (caller.dice.integer(0, 9) === 0) caller.hop();
    }
    caller.hangUp();
  }

  async #subscribe(subscriber: Subscriber): Promise<void> {
    while (!this.#isOver) {
      await subscriber.poll(subscriber.caller.dice.pick([0, 100, 2000]));
      await subscriber.caller.rest(100);
    }
    subscriber.caller.hangUp();
  }
}

/** What a cursor covers, by the closings that are on any disk. */
function startOf(world: World, text: string): Vector {
  const { after, vector: rest } = decodeCursor(text);
  const closings = new Closings();
  const all = world.machines.flatMap(({ disk }) => disk.data.batches.filter(({ topic }) => topic === CLOSED_TOPIC));
  for (const batch of all) { // each disk has them in an order in which each is behind the one before it
    for (const [index, message] of messagesOf(batch).entries()) {
      const name = closingName(batch.origin, batch.seq + index);
      if (!closings.has(name)) closings.hear(name, batch.position, parseClosing(payloadText(message))!, true);
    }
  }
  return closings.join({ after, rest })!;
}

class Subscriber {
  readonly caller: Caller;
  readonly subscription: Subscription;
  readonly #answers: Publisher | undefined;
  #cursor: string;

  constructor(caller: Caller, topics: readonly string[], from: 'earliest' | 'latest', answers: Publisher | undefined) {
    this.caller = caller;
    this.subscription = {
      name: caller.host, topics, start: from === 'earliest' ? new Map() : undefined, deliveries: [], isComplete: false,
    };
    this.#answers = answers;
    this.#cursor = from;
  }

  /**
   * One POLL, and what it leads to. Now and then it goes to another broker first. Says whether the broker answered, and
   * with how many messages.
   */
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
      if (!LOST.includes(codeOf(error))) world.incident(caller.host, `POLL: ${String(error)}`);
      await caller.rest(200);
      caller.hop();
      return undefined;
    }
    const [cursor, messages] = reply as [Reply, Reply[]];
    this.#cursor = text(cursor);
    subscription.start ??= startOf(world, this.#cursor);
    for (const message of messages) this.#take(message, askedAt);
    if (mayAnswer && this.#answers !== undefined && messages.length > 0 && dice.integer(0, 4) === 0) {
      await this.#answer(messages.at(-1)!);
    }
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
      id,
      topic,
      payload: Buffer.from(payload).toString(),
      dedupeId: dedupe?.id ?? null,
      broker: this.caller.machine.address,
      askedAt,
      at: this.caller.world.time.now,
    };
    this.subscription.deliveries.push(delivery);
  }

  async #answer(reply: Reply): Promise<void> {
    const { topic, lamport, payload } = decodeMessage(reply);
    await this.#answers!.publish(topic, 1, { payload: Buffer.from(payload).toString(), lamport });
  }
}
