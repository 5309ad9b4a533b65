/** Scenarios of reading our brokers: end to end, keeping up, fan-out, replay, catching up, and what waiting costs. */
import { readFileSync } from 'node:fs';
import { connect } from '../../clients/client.ts';
import type { BrokerProcess } from '../support/cluster.ts';
import { waitFor } from '../support/wait.ts';
import { type Brokers, Ours, TOPIC } from './brokers.ts';
import { Latencies } from './figures.ts';
import { publish, SHARES } from './load.ts';
import type { Plan } from './plan.ts';
import { PollReader } from './poll-reader.ts';
import { CONNECTIONS } from './publishing.ts';
import { assertStored, Home } from './system.ts';

const PAYLOAD = Buffer.alloc(100, 'x');
const LOAD = { connections: CONNECTIONS, window: 10_000, payload: PAYLOAD, warmUpMs: 0, durationMs: 0 };
const PAUSE_MS = 2; // between messages at low load
const REST_MS = 30_000; // then V8 has given back what the connecting took
const WAIT_MS = 120_000;
const MANY = 10_000; // messages a POLL

type Three = readonly [BrokerProcess, BrokerProcess, BrokerProcess];

/** One message at a time: from its publish on one broker until a long-poll on another has it. */
export async function endToEnd(plan: Plan): Promise<void> {
  await using home = new Home();
  const { all } = await new Ours('local').start(home);
  const publisher = await all[0]!.connect();
  const reader = await PollReader.open(all[2]!.port, TOPIC);
  await reader.poll('latest', 1, 0);
  const round = async (): Promise<Latencies> => {
    const latencies = new Latencies();
    for (let sent = 0; sent < 2000 * plan.scale; sent += 1) {
      const polled = reader.poll(reader.cursor, 100, WAIT_MS);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      const sentAt = performance.now();
      const published = publisher.publish(TOPIC, PAYLOAD);
      await polled;
      latencies.add(performance.now() - sentAt);
      await published;
    }
    return latencies;
  };
  await round(); // V8 compiles what runs often
  await plan.rounds(async () => {
    const found = (await round()).percentiles(...SHARES);
    plan.found('end to end', 'low load, other broker', 'ours, local', 'ms', found[0]!, found);
  });
  reader.close();
}

/**
 * A publisher that sends as fast as it is answered, and a reader of batches, as subscribers of ours are, on another
 * broker: how many a second reach it, until it has the last one.
 */
export async function keepUp(plan: Plan): Promise<void> {
  await using home = new Home();
  const brokers = await new Ours('local').start(home);
  const reader = await PollReader.open(brokers.all[2]!.port, TOPIC, 'batches');
  await reader.poll('latest', 1, 0);
  await plan.rounds(async () => {
    const before = reader.messages;
    const startedAt = performance.now();
    let target = Infinity;
    const reading = (async () => {
      while (reader.messages < target) await reader.poll(reader.cursor, MANY, 100);
      return performance.now();
    })();
    const { acked, perSecond } = await publish(brokers.publishing, { ...LOAD, durationMs: plan.durationMs });
    const publishedAt = performance.now();
    target = before + acked;
    const readAt = await reading;
    if (reader.messages !== target) {
      throw new Error(`${acked} messages were published and ${reader.messages - before} read`);
    }
    plan.found('keep up', 'published', 'ours, local', 'msg/s', perSecond);
    plan.found('keep up', 'read on another broker', 'ours, local', 'msg/s', (acked * 1000) / (readAt - startedAt));
    plan.found('keep up', 'reader behind the last acknowledgement', 'ours, local', 'ms', readAt - publishedAt);
  });
  reader.close();
}

/** One message to 1,000 waiting POLLs on three brokers: until the last one has it. */
export async function fanOut(plan: Plan): Promise<void> {
  await using home = new Home();
  const { all } = await new Ours('local').start(home);
  const publisher = await all[0]!.connect();
  const readers = await Promise.all(
    Array.from({ length: 1000 }, (_, index) => PollReader.open(all[index % all.length]!.port, TOPIC)),
  );
  await Promise.all(readers.map((reader) => reader.poll('latest', 1, 0)));
  await plan.rounds(async () => {
    const latencies = new Latencies();
    for (let sent = 0; sent < 50 * plan.scale; sent += 1) {
      const polled = Promise.all(readers.map((reader) => reader.poll(reader.cursor, 100, WAIT_MS)));
      await waitFor('all wait', async () => await waiters(all) === readers.length);
      const sentAt = performance.now();
      await Promise.all([publisher.publish(TOPIC, PAYLOAD), polled]);
      latencies.add(performance.now() - sentAt);
    }
    const found = latencies.percentiles(...SHARES);
    plan.found('fan-out', '1,000 waiting POLLs, the last', 'ours, local', 'ms', found[0]!, found);
  });
  for (const reader of readers) reader.close();
}

