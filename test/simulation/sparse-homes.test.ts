/** Homes in meshes in which each broker has links with some of the others only. */
import t from 'tap';
import { SEED } from '../support/random.ts';
import type { VirtualClient } from './client.ts';
import type { Machine } from './machine.ts';
import { ask, nameAt, pulled, tokens } from './office.ts';
import { World } from './world.ts';

const [COUNT, FANOUT] = [7, 2];

/** Whether two brokers have a link, as the one of them says. */
function areLinked(world: World, a: Machine, b: Machine): boolean {
  const isAbout = (line: string): boolean =>
    / (peer connected|peer lost|peer left|link replaced) /.test(line) && line.includes(`"peer":"${b.address}"`);
  const last = world.history.findLast((line) => line.split(' ')[1] === a.address && isAbout(line));
  return last !== undefined && / peer connected /.test(last);
}

interface Office {
  readonly world: World;
  /** The home of the subscription, and who is its home without it: those two have no link. */
  readonly home: Machine;
  readonly next: Machine;
  readonly other: Machine;
  readonly subscription: string;
  /** Of a third broker. */
  readonly client: VirtualClient;
}

async function join(world: World, count: number): Promise<void> {
  await world.until(
    `${count} members`, () => world.running.every(({ broker }) => broker.status()['members'] === count), 20_000,
  );
}

/** @param isLeader whether the home is the coordinator too */
async function office(seed: number, isLeader = false): Promise<Office> {
  const world = await World.start(seed, COUNT, { fanout: FANOUT });
  await join(world, COUNT);
  await world.run(3000);
  const { machines } = world;
  const leader = machines.at(-1)!;
  const pairs = machines.flatMap((home) => machines.map((next) => [home, next] as const));
  const [home, next] = pairs.find(([a, b]) =>
    a !== b && (a === leader) === isLeader && b !== leader && !areLinked(world, a, b)
    && (isLeader || !areLinked(world, a, leader)))!;
  const other = machines.find((machine) => machine !== home && machine !== next)!;
  const client = await world.client(other);
  const subscription = nameAt(machines, home, home, next);
  await ask(world, client, 'TOPIC', 'CREATE', 'jobs');
  await ask(world, client, 'SUBSCRIPTION', 'CREATE', subscription);
  await ask(world, client, 'BIND', subscription, 'jobs');
  return { world, home, next, other, subscription, client };
}

/** A broker that is back names its first record: it may take a new name, and hang up for it. */
async function named(world: World, machine: Machine): Promise<void> {
  await ask(world, await world.client(machine), 'PUBLISH', 'other', 'first');
  await world.run(3000);
}

/** One message is done, one is leased and one waits. Returns the token of the lease. */
async function work({ world, client, subscription }: Office): Promise<string> {
  for (const payload of ['done', 'held', 'new']) await ask(world, client, 'PUBLISH', 'jobs', payload);
  await world.converged();
  const pull = (): Promise<unknown> => ask(world, client, 'PULL', subscription, 'COUNT', 1);
  const [done, held] = [await pull(), await pull()];
  t.equal(await ask(world, client, 'ACK', subscription, ...tokens(done)), 1);
  return tokens(held)[0]!;
}

for (const isLeader of [false, true]) {
  const who = isLeader ? 'the coordinator' : 'a broker that the coordinator has no link with';

  t.test(`${who} shuts down: the next home has the leases, though those two have no link, within a second`, async (t) => {
    for (let seed = SEED; seed < SEED + 4; seed += 1) {
      const mesh = await office(seed, isLeader);
      const { world, home, client, subscription } = mesh;
      const held = await work(mesh);
      const since = world.time.now;
      const stopped = home.stop();
      const back = await ask(world, client, 'PULL', subscription, 'BLOCK', 20_000);
      t.strictSame(pulled(back), [['new', 1]], `seed ${seed}: one is done and one is leased`);
      t.ok(world.time.now - since < 1000, `seed ${seed}: ${Math.round(world.time.now - since)} ms`);
      await world.of(stopped);
      t.equal(await ask(world, client, 'ACK', subscription, held, ...tokens(back)), 2, 'the tokens stay good');
      t.strictSame(world.incidents, []);
    }
  });

  t.test(`${who} crashes: the next home takes over within 3 s`, async (t) => {
    for (let seed = SEED; seed < SEED + 4; seed += 1) {
      const mesh = await office(seed, isLeader);
      const { world, home, client, subscription } = mesh;
      await work(mesh);
      await world.run(seed * 777);
      home.crash();
      const since = world.time.now;
      const back = pulled(await ask(world, client, 'PULL', subscription, 'COUNT', 2, 'BLOCK', 20_000)) as [string][];
      t.ok(back.every(([payload]) => payload !== 'done'), 'what was done stays done');
      t.ok(world.time.now - since < 3000, `seed ${seed}: ${Math.round(world.time.now - since)} ms`);
    }
  });
}

t.test('what was acknowledged just before the home shuts down is not delivered again, though all other disks are slow', async (t) => {
  const { world, home, client, subscription, other } = await office(SEED);
  const others = world.machines.filter((machine) => machine !== home);
  for (const payload of ['one', 'two']) await ask(world, client, 'PUBLISH', 'jobs', payload);
  await world.converged();
  for (const { disk } of others) disk.slowWritesMs = 700;
  const first = await ask(world, client, 'PULL', subscription, 'COUNT', 1);
  t.equal(await ask(world, client, 'ACK', subscription, ...tokens(first)), 1);
  const stopped = home.stop();
  t.strictSame(pulled(await ask(world, client, 'PULL', subscription, 'BLOCK', 20_000)), [['two', 1]]);
  await world.of(stopped);
  t.ok(other.isRunning);
});

