import t from 'tap';
import { SEED } from '../support/random.ts';
import type { VirtualClient } from './client.ts';
import type { Machine } from './machine.ts';
import { ask, nameAt, plain, pulled, tokens } from './office.ts';
import { World } from './world.ts';

type Three = [Machine, Machine, Machine];

/**
 * Three brokers that have installed the first view, a client of each, and a subscription of topic `jobs` with its home
 * at the highest.
 */
async function office(name: (machines: Three) => string, settings: (string | number)[] = []) {
  const world = await World.start(SEED, 3);
  const machines = world.machines as Three;
  await world.until('everybody is a member', () => machines.every(({ broker }) => broker.status()['members'] === 3));
  const subscription = name(machines);
  const [low, middle, high] = [
    await world.client(machines[0]), await world.client(machines[1]), await world.client(machines[2]),
  ];
  t.equal(await ask(world, low, 'TOPIC', 'CREATE', 'jobs'), 'OK');
  t.equal(
    await ask(world, low, 'SUBSCRIPTION', 'CREATE', subscription, ...settings), 'OK', 'a short answer comes through',
  );
  t.equal(await ask(world, low, 'BIND', subscription, 'jobs'), 'OK', 'the home waits until it knows the topic');
  return { world, machines, subscription, low, middle, high };
}

t.test('any broker answers for the home, errors and arity too', async (t) => {
  const { world, subscription, low, middle, high } = await office((machines) => nameAt(machines, machines[2]));
  for (const client of [low, middle, high]) {
    const reply = await ask(world, client, 'SUBSCRIPTION', 'GET', subscription) as string[];
    t.equal(reply[reply.indexOf('home') + 1], '10.0.0.3:3000');
    t.equal(await ask(world, client, 'BIND', subscription, 'nowhere'), 'NOTFOUND topic "nowhere"');
    t.match(await ask(world, client, 'PULL'), /^ERR wrong number of arguments for PULL/);
    t.equal(await ask(world, client, 'ACK', subscription, 'mangled'), 0);
  }
  await ask(world, low, 'PUBLISH', 'jobs', 'one');
  await ask(world, low, 'PUBLISH', 'jobs', 'two');
  await world.converged();
  const [first, second] = [
    await ask(world, low, 'PULL', subscription, 'COUNT', 1),
    await ask(world, middle, 'PULL', subscription),
  ];
  t.strictSame([...pulled(first), ...pulled(second)], [['one', 1], ['two', 1]], 'each to one consumer');
  t.equal(await ask(world, high, 'ACK', subscription, ...tokens(first), ...tokens(second)), 2);
  t.strictSame(await ask(world, high, 'PULL', subscription), []);
});

t.test('a PULL that waits moves with the home, when that crashes, within 3 s; what was acknowledged is not delivered again', async (t) => {
  const { world, machines, subscription, low, middle } = await office((all) => nameAt(all, all[2], all[2], all[1]));
  await ask(world, low, 'PUBLISH', 'jobs', 'one', 'ACKS', 'all');
  const first = await ask(world, low, 'PULL', subscription);
  t.equal(await ask(world, low, 'ACK', subscription, ...tokens(first)), 1);
  await world.converged();
  const waiting = low.command('PULL', subscription, 'BLOCK', 20_000);
  await world.run(100);
  machines[2].crash();
  await ask(world, middle, 'PUBLISH', 'jobs', 'two');
  const since = world.time.now;
  t.strictSame(pulled(plain(await world.of(waiting))), [['two', 1]]);
  t.ok(world.time.now - since < 3000, `after ${Math.round(world.time.now - since)} ms`);
});

t.test('a home that shuts down hands its leases over: nothing is leased twice, and the tokens stay good', async (t) => {
  const { world, machines, subscription, low } = await office((all) => nameAt(all, all[1], all[1], all[0]));
  await ask(world, low, 'PUBLISH', 'jobs', 'one');
  await ask(world, low, 'PUBLISH', 'jobs', 'two');
  await world.converged();
  const first = await ask(world, low, 'PULL', subscription, 'COUNT', 1);
  await world.of(machines[1].stop());
  const back = await ask(world, low, 'PULL', subscription);
  t.strictSame(pulled(back), [['two', 1]]);
  t.equal(await ask(world, low, 'ACK', subscription, ...tokens(first), ...tokens(back)), 2);
});