/** All that one broker has stored, read from the start by one reader after the broker was started anew. */
export async function replay(plan: Plan): Promise<void> {
  await using home = new Home();
  const brokers = await new Ours('local', 1).start(home);
  const [broker] = brokers.all as readonly [BrokerProcess];
  const messages = await fill(brokers, 1_000_000 * plan.scale);
  const cold = async (): Promise<void> => {
    await broker.stop();
    await brokers.up(broker);
  };
  const found = (what: string, read: number, startedAt: number): void => {
    if (read !== messages) throw new Error(`${read} messages were read of ${messages}`);
    plan.found(
      'replay', `${messages.toLocaleString('en-US')}, ${what}`, 'ours', 'msg/s',
      (messages * 1000) / (performance.now() - startedAt),
    );
  };
  await plan.rounds(async () => {
    for (const [what, format] of [['over the wire', 'messages'], ['over the wire, in batches', 'batches']] as const) {
      await cold();
      const reader = await PollReader.open(broker.port, TOPIC, format);
      const rawAt = performance.now();
      for (let cursor = 'earliest'; reader.messages < messages; cursor = reader.cursor) {
        await reader.poll(cursor, MANY, WAIT_MS);
      }
      found(what, reader.messages, rawAt);
      reader.close();
    }
    await cold();
    await using client = await connect({ brokers: broker.address });
    const startedAt = performance.now();
    let read = 0;
    for await (const { payload } of client.subscribe(TOPIC, { from: 'earliest', limit: messages })) {
      read += payload.length === PAYLOAD.length ? 1 : 0;
    }
    found('client library', read, startedAt);
  });
}

/** A broker that was away fetches what it missed, while one message after another is published. */
export async function catchUp(plan: Plan): Promise<void> {
  await plan.rounds(async () => {
    await using home = new Home();
    const brokers = await new Ours('local').start(home);
    const [first, , late] = brokers.all as Three;
    await late.stop();
    const messages = 1_000_000 * plan.scale;
    const { acked } = await publish(brokers.publishing, { ...LOAD, messages });
    const client = await first.connect();
    const latencies = new Latencies();
    let missing = true;
    const startedAt = performance.now();
    const caught = brokers.up(late)
      .then(() => waitFor('it has caught up', async () => Number((await late.status())['messages']) >= acked, WAIT_MS))
      .finally(() => (missing = false));
    let live = 0;
    for (; missing; live += 1) {
      const sentAt = performance.now();
      await client.publish(TOPIC, PAYLOAD);
      latencies.add(performance.now() - sentAt);
    }
    await caught;
    const ms = performance.now() - startedAt;
    await assertStored(brokers, [0, 0, 0], acked + live);
    plan.found(
      'catch-up', `${messages.toLocaleString('en-US')} behind, start included`, 'ours', 'msg/s', (acked * 1000) / ms,
    );
    const found = latencies.percentiles(...SHARES);
    plan.found('catch-up', 'a publisher meanwhile', 'ours, local', 'ms', found[0]!, found);
  });
}

/** What the broker's memory grows by with each POLL that waits. */
export async function idleWaiters(plan: Plan): Promise<void> {
  for (const count of [1000, 10_000].map((each) => each * plan.scale)) {
    await plan.rounds(async () => {
      await using home = new Home();
      const { all } = await new Ours('local', 1).start(home);
      const [broker] = all as readonly [BrokerProcess];
      const before = residentKiB(broker);
      const readers: PollReader[] = [];
      for (let index = 0; index < count; index += 1) readers.push(await PollReader.open(broker.port, TOPIC));
      for (const reader of readers) void reader.poll('latest', 100, WAIT_MS);
      await waitFor('all wait', async () => await waiters(all) === count, WAIT_MS);
      const what = count.toLocaleString('en-US');
      plan.found('idle waiters', what, 'ours', 'KiB each', (residentKiB(broker) - before) / count);
      if (plan.scale === 1) {
        await new Promise((resolve) => setTimeout(resolve, REST_MS));
        plan.found(
          'idle waiters', `${what}, after ${REST_MS / 1000} s`, 'ours', 'KiB each',
          (residentKiB(broker) - before) / count,
        );
      }
      for (const reader of readers) reader.close();
    });
  }
}

/** Stores so many messages. @returns how many there are */
export async function fill(brokers: Brokers, messages: number): Promise<number> {
  const before = await brokers.stored();
  const { acked } = await publish(brokers.publishing, { ...LOAD, messages });
  await assertStored(brokers, before, acked);
  return acked;
}

async function waiters(brokers: readonly BrokerProcess[]): Promise<number> {
  const statuses = await Promise.all(brokers.map((broker) => broker.status()));
  return statuses.reduce((sum, status) => sum + Number(status['waiters']), 0);
}

/** Memory that a process has, as Linux tells it. */
export function residentKiB({ pid }: BrokerProcess): number {
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}
