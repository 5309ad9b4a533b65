/**
 * Messages that are put off, by NACK ... DELAY or by BACKOFF, and what becomes of that when brokers restart, die and
 * have wrong clocks.
 */
import t from 'tap';
import { RumormillError } from '../../brokers/core/error.ts';
import { ManualClock } from '../support/manual-clock.ts';
import type { MemoryStore } from '../support/memory-store.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';
import { BOUND, count, describe, payloads, pull, start, tokens } from '../support/virtual-queue.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const publish = (count: number): string[] => Array.from({ length: count }, (_, number) => `PUBLISH a ${number}`);

/** A broker on the same disk, or on a copy of it as a crash leaves it. Its wall clock is off by so much. */
async function again(store: MemoryStore, clock: ManualClock, wallAheadMs = 0) {
  const next = new ManualClock();
  next.wall = clock.wall + wallAheadMs;
  const virtual = await VirtualBroker.start({}, store, () => 7, [], next);
  return { virtual, clock: next, client: virtual.connect(), store };
}

async function stop({ virtual, clock }: { virtual: VirtualBroker; clock: ManualClock }): Promise<void> {
  const stopping = virtual.broker.stop();
  await clock.advance(10_000);
  await stopping;
}

t.test('2,000 messages are put off, and the broker is killed or stopped: none comes before, and all come then', async (t) => {
  for (const isKilled of [true, false]) {
    const first = await start({}, ...BOUND, ...publish(2000));
    const records = first.store.batches.length;
    t.equal(
      await count(first.client, `NACK s ${tokens(await pull(first.client, 's COUNT 2000'))} DELAY ${MINUTE}`),
      2000,
    );
    const [record, more] = first.store.batches.slice(records);
    t.strictSame([record!.topic, record!.count, more], ['$acks', 1, undefined]);
    t.ok(record!.body.length < 500, `a record of ${record!.body.length} bytes`);
    await first.clock.advance(10_000);
    if (!isKilled) await stop(first);
    const second = await again(isKilled ? first.store.copy() : first.store, first.clock);
    t.match(
      await describe(second.client, 's'), { backlog: 0, delayed: 2000, in_flight: 0 }, 'before anybody asks for them',
    );
    t.match(await second.client.ask('SUBSCRIPTION PENDING s COUNT 1'), [[[null, '', 1, Number, 'delayed']]]);
    t.strictSame(await pull(second.client, 's'), []);
    await second.clock.advance(MINUTE - 30_000);
    t.strictSame(await pull(second.client, 's'), []);
    await second.client.ask('PUBLISH a new');
    t.strictSame(payloads(await pull(second.client, 's')), ['new'], 'they hold up nothing');
    await second.clock.advance(20_000);
    const come = await pull(second.client, 's COUNT 2100');
    t.strictSame(
      come.filter(([, , payload]) => payload !== 'new').map(([, deliveries, payload]) => [deliveries, payload]),
      Array.from({ length: 2000 }, (_, at) => [2, String(at)]),
    );
  }
});

t.test('messages that were put off for different times come at their times, however often the broker restarts', async (t) => {
  const first = await start({}, ...BOUND, ...publish(5));
  for (const [at, [token]] of (await pull(first.client, 's')).entries()) {
    await first.client.ask(`NACK s ${token} DELAY ${(at + 1) * 10_000}`);
  }
  let life: { virtual: VirtualBroker; clock: ManualClock; client: typeof first.client; store: MemoryStore } = first;
  const beginning = first.clock.wall;
  const came: [string, number][] = [];
  for (let lives = 0; lives < 8; lives += 1) {
    if (lives % 3 === 0) await stop(life);
    life = await again(lives % 3 === 0 ? life.store : life.store.copy(), life.clock);
    for (let steps = 0; steps < 5; steps += 1) {
      for (const [token, , payload] of await pull(life.client, 's')) {
        came.push([payload, Math.floor((life.clock.wall - beginning) / 10_000)]);
        await life.client.ask(`ACK s ${token}`);
      }
      await life.clock.advance(1000);
    }
  }
  t.strictSame(
    came,
    [
      ['0', 1], ['1', 2], ['2', 3], ['3', 4], ['4', 5],
    ].filter(([, at]) => Number(at) * 10_000 <= life.clock.wall - beginning),
  );
  t.ok(came.length >= 4);
});

t.test('a lease that runs out and waits for its BACKOFF waits on at the next home, and the count goes on', async (t) => {
  const first = await start({}, ...BOUND, 'SUBSCRIPTION UPDATE s BACKOFF 10000', 'PUBLISH a 1');
  await pull(first.client, 's');
  await first.clock.advance(1200); // the lease has run out
  const second = await again(first.store.copy(), first.clock);
  t.strictSame(await pull(second.client, 's'), []);
  await second.clock.advance(10_000);
  t.strictSame((await pull(second.client, 's')).map(([, deliveries]) => deliveries), [2]);
  await second.clock.advance(1200);
  const third = await again(second.store.copy(), second.clock);
  await third.clock.advance(18_000);
  t.strictSame(await pull(third.client, 's'), [], 'the second backoff is twice as long');
  await third.clock.advance(2000);
  t.strictSame((await pull(third.client, 's')).map(([, deliveries]) => deliveries), [3]);
});

