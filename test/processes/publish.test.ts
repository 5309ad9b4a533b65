import t from 'tap';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import type { RespClient as Client } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';

t.test('published here, read there: all pairs', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const clients = await Promise.all(cluster.brokers.map((broker) => broker.connect()));
  // a POLL that waits holds up its connection
  const readers = await Promise.all(cluster.brokers.map((broker) => broker.connect()));
  for (const [from, publisher] of clients.entries()) {
    for (const [to, reader] of readers.entries()) {
      const topic = `${from} to ${to}`;
      const { cursor } = await reader.poll([topic], 'latest');
      const waiting = reader.poll([topic], cursor, 'BLOCK', 5000);
      const lamport = await publisher.publish(topic, `hello from ${from}`);
      t.strictSame((await waiting).payloads, [`hello from ${from}`], topic);
      t.ok(lamport > 0);
    }
  }
  await cluster.converged(9);
  const lists = await Promise.all(clients.map((client) => client.command('RANGE', '0 to 1')));
  t.strictSame(lists[1], lists[0], 'the same message, id and all, everywhere');
  t.strictSame(lists[2], lists[0]);
  const { records_duplicate: duplicates } = await cluster.brokers[0]!.status();
  t.equal(duplicates, '0', 'nothing was sent twice');
});

t.test('SUBSCRIBE and PSUBSCRIBE are pushed what is published on another broker', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [publisher, subscriber] = (await Promise.all(cluster.brokers.map((broker) => broker.connect()))) as [
    Client,
    Client,
  ];
  t.strictSame(await subscriber.command('SUBSCRIBE', 'news'), [Buffer.from('subscribe'), Buffer.from('news'), 1]);
  t.strictSame(await subscriber.command('PSUBSCRIBE', 'sport.*'), [
    Buffer.from('psubscribe'), Buffer.from('sport.*'), 2,
  ]);
  await publisher.publish('other', 'not for you');
  await publisher.publish('news', 'one');
  await publisher.publish('sport.chess', 'two');
  const [one, two] = [await subscriber.next(), await subscriber.next()];
  t.strictSame(one, ['message', 'news', 'one'].map((text) => Buffer.from(text)));
  t.strictSame(two, ['pmessage', 'sport.*', 'sport.chess', 'two'].map((text) => Buffer.from(text)));
  t.equal(subscriber.hasReply, false);
});

t.test('a publish wakes the POLLs of its topic and no others', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [here, there] = cluster.brokers as [Broker, Broker];
  const [publisher, news, both, other] = [
    await here.connect(), await there.connect(), await there.connect(), await there.connect(),
  ];
  const waiting = [
    news.poll(['news'], 'latest', 'BLOCK', 60_000),
    both.poll(['sport', 'news'], 'latest', 'BLOCK', 60_000),
  ];
  other.send('POLL', 'other', 'BLOCK', 60_000);
  await waitFor('three wait', async () => (await there.status())['waiters'] === '3');
  await publisher.publish('news', 'hello');
  for (const polled of await Promise.all(waiting)) t.strictSame(polled.payloads, ['hello']);
  t.equal((await there.status())['waiters'], '1');
  t.equal(other.hasReply, false);
  const timedOut = await publisher.poll(['quiet'], 'latest', 'BLOCK', 50);
  t.strictSame(timedOut.payloads, []);
  await publisher.publish('quiet', 'at last');
  t.strictSame(
    (await publisher.poll(['quiet'], timedOut.cursor)).payloads, ['at last'],
    'the cursor of a POLL that timed out is good',
  );
});

t.test('keys, headers and bytes arrive as they were sent', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [publisher, reader] = await Promise.all(cluster.brokers.map((broker) => broker.connect())) as [Client, Client];
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  const { cursor } = await reader.poll(['raw'], 'latest');
  const waiting = reader.command('POLL', 'raw', 'CURSOR', cursor, 'BLOCK', 5000);
  const lamport = await publisher.publish('raw', bytes, 'KEY', 'k', 'HEADER', 'name', 'värde', 'HEADER', 'name', '');
  const reply = await waiting;
  const expected = [
    Buffer.from(`${lamport}@${cluster.brokers[0]!.address}`), Buffer.from('raw'), lamport, Buffer.from('k'),
    ['name', 'värde', 'name', ''].map((text) => Buffer.from(text)), bytes,
  ];
  t.strictSame(Array.isArray(reply) && reply[1], [expected]);
  t.strictSame(await reader.command('LATEST', 'raw'), expected);
});
