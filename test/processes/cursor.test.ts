import t from 'tap';
import { Cluster } from '../support/cluster.ts';
import type { RespClient as Client } from '../support/resp-client.ts';

const EACH = 200; // messages a broker

t.test('a reader that goes round the brokers with its cursor, while publishing goes on, misses nothing and is sent nothing twice', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const publishers = await Promise.all(cluster.brokers.map((broker) => broker.connect()));
  const readers = await Promise.all(cluster.brokers.map((broker) => broker.connect()));
  const publishing = Promise.all(publishers.map((publisher, index) => publishMany(publisher, String(index))));

  const seen: string[] = [];
  let cursor = 'earliest';
  for (let turn = 0; seen.length < 3 * EACH; turn += 1) {
    const polled = await readers[turn % 3]!.poll(['news'], cursor, 'COUNT', 7, 'BLOCK', 2000);
    cursor = polled.cursor;
    seen.push(...polled.payloads);
    if (turn > 30 * EACH) throw new Error(`only ${seen.length} messages after ${turn} turns`);
  }
  await publishing;
  await cluster.converged(3 * EACH);
  t.equal(new Set(seen).size, seen.length, 'nothing twice');
  for (const index of ['0', '1', '2']) {
    const expected = Array.from({ length: EACH }, (_, number) => `${index} ${number}`);
    t.strictSame(
      seen.filter((payload) => payload.startsWith(index)), expected, 'nothing missed, in the order of its publisher',
    );
  }
  for (const reader of readers) {
    t.strictSame((await reader.poll(['news'], cursor)).payloads, [], 'at the end, on every broker');
  }
  t.ok(cursor.length < 300, `the cursor has ${cursor.length} characters`);
});

t.test('no subscriber sees an answer before its question, wherever it reads', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const [asker, answerer, reader] = (await Promise.all(cluster.brokers.map((broker) => broker.connect()))) as [
    Client, Client, Client,
  ];
  let [asked, seen] = ['latest', 'earliest'];
  for (let number = 0; number < 20; number += 1) {
    asked = (await answerer.poll(['talk'], asked)).cursor;
    await asker.publish('talk', `question ${number}`);
    let polled = await answerer.poll(['talk'], asked, 'BLOCK', 5000);
    asked = polled.cursor;
    await answerer.publish('talk', polled.payloads[0]!.replace('question', 'answer'));
    const pair: string[] = [];
    while (pair.length < 2) {
      polled = await reader.poll(['talk'], seen, 'BLOCK', 5000);
      if (polled.payloads.length === 0) throw new Error(`only ${JSON.stringify(pair)} came`);
      seen = polled.cursor;
      pair.push(...polled.payloads);
    }
    t.strictSame(pair, [`question ${number}`, `answer ${number}`]);
  }
});

t.test('a mangled cursor is an error', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const client = await cluster.brokers[0]!.connect();
  const { cursor } = await client.poll(['news'], 'latest');
  for (const mangled of [cursor.slice(1), `${cursor}A`, 'nonsense', '']) {
    t.match(
      await client.command('POLL', 'news', 'CURSOR', mangled), { code: 'ERR', message: /is not a cursor/ }, mangled,
    );
  }
  t.strictSame((await client.poll(['news'], cursor)).payloads, []);
});

async function publishMany(publisher: Client, name: string): Promise<void> {
  for (let number = 0; number < EACH; number += 1) await publisher.publish('news', `${name} ${number}`);
}