t.test('a wall clock that is wrong after a restart: nothing waits for longer than it was put off for, for ever least of all', async (t) => {
  for (const wrong of [-50 * 365 * 24 * HOUR, -HOUR, 60_000, 100 * 365 * 24 * HOUR]) {
    const first = await start({}, ...BOUND, 'PUBLISH a 1');
    await first.client.ask(`NACK s ${tokens(await pull(first.client, 's'))} DELAY ${MINUTE}`);
    let life = await again(first.store.copy(), first.clock, wrong);
    for (let lives = 0; lives < 3; lives += 1) { // clocks go on from there
      await life.clock.advance(18_000);
      life = await again(life.store.copy(), life.clock);
    }
    await life.clock.advance(12_000);
    t.strictSame(payloads(await pull(life.client, 's')), ['1'], `${wrong} ms ahead`);
  }
});

t.test('what was put off is not when it was acknowledged, purged or delivered again since', async (t) => {
  const first = await start({}, ...BOUND, ...publish(3));
  const [one, two, three] = await pull(first.client, 's');
  await first.client.ask(`ACK s ${one![0]}`, `NACK s ${two![0]} ${three![0]} DELAY 5000`);
  await first.clock.advance(5100);
  const due = await pull(first.client, 's');
  t.strictSame(payloads(due), ['1', '2']);
  await first.client.ask(`NACK s ${due[0]![0]}`, `NACK s ${due[1]![0]} DELAY ${HOUR}`);
  const second = await again(first.store.copy(), first.clock);
  t.strictSame(
    (await pull(second.client, 's')).map(([, deliveries, payload]) => [deliveries, payload]), [[3, '1']],
    'an attempt that did not wait counts too',
  );
  t.equal(await count(second.client, 'PURGE s'), 0);
  t.match(await describe(second.client, 's'), { delayed: 0, in_flight: 0 });
  const third = await again(second.store.copy(), second.clock);
  t.match(await describe(third.client, 's'), { delayed: 0, backlog: 0 });
});

t.test('NACK is answered when it is on disk; a full disk does not keep it from being put off here', async (t) => {
  const { virtual, client, clock, store } = await start({}, ...BOUND, ...publish(2));
  const [one, two] = await pull(client, 's');
  const release = store.hold();
  client.send(`NACK s ${one![0]} DELAY 5000`);
  t.strictSame(await client.replies(), [], 'not before');
  release();
  t.strictSame(await client.replies(), [1 - client.before]);
  store.failures.push(new RumormillError('DISKFULL', 'no room'));
  t.equal(await count(client, `NACK s ${two![0]} DELAY 5000`), 1);
  t.strictSame(await pull(virtual.connect(), 's'), []);
  await clock.advance(1000); // there is room
  const next = await again(store.copy(), clock);
  t.strictSame(await pull(next.client, 's'), []);
});

t.test('what was put off is handed over, and on', async (t) => {
  const first = await start({}, ...BOUND, ...publish(2));
  await first.client.ask(`NACK s ${tokens(await pull(first.client, 's'))} DELAY 60000`);
  const second = await again(first.store.copy(), first.clock);
  t.match(await describe(second.client, 's'), { delayed: 2 });
  const { queues } = second.virtual.broker;
  for (const handover of await queues.giveUp(() => false)) queues.takeOver(handover);
  t.match(await describe(second.client, 's'), { delayed: 2, backlog: 0 });
  t.notOk(second.virtual.warnings.some((event) => event.includes('not understood')));
  await second.clock.advance(60_000);
  t.strictSame(payloads(await pull(second.client, 's')), ['0', '1']);
});

t.test('a subscription whose messages never fail writes nothing of it', async (t) => {
  const { client, store, clock } = await start({}, ...BOUND, ...publish(100));
  await client.ask(`ACK s ${tokens(await pull(client, 's'))}`);
  await clock.advance(6000);
  const said = store.batches.filter(({ topic }) => topic === '$acks').map(({ body }) => Buffer.from(body).toString());
  for (const text of [...said, ...store.acks.values()]) t.notMatch(text, /"[wat]":/);
});

t.test('more that is put off than may be leased: the rest waits too', async (t) => {
  const first = await start({}, ...BOUND, ...publish(5));
  await first.client.ask(`NACK s ${tokens(await pull(first.client, 's'))} DELAY 60000`);
  const clock = new ManualClock();
  clock.wall = first.clock.wall;
  const client = (
    await VirtualBroker.start({ limits: { leasesMax: 3 } }, first.store.copy(), () => 7, [], clock)
  ).connect();
  t.match(await client.ask('PULL s'), [/^-LIMIT/]);
  await clock.advance(60_000);
  const some = await pull(client, 's COUNT 5');
  t.equal(some.length, 3);
  await client.ask(`ACK s ${tokens(some)}`);
  t.equal((await pull(client, 's COUNT 5')).length, 2);
});
