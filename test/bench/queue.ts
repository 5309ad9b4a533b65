/**
 * Scenarios of queues on our brokers: PULL and ACK, acknowledging what is in flight at random, what a backlog costs,
 * and publishing with many subscriptions.
 */
import { encodeCommand } from '../../brokers/wire/resp.ts';
import type { BrokerProcess } from '../support/cluster.ts';
import { describe, make } from '../support/queue-client.ts';
import { SeededRandom } from '../support/random.ts';
import type { RespClient } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';
import { type Brokers, Ours, TOPIC } from './brokers.ts';
import { Latencies } from './figures.ts';
import { publish, type Publishing, SHARES } from './load.ts';
import type { Plan } from './plan.ts';
import { CONNECTIONS } from './publishing.ts';
import { PullConsumer } from './pull-consumer.ts';
import { fill, residentKiB } from './reading.ts';
import { assertStored, Home } from './system.ts';

const SCENARIO = 'queue';
const PAYLOAD = Buffer.alloc(100, 'x');
const LOAD = { connections: CONNECTIONS, window: 10_000, payload: PAYLOAD, warmUpMs: 0, durationMs: 0 };
const BATCH = 100; // messages a PULL
const WAIT_MS = 120_000;
const ACK_TOKENS = 1000; // of one ACK, where many are acknowledged at random
const PULLS = 100; // for the time of one
const SUBSCRIPTIONS = 1000;

export async function queue(plan: Plan): Promise<void> {
  await pullAndAck(plan);
  await acknowledgeAtRandom(plan);
  await backlog(plan);
  await manySubscriptions(plan);
}

/** What is there is consumed through a broker that is not the home, on one connection of one process and on several. */
async function pullAndAck(plan: Plan): Promise<void> {
  await using home = new Home();
  const brokers = await new Ours('local').start(home);
  for (const connections of [1, CONNECTIONS]) {
    await plan.rounds(async () => {
      const name = await subscribe(brokers.all[0]!, TOPIC);
      const { acked: messages } = await publish(brokers.publishing, { ...LOAD, messages: 200_000 * plan.scale });
      await settled(brokers);
      const broker = await notHome(brokers, name);
      const consumers = await Promise.all(
        Array.from({ length: connections }, () => PullConsumer.open(broker.port, name)),
      );
      const latencies = new Latencies();
      let acked = 0;
      const startedAt = performance.now();
      await Promise.all(consumers.map(async (consumer) => {
        for (let tokens = await consumer.pull(BATCH, 0); tokens.length > 0; ) {
          const sentAt = performance.now();
          const next = await consumer.ackAndPull(tokens, BATCH, 0);
          latencies.add(performance.now() - sentAt);
          acked += tokens.length;
          tokens = next;
        }
        consumer.close();
      }));
      const ms = performance.now() - startedAt;
      if (acked !== messages) throw new Error(`${acked} messages were acknowledged of ${messages}`);
      plan.found(
        SCENARIO,
        `PULL and ACK by ${BATCH}, other broker, ${connections === 1 ? 'one connection' : `${connections} connections`}`,
        'ours',
        'msg/s',
        (messages * 1000) / ms,
        latencies.percentiles(...SHARES),
      );
    });
  }
}

/**
 * As much in flight as may be, acknowledged in random order: the time of its first and its last fifth, and how large
 * the record of the state becomes.
 */
async function acknowledgeAtRandom(plan: Plan): Promise<void> {
  const count = 100_000 * plan.scale;
  await plan.rounds(async () => {
    await using home = new Home();
    const brokers = await new Ours('local').start(home);
    const [broker] = brokers.all as readonly [BrokerProcess];
    const name = await subscribe(broker, TOPIC);
    await fill(brokers, count);
    const client = await broker.connect();
    const consumer = await PullConsumer.open(broker.port, name);
    const tokens: Buffer[] = [];
    while (tokens.length < count) {
      const other = await PullConsumer.open(broker.port, name); // one consumer may not hold all of them
      tokens.push(...await other.pull(Math.min(10_000, count), WAIT_MS));
      other.close();
    }
    shuffle(tokens);
    const fifths: number[] = [];
    for (let fifth = 0; fifth < 5; fifth += 1) {
      const startedAt = performance.now();
      for (let at = (fifth * count) / 5; at < ((fifth + 1) * count) / 5; at += ACK_TOKENS) {
        const some = tokens.slice(at, Math.min(at + ACK_TOKENS, ((fifth + 1) * count) / 5));
        if ((await consumer.ack(some)) !== some.length) throw new Error('a token was not good');
      }
      fifths.push(performance.now() - startedAt);
    }
    consumer.close();
    const total = fifths.reduce((sum, ms) => sum + ms, 0);
    const what = `${count.toLocaleString('en-US')} in flight, ACK at random`;
    plan.found(SCENARIO, what, 'ours', 'msg/s', (count * 1000) / total);
    plan.found(SCENARIO, `${what}: last fifth against the first`, 'ours', 'times', fifths[4]! / fifths[0]!);
    plan.found(SCENARIO, `${what}: largest record`, 'ours', 'KiB', (await largestRecord(client)) / 1024);
  });
}

