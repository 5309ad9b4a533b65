/** Paths that carry little, and paths that are long. */
import t from 'tap';
import { SEED } from '../support/random.ts';
import type { Machine } from './machine.ts';
import { World } from './world.ts';

const MIB = 1024 * 1024;

/** Two brokers, with so many bytes a second between them either way. */
async function two(bytesPerSecond: number): Promise<{ world: World; low: Machine; high: Machine; since: number }> {
  const world = await World.start(SEED, 2);
  const [low, high] = world.machines as [Machine, Machine];
  await world.until('both are members', () => world.machines.every(({ broker }) => broker.status()['members'] === 2));
  world.network.narrow(low.address, high.address, bytesPerSecond);
  world.network.narrow(high.address, low.address, bytesPerSecond);
  return { world, low, high, since: world.history.length };
}

function peerState(machine: Machine): string {
  return machine.broker.brokers().find(({ state }) => state !== 'self')!.state;
}

for (const { kbits, withinMs } of [{ kbits: 500, withinMs: 75_000 }, { kbits: 2000, withinMs: 20_000 }]) {
  t.test(
    `four messages of 1 MiB over ${kbits} kbit/s arrive, and so does what follows; nobody is suspect, no home moves`,
    async (t) => {
      const { world, low, high, since } = await two(kbits * 125);
      const client = await world.client(low);
      for (let number = 0; number < 4; number += 1) {
        await world.of(client.command('PUBLISH', 'big', String(number).repeat(MIB)));
      }
      await world.of(client.command('PUBLISH', 'small', 'after'));
      const begun = world.time.now;
      const states = new Set<string>();
      await world.until(
        'all of it is there',
        () => {
          for (const machine of world.machines) states.add(peerState(machine));
          return high.published.length === 5;
        },
        withinMs,
      );
      t.comment(`${kbits} kbit/s: ${Math.round((world.time.now - begun) / 100) / 10} s`);
      t.strictSame([...states], ['alive']);
      t.strictSame(
        world.history.slice(since).filter((line) => /peer lost|debug view|election started/.test(line)),
        [],
      );
      t.strictSame(world.incidents, []);
    },
  );
}

t.test('while a slow path is busy, a command gets its answer over it, a beat is soon there, and an election is held', async (t) => {
  const { world, low, high } = await two(62_500);
  const client = await world.client(low);
  for (let number = 0; number < 2; number += 1) {
    await world.of(client.command('PUBLISH', 'big', String(number).repeat(MIB)));
  }
  await world.run(5000);
  const waits: number[] = [];
  for (let number = 0; number < 10; number += 1) {
    const asked = world.time.now;
    await world.of(client.command('SUBSCRIPTION', 'GET', `s${number}`)); // half of them are at home on the other one
    waits.push(world.time.now - asked);
    await world.run(200);
  }
  t.ok(Math.max(...waits) > 20 && Math.max(...waits) < 1500, `up to ${Math.round(Math.max(...waits))} ms`);
  const seen = world.history.length;
  high.crash();
  await world.of(high.start());
  await world.settled(10_000);
  t.notOk(world.history.slice(seen).some((line) => line.includes('silent')));
  await world.until('both hold the same', () => high.published.length >= 2 && world.isConverged, 60_000);
  t.ok(low.published.length >= 2);
});

t.test('a round trip of 1.2 s: there are links, one coordinator and a home for everything, and the log stays short', async (t) => {
  const world = new World(SEED, 3);
  const [low, middle, high] = world.machines as [Machine, Machine, Machine];
  for (const [a, b] of [
    [low, middle], [low, high], [middle, high],
  ] as const) {
    world.network.remove(a.address, b.address, 1200);
  }
  for (const machine of world.machines) await world.of(machine.start());
  await world.settled(20_000);
  await world.until(
    'everybody is a member', () => world.machines.every(({ broker }) => broker.status()['members'] === 3), 20_000,
  );
  await world.run(5000);
  const since = world.history.length;
  const client = await world.client(low);
  t.type(await world.of(client.command('PUBLISH', 'news', 'x', 'ACKS', 'all')), 'number');
  for (const name of ['a', 'b', 'c', 'd']) {
    t.equal(String(await world.of(client.command('SUBSCRIPTION', 'CREATE', name))), 'OK');
  }
  await world.run(60_000);
  t.strictSame(
    world.history.slice(since).filter((line) => /info (?!message published|gossip)/.test(line)), [],
    'nothing more is said',
  );
  high.crash();
  await world.until(
    'the next one leads',
    () => low.broker.coordinator === middle.address && middle.broker.coordinator === middle.address, 20_000,
  );
  await world.run(2000);
  t.equal(
    world.history.slice(since).filter((line) => line.includes('coordinator chosen')).length, 2, 'each chooses once',
  );
  await world.of(high.start());
  await world.settled(20_000);
  t.strictSame(world.incidents, []);
});

t.test('a path that is too long for the time limit: no link, and it is said once in a while', async (t) => {
  const world = new World(SEED, 2);
  const [low, high] = world.machines as [Machine, Machine];
  world.network.remove(low.address, high.address, 8000);
  for (const machine of world.machines) await world.of(machine.start());
  await world.run(300_000);
  t.ok(
    world.history.filter((line) => / (info|warn|error) /.test(line)).length < 30,
    world.history.filter((line) => / (info|warn|error) /.test(line)).join('\n'),
  );
});
