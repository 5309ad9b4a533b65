/** Whose disk counts, where names lead astray: an acknowledgement is never answered with fewer disks than it says. */
import t from 'tap';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import { SEED } from '../support/random.ts';
import type { Machine } from './machine.ts';
import { World } from './world.ts';

const SELF = 'a row of globalState.csv is this broker itself';
const PROVEN_MS = 15_000; // until two rows that are one are known to be
const ALIAS = parseAddress('alias:3000');

/** What a publish is answered: a timestamp, or an error's code. */
async function publish(world: World, machine: Machine, acks: string): Promise<unknown> {
  const client = await world.client(machine);
  const reply = await world.of(client.command('PUBLISH', 'news', 'x', 'ACKS', acks));
  client.close();
  return typeof reply === 'number' ? 'stored' : (reply as { code: string }).code;
}

function isLogged(world: World, { address }: Machine, event: string): boolean {
  return world.history.some((line) => line.includes(`${address} `) && line.includes(event));
}

/** Dials of a name lead to an address, from these machines. */
function mislead(world: World, from: readonly Machine[], name: Address, to: Address): void {
  for (const { address } of from) world.network.mislead(address, name, to);
}

async function restart(world: World, machine: Machine): Promise<void> {
  machine.crash();
  await world.of(machine.start());
  await world.settled();
}

t.test('dials that meet themselves are no peers, and no rows', async (t) => {
  const world = new World(SEED, 3);
  const [first, second] = world.machines as [Machine, Machine, Machine];
  world.network.selfConnect(first.address, true);
  await world.of(first.start());
  await world.run(PROVEN_MS);
  t.ok(world.network.counts.selfConnects > 5);
  t.notOk(isLogged(world, first, SELF) || isLogged(world, first, 'leads to'), 'nobody was met');
  t.equal(await publish(world, first, 'quorum'), 'NOQUORUM');
  t.equal(Number(first.broker.status()['links']), 0);
  await world.of(second.start());
  await world.settled();
  t.equal(await publish(world, first, 'quorum'), 'stored');
});

t.test('a row whose name leads to the asking broker for a while is somebody else\'s all the same', async (t) => {
  const world = new World(SEED, 2);
  const [first, second] = world.machines as [Machine, Machine];
  mislead(world, [first], second.address, first.address);
  await world.of(first.start());
  await world.run(1000);
  t.equal(await publish(world, first, 'all'), 'NOQUORUM', 'while it leads here');
  mislead(world, [first], second.address, second.address);
  t.equal(await publish(world, first, 'all'), 'NOQUORUM', 'when it leads to nobody');
  await world.of(second.start());
  await world.settled();
  t.equal(await publish(world, first, 'all'), 'stored');
  await world.converged();
  t.equal(second.records().length, first.records().length);
  mislead(world, [first], second.address, first.address);
  second.crash();
  await world.run(PROVEN_MS);
  t.equal(await publish(world, first, 'all'), 'NOQUORUM', 'once it was there it never leads here');
  await restart(world, first);
  await world.run(PROVEN_MS);
  t.equal(await publish(world, first, 'quorum'), 'NOQUORUM', 'nor in the next life of this one, which is alone');
});

t.test('a dead broker\'s name that leads to a live one: the dead one is missing, for good', async (t) => {
  const world = await World.start(SEED, 3);
  const [asker, alive, dead] = world.machines as [Machine, Machine, Machine];
  await world.run(1000);
  dead.crash(); // it has published nothing by which it could be known
  mislead(world, [asker, alive], dead.address, alive.address);
  await world.run(PROVEN_MS);
  t.ok(world.network.counts.misled > 5);
  t.equal(await publish(world, asker, 'all'), 'NOQUORUM');
  t.equal(await publish(world, alive, 'all'), 'NOQUORUM');
  t.equal(await publish(world, asker, 'quorum'), 'stored', 'two of three');
  t.strictSame(asker.broker.brokers().map(({ state }) => state), ['self', 'alive', 'dead']);
  await restart(world, asker);
  await world.run(PROVEN_MS);
  t.equal(await publish(world, asker, 'all'), 'NOQUORUM', 'after a restart too');
  alive.crash();
  t.equal(await publish(world, asker, 'quorum'), 'NOQUORUM', 'one of three');
  await world.of(alive.start());
  await world.of(dead.start()); // it dials the others, whatever its own name leads to
  await world.settled();
  t.equal(await publish(world, asker, 'all'), 'stored');
});