t.test('a broker that joins gets leases from members without a link with it', async (t) => {
  for (let seed = SEED; seed < SEED + 3; seed += 1) {
    const mesh = await office(seed);
    const { world, home, client, subscription } = mesh;
    home.crash();
    await join(world, COUNT - 1);
    const held = await work(mesh);
    await world.of(home.start());
    await join(world, COUNT);
    await named(world, home);
    const reply = await ask(world, client, 'SUBSCRIPTION', 'GET', subscription) as (string | number)[];
    t.strictSame([reply[reply.indexOf('home') + 1], reply[reply.indexOf('in_flight') + 1]], [home.address, 1]);
    const back = await ask(world, client, 'PULL', subscription);
    t.strictSame(pulled(back), [['new', 1]], `seed ${seed}: one is done and one is leased`);
    t.equal(await ask(world, client, 'ACK', subscription, held, ...tokens(back)), 2);
  }
});

t.test('a broker that is back at once is not held for gone, and has its leases', async (t) => {
  for (let seed = SEED; seed < SEED + 4; seed += 1) {
    const mesh = await office(seed);
    const { world, home, client, subscription } = mesh;
    const held = await work(mesh);
    await world.of(home.stop());
    await world.of(home.start());
    const isBack = (machine: Machine): boolean =>
      machine.broker.brokers().every(({ state }) => state === 'alive' || state === 'self');
    await world.until('all say that it lives', () => world.machines.every(isBack), 3000);
    await join(world, COUNT);
    await named(world, home);
    const reply = await ask(world, client, 'SUBSCRIPTION', 'GET', subscription) as unknown[];
    t.equal(reply[reply.indexOf('home') + 1], home.address);
    const back = await ask(world, client, 'PULL', subscription);
    t.strictSame(pulled(back), [['new', 1]], `seed ${seed}: one is done and one is leased`);
    t.equal(await ask(world, client, 'ACK', subscription, held, ...tokens(back)), 2);
  }
});

t.test('all shut down at once: none waits for another', async (t) => {
  const mesh = await office(SEED);
  const { world } = mesh;
  await work(mesh);
  const since = world.time.now;
  await world.of(Promise.all(world.machines.map((machine) => machine.stop())));
  t.ok(world.time.now - since < 1500, `${Math.round(world.time.now - since)} ms`);
});

t.test('a broker that one neighbour does not reach is not taken for gone', async (t) => {
  const { world, home } = await office(SEED);
  const neighbour = world.machines.slice(0, -1).find((machine) => machine !== home && areLinked(world, machine, home))!;
  const before = world.views.length;
  world.partition([home], [neighbour]);
  await world.run(40_000);
  t.notOk(areLinked(world, neighbour, home), 'the link was given up');
  t.strictSame(world.views.slice(before).filter(({ members }) => !members.includes(home.address)), []);
});

t.test('the whole mesh hears of a stop at once, and of a crash within 3 s, though nobody asks for that broker', async (t) => {
  const world = await World.start(SEED, 20, { fanout: 2 });
  await join(world, 20);
  await world.run(5000);
  const timeOf = async (what: string, isKnown: (machine: Machine) => boolean): Promise<number> => {
    const since = world.time.now;
    await world.until(what, () => world.running.every(isKnown));
    return world.time.now - since;
  };
  const [gone, lost] = [world.machines[4]!, world.machines[9]!];
  const stopped = gone.stop();
  const isDead = ({ broker }: Machine): boolean =>
    broker.brokers().some(({ address, state }) => address === gone.address && state === 'dead');
  const stopMs = await timeOf('all know of the stop', isDead);
  await world.of(stopped);
  await world.run(5000);
  lost.crash();
  const crashMs = await timeOf('all know of the crash', ({ broker }) => broker.status()['members'] === 18);
  t.ok(stopMs < 100, `stop: ${Math.round(stopMs)} ms`);
  t.ok(crashMs < 3000, `crash: ${Math.round(crashMs)} ms`);
});

t.test('a stop or a crash costs each broker a few messages, and a calm none but beats', async (t) => {
  const count = 20;
  const world = await World.start(SEED, count, { fanout: 3 });
  await join(world, count);
  await world.run(5000);
  let messages = 0;
  world.network.watch = (from, to, bytes) => {
    if (!from.startsWith('10.') || !to.startsWith('10.')) return;
    const found = Buffer.from(bytes).toString('latin1').match(
      /\r\n(MEMBERS|SEEK|VIEW|SEEN|LEASES|TAKEN|ELECTION|OK|COORDINATOR)\r\n/g,
    );
    messages += found?.length ?? 0;
  };
  const during = async (act: () => void): Promise<number> => {
    messages = 0;
    act();
    await world.run(5000);
    return messages;
  };
  const [gone, lost] = [world.machines[4]!, world.machines[9]!];
  const calm = await during(() => undefined);
  const stop = await during(() => void gone.stop());
  const crash = await during(() => lost.crash());
  const elected = await during(() => void world.machines.at(-1)!.stop());
  t.comment(`in 5 s: calm ${calm}, stop ${stop}, crash ${crash}, stop of the coordinator ${elected}`);
  const [left] = world.running as [Machine];
  t.equal(left.broker.status()['members'], count - 3);
  t.ok(stop - calm < 60 * count, `${stop - calm} for a stop`);
  t.ok(crash - calm < 60 * count, `${crash - calm} for a crash`);
  t.ok(elected - calm < 60 * count, `${elected - calm} for a stop of the coordinator`);
});
