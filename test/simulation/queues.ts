/**
 * Queues of a run: topics, subscriptions and bindings are made before the storms, publishers publish to them and
 * consumers consume from them in the storms, and after them everything is consumed to its end, and every broker is
 * asked what it knows.
 *
 * In some runs a topic is renamed, another one deleted and a subscription deleted, or one is purged, or its settings
 * change, while everything else goes on.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import { decodeMessage, text } from '../../brokers/wire/message.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import { Caller, codeOf, LOST } from './caller.ts';
import { Consumer } from './consumer.ts';
import type { Publication } from './history.ts';
import { HOLDS } from './limits.ts';
import type { Machine } from './machine.ts';
import { Publisher } from './publisher.ts';
import type { Act, Catalog, Lease, Pull, Purge, Queue, QueueHistory, Settlement } from './queue-history.ts';
import type { World } from './world.ts';

const [PRODUCERS, CONSUMERS] = [2, 3];
const COLOURS = ['red', 'green', 'blue'];
const TRIES_MAX = 60; // of an act, and of what is asked in the end
const DRAIN_MS = 60_000; // far longer than any lease
const LINKED_MS = 4500; // in which every broker has dialled every other, whatever happened
const AGREED_MS = 10_000; // in which all follow one coordinator and its view
const ALONE_MS = 40_000; // for a broker that is cut off to find that it is alone

const QUEUES: readonly Queue[] = [
  queue('work', ['news', null], ['sport', null]),
  { ...queue('picky', ['sport', null]), visibilityMs: 1000, maxDeliveries: 3, deadLetter: 'failures', backoffMs: 100 },
  queue('undertaker', ['failures', null]),
  queue('keyed', ['jobs', 'red'], ['jobs', 'green']),
];
/** Those to which something happens in some runs: its topic is renamed; its topic is deleted; it is deleted itself. */
const [MOVER, MOURNER, BRIEF] = [
  queue('mover', ['old', null]), queue('mourner', ['doomed', null]), queue('brief', ['weather', null]),
];
const RENAMED = 'new';
/** One that is purged again and again in some runs, and one of which the settings change. */
const FLUSHED = { ...queue('flushed', ['news', null], ['jobs', 'blue']), maxDeliveries: 2, deadLetter: 'failures' };
const MOODY = queue('moody', ['sport', null], ['jobs', 'red']);
const MOODS = [
  ['VISIBILITY', '500'],
  ['VISIBILITY', '2000'],
  ['VISIBILITY', '5000'],
  ['BACKOFF', '0'],
  ['BACKOFF', '400'],
  ['MAXDELIVERIES', '2', 'DEADLETTER', 'failures'],
  ['MAXDELIVERIES', '4', 'DEADLETTER', 'failures'],
  ['MAXDELIVERIES', '0', 'DEADLETTER', ''],
];
/** Topics that are deleted while somebody binds to them. */
const RACES = ['race 1', 'race 2', 'race 3', 'race 4', 'race 5'];

function queue(name: string, ...bindings: (readonly [topic: string, key: string | null])[]): Queue {
  return {
    name, bindings: bindings.map(([topic, key]) => ({ topic, key })), visibilityMs: 2000, maxDeliveries: null,
    deadLetter: null, backoffMs: null,
  };
}

/** What happens to queues in a run beside that they are used. */
export interface Happenings {
  /** Topics and subscriptions are renamed and deleted. */
  readonly changes: boolean;
  readonly purges: boolean;
  /** Settings of a subscription change. */
  readonly updates: boolean;
}

export class Queues {
  /** Hosts of all clients. */
  readonly hosts: string[] = [];
  readonly #world: World;
  readonly #queues: readonly Queue[];
  readonly #happenings: Happenings;
  readonly #pulls: Pull[] = [];
  readonly #leases: Lease[] = [];
  readonly #settlements: Settlement[] = [];
  readonly #purges: Purge[] = [];
  readonly #acts: Act[] = [];
  readonly #stuck: string[] = [];
  readonly #catalogs: Catalog[] = [];
  readonly #opinions: QueueHistory['opinions'][number][] = [];
  readonly #leftovers: QueueHistory['leftovers'][number][] = [];
  readonly #administrator: Caller;
  readonly #rival: Caller; // who changes the same at the same time
  readonly #deleter: Caller;
  readonly #purger: Caller;
  readonly #haste: Publisher; // publishes while a purge goes on
  readonly #updaters: readonly Caller[];
  readonly #producers: readonly Publisher[];
  readonly #consumers: readonly Consumer[];
  readonly #topics: [topic: string, key: () => string | null][];
  #isOver = false;