t.test('a host in two rows counts once, and one row is missing until it is proven to be both', async (t) => {
  const world = new World(SEED, 2);
  const [asker, both] = world.machines as [Machine, Machine];
  for (const machine of world.machines) machine.rows = [asker.address, both.address, ALIAS];
  mislead(world, world.machines, ALIAS, both.address);
  for (const machine of world.machines) await world.of(machine.start());
  await world.settled();
  t.equal(await publish(world, asker, 'all'), 'NOQUORUM', 'not yet');
  t.equal(await publish(world, asker, 'quorum'), 'stored', 'two of three');
  await world.run(PROVEN_MS);
  for (const machine of world.machines) t.equal(await publish(world, machine, 'all'), 'stored', 'two of two');
  await world.founded();
  await restart(world, asker);
  t.equal(await publish(world, asker, 'all'), 'stored', 'who the members are is known for good');
  both.crash();
  t.equal(await publish(world, asker, 'quorum'), 'NOQUORUM', 'it was one of two');
});

t.test('a row that is another name of this host leads to it only until a broker comes by that name', async (t) => {
  const world = new World(SEED, 3);
  const [first, second, third] = world.machines as [Machine, Machine, Machine];
  mislead(world, [first, second], third.address, first.address);
  for (const machine of [first, second]) await world.of(machine.start());
  await world.settled();
  await world.run(PROVEN_MS);
  t.equal(await publish(world, first, 'all'), 'stored', 'two of what are two, as far as anybody can tell');
  await world.founded();
  await world.of(third.start()); // it dials the others
  await world.run(1000);
  t.equal(third.broker.status()['links'], 0, 'it is no member');
  await world.of((await world.client(first)).command('MESH', 'INVITE', third.address));
  await world.settled();
  await world.founded();
  world.partition([third], [first, second]);
  t.equal(await publish(world, first, 'all'), 'NOQUORUM');
});

t.test('names that lead to each other\'s brokers change nothing', async (t) => {
  const world = new World(SEED, 3);
  const [first, second, third] = world.machines as [Machine, Machine, Machine];
  mislead(world, [first], second.address, third.address);
  mislead(world, [first], third.address, second.address);
  for (const machine of world.machines) await world.of(machine.start());
  await world.settled();
  await world.run(PROVEN_MS);
  t.equal(await publish(world, first, 'all'), 'stored');
  second.crash();
  t.equal(await publish(world, first, 'all'), 'NOQUORUM');
  t.equal(await publish(world, first, 'quorum'), 'stored');
});

for (const options of [{}, { fanout: 2 }]) {
  t.test(`rows by other names than the brokers go by: ${JSON.stringify(options)}`, async (t) => {
    const world = new World(SEED, 6, options);
    const names = world.machines.map((_, index) => parseAddress(`broker-${index}:3000`));
    for (const [index, machine] of world.machines.entries()) {
      mislead(world, world.machines, names[index]!, machine.address);
      machine.rows = names;
    }
    await Promise.all(world.machines.map((machine) => world.of(machine.start())));
    await world.settled();
    const first = world.machines[0]!;
    const isAll = async (): Promise<boolean> => (await publish(world, first, 'all')) === 'stored';
    for (let tries = 0; !(await isAll()); tries += 1) if (tries === 20) return t.fail('all are never counted');
    world.machines[1]!.crash();
    t.equal(await publish(world, first, 'all'), 'NOQUORUM');
    t.equal(await publish(world, first, 'quorum'), 'stored');
  });
}