t.test('a broker that joins gets its share of homes, with their leases and acknowledgements', async (t) => {
  const { world, machines, subscription, low, middle } = await office((all) => nameAt(all, all[2], all[2], all[1]));
  machines[2].crash();
  await world.until(
    'two members',
    () => machines[0].broker.status()['members'] === 2 && machines[1].broker.status()['members'] === 2,
  );
  for (const payload of ['one', 'two', 'three']) await ask(world, low, 'PUBLISH', 'jobs', payload);
  const [done, held] = [
    await ask(world, low, 'PULL', subscription, 'COUNT', 1),
    await ask(world, low, 'PULL', subscription, 'COUNT', 1),
  ];
  t.equal(await ask(world, low, 'ACK', subscription, ...tokens(done)), 1);
  await world.of(machines[2].start());
  await world.until('three members', () => machines.every(({ broker }) => broker.status()['members'] === 3));
  const reply = await ask(world, middle, 'SUBSCRIPTION', 'GET', subscription) as (string | number)[];
  t.strictSame([reply[reply.indexOf('home') + 1], reply[reply.indexOf('in_flight') + 1]], ['10.0.0.3:3000', 1]);
  t.strictSame(pulled(await ask(world, middle, 'PULL', subscription)), [['three', 1]], 'one is done, two is leased');
  t.equal(await ask(world, low, 'ACK', subscription, ...tokens(held)), 1);
});

t.test('a topic that a first publish made can be bound at once through the same broker', async (t) => {
  const { world, machines, subscription, low } = await office((all) => nameAt(all, all[2]));
  machines[2].disk.slowWritesMs = 300;
  await ask(world, low, 'PUBLISH', 'fresh', 'before');
  t.equal(await ask(world, low, 'BIND', subscription, 'fresh'), 'OK');
  await ask(world, low, 'PUBLISH', 'fresh', 'after');
  await world.converged();
  t.strictSame(
    pulled(await ask(world, low, 'PULL', subscription)), [['after', 1]],
    'latest begins behind what was published before',
  );
});

t.test('without a link of its own to the home a broker asks through the coordinator', async (t) => {
  const { world, machines, subscription, low } = await office((all) => nameAt(all, all[1]));
  await ask(world, low, 'PUBLISH', 'jobs', 'one');
  await world.converged();
  world.partition([machines[0]], [machines[1]]);
  await world.until('the link is lost', () => machines[0].broker.status()['links'] === 1);
  await world.run(1000);
  t.strictSame(pulled(await ask(world, low, 'PULL', subscription)), [['one', 1]]);
});

t.test('while no home can be reached the answer is TRYAGAIN after the stated time, and PULL is given up with its client', async (t) => {
  const world = new World(SEED, 2, { limits: { homeTimeoutMs: 20, viewCatchUpMs: 20 } });
  const [low, high] = world.machines as [Machine, Machine];
  world.partition([low], [high]); // so that its dials hang, and it does not yet lead alone
  await world.of(low.start());
  const client = await world.client(low);
  const since = world.time.now;
  t.match(
    await ask(world, client, 'PULL', 'work'),
    /^TRYAGAIN home of subscription "work": no coordinator has said where it is after 20 ms/,
  );
  t.ok(world.time.now - since < 300);
  world.heal();
  await world.of(high.start());
  await world.until('a view', () => low.broker.status()['members'] === 2);
  t.match(await ask(world, client, 'PULL', 'work'), 'NOTFOUND subscription "work"');
});

t.test('in a mesh that is larger than its fan-out, commands find their way to the home and back', async (t) => {
  const world = await World.start(SEED, 12, { fanout: 2 });
  await world.until('everybody is a member', () =>
    world.machines.every(({ broker }) => broker.status()['members'] === 12),
  );
  const clients: VirtualClient[] = [];
  for (const machine of world.machines) clients.push(await world.client(machine));
  t.equal(await ask(world, clients[0]!, 'TOPIC', 'CREATE', 'jobs'), 'OK');
  const names = Array.from({ length: 12 }, (_, index) => `work-${index}`);
  for (const name of names) {
    t.equal(await ask(world, clients[0]!, 'SUBSCRIPTION', 'CREATE', name, 'FROM', 'earliest'), 'OK');
    t.equal(await ask(world, clients[0]!, 'BIND', name, 'jobs'), 'OK');
  }
  await ask(world, clients[0]!, 'PUBLISH', 'jobs', 'one');
  await world.converged();
  const homes = new Set<unknown>();
  for (const [index, name] of names.entries()) {
    const reply = await ask(world, clients[index]!, 'SUBSCRIPTION', 'GET', name) as unknown[];
    homes.add(reply[reply.indexOf('home') + 1]);
    t.strictSame(pulled(await ask(world, clients[(index + 5) % 12]!, 'PULL', name, 'BLOCK', 5000)), [['one', 1]], name);
  }
  t.ok(homes.size > 4, `${homes.size} homes`);
  t.ok(world.machines.every(({ broker }) => Number(broker.status()['links']) < 11), 'it is no full mesh');
});

