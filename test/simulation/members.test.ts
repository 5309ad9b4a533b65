/** Whole brokers whose membership changes: who counts, who is let in, what is lost with whom. */
import t from 'tap';
import { homeOf } from '../../brokers/core/home/view.ts';
import { SEED } from '../support/random.ts';
import type { Machine } from './machine.ts';
import { admin, agreed, join, listOf, lost, stateAt, Steady } from './members-acts.ts';
import { World } from './world.ts';

type Three = [Machine, Machine, Machine];
const DEAD_MS = 15_000; // after which nobody takes a broker for reached that is not
const LATE = /^NOQUORUM 1 of 3 members have it on disk/;

async function three(): Promise<{ world: World; low: Machine; middle: Machine; high: Machine }> {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as Three;
  return { world, low, middle, high };
}

/** Until it has stopped by itself; why it did. */
async function ended(world: World, machine: Machine): Promise<Machine['ended']> {
  await world.until(`${machine.address} stops by itself`, () => machine.ended !== undefined);
  return machine.ended;
}

function isLogged(world: World, { address }: Machine, event: string): boolean {
  return world.history.some((line) => line.includes(` ${address} `) && line.includes(event));
}

t.test('a founded mesh goes on with its members when all restart with other rows', async (t) => {
  const { world, low, middle, high } = await three();
  const before = listOf(low);
  const stranger = world.add([low.address]);
  low.rows = [low.address];
  middle.rows = [low.address, middle.address, stranger.address];
  high.rows = [];
  for (const machine of [low, middle, high]) await world.of(machine.stop());
  for (const machine of [low, middle, high]) await world.of(machine.start());
  await agreed(world, [low, middle, high]);
  t.equal(listOf(low), before, 'not one vote more');
  high.crash();
  await world.run(DEAD_MS);
  t.match(await admin(world, low, 'PUBLISH', 'news', 'x', 'ACKS', 'all'), /^NOQUORUM stored on 2 of 3/);
  t.type(await admin(world, low, 'PUBLISH', 'news', 'x', 'ACKS', 'quorum'), 'number');
});

t.test('one is invited and joins while others publish', async (t) => {
  const { world, low, middle, high } = await three();
  const steady = new Steady(world);
  await world.run(500);
  const fourth = await join(world, low);
  await world.run(500);
  await steady.end();
  await agreed(world, [low, middle, high, fourth]);
  t.strictSame(lost(world, steady.acknowledged), []);
  t.ok(steady.acknowledged.length > 15, `${steady.acknowledged.length} were acknowledged`);
  t.strictSame(steady.errors.filter((error) => !error.startsWith('NOQUORUM')), []);
  t.equal(fourth.broker.coordinator, fourth.address, 'the highest leads');
  for (const machine of [low, middle]) machine.crash();
  await world.run(DEAD_MS);
  const reply = await admin(world, high, 'PUBLISH', 'news', 'x', 'ACKS', 'quorum');
  t.match(reply, /^NOQUORUM stored on 2 of 4/, 'it counts');
});

t.test('a broker that nobody has invited is not let in, gets no record and leads nobody', async (t) => {
  const { world, low, middle, high } = await three();
  await admin(world, low, 'PUBLISH', 'news', 'for members', 'ACKS', 'all');
  const stranger = world.add([low.address, middle.address, high.address]);
  for (const joins of [true, false]) {
    stranger.options = { joins };
    await world.of(stranger.start());
    await world.run(DEAD_MS);
    t.equal(stranger.broker.status()['links'], 0);
    t.ok(stranger.published.every(({ body }) => String(body) !== 'for members'));
    for (const machine of [low, middle, high]) t.equal(machine.broker.coordinator, high.address);
    t.match(await admin(world, stranger, 'PUBLISH', 'news', 'x', 'ACKS', 'quorum'), /^NOQUORUM/);
    stranger.crash();
  }
  t.ok(isLogged(world, stranger, 'is no member of this mesh: run admin invite'), 'it is told what to do');
});

t.test('a member that leaves gives what only it has before it goes, and its homes move', async (t) => {
  const { world, low, middle, high } = await three();
  const isView = (count: number): boolean => world.running.every(({ broker }) => broker.status()['members'] === count);
  await world.until('all are homes', () => isView(3));
  const view = { coordinator: high.address, term: 1, number: 1, members: world.rows };
  const name = Array.from({ length: 99 }, (_, index) => `work-${index}`)
    .find((each) => homeOf(each, view) === middle.address)!;
  await admin(world, low, 'TOPIC', 'CREATE', 'jobs');
  await admin(world, low, 'SUBSCRIPTION', 'CREATE', name);
  await admin(world, low, 'BIND', name, 'jobs');
  world.partition([middle], [low, high]);
  const payloads = ['a', 'b', 'c'];
  for (const payload of payloads) {
    t.type(await admin(world, middle, 'PUBLISH', 'jobs', payload, 'ACKS', 'local'), 'number');
  }
  await world.run(DEAD_MS);
  world.heal();
  await world.until('there is a link', () => Number(middle.broker.status()['links']) > 0);
  t.equal(await admin(world, middle, 'MESH', 'LEAVE'), 'OK');
  t.equal(await ended(world, middle), 'left');
  await agreed(world, [low, high]);
  t.strictSame(lost(world, payloads), []);
  await world.until('the home is elsewhere', () => isView(2));
  const pull = async (): Promise<unknown[]> => (await admin(world, low, 'PULL', name, 'BLOCK', '1000')) as unknown[];
  t.equal((await pull()).length, 3);
  t.type(await admin(world, low, 'PUBLISH', 'jobs', 'x', 'ACKS', 'all'), 'number', 'all are two');
});

