import t from 'tap';
import { SEED } from '../support/random.ts';
import type { VirtualClient } from './client.ts';
import type { Machine } from './machine.ts';
import { World } from './world.ts';

type Three = [Machine, Machine, Machine];

t.test('a publish through a client reaches all, and whoever waits for it', async (t) => {
  const world = await World.start(SEED, 3);
  const [low, , high] = world.machines as Three;
  const [publisher, reader] = [await world.client(low), await world.client(high)];
  const polling = reader.command('POLL', 'news', 'BLOCK', 10_000);
  await world.until('the reader waits', () => high.broker.status()['waiters'] === 1);
  const published = world.time.now;
  const lamport = await world.of(publisher.command('PUBLISH', 'news', 'hello', 'ACKS', 'all'));
  t.type(lamport, 'number');
  const reply = await world.of(polling);
  t.ok(world.time.now - published < 50, 'at once');
  t.match(reply, [
    Buffer,
    [[Buffer.from(`${String(lamport)}@10.0.0.1:3000`), Buffer.from('news'), lamport, null, [], Buffer.from('hello')]],
  ]);
  for (const machine of world.machines) t.strictSame(machine.records(), low.records());
  t.equal(low.published.length, 1);
});

t.test('both sides of a partition keep what they accept, and when it heals all have everything', async (t) => {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as Three;
  const [left, right] = [await world.client(low), await world.client(high)];
  const publish = async (client: VirtualClient, payload: string): Promise<void> => {
    t.type(await world.of(client.command('PUBLISH', 'news', payload)), 'number', payload);
  };
  await publish(left, 'before');
  await world.converged();

  world.partition([low], [middle, high]);
  for (let number = 0; number < 20; number += 1) {
    await publish(left, `left ${number}`);
    await publish(right, `right ${number}`);
    await world.run(1000);
  }
  t.equal(low.broker.coordinator, low.address, 'each side has a coordinator');
  t.equal(middle.broker.coordinator, high.address);
  t.equal(low.published.length, 21);
  t.strictSame(middle.records(), high.records());
  t.ok(world.network.counts.held > 0 && world.network.counts.dialsLost > 0, 'the fault did happen');

  world.heal();
  await world.converged(10_000);
  await world.settled(10_000);
  for (const machine of world.machines) t.strictSame(machine.records(), low.records());
  t.equal(low.published.length, 41);
});

t.test('the coordinator crashes: a new one within 3 s; it comes back and leads in a higher term', async (t) => {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as Three;
  const term = Number(low.broker.status()['term']);
  high.crash();
  await world.until(
    'the next one leads', () => [low, middle].every(({ broker }) => broker.coordinator === middle.address), 3000,
  );
  t.ok(Number(low.broker.status()['term']) > term);
  await world.of(high.start());
  await world.settled(5000);
  t.ok(Number(low.broker.status()['term']) > term + 1);
});

t.test('a broker that shuts down has everything on disk that it acknowledged', async (t) => {
  const world = await World.start(SEED, 1);
  const [machine] = world.machines as [Machine];
  const client = await world.client(machine);
  const replies = Array.from({ length: 100 }, (_, number) =>
    client.command('PUBLISH', 'news', String(number)).catch(() => null),
  );
  await world.run(3);
  await world.of(machine.stop());
  const acknowledged = (await world.of(Promise.all(replies))).filter((reply) => typeof reply === 'number').length;
  t.ok(acknowledged > 0);
  t.equal(machine.disk.data.batches.reduce((sum, { count }) => sum + count, 0), acknowledged);
});
