/** Whole brokers whose stores take many names: cursors stay short, and exact. */
import t from 'tap';
import { type ClosingName, CLOSED_TOPIC, closingName, encodeClosing } from '../../brokers/core/log/closings.ts';
import { decodeCursor, encodeCursor } from '../../brokers/core/read/cursor.ts';
import { makeDraft, type Origin, originAddress } from '../../brokers/core/log/record.ts';
import { origin } from '../support/record.ts';
import { SEED } from '../support/random.ts';
import type { Machine } from './machine.ts';
import { admin, agreed, join } from './members-acts.ts';
import { World } from './world.ts';

const DEAD_MS = 15_000; // after which nobody takes a broker for reached that is not
const CURSOR_CHARACTERS = 300;
const VECTOR_BYTES = 4096;

/** It publishes under a name that it has not had before. */
async function rename(world: World, machine: Machine, payload: string): Promise<void> {
  if (machine.isRunning) await world.of(machine.stop());
  machine.lose(0); // it cannot know how much that is
  await world.of(machine.start());
  await publish(world, machine, payload);
}

async function publish(world: World, machine: Machine, payload: string): Promise<void> {
  const lamport = await admin(world, machine, 'PUBLISH', 'news', payload, 'ACKS', 'local');
  if (typeof lamport !== 'number') throw new Error(`PUBLISH: ${String(lamport)}`);
}

/** A reader that is at another broker with each POLL, if it is told so. */
class Reader {
  cursor: string;
  readonly payloads: string[] = [];
  longest = 0;
  readonly #world: World;

  constructor(world: World, cursor = 'earliest') {
    this.#world = world;
    this.cursor = cursor;
  }

