/**
 * `npm run scale [brokers...]`: whole Brokers in a virtual world, 10, 100 and 1,000 of them with six links each, and
 * what a message costs there.
 *
 * All start within a second and know all addresses. Publishers on a few of them publish a message each, so that the
 * trees stand, then a few hundred among them, one after another. Prints a table in Markdown; the same seed gives the
 * same table.
 */
import type { Machine } from './machine.ts';
import { World } from './world.ts';

const SEED = 1;
const FANOUT = 6;
const PUBLISHERS = 5;
const MESSAGES = 200;
const SETTLE_MS = 3000; // until the last surplus link is gone
const IDLE_MS = 5000;
const INTERVAL_MS = 10; // between messages
const PAYLOAD = 'x'.repeat(100);

const COLUMNS = [
  'brokers',
  'links per broker: median, max',
  'formed after',
  'payload transmissions per replica',
  'hops: median, max',
  'to the last broker: median, max',
  'control bytes per replica',
  'idle bytes/s per broker',
];

/** What goes over the network. */
class Meter {
  controlBytes = 0;
  /** How many links a record has come over, keyed by its name and the broker. */
  readonly hops = new Map<string, number>();

  written(from: string, to: string, bytes: Uint8Array): void {
    const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 160))
      .toString('latin1')
      .split('\r\n');
    if (head[2] !== 'RECORDS') {
      if (!from.startsWith('client') && !to.startsWith('client')) this.controlBytes += bytes.length;
      return;
    }
    const name = `${head[4]} ${head[6]}`;
    const [key, before] = [`${name} ${to}`, this.hops.get(`${name} ${from}`) ?? 0];
    if (!this.hops.has(key)) this.hops.set(key, before + 1);
  }
}

async function measure(count: number): Promise<string[]> {
  const world = new World(SEED, count, { fanout: FANOUT });
  const meter = new Meter();
  world.network.watch = (from, to, bytes) => meter.written(from, to, bytes);
  const disks = new Disks(world);
  for (const machine of world.machines) world.time.after(world.random.integer(0, 1000), () => void machine.start());
  await world.until('all run', () => world.running.length === count);
  const leader = world.machines.at(-1)!.address;
  await world.until('one leads', () => world.machines.every(({ broker }) => broker.coordinator === leader), 120_000);
  const formedMs = world.time.now;
  await world.run(SETTLE_MS);

  meter.controlBytes = 0;
  await world.run(IDLE_MS);
  const idle = (meter.controlBytes / IDLE_MS) * 1000;

  const publishers = world.machines.filter((_, index) => index % Math.ceil(count / PUBLISHERS) === 0);
  for (const machine of publishers) await publish(world, machine);
  await disks.hold(publishers.length);
  disks.lastAt.clear();
  meter.hops.clear();
  meter.controlBytes = 0;
  const before = received(world);
  const start = world.time.now;
  const publishedAt: number[] = [];
  for (let index = 0; index < MESSAGES; index += 1) {
    publishedAt.push(world.time.now);
    await publish(world, publishers[index % publishers.length]!);
    await world.run(INTERVAL_MS);
  }
  await disks.hold(publishers.length + MESSAGES);
  const replicas = MESSAGES * (count - 1);
  const control = meter.controlBytes - (idle * (world.time.now - start)) / 1000;
  const delays = [...disks.lastAt.values()].map((at, index) => at - publishedAt[index]!);
  const links = world.machines.map(({ broker }) => Number(broker.status()['links']));
  return [
    count.toLocaleString('en'),
    pair(links),
    `${(formedMs / 1000).toFixed(1)} s`,
    ((received(world) - before) / replicas).toFixed(3),
    pair([...meter.hops.values()]),
    pair(delays, (ms) => `${ms.toFixed(0)} ms`),
    (control / replicas).toFixed(0),
    (idle / count).toFixed(0),
  ];
}

/** What is written to all the disks. */
class Disks {
  /** When each message was on the last disk, in the order of their publishing. */
  readonly lastAt = new Map<string, number>();
  readonly #world: World;
  #stored = 0;

  constructor(world: World) {
    this.#world = world;
    for (const { disk } of world.machines) {
      const append = disk.data.append.bind(disk.data);
      disk.data.append = async (batches) => {
        await append(batches);
        for (const { origin, seq } of batches) this.lastAt.set(`${origin} ${seq}`, world.time.now);
        this.#stored += batches.length;
      };
    }
  }

  /** Waits until each disk has so many messages. */
  hold(messages: number): Promise<void> {
    return this.#world.until(
      `${messages} messages are everywhere`,
      () => this.#stored === messages * this.#world.machines.length,
    );
  }
}

async function publish(world: World, machine: Machine): Promise<void> {
  const client = await world.client(machine);
  const reply = await world.of(client.command('PUBLISH', 'scale', PAYLOAD));
  if (typeof reply !== 'number') throw new Error(`not published: ${String(reply)}`);
}

function received(world: World): number {
  return world.machines.reduce((sum, { broker }) => sum + Number(broker.status()['records_received']), 0);
}

function pair(values: readonly number[], text: (value: number) => string = String): string {
  const sorted = [...values].sort((a, b) => a - b);
  return `${text(sorted[sorted.length >> 1]!)}, ${text(sorted.at(-1)!)}`;
}

const counts = process.argv.slice(2).map(Number);
process.stdout.write(`| ${COLUMNS.join(' | ')} |\n|${COLUMNS.map(() => ' --- |').join('')}\n`);
for (const count of counts.length > 0 ? counts : [10, 100, 1000]) {
  process.stdout.write(`| ${(await measure(count)).join(' | ')} |\n`);
}
