import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { text } from '../../brokers/wire/message.ts';
import { type BrokerProcess, Cluster } from '../support/cluster.ts';
import { FLOOD, Greedy, GREEDY_KINDS } from '../support/greedy.ts';
import { freePorts } from '../support/port.ts';
import { RespClient } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';

const MEBIBYTE = 1024 * 1024;
const HONEST = 200; // messages
const EACH = 10; // greedy clients of a kind: those that send half a command alone want 150 MiB
const WAIT_MS = 60_000;

/** One broker on a free port, which its globalState.csv names. */
async function start(t: Test, args: Readonly<Record<string, string>>): Promise<BrokerProcess> {
  const cluster = new Cluster(t);
  const [port] = (await freePorts(1)) as [number];
  cluster.list([`127.0.0.1,${port}`]);
  const broker = cluster.add(port, args);
  await broker.start();
  return broker;
}

/** What is told of a process, in MiB. */
function memory(pid: number, name: 'VmHWM' | 'VmRSS'): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;
}

t.test('greedy clients of every kind at once: the broker keeps within its memory, and honest ones lose nothing', { skip: process.platform !== 'linux' && 'no /proc' }, async (t) => {
  const broker = await start(t, { memory: '64m' });
  const [publisher, subscriber, looker] = [await broker.connect(), await broker.connect(), await broker.connect()];
  await subscriber.command('SUBSCRIBE', 'honest');
  for (let count = 0; count < 20; count += 1) await publisher.publish(FLOOD, Buffer.alloc(MEBIBYTE / 2));
  const before = memory(broker.pid, 'VmHWM');
  const greedy = GREEDY_KINDS.flatMap((kind) =>
    Array.from({ length: EACH }, (_, number) => new Greedy(kind, broker.port, number)),
  );
  t.teardown(() => greedy.forEach((each) => each.close()));
  const status = (): Promise<Record<string, string>> => looker.fields('MESH', 'STATUS');
  await waitFor('memory is short', () => greedy.some(({ told }) => told.includes('--memory 64 MiB')), WAIT_MS);
  for (let number = 0; number < HONEST; number += 1) {
    await publisher.publish('honest', String(number));
    t.equal(text(((await subscriber.next()) as Buffer[])[2]!), String(number)) || t.bailout();
    if (number % 10 === 0) await publisher.publish(FLOOD, Buffer.alloc(MEBIBYTE / 2));
  }
  t.equal((await publisher.readAll('honest')).length, HONEST, 'and all of it is stored');
  await waitFor(
    'the half commands are closed, but for those that fit',
    () => greedy.filter(({ kind, isClosed }) => kind === 'half' && isClosed).length > EACH / 2, WAIT_MS,
  );
  const { memory_peak_bytes: peak } = await status();
  t.ok(Number(peak) < 128 * MEBIBYTE, `${peak} bytes counted at most, of 64 MiB`);
  const most = memory(broker.pid, 'VmHWM');
  t.ok(most < before + 400, `${most.toFixed()} MiB resident at most, ${before.toFixed()} before`);
  for (const each of greedy) each.close();
  await waitFor('nobody is left', async () => Number((await status())['connections']) <= 3, WAIT_MS);
  await waitFor('it is counted no more', async () => Number((await status())['memory_bytes']) < 16 * MEBIBYTE, WAIT_MS);
  const lines = broker.logged('memory is short, the client that holds the most of it and does not move is closed');
  t.ok(lines.length >= 1 && lines.length < 5, `${lines.length} lines`);
});

t.test('more clients than there are file descriptors: they are told, and a restarted peer gets in', { skip: process.platform !== 'linux' && 'no /proc' }, async (t) => {
  const cluster = new Cluster(t);
  const ports = await freePorts(2);
  cluster.list(ports.map((port) => `127.0.0.1,${port}`));
  const few = cluster.add(ports[0]!, {}, ['sh', '-c', 'ulimit -n 100; exec "$@"', 'sh']);
  const peer = cluster.add(ports[1]!);
  await Promise.all([few.start(), peer.start()]);
  await cluster.settled();
  const first = await few.connect();
  const clients = await Promise.all(Array.from({ length: 150 }, () => RespClient.open(few.port)));
  t.teardown(() => clients.forEach((client) => client.close()));
  await waitFor('those beyond are closed', () => clients.filter(({ isClosed }) => isClosed).length > 90, WAIT_MS);
  const refused = await RespClient.open(few.port);
  const reply = await refused.command('PING').catch((error: unknown) => error);
  t.match(String(reply), /max number of clients reached|closed before/);
  await refused.closed;
  await peer.kill();
  await waitFor('the peer is gone', async () => (await first.fields('MESH', 'STATUS'))['links'] === '0');
  await peer.start();
  await waitFor('the peer is back', async () => (await first.fields('MESH', 'STATUS'))['links'] === '1', WAIT_MS);
  t.equal(typeof (await first.publish('news', 'x', 'ACKS', 'all')), 'number', 'and the store works');
  const lines = few.logged('client refused, there are too many; peers are let in');
  t.ok(lines.length >= 1 && lines.length < 5, `${lines.length} lines`);
  t.ok(Number(lines[0]!['clients']) > 20, `${String(lines[0]!['clients'])} clients of 100 descriptors`);
  const stay = Number(lines[0]!['clients']) - 1;
  await waitFor('as many stay as it says', () => clients.filter(({ isClosed }) => !isClosed).length <= stay, WAIT_MS);
  t.equal(clients.filter(({ isClosed }) => !isClosed).length, stay, 'and no fewer');
});