  /** One POLL. Says how many messages it brought. */
  async poll(machine: Machine, count = 100, blockMs = 0): Promise<number> {
    const options = ['CURSOR', this.cursor, 'COUNT', String(count), 'BLOCK', String(blockMs)];
    const reply = await admin(this.#world, machine, 'POLL', 'news', ...options);
    if (!Array.isArray(reply)) throw new Error(`POLL: ${String(reply)}`);
    const [cursor, messages] = reply as [string, unknown[][]];
    this.cursor = cursor;
    this.longest = Math.max(this.longest, this.cursor.length);
    this.payloads.push(...messages.map((message) => String(message[5])));
    return messages.length;
  }
}

const storesOf = (machine: Machine): number => machine.broker.vector().size;

/** How many origins one broker names one by one, and counts as closed. */
async function shown(world: World, machine: Machine): Promise<{ bytes: number; open: number; closed: number }> {
  const words = (await admin(world, machine, 'MESH', 'VECTOR')) as (string | number)[];
  const at = words.indexOf('closed');
  const closed = at < 0 ? 0 : Number(words[at + 1]);
  const bytes = words.reduce<number>((sum, word) => sum + String(word).length + 3, 0);
  return { bytes, open: words.length / 2 - (at < 0 ? 0 : 1), closed };
}

/** No cursor of anybody names a store that is gone. */
async function closed(world: World): Promise<void> {
  await world.until('all that is gone is closed', () => world.running.every(({ broker }) => {
    const { rest } = broker.members.closer.closings.split(broker.vector());
    return new Set([...rest.keys()].map(originAddress)).size === rest.size;
  }));
  await world.converged();
}

t.test('after many renames cursors and MESH VECTOR are as short as after none', async (t) => {
  const world = await World.start(SEED, 5);
  for (let count = 0; count < 60; count += 1) await rename(world, world.machines[count % 5]!, `message ${count}`);
  await world.settled();
  await closed(world);
  for (const machine of world.machines) {
    const { bytes, open, closed } = await shown(world, machine);
    t.ok(bytes < VECTOR_BYTES, `MESH VECTOR has ${bytes} bytes`);
    t.equal(open + closed, storesOf(machine));
    t.ok(open <= 5 && closed >= 40, `${open} open, ${closed} closed`);
    const reader = new Reader(world);
    await reader.poll(machine, 1000);
    t.ok(reader.cursor.length < CURSOR_CHARACTERS, `${reader.cursor.length} characters`);
    t.equal(reader.payloads.length, 60);
  }
  const named = encodeCursor({ vector: world.machines[0]!.broker.vector(), instance: '0'.repeat(12), position: 1 });
  t.ok(named.length > CURSOR_CHARACTERS, `${named.length} characters if they were named one by one`);
  const slow = new Reader(world);
  while (await slow.poll(world.machines[2]!, 1)) await world.run(1);
  t.equal(new Set(slow.payloads).size, 60);
  t.ok(slow.longest < named.length, `a reader in the middle of the log has ${slow.longest} characters at most`);
});

t.test('a closing is not used while a member may not have it', async (t) => {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as [Machine, Machine, Machine];
  await publish(world, low, 'first');
  await rename(world, low, 'second');
  await world.converged();
  middle.crash();
  await world.run(DEAD_MS);
  for (const count of [1, 2, 3]) await rename(world, low, `more ${count}`);
  await world.run(DEAD_MS);
  const { after } = decodeCursor((await pollOf(world, high)).cursor);
  await world.of(middle.start());
  await closed(world);
  const later = decodeCursor((await pollOf(world, high)).cursor);
  t.not(later.after, after, 'once it is back they are closed');
  t.ok(world.running.every(({ broker }) => broker.members.closer.closings.has(later.after!)));
});

async function pollOf(world: World, machine: Machine): Promise<Reader> {
  const reader = new Reader(world);
  await reader.poll(machine, 1000);
  return reader;
}

t.test('a closing is used once it is on the slowest disk', async (t) => {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as [Machine, Machine, Machine];
  await publish(world, low, 'first');
  await world.converged();
  middle.disk.slowWritesMs = 2000;
  let used = 0;
  for (const count of [1, 2, 3]) {
    await rename(world, low, `name ${count}`);
    for (let step = 0; step < 500; step += 1) {
      await world.run(20);
      for (const { broker } of [low, high]) {
        const { last } = broker.members.closer.closings;
        if (last === undefined) continue;
        used += 1;
        if (!middle.broker.members.closer.closings.has(last.name)) t.fail(`${last.name} is used before its time`);
      }
    }
  }
  t.ok(used > 0);
});

t.test('a broker from an old backup sends nothing that was read before it was closed', async (t) => {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as [Machine, Machine, Machine];
  await publish(world, low, 'old');
  await world.converged();
  await rename(world, low, 'older name');
  await world.converged();
  await world.of(middle.stop());
  const backup = middle.disk.data.copy();
  await world.of(middle.start());
  for (const count of [1, 2, 3]) await rename(world, low, `name ${count}`);
  await world.settled();
  await closed(world);
  const reader = await pollOf(world, high);
  const { after } = decodeCursor(reader.cursor);
  t.not(after, undefined);
  middle.crash();
  world.partition([middle], [low, high]);
  middle.restore(backup);
  await world.of(middle.start());
  const before = reader.cursor;
  t.equal(await reader.poll(middle), 0, 'it cannot tell what was read');
  t.equal(reader.cursor, before, 'the cursor is good as it is');
  t.ok(world.history.some((line) => line.includes('a reader waits for a closing that is not here yet')));
  t.match(
    await admin(world, middle, 'SUBSCRIPTION', 'CREATE', 'work', 'FROM', before), 'OK', 'it may be named for later',
  );
  const waiting = reader.poll(middle, 100, 50_000);
  await world.run(1000);
  world.heal();
  await publish(world, high, 'new');
  t.equal(await world.of(waiting), 1);
  t.strictSame(reader.payloads.slice(-1), ['new'], 'it goes on by itself');
  t.equal(new Set(reader.payloads).size, reader.payloads.length);
});

t.test('a reader that moves misses nothing and gets nothing twice while names are closed', async (t) => {
  const world = await World.start(SEED, 4);
  const { random } = world;
  const readers = [new Reader(world), new Reader(world), new Reader(world)];
  const published: string[] = [];
  let backup = world.machines[1]!.disk.data.copy();
  const late: Machine[] = [];
  for (let round = 0; round < 40; round += 1) {
    const machine = random.pick(world.machines.filter((each) => each !== world.machines[1]));
    published.push(`message ${round}`);
    await rename(world, machine, published.at(-1)!);
    if (round === 10) world.machines[1]!.crash();
    if (round === 14) await world.of(world.machines[1]!.start());
    if (round === 18) {
      await world.of(world.machines[1]!.stop());
      backup = world.machines[1]!.disk.data.copy();
      await world.of(world.machines[1]!.start());
    }
    if (round === 28) {
      world.machines[1]!.crash();
      world.machines[1]!.restore(backup);
      await world.of(world.machines[1]!.start());
    }
    if (round === 32) late.push(await join(world, world.machines[0]!));
    if (round % 3 === 0) await world.run(random.integer(0, 3000));
    for (const reader of readers) await reader.poll(random.pick(world.running), random.pick([1, 3, 100]));
  }
  await agreed(world, [...world.machines]);
  await closed(world);
  for (const reader of readers) {
    for (let quiet = 0; quiet < 5; ) quiet = (await reader.poll(random.pick(world.running))) === 0 ? quiet + 1 : 0;
    t.strictSame([...reader.payloads].sort(), [...published].sort(), `SEED=${SEED}`);
    t.not(decodeCursor(reader.cursor).after, undefined, 'its cursor goes by a closing');
  }
  t.equal(late[0]!.broker.vector().size, storesOf(world.machines[0]!), 'one that joined later has all of it');
});

/** A member closes what it likes: a record of its own, as any of `$closed`. */
async function close(
  world: World, { broker }: Machine, closed: [Origin, number][], after?: ClosingName,
): Promise<ClosingName> {
  const draft = makeDraft(CLOSED_TOPIC, 0, [Buffer.from(encodeClosing({ after, closed: new Map(closed) }))]);
  const name = await world.of(new Promise<[Origin, number]>((resolve, reject) => {
    broker.publisher.publishOwn(draft, { stored: ({ origin, seq }) => resolve([origin, seq]), failed: reject });
  }));
  return closingName(...name);
}

t.test('a member that closes what is not stored keeps nothing from readers, and nobody from closing', async (t) => {
  const world = await World.start(SEED, 3);
  const [low, middle, high] = world.machines as [Machine, Machine, Machine];
  await publish(world, low, 'first');
  await world.converged();
  const live = [...low.broker.vector().keys()].find((each) => originAddress(each) === low.address)!;
  const madeUp = Array.from({ length: 900 }, (_, tag): [Origin, number] => [origin('nobody:1', tag), 9]);
  const stored = middle.broker.vector();
  const ahead = await close(world, middle, [...stored, [live, stored.get(live)! + 2]]);
  await close(world, middle, [], ahead);
  await close(world, middle, [], await close(world, middle, madeUp));
  await world.converged();
  for (const count of [2, 3, 4]) await publish(world, low, `later ${count}`);
  await rename(world, low, 'second name');
  await rename(world, low, 'third name');
  await world.settled();
  await closed(world);
  await world.of(high.stop());
  await world.of(high.start()); // and reads it all again
  await world.converged();
  t.ok(world.history.some((line) => line.includes('names records that were not stored before it')));
  for (const machine of world.machines) {
    const reader = new Reader(world);
    while (await reader.poll(machine, 1)) await world.run(1);
    t.strictSame(reader.payloads.length, 6, `${machine.address} sends ${String(reader.payloads)}`);
    t.not(decodeCursor(reader.cursor).after, undefined);
  }
});