/**
 * The same broker with a short backlog and a long one, started anew each time: its memory after some PULLs, and how
 * long one takes.
 */
async function backlog(plan: Plan): Promise<void> {
  for (const count of [5000, 5_000_000 * plan.scale * plan.scale]) {
    await plan.rounds(async () => {
      await using home = new Home();
      const brokers = await new Ours('local', 1).start(home);
      const [broker] = brokers.all as readonly [BrokerProcess];
      const name = await subscribe(broker, TOPIC);
      await fill(brokers, count);
      await broker.stop();
      await brokers.up(broker);
      const consumer = await PullConsumer.open(broker.port, name);
      await waitFor(
        'it is the home',
        async () => (await describe(await broker.connect(), name).catch(() => undefined))?.['home'] === broker.address,
        WAIT_MS,
      );
      const latencies = new Latencies();
      for (let pulls = 0; pulls < Math.min(PULLS, count / BATCH); pulls += 1) {
        const sentAt = performance.now();
        if ((await consumer.pull(BATCH, WAIT_MS)).length === 0) throw new Error('a PULL brought nothing');
        latencies.add(performance.now() - sentAt);
      }
      consumer.close();
      const what = `backlog of ${count.toLocaleString('en-US')}`;
      const found = latencies.percentiles(...SHARES);
      plan.found(SCENARIO, `${what}: a PULL of ${BATCH}`, 'ours', 'ms', found[0]!, found);
      plan.found(SCENARIO, `${what}: the broker's memory`, 'ours', 'KiB', residentKiB(broker));
    });
  }
}

/** Publishing to a topic with many subscriptions bound to it, and to one with none. */
async function manySubscriptions(plan: Plan): Promise<void> {
  await using home = new Home();
  const brokers = await new Ours('local').start(home);
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => brokers.all[0]!.connect()));
  const count = SUBSCRIPTIONS * plan.scale;
  await make(clients[0]!, 'TOPIC CREATE popular');
  await Promise.all(clients.map(async (client, lane) => {
    for (let number = lane; number < count; number += clients.length) {
      await make(client, `SUBSCRIPTION CREATE s${number}`, `BIND s${number} popular`);
    }
  }));
  await settled(brokers);
  const topics = [
    ['lonely', 'without subscriptions'],
    ['popular', `with ${count.toLocaleString('en-US')} subscriptions`],
  ] as const;
  const load = { ...LOAD, warmUpMs: plan.warmUpMs, durationMs: plan.durationMs };
  for (const [topic] of topics) await publish(publishingTo(brokers, topic), load);
  await settled(brokers);
  await plan.rounds(async () => {
    for (const [topic, what] of topics) {
      const before = await brokers.stored();
      const { acked, perSecond, latency } = await publish(publishingTo(brokers, topic), load);
      await assertStored(brokers, before, acked);
      plan.found(SCENARIO, `publish to a topic ${what}`, 'ours, local', 'msg/s', perSecond, latency);
    }
  });
}

let subscriptions = 0;

/** Makes a subscription of its own and binds it to what is published from now on. Returns its name. */
async function subscribe(broker: BrokerProcess, topic: string): Promise<string> {
  const name = `queue-${(subscriptions += 1)}`;
  await make(
    await broker.connect(), `TOPIC CREATE ${topic}`, `SUBSCRIPTION CREATE ${name} VISIBILITY 600000`,
    `BIND ${name} ${topic}`,
  );
  return name;
}

async function notHome(brokers: Brokers, name: string): Promise<BrokerProcess> {
  const { home } = await describe(await brokers.all[0]!.connect(), name);
  return brokers.all.find(({ address }) => address !== home)!;
}

/** Resolves when all brokers hold the same. */
async function settled(brokers: Brokers): Promise<void> {
  await waitFor('all brokers hold the same', async () => new Set(await brokers.stored()).size === 1, WAIT_MS);
}

function publishingTo(brokers: Brokers, topic: string): Publishing {
  return { ...brokers.publishing, frame: (_, payload) => encodeCommand(['PUBLISH', topic, payload]) };
}

function shuffle(items: unknown[]): void {
  const random = new SeededRandom();
  for (let at = items.length - 1; at > 0; at -= 1) {
    const other = random.integer(0, at);
    [items[at], items[other]] = [items[other], items[at]];
  }
}

/** Bytes of the largest record of acknowledgements. */
async function largestRecord(client: RespClient): Promise<number> {
  let cursor = 'earliest';
  let most = 0;
  for (;;) {
    const polled = await client.poll(['$acks'], cursor, 'COUNT', 1000);
    if (polled.payloads.length === 0) return most;
    most = Math.max(most, ...polled.payloads.map((payload) => Buffer.byteLength(payload)));
    cursor = polled.cursor;
  }
}
