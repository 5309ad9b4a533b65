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
  t.test(`four messages of 1 MiB over ${kbits} kbit/s arrive, and so does what follows; nobody is suspect, no home moves`, async (t) => {
    const { world, low, high, since } = await two(kbits * 125);
    const client = await world.client(low);
    for (let number = 0; number < 4; number += 1) await world.of(client.command('PUBLISH', 'big', String(number).repeat(MIB)));
    await world.of(client.command('PUBLISH', 'small', 'after'));
    const begun = world.time.now;
    const states = new Set<string>();
    await world.until('all of it is there', () => {
      for (const machine of world.machines) states.add(peerState(machine));
      return high.disk.data.batches.length === 5;
    }, withinMs);
    t.comment(`${kbits} kbit/s: ${Math.round((world.time.now - begun) / 100) / 10} s`);
    t.strictSame([...states], ['alive']);
    t.strictSame(world.history.slice(since).filter((line) => /peer lost|debug view|election started/.test(line)), []);
    t.strictSame(world.incidents, []);
  });
}

t.test('while a slow path is busy, a command gets its answer over it, a beat is soon there, and an election is held', async (t) => {
  const { world, low, high } = await two(62_500);
  const client = await world.client(low);
  for (let number = 0; number < 2; number += 1) await world.of(client.command('PUBLISH', 'big', String(number).repeat(MIB)));
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
  await world.until('both hold the same', () => high.disk.data.batches.length >= 2 && world.isConverged, 60_000);
  t.ok(low.disk.data.batches.length >= 2);
});