  /** @param number of the first host */
  constructor(world: World, number: number, publications: Publication[], happenings: Happenings) {
    const { changes, purges, updates } = happenings;
    this.#world = world;
    this.#happenings = happenings;
    this.#queues = [
      ...QUEUES, ...(changes ? [MOVER, MOURNER, BRIEF] : []), ...(purges ? [FLUSHED] : []), ...(updates ? [MOODY] : []),
    ];
    const caller = (host: string): Caller => new Caller(world, host, number + this.hosts.push(host));
    this.#administrator = caller('administrator');
    this.#rival = caller('rival');
    this.#deleter = caller('deleter');
    this.#producers = Array.from(
      { length: PRODUCERS },
      (_, index) => new Publisher(caller(`producer-${index + 1}`), `q${index + 1}`, publications),
    );
    this.#consumers = Array.from({ length: CONSUMERS }, (_, index) => new Consumer(caller(`consumer-${index + 1}`), {
      pulls: this.#pulls, leases: this.#leases, settlements: this.#settlements,
    }));
    this.#purger = caller('purger');
    this.#haste = new Publisher(caller('haste'), 'h', publications);
    this.#updaters = [caller('updater-1'), caller('updater-2')];
    const { dice } = this.#administrator;
    const keyless: [string, () => null][] = ['news', 'sport', ...(changes ? ['old', 'doomed', 'weather'] : [])].map(
      (topic) => [topic, () => null],
    );
    this.#topics = [['jobs', () => dice.pick(COLOURS)], ...keyless];
  }

  /** Makes everything, and waits until every broker has it. */
  async setUp(): Promise<void> {
    const topics = new Set(this.#queues.flatMap(({ bindings }) => bindings.map(({ topic }) => topic)));
    for (const topic of this.#happenings.changes ? RACES : []) topics.add(topic);
    const all = [...topics].map((topic) => ['TOPIC', 'CREATE', topic, 'TYPE', topic === 'jobs' ? 'direct' : 'fanout']);
    for (const { name, bindings, visibilityMs, maxDeliveries, deadLetter, backoffMs } of this.#queues) {
      const limit = maxDeliveries === null ? [] : ['MAXDELIVERIES', String(maxDeliveries), 'DEADLETTER', deadLetter!];
      all.push([
        'SUBSCRIPTION', 'CREATE', name, 'VISIBILITY', String(visibilityMs), ...limit,
        ...(backoffMs === null ? [] : ['BACKOFF', String(backoffMs)]),
      ]);
      for (const { topic, key } of bindings) all.push(['BIND', name, topic, ...(key === null ? [] : ['KEY', key])]);
    }
    await this.#world.settled();
    for (const args of all) {
      const { outcome } = await this.#world.of(this.#act(this.#administrator, args));
      if (outcome !== 'OK') throw new Error(`${args.join(' ')}: ${outcome}`);
    }
    await this.#world.converged();
  }

  /** Runs until `end` is called. */
  async run(): Promise<void> {
    await Promise.all([
      ...this.#producers.map((producer) => this.#produce(producer)),
      ...this.#consumers.map((consumer) => this.#consume(consumer)),
      ...(this.#happenings.changes ? [this.#change(), this.#collide()] : []),
      ...(this.#happenings.purges ? [this.#purge()] : []),
      ...(this.#happenings.updates ? this.#updaters.map((updater) => this.#update(updater)) : []),
    ]);
  }

  end(): void {
    this.#isOver = true;
  }

  /** Consumes what is left, until no queue has anything. For when all brokers are up. */
  async drain(): Promise<void> {
    const [consumer] = this.#consumers as readonly [Consumer];
    const { time } = this.#world;
    for (const queue of [...this.#queues, ...this.#queues]) { // twice, since the one has dead letters for the other
      const end = time.now + DRAIN_MS;
      while (!(await this.#isDrained(consumer, queue))) {
        if (time.now > end) {
          this.#stuck.push(queue.name);
          break;
        }
        await consumer.caller.rest(300);
      }
    }
  }

  /**
   * Asks every broker what it knows. For when all are the same. Again where something was stored meanwhile: a command
   * that nobody waits for any more may still be on its way, and what brokers say before it and after it is not to be
   * compared.
   */
  async inspect(): Promise<void> {
    const { present: machines, options } = this.#world;
    if (options.fanout !== undefined) await this.#world.run(AGREED_MS); // until then homes may move
    const stored = (): string => machines.map((machine) => machine.vector()).join();
    for (let tries = 1, before = ''; tries <= TRIES_MAX && before !== stored(); tries += 1) {
      if (tries > 1) await this.#world.converged();
      before = stored();
      this.#catalogs.length = 0;
      for (const machine of machines) this.#catalogs.push(await this.#catalogAt(machine));
    }
  }

  async #catalogAt(machine: Machine): Promise<Catalog> {
    const ask = (...args: string[]): Promise<Reply[]> => this.#ask(machine, ...args);
    const lists = async (...args: string[]): Promise<string[]> =>
      (await ask(...args)).map((reply) => JSON.stringify(reply, plain)).sort();
    const messages: [string, string[]][] = [];
    for (const topic of this.#happenings.changes ? ['doomed', 'old', RENAMED] : []) {
      const [, polled] = await ask('POLL', topic, 'CURSOR', 'earliest', 'COUNT', '10000');
      for (const found of [await ask('RANGE', topic, 'COUNT', '10000'), polled as Reply[]]) {
        messages.push([topic, found.map(lineOf)]);
      }
    }
    return {
      broker: machine.address,
      messages,
      settings: await this.#settingsAt(machine),
      topics: await lists('TOPIC', 'LIST'),
      subscriptions: await lists('SUBSCRIPTION', 'LIST'),
      bindings: await lists('BINDINGS'),
    };
  }

  /**
   * Cuts every broker off from all others; each is the home of everything then, and should have nothing that is not
   * done.
   */
  async alone(): Promise<void> {
    const { present: machines } = this.#world;
    for (const [index, machine] of machines.entries()) this.#world.partition([machine], machines.slice(index + 1));
    const isAlone = (machine: Machine): boolean =>
      machine.broker.brokers().every(({ state }) => state === 'self' || state === 'dead');
    await this.#world.until('every broker is alone', () => machines.every(isAlone), ALONE_MS);
    for (const machine of machines) {
      this.#opinions.push({ broker: machine.address, settings: await this.#settingsAt(machine) });
      for (const { name } of this.#queues.filter((queue) => !this.#isGone(queue))) {
        for (const [, , message] of (await this.#ask(machine, 'PULL', name, 'COUNT', '100')) as Reply[][]) {
          const { id, payload } = decodeMessage(message!);
          this.#leftovers.push({ broker: machine.address, queue: name, id, payload: Buffer.from(payload).toString() });
        }
      }
    }
  }

  history(): QueueHistory {
    const { options, processes, absences, walls } = this.#world;
    const isSparse = options.fanout !== undefined;
    return {
      queues: this.#queues,
      isSparse,
      aliases: new Map(this.#happenings.changes ? [[RENAMED, 'old']] : []),
      pulls: this.#pulls,
      leases: this.#leases,
      settlements: this.#settlements,
      purges: this.#purges,
      acts: this.#acts,
      processes,
      walls,
      absences,
      peaces: this.#world.undisturbed(LINKED_MS, ({ absent }) => absent === undefined),
      calms: this.#world.undisturbed(AGREED_MS),
      orderly: this.#world.undisturbed(AGREED_MS, ({ isOrderly }) => !isOrderly),
      bridged: isSparse ? [] : this.#world.undisturbed(AGREED_MS, ({ isBridged }) => !isBridged),
      stuck: this.#stuck,
      catalogs: this.#catalogs,
      opinions: this.#opinions,
      leftovers: this.#leftovers,
    };
  }

  async #produce(producer: Publisher): Promise<void> {
    const { caller } = producer;
    while (!this.#isOver) {
      await caller.rest(caller.dice.pick([200, 1000, 3000]));
      const [topic, key] = caller.dice.pick(this.#topics);
      await producer.publish(
        topic, caller.dice.integer(1, 4), null, key(), topic !== 'doomed' || HOLDS.idsEndWithTheirTopic,
      );
    }
    caller.hangUp();
  }

  async #consume(consumer: Consumer): Promise<void> {
    const { caller } = consumer;
    while (!this.#isOver) {
      const queue = caller.dice.pick(this.#queues);
      await consumer.work(queue, caller.dice.pick(this.#queues.filter((other) => other !== queue)));
    }
    caller.hangUp();
  }

  /** What becomes of the topics and subscriptions that are there for it. */
  async #change(): Promise<void> {
    const { dice } = this.#administrator;
    const changes = [
      ['TOPIC', 'RENAME', 'old', RENAMED], ['TOPIC', 'DELETE', 'doomed'], ['SUBSCRIPTION', 'DELETE', BRIEF.name],
    ];
    for (const args of changes) {
      await this.#world.time.sleep(dice.integer(0, 6000));
      const { outcome } = await this.#act(this.#administrator, args);
      if (args[1] === 'RENAME' && outcome === 'OK') this.#topics.push([RENAMED, () => null]);
    }
    while (!this.#isOver) {
      await this.#world.time.sleep(dice.integer(0, 5000));
      await this.#act(this.#administrator, ['TOPIC', 'DELETE', 'doomed']);
    }
    this.#administrator.hangUp();
  }

  /** Binds and deletes the same topic at the same time, on two brokers. */
  async #collide(): Promise<void> {
    const { dice } = this.#rival;
    for (const topic of RACES) {
      await this.#world.time.sleep(dice.integer(0, 4000));
      this.#rival.hop();
      await Promise.all([
        this.#act(this.#deleter, ['TOPIC', 'DELETE', topic]),
        this.#act(this.#rival, ['BIND', MOURNER.name, topic]),
      ]);
    }
    this.#rival.hangUp();
    this.#deleter.hangUp();
  }

  /** Purges a queue, now and then at another broker; a purge that gets no answer is left at that. */
  async #purge(): Promise<void> {
    const caller = this.#purger;
    while (!this.#isOver) {
      await caller.rest(caller.dice.pick([500, 3000]));
      if (caller.dice.integer(0, 3) === 0) caller.hop();
      const purge: Purge = {
        queue: FLUSHED.name, broker: caller.machine.address, sentAt: this.#world.time.now, endedAt: Infinity,
        outcome: undefined,
      };
      this.#purges.push(purge);
      const hasty = this.#hurry();
      try {
        const reply = await (await caller.connect()).within(caller.dice.pick([500, 6000]), 'PURGE', purge.queue);
        purge.outcome = typeof reply === 'number' ? reply : codeOf(reply);
      } catch (error) {
        purge.outcome = codeOf(error);
      }
      purge.endedAt = this.#world.time.now;
      await hasty;
      if (typeof purge.outcome === 'number') continue;
      if (![...LOST, 'TRYAGAIN', 'NOTFOUND', 'DISKFULL'].includes(purge.outcome)) {
        this.#world.incident(caller.host, `PURGE: ${purge.outcome}`);
      }
      caller.hop();
    }
    caller.hangUp();
    this.#haste.caller.hangUp();
  }

  /** Publishes what the purge that has just begun may find, or not. */
  async #hurry(): Promise<void> {
    const { caller } = this.#haste;
    for (const end = caller.dice.integer(0, 4); caller.dice.integer(0, 4) < end; ) {
      await caller.rest(3);
      await this.#haste.publish('news', 1, null);
    }
  }

  async #update(caller: Caller): Promise<void> {
    while (!this.#isOver) {
      await caller.rest(3000);
      if (caller.dice.integer(0, 3) === 0) caller.hop();
      await this.#act(caller, ['SUBSCRIPTION', 'UPDATE', MOODY.name, ...caller.dice.pick(MOODS)]);
    }
    caller.hangUp();
  }

  /**
   * Carries out a change, again and again until it is done. What an attempt without an answer may have done is fine
   * too.
   */
  async #act(caller: Caller, args: readonly string[]): Promise<Act> {
    const { time } = this.#world;
    const act: Act = { args, sentAt: time.now, endedAt: Infinity, outcome: undefined };
    this.#acts.push(act);
    for (let tries = 1; tries <= TRIES_MAX; tries += 1) {
      try {
        const reply = await (await caller.connect()).within(caller.dice.pick([1000, 5000]), ...args);
        if (reply instanceof RumormillError) throw reply;
        act.outcome = text(reply);
        break;
      } catch (error) {
        act.outcome = codeOf(error);
        // done before, or by somebody else
        if (act.outcome === 'NOTFOUND' && args.some((arg) => ['DELETE', MOURNER.name].includes(arg))) {
          if (tries > 1 && args[0] === 'SUBSCRIPTION') act.outcome = 'OK';
          break;
        }
        // to a broker whose disk was wiped, and that has met nobody yet
        const isUnknown = act.outcome === 'NOTFOUND' && ['UPDATE', 'RENAME'].includes(args[1]!);
        if (!isUnknown && ![...LOST, 'TRYAGAIN', 'DISKFULL', 'NOQUORUM'].includes(act.outcome)) {
          this.#world.incident(caller.host, `${args.join(' ')}: ${String(error)}`);
          break;
        }
        await caller.rest(1000);
        caller.hop();
      }
    }
    act.endedAt = time.now;
    return act;
  }

  /** Whether the run has deleted it, or may have. */
  #isGone(queue: Queue): boolean {
    return this.#acts.some(({ args }) => args[0] === 'SUBSCRIPTION' && args[1] === 'DELETE' && args[2] === queue.name);
  }

  async #isDrained(consumer: Consumer, queue: Queue): Promise<boolean> {
    if (this.#isGone(queue)) return true;
    const leases = await consumer.pull(queue, 100, 0);
    if (leases === undefined) return false;
    if (leases.length > 0) {
      await consumer.ack(queue, leases);
      return false;
    }
    try {
      const reply = await (await consumer.caller.connect()).within(5000, 'SUBSCRIPTION', 'GET', queue.name);
      if (reply instanceof RumormillError) throw reply;
      const fields = reply as Reply[];
      const count = (name: string): number =>
        Number(fields[fields.findIndex((field) => Buffer.isBuffer(field) && field.toString() === name) + 1]);
      return ['backlog', 'in_flight', 'delayed'].every((name) => count(name) === 0);
    } catch (error) {
      if (![...LOST, 'TRYAGAIN'].includes(codeOf(error))) throw error;
      return false;
    }
  }

  async #settingsAt(machine: Machine): Promise<string[]> {
    const lines: string[] = [];
    for (const queue of this.#queues.filter((each) => !this.#isGone(each))) {
      const fields = await this.#ask(machine, 'SUBSCRIPTION', 'GET', queue.name);
      const plainly = fields.map((field) => (Buffer.isBuffer(field) ? field.toString() : field));
      const values = new Map(
        Array.from({ length: fields.length / 2 }, (_, index) => [plainly[2 * index], plainly[2 * index + 1]]),
      );
      const settings = ['visibility_ms', 'max_deliveries', 'dead_letter', 'backoff_ms'].map((name) => values.get(name));
      lines.push(`${queue.name} ${JSON.stringify(settings)} ${String(values.get('home'))}`);
    }
    return lines;
  }

  /** An array from one broker, which is asked until it answers. */
  async #ask(machine: Machine, ...args: string[]): Promise<Reply[]> {
    const client = await this.#world.client(machine);
    let last: Reply = null;
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const reply = await this.#world.of(client.command(...args));
      if (Array.isArray(reply)) {
        client.close();
        return reply;
      }
      last = reply;
      await this.#world.run(500);
    }
    throw new Error(`${args.join(' ')} at ${machine.address}: ${String(last)}`);
  }
}

function lineOf(reply: Reply): string {
  const { id, topic, payload } = decodeMessage(reply);
  return `${topic} ${id} ${Buffer.from(payload).toString()}`;
}

function plain(_: string, value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: unknown; data?: number[] };
  return type === 'Buffer' && data !== undefined ? Buffer.from(data).toString() : value; // as JSON has Buffers
}
