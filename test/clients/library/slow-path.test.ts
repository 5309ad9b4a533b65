import t from 'tap';
import { type Client, connect, type Message } from '../../../clients/client.ts';
import { slowPath } from '../../support/slow-path.ts';
import { FakeBroker, publishReply, stored } from '../fake-broker.ts';

const KIB = 1024;

/** A client whose patience is far shorter than what it does takes. */
async function open(t: Parameters<typeof slowPath>[0], broker: FakeBroker, bytesPerBeat: number): Promise<Client> {
  const address = await slowPath(t, Number(broker.address.split(':')[1]), bytesPerBeat);
  const client = await connect({ brokers: address, timeoutMs: 400, connectTimeoutMs: 400, silenceMs: 100 });
  t.teardown(() => client.close());
  return client;
}

t.test('many publishes on a slow path are all acknowledged, however long they take together', async (t) => {
  const broker = await FakeBroker.start(t, publishReply());
  const client = await open(t, broker, 20 * KIB);
  const payload = 'x'.repeat(3000);
  const published = await Promise.all(Array.from({ length: 1000 }, () => client.publish('news', payload)));
  t.equal(published.length, 1000);
  t.equal(broker.asked('PUBLISH').length, 1000, 'each was sent once');
});

t.test('a large message on a slow path is acknowledged', async (t) => {
  const broker = await FakeBroker.start(t, publishReply());
  const client = await open(t, broker, 10 * KIB);
  await client.publish('news', 'x'.repeat(1000 * KIB));
  t.equal(broker.asked('PUBLISH').length, 1);
});

t.test('a large answer to a read, a poll or a reader on a slow path arrives', async (t) => {
  const large = stored(1, 'x'.repeat(1000 * KIB));
  const broker = await FakeBroker.start(t, ([name]) => (name === 'POLL' ? ['c', [large]] : null));
  const client = await open(t, broker, 10 * KIB);
  t.equal((await client.poll('news')).messages[0]!.payload.length, 1000 * KIB);
  t.equal((await client.poll('news', { cursor: 'earliest', blockMs: 5 })).messages[0]!.payload.length, 1000 * KIB);
  let message: Message | undefined;
  for await (const each of client.subscribe('news', { from: 'earliest', limit: 1 })) message = each;
  t.equal(message?.payload.length, 1000 * KIB);
  t.equal(broker.asked('POLL').length, 3, 'each was asked for once');
});

t.test('a broker that takes everything and answers nothing is given up', async (t) => {
  const broker = await FakeBroker.start(t, () => undefined);
  const client = await connect({ brokers: broker.address, timeoutMs: 300 });
  t.teardown(() => client.close());
  // that bytes go out is no answer
  const sending = setInterval(() => void client.publish('news', 'another').catch(() => undefined), 20);
  t.teardown(() => clearInterval(sending));
  await t.rejects(client.publish('news', 'x'), { code: /UNREACHABLE|DISCONNECTED/ });
});
