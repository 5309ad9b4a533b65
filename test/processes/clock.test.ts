import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { COUNTER_SENSE_MAX } from '../../brokers/core/counter.ts';
import { LAMPORT_MAX } from '../../brokers/core/log/lamport.ts';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import type { RespClient } from '../support/resp-client.ts';
import { DIST } from '../support/root.ts';
import { execute, read } from '../support/sqlite.ts';
import { waitFor } from '../support/wait.ts';

const BEYOND =
  'the stored Lamport clock or term is beyond sense: stop all brokers, run each once with --mend-clock, and start them again';

/** What `broker --mend-clock` prints for a broker that does not run. */
async function mend(cluster: Cluster, { port }: Broker): Promise<string> {
  const flags = [
    '--host', '127.0.0.1', '--port', String(port), '--data-dir', join(cluster.folder, 'data'), '--mend-clock',
  ];
  return (await promisify(execFile)(process.execPath, [join(DIST, 'brokers/broker.js'), ...flags])).stdout;
}

async function ids(client: RespClient, ...command: (string | number)[]): Promise<string[]> {
  return ((await client.command('RANGE', 'news', ...command)) as Buffer[][]).map((message) => String(message[0]));
}

t.test('clients that ask for it all the time take the clocks of a fresh mesh by no more than real time allows', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  const { lamportSavedFirst, lamportPerSecondMax } = DEFAULT_LIMITS;
  const clients = [await low.connect(), await high.connect()];
  for (const jump of [LAMPORT_MAX, COUNTER_SENSE_MAX, 2 ** 33, 2 ** 32]) {
    t.match(await clients[0]!.command('PUBLISH', 'news', 'x', 'LAMPORT', jump), {
      code: 'ERR',
      message:
        /^LAMPORT \d+ is \d+ ahead of this broker's \d+, which follows publishers by 1048576 a second, \d+ now; nothing was stored$/,
    });
  }
  let time = 0;
  for (let round = 0; round < 2000; round += 1) {
    const client = clients[round % 2]!;
    for (const step of [2 ** 32, 2 ** 24, 2 ** 20, 2 ** 16]) {
      try {
        time = await client.publish('news', 'x', 'LAMPORT', time + step);
      } catch {
        continue; // more than there was
      }
    }
  }
  for (const broker of [low, high]) {
    const { lamport, uptime_ms: uptimeMs } = await broker.status();
    // two brokers' publishers, and the messages
    const most = 2 * (lamportSavedFirst + (lamportPerSecondMax * (Number(uptimeMs) + 1000)) / 1000) + 10_000;
    t.ok(Number(lamport) <= most, `${lamport} is not above ${most}`);
    t.ok(Number(lamport) > lamportSavedFirst);
  }
});

t.test('timestamps of sixteen digits are published, read, ordered and remembered exactly', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  const begin = LAMPORT_MAX - 2000;
  await Promise.all([low.stop(), high.stop()]);
  for (const { file } of [low, high]) await execute(file, `UPDATE broker SET lamport = ${begin}, term = ${begin}`);
  await Promise.all([low.start(), high.start()]);
  await cluster.settled();
  const [client, other] = [await low.connect(), await high.connect()];
  const first = await client.publish('news', 'one', 'ACKS', 'all');
  t.ok(first > begin && first < LAMPORT_MAX);
  const second = await other.publish('news', 'two', 'LAMPORT', first + 7, 'ACKS', 'all');
  t.ok(second >= first + 8, `${second}`);
  const third = await client.publish('news', 'three', 'LAMPORT', second + 1, 'ACKS', 'all');
  const [one, two, three] = [`${first}@${low.address}`, `${second}@${high.address}`, `${third}@${low.address}`];
  for (const each of [client, other]) {
    t.strictSame(await ids(each, 'FROM', first, 'TO', third), [one, two, three]);
    t.strictSame(await ids(each, 'FROM', first + 1, 'TO', third - 1), [two]);
    t.strictSame(await ids(each, 'FROM', second, 'TO', LAMPORT_MAX), [two, three]);
    t.strictSame(await ids(each, 'FROM', third + 1, 'REV'), []);
    t.equal(String(((await each.command('LATEST', 'news')) as Buffer[])[0]), three);
    t.match(await each.command('RANGE', 'news', 'FROM', '9007199254740992'), { code: 'ERR' });
    t.match(await each.command('PUBLISH', 'news', 'x', 'LAMPORT', '9007199254740993'), { code: 'ERR' });
  }
  const { cursor, payloads } = await client.poll(['news'], 'earliest', 'COUNT', 1);
  t.strictSame((await other.poll(['news'], cursor)).payloads.concat(payloads).sort(), ['one', 'three', 'two']);
  await low.stop();
  t.strictSame(await read(low.file, 'SELECT max(lamport) AS n FROM batches'), [{ n: third }]);
  await low.start();
  t.ok(Number((await low.status())['lamport']) > third);
});

