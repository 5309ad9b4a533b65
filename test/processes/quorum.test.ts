import t from 'tap';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import type { RespClient as Client } from '../support/resp-client.ts';

t.test('quorum and all count the configured brokers, alive or not', async (t) => {
  const cluster = await Cluster.start(t, 3, { 'ack-timeout': '1.5' });
  const [broker, second, third] = cluster.brokers as [Broker, Broker, Broker];
  const [quorum, all, local] = [await broker.connect(), await broker.connect(), await broker.connect()] as [
    Client, Client, Client,
  ];
  for (const acks of ['none', 'local', 'quorum', 'all']) t.ok(await all.publish('news', acks, 'ACKS', acks) > 0, acks);

  await third.kill();
  t.ok(await quorum.publish('news', 'two of three', 'ACKS', 'quorum') > 0, 'two of three are a quorum');
  const incomplete = all.publish('news', 'all but one', 'ACKS', 'all');
  await t.rejects(incomplete, {
    code: 'NOQUORUM',
    message: 'stored on 2 of 3 brokers after 1500 ms; it may still be delivered',
  });

  await second.kill();
  let answered = false;
  const pending = quorum.publish('news', 'alone', 'ACKS', 'quorum').finally(() => (answered = true));
  t.ok(await local.publish('news', 'meanwhile', 'ACKS', 'local') > 0, 'meanwhile');
  t.notOk(answered, 'nobody else is held up');
  const first = await local.publish('news', 'with an id', 'ID', 'x', 'ACKS', 'local');
  const again = all.publish('news', 'again', 'ID', 'x', 'ACKS', 'quorum');
  await Promise.all([
    t.rejects(pending, {
      code: 'NOQUORUM',
      message: 'stored on 1 of 3 brokers after 1500 ms; it may still be delivered',
    }),
    t.rejects(again, { code: 'NOQUORUM' }, 'a repeat is acknowledged no sooner than a publish'),
  ]);
  t.equal(await local.publish('news', 'again', 'ID', 'x', 'ACKS', 'local'), first);

  await Promise.all([second.start(), third.start()]);
  await cluster.settled();
  await cluster.converged(9);
  const reader = await third.connect();
  const { payloads } = await reader.poll(['news'], 'earliest');
  t.strictSame(
    [...payloads].sort(),
    ['all', 'all but one', 'alone', 'local', 'meanwhile', 'none', 'quorum', 'two of three', 'with an id'],
    'it was delivered',
  );
  const other = await second.connect();
  t.equal(await other.publish('news', 'again', 'ID', 'x', 'ACKS', 'all'), first, 'elsewhere too');
  t.ok(await quorum.publish('news', 'together again', 'ACKS', 'all') > 0);
});
