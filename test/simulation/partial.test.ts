import t from 'tap';
import { SEED, SeededRandom } from '../support/random.ts';
import type { Machine } from './machine.ts';
import { FANOUT, COUNT, start, links, states, publish } from './partial.ts';
import { World } from './world.ts';

t.test('a few links each, and everything arrives everywhere, once', async (t) => {
  const world = await start();
  await world.run(3000);
  const counts = world.machines.map(links);
  t.ok(Math.max(...counts) <= 2 * FANOUT && Math.min(...counts) >= FANOUT, `links: ${counts.join()}`);
  const received = (): number[] => world.machines.map(({ broker }) => Number(broker.status()['records_received']));
  const before = received();
  for (const machine of world.machines) t.type(await publish(world, machine, `from ${machine.address}`), 'number');
  await world.converged(5000);
  t.equal(world.machines[0]!.published.length, COUNT);
  t.strictSame(world.machines.map(({ broker }) => broker.status()['records_duplicate']), world.machines.map(() => 0));
  t.strictSame(
    received().map((count, index) => count - before[index]!), world.machines.map(() => COUNT - 1),
    'one transmission per replica',
  );
});

t.test('acknowledgements come from brokers without a link, and mean what they say', async (t) => {
  const world = await start();
  const [low] = world.machines as [Machine];
  const high = world.machines.at(-1)!;
  t.type(await publish(world, low, 'all', 'ACKS', 'all'), 'number');
  for (const machine of world.machines) t.equal(machine.published.length, 1, machine.address);
  high.crash();
  t.type(await publish(world, low, 'quorum', 'ACKS', 'quorum'), 'number');
  await world.run(20_000);
  t.match(await publish(world, low, 'all but one', 'ACKS', 'all'), {
    code: 'NOQUORUM',
    message: /^stored on 15 of 16 brokers/,
  });
  await world.of(high.start());
  await world.converged();
  t.type(await publish(world, low, 'all again', 'ACKS', 'all'), 'number');
  world.partition(world.machines.slice(0, 7), world.machines.slice(7));
  t.match(await publish(world, low, 'minority', 'ACKS', 'quorum'), { code: 'NOQUORUM' });
  await world.run(5000); // until each one that has lost all its links has given them up, and has others
  t.type(await publish(world, high, 'majority', 'ACKS', 'quorum'), 'number');
  world.heal();
  await world.converged();
  t.type(await publish(world, low, 'healed', 'ACKS', 'all'), 'number');
});

t.test('an acknowledgement is never given for what a disk does not have: quorums under crashes, wiped disks and cuts', async (t) => {
  const counts = { acknowledged: 0, refused: 0, crashes: 0, wipes: 0, cuts: 0 };
  for (let seed = SEED; seed < SEED + 4; seed += 1) {
    const world = await start(seed);
    const dice = new SeededRandom(seed + 1000);
    const [publisher, ...others] = world.machines as [Machine, ...Machine[]];
    for (let round = 0; round < 40; round += 1) {
      const machine = dice.pick(others);
      const act = dice.integer(0, 4);
      if (!machine.isRunning) await world.of(machine.start());
      else if (act === 0) machine.crash();
      else if (act === 1) {
        machine.crash();
        machine.wipe();
        await world.of(machine.start());
        counts.wipes += 1;
      } else if (act === 2) {
        world.partition(
          [machine],
          dice.integer(0, 1) === 0 ? world.machines.filter((other) => other !== machine) : [dice.pick(others)],
        );
        counts.cuts += 1;
      } else if (act === 3) world.heal();
      if (act < 2) counts.crashes += 1;
      const acks = dice.pick(['quorum', 'all']);
      const payload = `round ${round}`;
      const reply = await publish(world, publisher, payload, 'ACKS', acks);
      const disks = world.machines.filter(({ disk }) =>
        disk.data.batches.some(({ body }) => Buffer.from(body).toString() === payload),
      ).length;
      if (typeof reply === 'number') counts.acknowledged += 1;
      else counts.refused += 1;
      if (typeof reply === 'number' && disks < (acks === 'all' ? COUNT : COUNT / 2 + 1)) {
        t.fail(`seed ${seed}, ${payload}: ${acks} with ${disks} disks`);
      }
      await world.run(dice.integer(0, 500));
    }
    world.heal();
    for (const machine of world.machines) if (!machine.isRunning) await world.of(machine.start());
    await world.converged();
    for (const machine of world.machines) {
      if (String(machine.records()) !== String(publisher.records())) t.fail(`seed ${seed}: ${machine.address} differs`);
    }
    t.type(await publish(world, publisher, 'last', 'ACKS', 'all'), 'number', `seed ${seed}: and then all are counted`);
  }
  t.ok(counts.acknowledged > 40 && Object.values(counts).every((count) => count > 5), JSON.stringify(counts));
});

for (const fanout of [undefined, FANOUT]) {
  const mesh = fanout === undefined ? 'a full mesh' : `fan-out ${fanout}`;
  const begin = (): Promise<World> => World.start(SEED, 8, fanout === undefined ? {} : { fanout });

  t.test(
    `a broker that is silent for a while is suspected, and whatever is heard of it refutes that: ${mesh}`,
    async (t) => {
      const world = await begin();
      await world.run(5000);
      const paused = world.machines[2]!;
      const neighbours = world.machines.filter((machine) => isLinked(world, machine, paused));
      const term = paused.broker.status()['term'];
      const before = world.history.length;
      paused.pause();
      await world.run(4500);
      for (const machine of neighbours) t.equal(states(machine).get(paused.address), 'suspect', machine.address);
      paused.resume();
      await world.run(1100);
      for (const machine of neighbours) t.equal(states(machine).get(paused.address), 'alive', machine.address);
      t.notOk(
        world.history.slice(before).some((line) => line.includes('peer lost')),
        'no link was given up',
      );
      t.equal(paused.broker.status()['term'], term);
      t.ok(neighbours.length >= 2);
    },
  );

  t.test(
    `the coordinator is paused for 15 s: its links are found dead, another one leads, and it comes back without harm: ${mesh}`,
    async (t) => {
      const world = await begin();
      await world.run(5000);
      const paused = world.machines.at(-1)!;
      const others = world.machines.filter((machine) => machine !== paused);
      t.type(await publish(world, paused, 'before'), 'number');
      paused.pause();
      const next = others.at(-1)!.address;
      await world.until('the next one leads', () => others.every(({ broker }) => broker.coordinator === next), 15_000);
      t.ok(
        world.history.some((line) => line.includes('peer lost') && line.includes('silent for 10000 ms')),
        'half-open links are found',
      );
      t.type(await publish(world, others[0]!, 'meanwhile'), 'number');
      await world.run(1000);
      paused.resume();
      await world.settled(20_000);
      await world.converged();
      t.equal(paused.broker.coordinator, paused.address);
      t.equal(paused.published.length, 2);
      t.strictSame(world.incidents, []);
    },
  );
}

function isLinked(world: World, a: Machine, b: Machine): boolean {
  return [a, b].some((one) => {
    const other = one === a ? b : a;
    return world.history.some(
      (line) => line.includes(`${one.address} info peer connected`) && line.includes(`"peer":"${other.address}"`),
    );
  });
}
