import t from 'tap';
import { SEED, SeededRandom } from '../support/random.ts';
import { FANOUT, COUNT, start, links, states, publish } from './partial.ts';
import { World } from './world.ts';

t.test('brokers die, come back, are cut off and return: everything arrives, one leads, links stay few', async (t) => {
  for (let seed = SEED; seed < SEED + 2; seed += 1) {
    const world = await start(seed);
    const dice = new SeededRandom(seed + 2000);
    let published = 0;
    for (let round = 0; round < 40; round += 1) {
      const machine = dice.pick(world.machines);
      const act = dice.integer(0, 4);
      if (!machine.isRunning) await world.of(machine.start());
      else if (act === 0 && world.running.length > 3) machine.crash();
      else if (act === 1) {
        const side = new Set(world.machines.filter(() => dice.integer(0, 1) === 0));
        world.partition([...side], world.machines.filter((each) => !side.has(each)));
      } else if (act === 2) world.heal();
      if (typeof await publish(world, dice.pick(world.running), `round ${round}`) === 'number') published += 1;
      await world.run(dice.integer(0, 3000));
    }
    world.heal();
    for (const machine of world.machines) if (!machine.isRunning) await world.of(machine.start());
    await world.converged();
    await world.settled();
    await world.run(30_000);
    t.equal(published, 40, `seed ${seed}`);
    t.equal(
      new Set(world.machines.map((machine) => String(machine.records()))).size, 1, `seed ${seed}: all have the same`,
    );
    const counts = world.machines.map(links);
    t.ok(Math.max(...counts) <= 2 * FANOUT + 2, `seed ${seed}: links ${counts.join()}`);
    for (const machine of world.machines) {
      t.strictSame(
        new Set(states(machine).values()), new Set(['self', 'alive']),
        `seed ${seed}: ${machine.address} knows that all live`,
      );
      t.equal(machine.broker.coordinator, world.machines.at(-1)!.address);
    }
  }
});

t.test('a death is heard of everywhere, and so is a return', async (t) => {
  const world = await start();
  await world.run(5000);
  const gone = world.machines[5]!;
  gone.crash();
  const others = world.machines.filter((machine) => machine !== gone);
  await world.until(
    'all know that it is dead', () => others.every((machine) => states(machine).get(gone.address) === 'dead'), 40_000,
  );
  await world.of(gone.start());
  await world.until(
    'all know that it lives', () => others.every((machine) => states(machine).get(gone.address) === 'alive'), 10_000,
  );
  t.strictSame(new Set(states(gone).values()), new Set(['self', 'alive']));
});

t.test('a broker that is invited and knows one other is learned by all', async (t) => {
  const world = new World(SEED, COUNT, { fanout: FANOUT });
  const joiner = world.machines.pop()!;
  for (const machine of world.machines) await world.of(machine.start());
  await world.settled();
  await world.run(1000);
  await world.founded();
  await world.of((await world.client(world.machines[7]!)).command('MESH', 'INVITE', joiner.address));
  world.machines.push(joiner);
  joiner.rows = [world.machines[3]!.address, joiner.address];
  await world.of(joiner.start());
  await world.until(
    'all have heard of it, and it of all',
    () =>
      world.machines.every(
        (machine) =>
          states(machine).size === COUNT &&
          [...states(machine).values()].every((state) => state === 'alive' || state === 'self'),
      ),
    10_000,
  );
  await publish(world, joiner, 'hello');
  await world.converged();
  t.ok(links(joiner) >= FANOUT);
});
