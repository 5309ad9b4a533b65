/**
 * A consumer of a run: takes leases on messages of some queues, at one broker and another, acknowledges most of them,
 * gives some back, keeps some longer and lets some expire; now and then it acknowledges too late, twice, or under the
 * name of another queue, which must change nothing.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import { decodeMessage, text } from '../../brokers/wire/message.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import { type Caller, codeOf, LOST } from './caller.ts';
import type { Lease, Pull, Queue, Settlement } from './queue-history.ts';

const FATES = [
  'ack', 'ack', 'ack', 'ack', 'ack', 'ack', 'ack', 'nack', 'expire', 'extend', 'late', 'twice', 'stray',
] as const;
type Fate = (typeof FATES)[number];
const TRIES = 3; // of an acknowledgement that got no answer
const EXPECTED = [...LOST, 'TRYAGAIN', 'NOTFOUND'];

/** Where consumers write down what they did. */
export interface ConsumerLog {
  readonly pulls: Pull[];
  readonly leases: Lease[];
  readonly settlements: Settlement[];
}

export class Consumer {
  readonly caller: Caller;
  readonly #log: ConsumerLog;

  constructor(caller: Caller, log: ConsumerLog) {
    this.caller = caller;
    this.#log = log;
  }

  /** One PULL, and what becomes of its messages. Now and then it goes to another broker first. */
  async work(queue: Queue, other: Queue): Promise<void> {
    const { dice } = this.caller;
    if (dice.integer(0, 9) === 0) this.caller.hop();
    const leases = await this.pull(queue, dice.pick([1, 3, 20]), dice.pick([0, 100, 2000]));
    if (leases === undefined || leases.length === 0) return this.caller.rest(200);
    await this.caller.rest(dice.pick([1, 50, 500]));
    const fates = new Map<Fate, Lease[]>();
    for (const lease of leases) {
      const fate = dice.pick(FATES);
      fates.set(fate, [...(fates.get(fate) ?? []), lease]);
    }
    for (const [fate, some] of fates) await this.#meet(fate, queue, some, other);
  }

  /** Takes leases; undefined where the broker did not answer. */
  async pull(queue: Queue, count: number, blockMs: number): Promise<Lease[] | undefined> {
    const { caller } = this;
    const pull: Pull = {
      queue: queue.name,
      consumer: caller.host,
      broker: caller.machine.address,
      sentAt: caller.world.time.now,
      endedAt: Infinity,
      outcome: undefined,
    };
    this.#log.pulls.push(pull);
    const args = ['PULL', queue.name, 'CONSUMER', caller.host, 'COUNT', count, 'BLOCK', blockMs];
    const reply = await this.#ask(pull, blockMs + caller.dice.pick([300, 3000]), args);
    if (!Array.isArray(reply)) return undefined;
    pull.outcome = reply.length;
    const leases = reply.map((each) => this.#leaseOf(pull, each));
    this.#log.leases.push(...leases);
    return leases;
  }

  /** Acknowledges, once more where no answer comes. Says whether an answer came. */
  async ack(queue: Queue, leases: readonly Lease[]): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      if (typeof (await this.#settle('ack', queue, leases)) === 'number') return true;
      await this.caller.rest(300);
    }
    return false;
  }

  async #meet(fate: Fate, queue: Queue, leases: readonly Lease[], other: Queue): Promise<void> {
    const { caller } = this;
    const { dice } = caller;
    switch (fate) {
      case 'ack':
        if (dice.integer(0, 1) === 0) await this.ack(queue, leases);
        else for (const lease of leases) await this.ack(queue, [lease]);
        return;
      case 'nack':
        await this.#settle('nack', queue, leases, dice.pick([undefined, undefined, 0, 200, 1000, 4000, 12_000]));
        return;
      case 'expire':
        return;
      case 'extend': {
        const ms = dice.pick([500, queue.visibilityMs, 2 * queue.visibilityMs]);
        await this.#settle('extend', queue, leases, ms);
        await caller.rest(ms);
        await this.ack(queue, leases);
        return;
      }
      case 'late':
        await caller.world.time.sleep(queue.visibilityMs + dice.pick([10, 400, 1000]));
        for (const lease of leases) await this.#settle('ack', queue, [lease]);
        return;
      case 'twice':
        for (const lease of leases) {
          await this.ack(queue, [lease]);
          await this.#settle('ack', queue, [lease]);
        }
        return;
      case 'stray':
        await this.#settle('ack', other, leases);
        await this.ack(queue, leases);
        return;
    }
  }

  async #settle(
    kind: Settlement['kind'], queue: Queue, leases: readonly Lease[], ms?: number,
  ): Promise<Settlement['outcome']> {
    const { caller } = this;
    const settlement: Settlement = {
      kind,
      queue: queue.name,
      leases,
      ms: ms ?? null,
      broker: caller.machine.address,
      sentAt: caller.world.time.now,
      endedAt: Infinity,
      outcome: undefined,
    };
    this.#log.settlements.push(settlement);
    const tokens = leases.map(({ token }) => token);
    const args = {
      ack: ['ACK', queue.name, ...tokens],
      nack: ['NACK', queue.name, ...tokens, ...(ms === undefined ? [] : ['DELAY', ms])],
      extend: ['EXTEND', queue.name, ms ?? 0, ...tokens],
    }[kind];
    const reply = await this.#ask(settlement, caller.dice.pick([500, 5000]), args);
    if (typeof reply === 'number') settlement.outcome = reply;
    return settlement.outcome;
  }

  /**
   * Sends a command and writes down when it ended, and with which error. Goes to another broker where this one does not
   * answer.
   */
  async #ask(
    record: Pull | Settlement, timeoutMs: number, args: readonly (string | number)[],
  ): Promise<Reply | undefined> {
    const { caller } = this;
    try {
      const client = await caller.connect();
      const reply = await client.within(timeoutMs, ...args);
      if (reply instanceof RumormillError) throw reply;
      record.endedAt = caller.world.time.now;
      return reply;
    } catch (error) {
      const code = codeOf(error);
      Object.assign(record, { endedAt: caller.world.time.now, outcome: code });
      if (!EXPECTED.includes(code) && !(code === 'DISKFULL' && args[0] !== 'PULL')) {
        caller.world.incident(caller.host, `${args.slice(0, 2).join(' ')}: ${String(error)}`);
      }
      await caller.rest(200);
      if (LOST.includes(code) || caller.dice.integer(0, 3) === 0) caller.hop();
      return undefined;
    }
  }

  #leaseOf(pull: Pull, reply: Reply): Lease {
    const { network, processes } = this.caller.world;
    const [bytes, deliveries, message] = reply as [Reply, number, Reply];
    const { id, topic, key, payload } = decodeMessage(message);
    const token = text(bytes);
    const home = processes.find(({ tag }) => token.startsWith(tag))?.broker ?? pull.broker;
    return {
      pull,
      token,
      deliveries,
      id,
      topic,
      key,
      payload: Buffer.from(payload).toString(),
      isPassedOn: home !== pull.broker && !network.isConnected(pull.broker, home),
    };
  }
}
