import t from 'tap';
import { RumormillError } from '../../brokers/core/error.ts';
import { BOUND, count, describe, payloads, pull, start, tokens } from '../support/virtual-queue.ts';
import type { VirtualClient } from '../support/virtual-broker.ts';

const OTHERS = Array.from({ length: 20 }, (_, number) => `m${number}`);
const publish = (topic: string, some: readonly string[]): string[] =>
  some.map((payload) => `PUBLISH ${topic} ${payload}`);

/**
 * Pulls one message at a time until all of `wanted` were acknowledged, and gives back the rest at once. Returns what
 * was pulled.
 */
async function refuse(client: VirtualClient, wanted: ReadonlySet<string>, options = 'COUNT 1'): Promise<string[]> {
  const [pulled, left] = [[] as string[], new Set(wanted)];
  while (left.size > 0 && pulled.length < 10_000) {
    const given = await pull(client, `s ${options}`);
    for (const [token, , payload] of given) {
      pulled.push(payload);
      await client.ask(`${left.delete(payload) ? 'ACK' : 'NACK'} s ${token}`);
    }
  }
  return pulled;
}

t.test('a message that is given back at once, again and again, lets the others through: every second delivery is a new one', async (t) => {
  const { client } = await start({}, ...BOUND, ...publish('a', ['poison', ...OTHERS]));
  const pulled = await refuse(client, new Set(OTHERS));
  t.strictSame(pulled.filter((payload) => payload !== 'poison'), OTHERS, 'as they are stored');
  t.ok(pulled.length <= 2 * OTHERS.length + 1, `${pulled.length} deliveries`);
});

t.test('many such messages, and among them one that would be acknowledged: nobody waits for more than each of the others once', async (t) => {
  const poison = Array.from({ length: 10 }, (_, number) => `p${number}`);
  const { client } = await start({}, ...BOUND, ...publish('a', [...poison, 'late', ...OTHERS]));
  const [late] = (await pull(client, 's COUNT 11')).slice(-1);
  t.equal(await count(client, `NACK s ${late![0]}`), 1);
  const pulled = await refuse(client, new Set(['late', ...OTHERS]), 'COUNT 3');
  t.ok(pulled.indexOf('late') < 2 * poison.length + 2, `came as number ${pulled.indexOf('late')}`);
  t.ok(pulled.length <= 2 * OTHERS.length + 4, `${pulled.length} deliveries`);
});

t.test('payloads that fill an answer leave the next one to what is new', async (t) => {
  const big = (name: string): string => name.repeat(600);
  const { client } = await start(
    { limits: { replyBytesMax: 1000, payloadBytesMax: 1000 } }, ...BOUND,
    ...publish('a', [big('x'), big('y'), big('z'), ...OTHERS]),
  );
  const pulled = await refuse(client, new Set(OTHERS), 'COUNT 100');
  t.ok(pulled.length <= 2 * OTHERS.length + 6, `${pulled.length} deliveries`);
});

t.test('consumers that die with each message: what was leased comes again between what is new', async (t) => {
  const { client, clock } = await start({}, ...BOUND, ...publish('a', ['poison', ...OTHERS]));
  const seen = new Set<string>();
  for (let deaths = 0; deaths <= 2 * OTHERS.length && seen.size < OTHERS.length; deaths += 1) {
    for (const [token, , payload] of await pull(client, 's COUNT 1')) {
      if (payload === 'poison') await clock.advance(1100);
      else await client.ask(`ACK s ${token}`);
      if (payload !== 'poison') seen.add(payload);
    }
  }
  t.equal(seen.size, OTHERS.length);
});

t.test('what is new does not hold up what is to be delivered again', async (t) => {
  const { client } = await start({}, ...BOUND, 'PUBLISH a first');
  await client.ask(`NACK s ${tokens(await pull(client, 's'))}`);
  for (let number = 0; number < 3; number += 1) {
    await client.ask(`PUBLISH a new${number}`, `PUBLISH a more${number}`);
    const [first, second] = [await pull(client, 's COUNT 1'), await pull(client, 's COUNT 1')];
    t.ok([...payloads(first), ...payloads(second)].includes('first'));
    const [again] = [...first, ...second].filter(([, , payload]) => payload === 'first');
    await client.ask(`NACK s ${again![0]}`);
  }
  t.match(await describe(client, 's'), { redelivered: 3 });
});

t.test('what is to be delivered again does not wait while the log is searched for something new', async (t) => {
  const { client, store } = await start({ limits: { tailBytesMax: 1, queueReadBytes: 1 } },
    'TOPIC CREATE d TYPE direct', 'SUBSCRIPTION CREATE s', 'BIND s d KEY red', 'PUBLISH d first KEY red');
  for (let times = 0; times < 2; times += 1) await client.ask(`NACK s ${tokens(await pull(client, 's COUNT 1'))}`);
  for (let number = 0; number < 200; number += 1) await client.ask(`PUBLISH d ${number} KEY green`);
  const reads = store.reads;
  t.strictSame(payloads(await pull(client, 's COUNT 1')), ['first'], 'though it is the turn of what is new');
  t.ok(store.reads - reads < 10, `after ${store.reads - reads} of the 200 batches`);
});

t.test('a read that fails for a PULL that is answered without it troubles nobody; the next one reads again', async (t) => {
  const { client, store } = await start(
    { limits: { tailBytesMax: 1, queueReadBytes: 1 } }, ...BOUND, ...publish('a', ['first']),
  );
  await client.ask('PUBLISH a second');
  const before = [await pull(client, 's COUNT 1'), await pull(client, 's COUNT 1')].flat();
  await client.ask(`NACK s ${tokens(before)}`);
  const { position } = store.batches.find(({ body }) => Buffer.from(body).toString() === 'second')!;
  const read = store.readAfter.bind(store);
  let refused = 0;
  store.readAfter = (after, ...rest) => {
    if (after !== position - 1 || refused > 0) return read(after, ...rest);
    refused += 1;
    return Promise.reject(new RumormillError('STORE', 'the disk cannot be read'));
  };
  t.strictSame(payloads(await pull(client, 's COUNT 3')), ['first']);
  t.equal(refused, 1);
  t.strictSame(payloads(await pull(client, 's COUNT 3')), ['second']);
});