t.test('a dead broker that was forgotten is told so when it comes back, and stops', async (t) => {
  const { world, low, middle, high } = await three();
  middle.crash();
  await world.run(DEAD_MS);
  t.equal(await admin(world, low, 'MESH', 'FORGET', middle.address), 'OK');
  t.equal(stateAt(low, middle.address), undefined);
  await world.of(middle.start());
  t.equal(await ended(world, middle), 'OUT');
  await agreed(world, [low, high]);
  for (const machine of [low, high]) t.equal(machine.broker.peerCount, 1, 'it is nobody there');
  t.type(await admin(world, low, 'PUBLISH', 'news', 'x', 'ACKS', 'all'), 'number', 'all are two');
});

t.test('a broker that was out joins anew with its old disk once it is invited', async (t) => {
  const { world, low, middle, high } = await three();
  t.type(await admin(world, middle, 'PUBLISH', 'news', 'before', 'ACKS', 'local'), 'number');
  t.equal(await admin(world, middle, 'MESH', 'LEAVE'), 'OK');
  t.equal(await ended(world, middle), 'left');
  Object.assign(middle, { rows: [low.address], options: { joins: true } });
  await world.of(middle.start());
  await world.run(DEAD_MS);
  t.equal(middle.broker.status()['links'], 0, 'it waits to be invited');
  t.equal(await admin(world, high, 'MESH', 'INVITE', middle.address), 'OK');
  await world.until('it is in', () => middle.broker.members.own?.state === 'in');
  await agreed(world, [low, middle, high]);
  const reply = await admin(world, high, 'MESH', 'FORGET', middle.address, 'FORCE');
  t.match(reply, /^ERR 10.0.0.2:3000 is up, and a member that runs is not forgotten/);
  world.partition([middle], [low, high]);
  await world.run(DEAD_MS);
  t.equal(await admin(world, high, 'MESH', 'FORGET', middle.address, 'YES'), 'OK');
  world.heal();
  t.equal(await ended(world, middle), 'OUT', 'it was put out while it ran');
  t.strictSame(lost(world, ['before']), []);
});

t.test('a member whose link was lost a moment ago is not forgotten', async (t) => {
  const { world, low, middle } = await three();
  const client = await world.client(low);
  world.network.reset(low.address, middle.address);
  const reply = await world.of(client.command('MESH', 'FORGET', middle.address, 'YES', 'FORCE'));
  t.match(reply, { code: 'ERR', message: /^10.0.0.2:3000 is up/ });
});

t.test('a member is not put out by one that was away, and does not know that it is a member anew', async (t) => {
  const world = await World.start(SEED, 4);
  const [first, second, again, away] = world.machines as [Machine, Machine, Machine, Machine];
  again.crash();
  await world.run(DEAD_MS);
  t.equal(await admin(world, first, 'MESH', 'FORGET', again.address), 'OK');
  await world.until('all know', () => stateAt(away, again.address) === undefined);
  away.crash();
  t.equal(await admin(world, first, 'MESH', 'INVITE', again.address), 'OK');
  Object.assign(again, { rows: [first.address], options: { joins: true } });
  await world.of(again.start());
  await world.until('it is in', () => again.broker.members.own?.state === 'in');
  world.partition([away], [first, second]);
  await world.of(away.start());
  const told = `"peer":"${away.address}","reason":"OUT ${again.address} was put out of seat 1/${again.address}`;
  await world.until('it is told so', () => isLogged(world, again, told));
  world.heal();
  await agreed(world, [first, second, again, away]);
  t.equal(again.ended, undefined);
});

t.test('a forgotten broker that rejoins is a member anew once it has given what only it had', async (t) => {
  const { world, low, middle, high } = await three();
  world.partition([middle], [low, high]);
  t.type(await admin(world, middle, 'PUBLISH', 'news', 'only here', 'ACKS', 'local'), 'number');
  middle.crash();
  world.heal();
  await world.run(DEAD_MS);
  t.equal(await admin(world, low, 'MESH', 'FORGET', middle.address), 'OK', 'nobody knows of that record');
  middle.options = { rejoins: true };
  await world.of(middle.start());
  await world.until('it is in', () => middle.broker.members.own?.state === 'in');
  await agreed(world, [low, middle, high]);
  t.strictSame(lost(world, ['only here']), []);
  t.equal(middle.ended, undefined);
  t.type(await admin(world, middle, 'PUBLISH', 'news', 'x', 'ACKS', 'all'), 'number');
});