t.test('a clock and a term beyond sense are told at the start, count to their end and no further, and --mend-clock sets them back', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  const before = await (await low.connect()).publish('news', 'before', 'ACKS', 'all');
  await Promise.all([low.stop(), high.stop()]);
  for (const { file } of [low, high]) {
    await execute(file, `UPDATE broker SET lamport = ${LAMPORT_MAX}, term = ${LAMPORT_MAX}`);
  }
  await Promise.all([low.start(), high.start()]);
  await cluster.settled();
  for (const broker of [low, high]) {
    t.match(broker.logged(BEYOND), [{ level: 'error', lamport: LAMPORT_MAX, term: LAMPORT_MAX }]);
    const client = await broker.connect();
    for (const acks of ['none', 'all']) {
      t.match(await client.command('PUBLISH', 'news', 'x', 'ACKS', acks), {
        code: 'ERR',
        message: /^the Lamport clock has come to its end, 9007199254740991; nothing was stored/,
      });
    }
    t.strictSame((await client.poll(['news'], 'earliest')).payloads, ['before'], 'reads go on');
    const status = await broker.status();
    t.strictSame([status['lamport'], status['term']], [String(LAMPORT_MAX), String(LAMPORT_MAX)]);
  }
  await t.rejects(mend(cluster, low), { message: /another broker is running on data folder/ });
  await Promise.all([low.stop(), high.stop()]);
  for (const broker of [low, high]) {
    t.equal(
      await mend(cluster, broker),
      `${broker.address}: Lamport clock ${LAMPORT_MAX} set to ${before}, that of the newest record; term ${LAMPORT_MAX} set to 0\n`,
    );
  }
  await Promise.all([low.start(), high.start()]);
  await cluster.settled();
  const after = await (await high.connect()).publish('news', 'after', 'ACKS', 'all');
  t.ok(after > before && after < before + 1000);
  t.ok(Number((await low.status())['term']) < 100);
  await waitFor('all of it is everywhere', async () => (await low.messages()) === 2);
});

t.test('--mend-clock makes no store where there is none, and says which records it cannot mend', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const [broker] = cluster.brokers as [Broker];
  await t.rejects(mend(cluster, { port: broker.port + 1 } as Broker), { message: /there is no broker.db in / });
  await broker.stop();
  await execute(broker.file, `UPDATE broker SET lamport = ${LAMPORT_MAX - 100}`);
  await broker.start();
  const last = await (await broker.connect()).publish('news', 'far ahead');
  await broker.stop();
  t.match(
    await mend(cluster, broker),
    `. Records with timestamps beyond sense are stored, and those cannot be mended: ${LAMPORT_MAX - last} timestamps are left\n`,
  );
  t.match(await read(broker.file, 'SELECT lamport, term FROM broker'), [{ lamport: last, term: 0 }]);
});

t.test('one broker with an absurd clock is refused, and the others count on', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const [low, middle, high] = cluster.brokers as [Broker, Broker, Broker];
  await low.stop();
  await execute(low.file, `UPDATE broker SET lamport = ${COUNTER_SENSE_MAX + 1}`);
  await low.start();
  const refused = (): boolean =>
    [middle, high].every(
      (broker) =>
        broker.logged('peer refused').some(({ reason }) => /Lamport clock is further ahead/.test(String(reason))) ||
        broker.logged('refused by a peer').length > 0,
    );
  await waitFor('it is refused', () => refused() || low.logged('refused by a peer').length > 0);
  const time = await (await middle.connect()).publish('news', 'x', 'ACKS', 'quorum');
  t.ok(time < 1e6, `${time}`);
  await low.stop();
  await mend(cluster, low);
  await low.start();
  await cluster.settled();
  await cluster.converged(1);
});
