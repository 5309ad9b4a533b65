/** What the simulation has found, each reduced to the few acts that it takes. */
import t from 'tap';
import { SEED } from '../support/random.ts';
import { Ledger } from './ledger.ts';
import type { Machine } from './machine.ts';
import { World } from './world.ts';

type Three = [Machine, Machine, Machine];

async function three(): Promise<{ world: World; low: Machine; middle: Machine; high: Machine }> {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as Three;
  return { world, low, middle, high };
}

t.test('a peer says how much it holds of a restored store only when all that it was sent of it is on disk', async (t) => {
  const { world, low, middle, high } = await three();
  const client = await world.client(low);
  await world.of(client.command('PUBLISH', 'news', 'before', 'ACKS', 'all'));
  const backup = low.disk.data.copy();
  world.partition([low], [middle]);
  high.pause();
  high.disk.slowWritesMs = 500;
  await world.of(client.command('PUBLISH', 'news', 'lost'));
  await world.run(100);
  low.crash();
  low.restore(backup);
  world.heal();
  await world.of(low.start());
  await world.run(50);
  high.resume();
  await world.run(50);
  await world.of((await world.client(low)).command('PUBLISH', 'news', 'new'));
  await world.run(3000);
  t.strictSame(new Ledger(world.diskLog).violations, []);
});

t.test('a term is on disk before anything is sent that bears it, on a full disk too', async (t) => {
  const { world, low, middle, high } = await three();
  await world.run(1000);
  Object.assign(middle.disk, { isFull: true, isFullForClock: true });
  high.crash();
  await world.run(5000);
  const told = low.broker.coordinator === middle.address ? Number(low.broker.status()['term']) : 0;
  middle.crash();
  const [, saved] = middle.disk.data.clocks.at(-1) ?? [0, 0];
  t.ok(saved >= told, `the lower broker was told of term ${told}, the winner has term ${saved} on disk`);
});

t.test('a repeated dedupe id is acknowledged with the level that was asked for', async (t) => {
  const { world, low, middle, high } = await three();
  const client = await world.client(low);
  world.partition([low], [middle, high]);
  t.match(await world.of(client.command('PUBLISH', 'news', 'x', 'ID', 'x', 'ACKS', 'quorum')), { code: 'NOQUORUM' });
  t.match(await world.of(client.command('PUBLISH', 'news', 'x', 'ID', 'x', 'ACKS', 'quorum')), { code: 'NOQUORUM' });
});
