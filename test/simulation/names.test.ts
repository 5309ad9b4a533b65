import t from 'tap';
import { originAddress } from '../../brokers/core/log/record.ts';
import { SEED } from '../support/random.ts';
import type { Machine } from './machine.ts';
import { World } from './world.ts';

/** Publishes a message and waits until it is on that broker's disk. */
async function publish(world: World, machine: Machine, payload: string): Promise<void> {
  const client = await world.client(machine);
  await world.of(client.command('PUBLISH', 'news', payload, 'ACKS', 'local'));
}

/** The names that a machine's stores have had, as its own disk knows them. */
function names(machine: Machine): string[] {
  return [...new Set(machine.disk.data.batches.map(({ origin }) => origin))].filter(
    (origin) => originAddress(origin) === machine.address,
  );
}

async function restart(world: World, machine: Machine): Promise<void> {
  await world.of(machine.stop());
  await world.of(machine.start());
}

for (const [count, restartsMax] of [[3, 100], [5, 20]] as const) {
  t.test(`${restartsMax} orderly restarts of one of ${count} brokers with one row dead leave one name`, async (t) => {
    const world = await World.start(SEED, count);
    const machine = world.machines[0]!;
    world.machines.at(-1)!.crash();
    await publish(world, machine, 'first');
    for (let restarts = 1; restarts <= restartsMax; restarts += 1) {
      await restart(world, machine);
      await publish(world, machine, `after ${restarts}`);
    }
    t.equal(names(machine).length, 1);
    t.equal(
      machine.published.filter(({ origin }) => originAddress(origin) === machine.address).length,
      restartsMax + 1,
    );
  });
}

t.test('brokers that stop and start together, with one row dead, keep their names', async (t) => {
  const world = await World.start(SEED, 3);
  const [one, other, dead] = world.machines as [Machine, Machine, Machine];
  dead.crash();
  for (let round = 0; round < 10; round += 1) {
    for (const machine of [one, other]) await publish(world, machine, `round ${round}`);
    await world.of(Promise.all([one.stop(), other.stop()]));
    await world.of(Promise.all([one.start(), other.start()]));
  }
  t.strictSame([one, other].map((machine) => names(machine).length), [1, 1]);
});

t.test('a row that comes back and another one that goes cost no name', async (t) => {
  const world = await World.start(SEED, 3);
  const [machine, second, third] = world.machines as [Machine, Machine, Machine];
  third.crash();
  await publish(world, machine, 'first');
  await restart(world, machine);
  await publish(world, machine, 'second');
  await world.of(third.start());
  await world.settled();
  await world.run(3000);
  second.crash();
  await restart(world, machine);
  await publish(world, machine, 'third');
  t.equal(names(machine).length, 1);
});

/**
 * A store is stopped in an orderly way and copied; it goes on and publishes; then the copy is put back and publishes.
 * One row is down all the while, and no broker that runs when the copy does has met the store that it was, but over its
 * own disk.
 */
t.test('the copy of an orderly stopped store, put back with the same row down, takes a new name', async (t) => {
  const world = await World.start(SEED, 3);
  const [machine, other, down] = world.machines as [Machine, Machine, Machine];
  down.crash();
  await publish(world, machine, 'before');
  await world.of(machine.stop());
  const copy = machine.disk.data.copy();
  await world.of(machine.start());
  const cut = [[machine, other], [other, machine]] as const;
  await world.until(
    'it may go on under its name',
    () => Number(other.disk.data.lives.get(copy.origin)?.life) === copy.lived.life + 1,
  );
  for (const [from, to] of cut) world.network.cut(from.address, to.address);
  await publish(world, machine, 'which nobody else has');
  machine.crash();
  for (const [from, to] of cut) world.network.heal(from.address, to.address);
  machine.restore(copy);
  await world.of(machine.start());
  await publish(world, machine, 'after');
  t.equal(names(machine).length, 2);
  t.strictSame(
    machine.disk.data.batches.filter(({ topic }) => topic === 'news').map(({ body }) => String(body)),
    ['before', 'after'],
  );
});

t.test('of a stopped store and its copy, the one that starts first goes on under the name', async (t) => {
  const world = await World.start(SEED, 3);
  const [machine, , down] = world.machines as [Machine, Machine, Machine];
  down.crash();
  await publish(world, machine, 'before');
  await world.of(machine.stop());
  const copy = machine.disk.data.copy();
  for (const [start, expected] of [['first', 1], ['second', 2]] as const) {
    machine.restore(copy);
    await world.of(machine.start());
    await publish(world, machine, start);
    t.equal(names(machine).length, expected, start);
    machine.crash();
  }
});
