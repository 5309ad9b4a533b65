import t from 'tap';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { waitFor } from '../support/wait.ts';

t.test('a broker that was killed keeps its messages, its Lamport clock and its term', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const broker = cluster.brokers[0]!;
  const before = await broker.connect();
  let last = 0;
  for (let number = 0; number < 10; number += 1) last = await before.publish('news', `message ${number}`);
  const [status, vector] = [await broker.status(), await broker.vector()];
  await broker.kill();
  await broker.start();
  t.strictSame(await broker.vector(), vector);
  const after = await broker.status();
  t.equal(after['origin'], status['origin']);
  t.ok(Number(after['lamport']) >= last);
  await waitFor('it leads again', async () => (await broker.leader()) === broker.address);
  t.ok(Number((await broker.status())['term']) > Number(status['term']), 'with a term of its own');
  const client = await broker.connect();
  t.ok(await client.publish('news', 'message 10') > last);
  const { payloads } = await client.poll(['news'], 'earliest');
  t.strictSame(payloads, Array.from({ length: 11 }, (_, number) => `message ${number}`));
});

t.test('a broker that was away is brought up to date and is sent nothing twice', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const [away, here, there] = cluster.brokers as [Broker, Broker, Broker];
  const [awayClient, hereClient] = [await away.connect(), await here.connect()];
  const { cursor } = await awayClient.poll(['news'], 'latest');
  await awayClient.publish('news', 'a', 'ACKS', 'all');
  await away.kill();
  await Promise.all(Array.from({ length: 3 }, async (_, number) => {
    const client = await there.connect();
    for (let count = 0; count < 100; count += 1) await client.publish('news', `${number} ${count}`);
  }));
  await hereClient.publish('news', 'b');
  await away.start();
  await cluster.converged(302);
  const client = await away.connect();
  const { payloads } = await client.poll(['news'], cursor, 'COUNT', 1000);
  t.equal(payloads.length, 302);
  t.equal(new Set(payloads).size, 302);
  t.equal(payloads[0], 'a');
});

t.test('SIGTERM while publishing: exit 0 within 5 s, and everything acknowledged is on disk', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const broker = cluster.brokers[0]!;
  const publisher = await broker.connect();
  let acknowledged = 0;
  const publishing = (async () => {
    for (;;) {
      await publisher.publish('news', String(acknowledged));
      acknowledged += 1;
    }
  })();
  const refused = t.rejects(publishing, {
    message: /^this broker is shutting down; nothing was stored$|^the connection was closed/,
  });
  await waitFor('some are acknowledged', () => acknowledged > 50);
  broker.signal('SIGTERM');
  t.equal(await broker.exit(5000), 0);
  await refused;
  await broker.start();
  const reader = await broker.connect();
  const reply = await reader.command('RANGE', 'news', 'COUNT', 10_000);
  t.ok(Array.isArray(reply) && reply.length >= acknowledged, `${acknowledged} acknowledged`);
});

t.test('SIGINT with readers waiting and subscribers listening: they get their answer, then exit 0', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const broker = cluster.brokers[0]!;
  const [waiting, listening] = [await broker.connect(), await broker.connect()];
  await listening.command('SUBSCRIBE', 'news');
  const polled = waiting.poll(['news'], 'latest', 'BLOCK', 60_000);
  await waitFor('the reader waits', async () => (await broker.status())['waiters'] === '1');
  broker.signal('SIGINT');
  t.equal(await broker.exit(5000), 0);
  t.strictSame((await polled).payloads, []);
  await listening.closed;
});
