/**
 * Scenario of growth on our brokers: what a message costs each broker as the mesh grows, and what publishing, reading
 * and starting cost as a backlog grows.
 *
 * Processor time is that of the whole process between two moments, heartbeats and all, in ticks of 10 ms: so the
 * messages are many, and their number is fixed.
 */
import { statSync } from 'node:fs';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import type { BrokerProcess } from '../support/cluster.ts';
import { Ours, TOPIC } from './brokers.ts';
import { Latencies } from './figures.ts';
import { publish, SHARES } from './load.ts';
import type { Plan } from './plan.ts';
import { PollReader } from './poll-reader.ts';
import { cpuMs, tcpBytesSent } from './proc.ts';
import { CONNECTIONS } from './publishing.ts';
import { fill } from './reading.ts';
import { assertStored, Home } from './system.ts';

const SCENARIO = 'growth';
const LOAD = { connections: CONNECTIONS, payload: Buffer.alloc(100, 'x'), warmUpMs: 0, durationMs: 0 };
const MESHES = [1, 3, 5, 7]; // a quick run: the first two
const BACKLOGS = [1000, 10_000, 100_000, 1_000_000, 10_000_000];
const WARM_TOPIC = 'warm';
const POLLED = 100; // messages a POLL
const POLLS = 200;
const START_MS = 120_000;

export async function growth(plan: Plan): Promise<void> {
  await plan.rounds(async () => {
    for (const count of plan.scale < 1 ? MESHES.slice(0, 2) : MESHES) await mesh(plan, count);
  });
  await plan.rounds(async () => {
    for (const size of BACKLOGS.filter((each) => each <= 10_000_000 * plan.scale * plan.scale)) {
      await backlog(plan, size);
    }
  });
}

/** Publishes on one broker of so many, and looks at what all of them have used once all have stored it. */
async function mesh(plan: Plan, count: number): Promise<void> {
  await using home = new Home();
  const brokers = await new Ours('quorum', count).start(home);
  const pids = brokers.all.map(({ pid }) => pid);
  const what = (name: string): string => `${count} ${count === 1 ? 'broker' : 'brokers'}: ${name}`;
  const found = (name: string, unit: string, value: number): void =>
    plan.found(SCENARIO, what(name), 'ours, quorum', unit, value);
  const load = { ...LOAD, window: 1000 };
  const { acked: warmUp } = await publish(brokers.publishing, { ...load, messages: 50_000 * plan.scale });
  await assertStored(brokers, brokers.all.map(() => 0), warmUp);
  const [cpuBefore, sentBefore] = [pids.map(cpuMs), tcpBytesSent(pids)];
  const { acked } = await publish(brokers.publishing, { ...load, messages: 300_000 * plan.scale });
  await assertStored(brokers, brokers.all.map(() => warmUp), acked);
  const cpu = pids.map((pid, index) => ((cpuMs(pid) - cpuBefore[index]!) * 1000) / acked);
  const sent = tcpBytesSent(pids);
  found('CPU per message and broker', 'µs', cpu.reduce((sum, each) => sum + each, 0) / count);
  if (count > 1) found('CPU per message, at the publishing broker', 'µs', cpu[0]!);
  if (count > 1 && sent !== undefined && sentBefore !== undefined) {
    found('between brokers, per message and receiver', 'bytes', (sent - sentBefore) / acked / (count - 1));
  }
  await Promise.all(brokers.all.map((broker) => broker.stop()));
  const stored = brokers.all.reduce((sum, { file }) => sum + statSync(file).size, 0);
  found('on disk, per message and broker', 'bytes', stored / (warmUp + acked) / count);
}

/**
 * One broker with so many messages in a topic, started anew, so that those from its middle come from the disk; the last
 * hundred come afterwards, so that they are in memory. What is measured has been done before with another topic. What
 * is published comes on top of the backlog.
 */
async function backlog(plan: Plan, size: number): Promise<void> {
  await using home = new Home();
  const brokers = await new Ours('local', 1).start(home);
  const [broker] = brokers.all as readonly [BrokerProcess];
  const found = (name: string, unit: string, value: number, latency?: readonly number[]): void =>
    plan.found(SCENARIO, `backlog of ${size.toLocaleString('en-US')}: ${name}`, 'ours, alone', unit, value, latency);
  await fill(brokers, size / 2);
  const middle = await latest(broker);
  await fill(brokers, size / 2 - POLLED - 1);
  await broker.stop();
  found('start', 'ms', await start(broker));
  const warm = {
    ...brokers.publishing,
    frame: (_: number, payload: Buffer) => encodeCommand(['PUBLISH', WARM_TOPIC, payload]),
  };
  const load = { ...LOAD, window: 100, messages: 50_000 * plan.scale };
  await publish(warm, load);
  await polls(broker, WARM_TOPIC, 'earliest');
  const end = await latest(broker);
  await fill(brokers, POLLED + 1);
  for (const [name, cursor] of [['the last ones', end], ['from the middle', middle]] as const) {
    const latency = await polls(broker, TOPIC, cursor);
    found(`POLL of ${POLLED}, ${name}`, 'ms', latency[0]!, latency);
  }
  const before = await brokers.stored();
  const cpuBefore = cpuMs(broker.pid);
  const { acked, perSecond, latency } = await publish(brokers.publishing, load);
  found('publish, 100 in flight', 'msg/s', perSecond, latency);
  found('publish, CPU per message', 'µs', ((cpuMs(broker.pid) - cpuBefore) * 1000) / acked);
  await assertStored(brokers, before, acked);
}

/** The cursor of who has read everything. */
async function latest(broker: BrokerProcess): Promise<string> {
  const reader = await PollReader.open(broker.port, TOPIC);
  await reader.poll('latest', 1, 0);
  reader.close();
  return reader.cursor;
}

/**
 * POLL after POLL of what is behind the message after a cursor, and again from there at the end. @returns how long one
 * takes
 */
async function polls(broker: BrokerProcess, topic: string, cursor: string): Promise<number[]> {
  const reader = await PollReader.open(broker.port, topic);
  await reader.poll(cursor, 1, 0);
  const first = reader.cursor; // which this process has made: it need not look for the place
  const latencies = new Latencies();
  for (let from = first; latencies.count < POLLS; ) {
    const before = reader.messages;
    const sentAt = performance.now();
    await reader.poll(from, POLLED, 0);
    if (reader.messages === before + POLLED) latencies.add(performance.now() - sentAt);
    else if (from === first) throw new Error(`there are ${reader.messages - before} messages and not ${POLLED}`);
    from = reader.messages === before ? first : reader.cursor;
  }
  reader.close();
  return latencies.percentiles(...SHARES);
}

/** From the start of the process to its first answer, ms. */
export async function start(broker: BrokerProcess): Promise<number> {
  const startedAt = performance.now();
  broker.spawn();
  for (;;) {
    const client = await broker.connect().catch(() => undefined);
    if (client !== undefined) {
      await client.command('PING');
      client.close();
      return performance.now() - startedAt;
    }
    if (performance.now() - startedAt > START_MS) throw new Error(`${broker.address} does not start`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
