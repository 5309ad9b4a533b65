import t from 'tap';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { waitFor } from '../support/wait.ts';

t.test('the coordinator of three is killed: a new one within 3 s; it comes back, catches up and leads again', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const [low, middle, high] = cluster.brokers as [Broker, Broker, Broker];
  const publisher = await low.connect();
  await publisher.publish('news', 'before');
  await cluster.converged(1);
  const termBefore = Number((await low.status())['term']);

  await high.kill();
  await waitFor('a new coordinator', async () => {
    return (await low.leader()) === middle.address && (await middle.leader()) === middle.address;
  }, 3000);
  const termBetween = Number((await low.status())['term']);
  t.ok(termBetween > termBefore, 'of a higher term');
  for (const payload of ['between 1', 'between 2']) await publisher.publish('news', payload);

  await high.start();
  await cluster.settled();
  t.ok(Number((await low.status())['term']) > termBetween, 'of a still higher term');
  await cluster.converged(3);
  const reader = await high.connect();
  t.strictSame((await reader.poll(['news'], 'earliest')).payloads, ['before', 'between 1', 'between 2']);
  for (const broker of cluster.brokers) {
    const { term, coordinator } = await broker.status();
    t.strictSame({ term, coordinator }, { term: (await high.status())['term'], coordinator: high.address });
  }
});

t.test('a coordinator that shuts down says so: nobody waits for it to come back', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  t.equal(await high.stop(), 0);
  await waitFor('the other one leads', async () => (await low.leader()) === low.address);
  t.equal(low.logged('peer left').length, 1);
  t.equal(low.logged('peer lost').length, 0);
});

t.test('the log tells the story: election, coordinator, publish, gossip, each with the Lamport timestamp', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  const publisher = await low.connect();
  const lamport = await publisher.publish('news', 'hello');
  await cluster.converged(1);
  const told = (broker: Broker, event: string): unknown => broker.logged(event).at(-1)?.['lamport'];
  t.ok(Number(told(high, 'election started')) > 0);
  t.ok(Number(told(low, 'coordinator chosen')) > 0);
  t.equal(low.logged('coordinator chosen').at(-1)?.['coordinator'], high.address);
  t.equal(told(low, 'message published'), lamport);
  t.equal(told(high, 'gossip received'), lamport);
});
