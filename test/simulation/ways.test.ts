/** Ways round: some pairs of brokers cannot reach each other, and others reach both. */
import t from 'tap';
import { homeOf } from '../../brokers/core/home/view.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { SEED } from '../support/random.ts';
import type { VirtualClient } from './client.ts';
import type { Machine } from './machine.ts';
import { World } from './world.ts';

/** A mesh, and for each of its brokers a subscription that is at home there. */
async function office(count: number): Promise<{ world: World; names: string[] }> {
  const world = await World.start(SEED, count);
  const members = world.machines.map(({ address }) => address);
  await world.until('everybody is a member', () =>
    world.machines.every(({ broker }) => broker.status()['members'] === count),
  );
  const view = { coordinator: members[0]!, term: 1, number: 1, members };
  const names = members.map((member) =>
    Array.from({ length: 200 }, (_, index) => `work-${index}`).find((name) => homeOf(name, view) === member)!,
  );
  const client = await world.client(world.machines[0]!);
  for (const name of names) await world.of(client.command('SUBSCRIPTION', 'CREATE', name));
  await world.converged();
  await world.run(1000);
  return { world, names };
}

/** How long a command took. @throws what was answered, where that is an error */
async function timeOf(world: World, client: VirtualClient, name: string): Promise<number> {
  const since = world.time.now;
  const reply = await world.of(client.command('SUBSCRIPTION', 'GET', name));
  if (reply instanceof RumormillError) throw reply;
  return world.time.now - since;
}

function cut(world: World, a: Machine, b: Machine): void {
  world.partition([a], [b]);
}

for (const [low, high] of [[0, 2], [0, 1], [1, 2]] as const) {
  t.test(
    `three brokers, the pair ${low + 1}-${high + 1} is cut: the third one passes commands on, within a second from the first`,
    async (t) => {
      const { world, names } = await office(3);
      const [a, b] = [world.machines[low]!, world.machines[high]!];
      const clients = [await world.client(a), await world.client(b)];
      cut(world, a, b);
      const longest = { atOnce: 0, later: 0 };
      for (const end = world.time.now + 20_000; world.time.now < end; await world.run(150)) {
        const isFirst = end - world.time.now > 15_000;
        for (const client of clients) {
          for (const name of names) {
            const ms = await timeOf(world, client, name);
            if (isFirst) longest.atOnce = Math.max(longest.atOnce, ms);
            else longest.later = Math.max(longest.later, ms);
          }
        }
      }
      t.ok(longest.atOnce < 1000, `${Math.round(longest.atOnce)} ms while the cut is not found yet`);
      t.ok(longest.later < 1000, `${Math.round(longest.later)} ms afterwards`);
      t.comment(JSON.stringify(longest));
      world.heal();
      await world.settled();
      await world.run(5000);
      for (const client of clients) for (const name of names) t.ok((await timeOf(world, client, name)) < 100);
      t.strictSame(world.incidents, []);
    },
  );
}

t.test('of five brokers only a chain is left: commands go along it, and back', async (t) => {
  const { world, names } = await office(5);
  const { machines } = world;
  for (const [index, machine] of machines.entries()) {
    for (const other of machines.slice(index + 2)) cut(world, machine, other);
  }
  await world.run(30_000); // homes may move meanwhile
  for (const machine of machines) {
    const client = await world.client(machine);
    for (const name of names) t.ok(await timeOf(world, client, name) < 1000, `${name} at ${machine.address}`);
  }
  t.strictSame(world.incidents, []);
});

t.test('a path that becomes slow behind much that is under way is gone around, in both directions, and is used again when it carries', async (t) => {
  const { world, names } = await office(3);
  const [, a, b] = world.machines as [Machine, Machine, Machine];
  const [publisher, ...clients] = [await world.client(b), await world.client(a), await world.client(b)];
  await world.of(publisher.command('TOPIC', 'CREATE', 'jobs'));
  const publish = (count: number): Promise<unknown> =>
    world.of(
      Promise.all(Array.from({ length: count }, () => publisher.command('PUBLISH', 'jobs', 'x'.repeat(20_000)))),
    );
  for (let round = 0; round < 5; round += 1) await publish(40); // so that much is sent ahead
  for (const [from, to] of [[a, b], [b, a]] as const) world.network.narrow(from.address, to.address, 2000);
  await publish(20);
  await world.run(3000);
  let longest = 0;
  for (const end = world.time.now + 20_000; world.time.now < end; await world.run(150)) {
    for (const client of clients) {
      for (const name of names) longest = Math.max(longest, await timeOf(world, client, name));
    }
  }
  t.ok(longest < 1000, `${Math.round(longest)} ms`);
  world.heal();
  await world.run(300_000);
  for (const client of clients) for (const name of names) t.ok(await timeOf(world, client, name) < 100);
  t.strictSame(world.incidents, []);
});

t.test('a home that shuts down hands its leases over to the next one, and says what it had stored, though those two have no link', async (t) => {
  const { world } = await office(3);
  const [low, middle, high] = world.machines as [Machine, Machine, Machine];
  const view = (members: readonly Machine[]) => ({
    coordinator: high.address, term: 1, number: 1, members: members.map(({ address }) => address),
  });
  const isMoving = (name: string): boolean =>
    homeOf(name, view([low, middle, high])) === middle.address && homeOf(name, view([low, high])) === low.address;
  const name = Array.from({ length: 200 }, (_, index) => `work-${index}`).find(isMoving)!;
  const client = await world.client(high);
  await world.of(client.command('TOPIC', 'CREATE', 'jobs'));
  await world.of(client.command('SUBSCRIPTION', 'CREATE', name));
  await world.of(client.command('BIND', name, 'jobs'));
  cut(world, low, middle);
  await world.until('the link is lost', () => low.broker.status()['links'] === 1, 20_000);
  await world.run(3000);
  for (const payload of ['one', 'two']) await world.of(client.command('PUBLISH', 'jobs', payload));
  await world.converged();
  const first = await world.of(client.command('PULL', name, 'COUNT', 1)) as [Buffer][];
  await world.of(middle.stop());
  const back = await world.of(client.command('PULL', name, 'BLOCK', 5000)) as [Buffer, number, Buffer[]][];
  t.strictSame(back.map(([, deliveries, message]) => [String(message[5]), deliveries]), [['two', 1]], 'one is leased');
  t.equal(await world.of(client.command('ACK', name, ...[...first, ...back].map(([token]) => String(token)))), 2);
});

t.test('in a mesh in which every pair has a link, nobody beats or seeks', async (t) => {
  const { world } = await office(4);
  let beats = 0;
  world.network.watch = (_, to, bytes) => {
    if (to.startsWith('10.') && /MEMBERS|SEEK/.test(Buffer.from(bytes).toString('latin1'))) beats += 1;
  };
  await world.run(20_000);
  t.equal(beats, 0);
});
