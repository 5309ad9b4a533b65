import t from 'tap';
import { SEED, SeededRandom } from '../support/random.ts';
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
  t.match(reply, [Buffer, [[Buffer.from(`${String(lamport)}@10.0.0.1:3000`), Buffer.from('news'), lamport, null, [], Buffer.from('hello')]]]);
  for (const machine of world.machines) t.strictSame(machine.records(), low.records());
  t.equal(low.records().length, 1);
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
  t.equal(low.records().length, 21);
  t.strictSame(middle.records(), high.records());
  t.ok(world.network.counts.held > 0 && world.network.counts.dialsLost > 0, 'the fault did happen');

  world.heal();
  await world.converged(10_000);
  await world.settled(10_000);
  for (const machine of world.machines) t.strictSame(machine.records(), low.records());
  t.equal(low.records().length, 41);
});

t.test('the coordinator crashes: a new one within 3 s; it comes back and leads in a higher term', async (t) => {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as Three;
  const term = Number(low.broker.status()['term']);
  high.crash();
  await world.until('the next one leads', () => [low, middle].every(({ broker }) => broker.coordinator === middle.address), 3000);
  t.ok(Number(low.broker.status()['term']) > term);
  await world.of(high.start());
  await world.settled(5000);
  t.ok(Number(low.broker.status()['term']) > term + 1);
});

t.test('a broker that shuts down has everything on disk that it acknowledged', async (t) => {
  const world = await World.start(SEED, 1);
  const [machine] = world.machines as [Machine];
  const client = await world.client(machine);
  const replies = Array.from({ length: 100 }, (_, number) => client.command('PUBLISH', 'news', String(number)).catch(() => null));
  await world.run(3);
  await world.of(machine.stop());
  const acknowledged = (await world.of(Promise.all(replies))).filter((reply) => typeof reply === 'number').length;
  t.ok(acknowledged > 0);
  t.equal(machine.disk.data.batches.reduce((sum, { count }) => sum + count, 0), acknowledged);
});

t.test('one seed, one history', async (t) => {
  const [first, second, other] = [await turmoil(SEED), await turmoil(SEED), await turmoil(SEED + 1)];
  t.strictSame(second.history, first.history);
  t.equal(second.time.steps, first.time.steps);
  t.strictSame(second.network.counts, first.network.counts);
  t.strictNotSame(other.history, first.history);
});

t.test('turmoil: cuts and crashes lose nothing that was acknowledged, and afterwards all have the same', async (t) => {
  const counts = { crashes: 0, held: 0, resets: 0, cutOff: 0, survived: 0 };
  for (let seed = SEED; seed < SEED + 20; seed += 1) {
    const { machines, network, history, acknowledged } = await turmoil(seed);
    const payloads = machines[0]!.disk.data.batches.map(({ body }) => Buffer.from(body).toString());
    const lost = acknowledged.filter((payload) => !payloads.includes(payload));
    if (lost.length > 0) t.fail(`seed ${seed}: lost ${lost.join()}`);
    if (new Set(payloads).size !== payloads.length) t.fail(`seed ${seed}: something is there twice`);
    for (const machine of machines) if (String(machine.records()) !== String(machines[0]!.records())) t.fail(`seed ${seed}: ${machine.address} differs`);
    counts.crashes += history.filter((line) => line.endsWith(' crash')).length;
    counts.held += network.counts.held;
    counts.resets += network.counts.resets;
    for (const { disk } of machines) {
      counts.cutOff += disk.counts.cutOff;
      counts.survived += disk.counts.survived;
    }
  }
  t.ok(Object.values(counts).every((count) => count > 0), `the faults did happen: ${JSON.stringify(counts)}`);
});

/** Publishes, cuts, crashes and restarts as the dice fall, then heals all and waits until all is quiet. */
async function turmoil(seed: number): Promise<World & { readonly acknowledged: string[] }> {
  const world = await World.start(seed, 3);
  const dice = new SeededRandom(seed + 1_000_000);
  const acknowledged: string[] = [];
  for (let round = 0; round < 30; round += 1) {
    const machine = dice.pick(world.machines);
    const others = world.machines.filter((other) => other !== machine);
    if (!machine.isRunning) await world.of(machine.start());
    const act = dice.integer(0, 5);
    if (act === 0) world.partition([machine], dice.integer(0, 1) === 0 ? others : others.slice(1));
    else if (act === 1) world.heal();
    else await publishSome(world, machine, `round ${round}`, act === 2, acknowledged);
    await world.run(dice.integer(1, 2000));
  }
  world.heal();
  for (const machine of world.machines) if (!machine.isRunning) await world.of(machine.start());
  await world.converged();
  await world.settled();
  return Object.assign(world, { acknowledged });
}

/** Publishes a few messages, and crashes the broker in the middle of it if that is wanted. */
async function publishSome(world: World, machine: Machine, name: string, crash: boolean, acknowledged: string[]): Promise<void> {
  const client = await world.client(machine);
  const replies = Array.from({ length: 3 }, async (_, number) => {
    const payload = `${name} ${number}`;
    if (typeof (await client.command('PUBLISH', `topic ${number}`, payload)) === 'number') acknowledged.push(payload);
  });
  const answered = Promise.allSettled(replies); // those of a broker that crashes are not
  if (crash) {
    await world.run(world.random.integer(0, 10));
    machine.crash();
  }
  await world.of(answered);
}