t.test('a wiped member comes back with a new key under its address, and counts again', async (t) => {
  const { world, low, middle, high } = await three();
  t.type(await admin(world, low, 'PUBLISH', 'news', 'before', 'ACKS', 'quorum'), 'number');
  const idOf = (machine: Machine): unknown => low.broker.members.roster.seatAt(machine.address)?.id;
  const before = idOf(middle);
  middle.crash();
  middle.wipe();
  await world.of(middle.start());
  await world.until('it has its seat', () => middle.broker.members.own?.state === 'in');
  await agreed(world, [low, middle, high]);
  t.not(idOf(middle), before);
  t.strictSame(lost(world, ['before']), []);
  high.crash();
  await world.run(DEAD_MS);
  t.type(await admin(world, low, 'PUBLISH', 'news', 'x', 'ACKS', 'quorum'), 'number', 'two of three');
});

t.test('of two changes at a time at two brokers, both come about or one is told to wait', async (t) => {
  const { world, low, middle, high } = await three();
  const [fourth, fifth] = [world.add([low.address]), world.add([low.address])];
  const replies = await world.of(Promise.all([
    admin(world, low, 'MESH', 'INVITE', fourth.address), admin(world, high, 'MESH', 'INVITE', fifth.address),
  ]));
  for (const reply of replies) t.match(reply, /^(OK|BUSY another change of the members .*; try again)$/);
  t.ok(replies.includes('OK'));
  await world.converged();
  t.equal(new Set(world.running.map(listOf)).size, 1);
  const invited = [fourth, fifth].map(({ address }) => stateAt(middle, address) === 'invited');
  t.strictSame(invited, replies.map((reply) => reply === 'OK'), 'what was answered is so');
});

t.test('a change on the minority side is not settled there, and may come about later', async (t) => {
  const { world, low, middle, high } = await three();
  const fourth = world.add([low.address]);
  world.partition([low], [middle, high]);
  await world.run(DEAD_MS);
  t.match(await admin(world, low, 'MESH', 'INVITE', fourth.address), LATE);
  t.match(await admin(world, low, 'MESH', 'FORGET', high.address), /^BUSY .* under way \(invite 10.0.0.4:3000\)/);
  t.equal(stateAt(low, fourth.address), undefined);
  world.heal();
  await world.until('it is settled', () => world.running.every((each) => stateAt(each, fourth.address) === 'invited'));
  await world.of(fourth.start());
  await agreed(world, [low, middle, high, fourth]);
});

t.test('by force a broker is forgotten without a majority', async (t) => {
  const { world, low, middle, high } = await three();
  t.type(await admin(world, low, 'PUBLISH', 'news', 'before', 'ACKS', 'all'), 'number');
  for (const machine of [middle, high]) machine.crash();
  await world.run(DEAD_MS);
  t.match(await admin(world, low, 'MESH', 'FORGET', high.address), LATE);
  for (const { address } of [middle, high]) t.equal(await admin(world, low, 'MESH', 'FORGET', address, 'FORCE'), 'OK');
  t.type(await admin(world, low, 'PUBLISH', 'news', 'alone', 'ACKS', 'all'), 'number');
  const fourth = await join(world, low);
  for (const machine of [middle, high]) {
    await world.of(machine.start());
    t.equal(await ended(world, machine), 'OUT');
  }
  await agreed(world, [low, fourth]);
  t.strictSame(lost(world, ['before', 'alone']), []);
});

t.test('a mesh grows from one to five and shrinks to two while others publish', async (t) => {
  const world = await World.start(SEED, 1);
  const [first] = world.machines as [Machine];
  const steady = new Steady(world);
  for (let count = 2; count <= 5; count += 1) {
    await join(world, world.running[(count * 7) % world.running.length]!);
    await world.run(300);
  }
  await agreed(world, world.machines);
  const [, second, third, fourth, fifth] = world.machines as [Machine, Machine, Machine, Machine, Machine];
  for (const machine of [fifth, first, third]) {
    t.equal(await admin(world, machine, 'MESH', 'LEAVE'), 'OK');
    t.equal(await ended(world, machine), 'left');
    await world.run(300);
  }
  await steady.end();
  await agreed(world, [second, fourth]);
  t.strictSame(lost(world, steady.acknowledged), []);
  t.ok(steady.acknowledged.length > 50, `${steady.acknowledged.length} were acknowledged`);
  second.crash();
  await world.run(DEAD_MS);
  t.match(await admin(world, fourth, 'PUBLISH', 'news', 'x', 'ACKS', 'quorum'), /^NOQUORUM stored on 1 of 2/);
});
