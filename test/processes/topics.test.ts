import t from 'tap';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import type { RespClient } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';

const text = (reply: unknown): unknown =>
  Buffer.isBuffer(reply) ? String(reply) : Array.isArray(reply) ? reply.map(text) : reply;
const ask = async (client: RespClient, command: string): Promise<unknown> =>
  text(await client.command(...command.split(' ')));

t.test('renamed and deleted while a broker is down: it follows, and what it had stays deleted', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const [away, here, there] = cluster.brokers as [Broker, Broker, Broker];
  await cluster.settled();
  const awayClient = await away.connect();
  for (const topic of ['a', 'gone', 'again']) await awayClient.publish(topic, `${topic} before`, 'ACKS', 'all');
  const client = await here.connect();
  await waitFor('a home', async () => (await here.status())['members'] === '3');
  t.equal(await ask(client, 'SUBSCRIPTION CREATE kept'), 'OK');
  t.equal(await ask(client, 'SUBSCRIPTION CREATE dropped'), 'OK');
  for (const topic of ['a', 'gone']) t.equal(await ask(client, `BIND kept ${topic}`), 'OK');
  await cluster.converged();
  await away.kill();
  await waitFor('its subscriptions are at home elsewhere', async () => (await here.status())['members'] === '2');
  for (const command of [
    'TOPIC RENAME a b', 'TOPIC DELETE gone', 'TOPIC DELETE again', 'TOPIC CREATE again TYPE direct',
    'SUBSCRIPTION DELETE dropped',
  ]) {
    t.equal(await ask(client, command), 'OK', command);
  }
  await (await there.connect()).publish('b', 'b after');
  await away.start();
  await cluster.converged();
  for (const broker of cluster.brokers) {
    const each = await broker.connect();
    t.strictSame(await ask(each, 'TOPIC LIST'), ['again', 'b']);
    t.strictSame(await ask(each, 'SUBSCRIPTION LIST'), ['kept']);
    t.strictSame(await ask(each, 'BINDINGS'), [['kept', 'b', null]]);
    t.strictSame((await each.poll(['a'], 'earliest')).payloads, ['a before', 'b after']);
    t.strictSame((await each.poll(['gone', 'again'], 'earliest')).payloads, []);
    const described = (await ask(each, 'TOPIC GET again')) as unknown[];
    t.strictSame(described.slice(0, 6), ['topic', 'again', 'type', 'direct', 'messages', 0]);
  }
});
