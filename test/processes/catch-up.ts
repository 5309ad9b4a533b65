/**
 * Catch-up: what a live publisher notices of a broker that comes back and has a million messages to fetch.
 *
 *     npm run catch-up -- --messages 1000000 --ids
 *     npm run catch-up -- --names 5000
 *
 * Three brokers. One is stopped, messages are published on the other two, it is started again. Measured is the latency
 * of one publisher with one message on its way at a time, acknowledged locally, at a broker that feeds the late one:
 * before, and while the late one fetches. It prints figures and asserts none, since they are the machine's.
 *
 * With --names, the messages are put into the files of the other two before they start, under so many names of stores,
 * as they are after many restarts that took a new one: to be compared with `--names 1`.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { parseAddress } from '../../brokers/core/address.ts';
import type { StoredBatch } from '../../brokers/core/log/record.ts';
import { openStore } from '../../brokers/io/open-store.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { wholeNumber } from '../../clients/command-line/command-line.ts';
import { BrokerProcess } from '../support/cluster.ts';
import { cpuMs } from '../bench/proc.ts';
import { namedBatches } from '../support/names.ts';
import { freePorts } from '../support/port.ts';
import { RespClient } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';

const PAYLOAD = Buffer.alloc(100, 'x');
const BATCH = 1_000; // messages in one write
const WINDOW = 20; // writes that have no answer yet
const IDLE_SAMPLES = 2_000;
const WAIT_MS = 600_000; // far beyond what fetching takes

const { messages, ids, names } = new Command('catch-up')
  .description('Measures publishing while a broker catches up.')
  .option('--messages <n>', 'how many the broker has to fetch', wholeNumber(1), 1_000_000)
  .option('--ids', 'each with a dedupe id, as the client library publishes')
  .option('--names <n>', 'of how many names of stores the messages are', wholeNumber(1))
  .parse().opts<{ readonly messages: number; readonly ids?: true; readonly names?: number }>();

const folder = mkdtempSync(join(tmpdir(), 'rumormill-catch-up-'));
const ports = await freePorts(3);
const csv = join(folder, 'globalState.csv');
writeFileSync(csv, ports.map((port) => `127.0.0.1,${port}\n`).join(''));
const brokers = ports.map(
  (port) => new BrokerProcess(port, { 'global-state': csv, 'data-dir': join(folder, 'data'), 'log-level': 'warn' }),
);
process.once('exit', () => {
  for (const broker of brokers) broker.signal('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
try {
  await measure(brokers as [BrokerProcess, BrokerProcess, BrokerProcess]);
} finally {
  await Promise.all(brokers.map((broker) => broker.dispose()));
}

async function measure([first, second, late]: [BrokerProcess, BrokerProcess, BrokerProcess]): Promise<void> {
  if (names !== undefined) {
    for (const broker of [first, second]) await fill(broker, names);
    say(`filled two brokers with ${messages} messages of ${names} names`);
  }
  for (const broker of [first, second]) await up(broker);
  const client = await first.connect();
  if (names === undefined) {
    await up(late);
    await late.stop();
    const loadMs = await timed(() =>
      Promise.all([load(first, Math.ceil(messages / 2)), load(second, Math.floor(messages / 2))]),
    );
    say(`published ${messages} messages of ${PAYLOAD.length} bytes on two brokers: ${perSecond(messages, loadMs)}`);
  }
  await waitFor(
    'both hold everything', async () => (await held(first)) >= messages && (await held(second)) >= messages, WAIT_MS,
  );

  let taken = 0;
  const idle = await latencies(client, () => (taken += 1) <= IDLE_SAMPLES);
  say(`publish latency, idle: ${spread(idle)}`);

  const target = await held(first); // more is published while it fetches
  const used = [first, second].map(({ pid }) => cpuMs(pid));
  await up(late);
  const startedAt = performance.now();
  let caughtUpMs = 0;
  void waitFor('it has caught up', async () => (await held(late)) >= target, WAIT_MS).then(
    () => (caughtUpMs = performance.now() - startedAt),
  );
  const busy = await latencies(client, () => caughtUpMs === 0);
  say(`publish latency, while the third catches up: ${spread(busy)}`);
  say(`caught up: ${target} messages in ${(caughtUpMs / 1000).toFixed(1)} s, ${perSecond(target, caughtUpMs)}`);
  const cpu = [...[first, second].map(({ pid }, index) => cpuMs(pid) - used[index]!), cpuMs(late.pid)];
  say(`processor time of the three: ${cpu.map((ms) => `${(ms / 1000).toFixed(1)} s`).join(', ')}`);
  say(
    `most memory of the three: ${[first, second, late].map(({ pid }) => `${Math.round(mostMemoryKiB(pid) / 1024)} MiB`).join(', ')}`,
  );
}

/** Puts the messages into a broker's file, under these many names. */
async function fill(broker: BrokerProcess, count: number): Promise<void> {
  const address = parseAddress(broker.address);
  const addresses = brokers.map((each) => parseAddress(each.address));
  const store = await openStore(dirname(broker.file), address, () => 0);
  let batches: StoredBatch[] = [];
  for (const batch of namedBatches({ names: count, messages, addresses, topic: 'load' })) {
    batches.push(batch);
    if (batches.length < BATCH) continue;
    await store.append(batches);
    batches = [];
  }
  if (batches.length > 0) await store.append(batches);
  await store.close();
}

/** Of a process, so far: Linux's high-water mark. */
function mostMemoryKiB(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
}

/** Starts a broker and waits until it serves. */
async function up(broker: BrokerProcess): Promise<void> {
  broker.spawn();
  await waitFor(`${broker.address} serves`, () => broker.status().then(() => true, () => false));
}

async function held(broker: BrokerProcess): Promise<number> {
  return Number((await broker.status())['messages']);
}

/** Publishes `count` messages on one connection, many on their way. */
async function load(broker: BrokerProcess, count: number): Promise<void> {
  const client = await RespClient.open(broker.port);
  const id = (number: number): string[] => (ids ? ['ID', `${broker.port}-${number}`] : []);
  let sent = 0;
  for (let answered = 0; answered < count; answered += 1) {
    while (sent < count && sent - answered < BATCH * WINDOW) {
      const commands = Array.from({ length: Math.min(BATCH, count - sent) }, (_, index) =>
        encodeCommand(['PUBLISH', 'load', PAYLOAD, ...id(sent + index)]),
      );
      sent += commands.length;
      client.raw(Buffer.concat(commands));
    }
    await client.next('PUBLISH', WAIT_MS);
  }
  client.close();
}

/** How long each of one publish after another took, ms, while `goesOn`. */
async function latencies(client: RespClient, goesOn: () => boolean): Promise<number[]> {
  const times: number[] = [];
  while (goesOn()) times.push(await timed(() => client.publish('live', PAYLOAD, 'ACKS', 'local')));
  return times;
}

async function timed(task: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await task();
  return performance.now() - startedAt;
}

function spread(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): string =>
    `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(2)} ms`;
  return `median ${at(0.5)}, 99% within ${at(0.99)}, longest ${at(1)}, of ${sorted.length}`;
}

function perSecond(count: number, ms: number): string {
  return `${Math.round((count * 1000) / ms).toLocaleString('en-US')} a second`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