t.test('a PULL that has waited at its home for long goes on like one that has just come, when that says that the subscription is not there any more', async (t) => {
  const { world, subscription, low, middle } = await office((all) => nameAt(all, all[2]));
  const waiting = low.command('PULL', subscription, 'BLOCK', 60_000);
  await world.run(10_000);
  t.equal(await ask(world, middle, 'SUBSCRIPTION', 'DELETE', subscription), 'OK');
  t.equal(plain(await world.of(waiting)), `NOTFOUND subscription "${subscription}"`);
});

t.test('a coordinator that was paused does not take itself for the only one when it goes on', async (t) => {
  const { world, machines } = await office((all) => nameAt(all, all[0]));
  const [, , high] = machines;
  t.equal(high.broker.coordinator, high.address);
  high.pause();
  await world.run(5000);
  high.resume();
  await world.run(3000);
  t.equal(high.broker.coordinator, high.address, 'it leads on');
  t.strictSame(
    world.history.filter((line) => line.includes(`debug view`) && line.includes(`"members":"${high.address}"`)),
    [],
  );
});

t.test('a home that shuts down and is back before anybody has said that it is gone gets its leases back', async (t) => {
  const { world, machines, subscription, low } = await office((all) => nameAt(all, all[1], all[1], all[0]));
  await ask(world, low, 'PUBLISH', 'jobs', 'one');
  await ask(world, low, 'PUBLISH', 'jobs', 'two');
  await world.converged();
  const first = await ask(world, low, 'PULL', subscription, 'COUNT', 1, 'BLOCK', 5000);
  await world.of(machines[1].stop());
  await world.of(machines[1].start());
  const back = await ask(world, low, 'PULL', subscription, 'BLOCK', 5000);
  t.strictSame(pulled(back), [['two', 1]], 'one is leased');
  t.equal(await ask(world, low, 'ACK', subscription, ...tokens(first), ...tokens(back)), 2);
});

t.test('while answers wait for room on the link, nothing more is carried out for that peer; then everything is', async (t) => {
  const world = await World.start(SEED, 2, { limits: { pathWindowBytesStart: 8192, pathWindowBytesMax: 8192 } });
  const [here, home] = world.machines as [Machine, Machine];
  await world.until('both are members', () => world.machines.every(({ broker }) => broker.status()['members'] === 2));
  const subscription = nameAt(world.machines, home);
  const clients = [await world.client(here), await world.client(here), await world.client(here)] as const;
  const there = await world.client(home);
  await ask(world, there, 'TOPIC', 'CREATE', 'jobs');
  await ask(world, there, 'SUBSCRIPTION', 'CREATE', subscription);
  await ask(world, there, 'BIND', subscription, 'jobs');
  const payloads = ['one', 'two', 'three'].map((word) => word.padEnd(10_000));
  for (const payload of payloads) await ask(world, there, 'PUBLISH', 'jobs', payload);
  await world.converged();
  const inFlight = async (): Promise<unknown> => {
    const reply = await ask(world, there, 'SUBSCRIPTION', 'GET', subscription) as unknown[];
    return reply[reply.indexOf('in_flight') + 1];
  };
  world.network.cut(home.address, here.address);
  const pulls = [];
  for (const client of clients) {
    pulls.push(client.command('PULL', subscription, 'COUNT', 1));
    await world.run(100);
  }
  t.equal(await inFlight(), 1, 'the answer to the first one waits');
  world.network.heal(home.address, here.address);
  for (const [index, pull] of pulls.entries()) {
    t.strictSame(pulled(plain(await world.of(pull))), [[payloads[index], 1]]);
  }
  t.equal(await inFlight(), 3);
});
