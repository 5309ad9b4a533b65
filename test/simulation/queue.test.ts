/** Queues in the virtual world: what happens to a subscription when its home is lost, cut off, or has no room. */
import t from 'tap';
import { decodeMessage, text } from '../../brokers/wire/message.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import { SEED } from '../support/random.ts';
import type { VirtualClient } from './client.ts';
import type { Machine } from './machine.ts';
import { World } from './world.ts';

interface Leased {
  readonly token: string;
  readonly deliveries: number;
  readonly payload: string;
}

/** Three brokers, subscription `work` bound to topic `jobs`, its home, and the two others. */
class Scene {
  readonly world: World;
  readonly home: Machine;
  readonly others: readonly [Machine, Machine];

  static async start(...settings: string[]): Promise<Scene> {
    const world = await World.start(SEED, 3);
    const client = await world.client(world.machines[0]!);
    for (const command of [
      ['TOPIC', 'CREATE', 'jobs'], ['SUBSCRIPTION', 'CREATE', 'work', ...settings], ['BIND', 'work', 'jobs'],
    ]) {
      const reply = await world.of(client.command(...command));
      if (reply !== 'OK') throw reply;
    }
    await world.converged();
    const fields = (await world.of(client.command('SUBSCRIPTION', 'GET', 'work'))) as Reply[];
    const home = text(fields[fields.findIndex((field) => Buffer.isBuffer(field) && field.toString() === 'home') + 1]);
    return new Scene(world, world.machines.find(({ address }) => address === home)!);
  }

  private constructor(world: World, home: Machine) {
    this.world = world;
    this.home = home;
    this.others = world.machines.filter((machine) => machine !== home) as [Machine, Machine];
  }

  ask(client: VirtualClient, ...args: (string | number)[]): Promise<Reply> {
    return this.world.of(client.command(...args));
  }

  async publish(client: VirtualClient, ...payloads: string[]): Promise<void> {
    for (const payload of payloads) {
      const reply = await this.ask(client, 'PUBLISH', 'jobs', payload);
      if (typeof reply !== 'number') throw reply;
    }
  }

  /** Asks again where the home is not to be found. */
  async pull(client: VirtualClient, ...options: (string | number)[]): Promise<Leased[]> {
    for (;;) {
      const reply = await this.ask(client, 'PULL', 'work', ...options);
      if (Array.isArray(reply)) return leased(reply);
      if ((reply as { code?: string }).code !== 'TRYAGAIN') throw reply;
    }
  }

  async count(client: VirtualClient, name: string): Promise<number> {
    const fields = (await this.ask(client, 'SUBSCRIPTION', 'GET', 'work')) as Reply[];
    return Number(fields[fields.findIndex((field) => Buffer.isBuffer(field) && field.toString() === name) + 1]);
  }
}

function leased(reply: Reply): Leased[] {
  return (reply as [Reply, number, Reply][]).map(([token, deliveries, message]) => (
    { token: text(token), deliveries, payload: Buffer.from(decodeMessage(message).payload).toString() }));
}

function payloads(leases: readonly Leased[]): string[] {
  return leases.map(({ payload }) => payload).sort();
}

t.test('a PULL that waits moves with the home, which is taken over within 3 s', async (t) => {
  const scene = await Scene.start();
  const { world, home, others: [other] } = scene;
  const [client, publisher] = [await world.client(other), await world.client(other)];
  const pulling = client.command('PULL', 'work', 'BLOCK', 30_000);
  await world.run(500);
  home.crash();
  const crashedAt = world.time.now;
  await scene.publish(publisher, 'a');
  t.strictSame(payloads(leased(await world.of(pulling))), ['a']);
  t.ok(world.time.now - crashedAt < 3000, `after ${Math.round(world.time.now - crashedAt)} ms`);
});

t.test('when the home dies, what was acknowledged stays done and what was leased comes again', async (t) => {
  const scene = await Scene.start();
  const { world, home, others: [other] } = scene;
  const client = await world.client(other);
  await scene.publish(client, 'a', 'b', 'c', 'd');
  await world.converged();
  const [a, b] = await scene.pull(client, 'COUNT', 2) as [Leased, Leased];
  t.strictSame(payloads([a, b]), ['a', 'b'], 'as stored');
  t.equal(await scene.ask(client, 'ACK', 'work', a.token), 1);
  await world.converged();
  home.crash();
  await world.run(3000);
  t.strictSame(payloads(await scene.pull(client)), ['b', 'c', 'd']);
  t.equal(await scene.ask(client, 'ACK', 'work', a.token), 0);
});

t.test('two homes during a partition cost duplicates and never losses; after the heal both acknowledgements hold, and are counted', async (t) => {
  const scene = await Scene.start();
  const { world, home, others } = scene;
  const [here, there] = [await world.client(home), await world.client(others[0])];
  await scene.publish(here, 'a', 'b', 'c', 'd');
  await world.converged();
  world.partition([home], others);
  await world.run(12_000);
  const [left, right] = [await scene.pull(here), await scene.pull(there)];
  t.strictSame(payloads(left), ['a', 'b', 'c', 'd']);
  t.strictSame(payloads(right), ['a', 'b', 'c', 'd'], 'a duplicate of each');
  t.equal(await scene.ask(here, 'ACK', 'work', ...left.slice(0, 2).map(({ token }) => token)), 2);
  t.equal(await scene.ask(there, 'ACK', 'work', ...right.slice(1, 3).map(({ token }) => token)), 2);
  world.heal();
  await world.settled();
  await world.converged();
  await world.run(40_000); // until all leases have expired
  t.strictSame(payloads(await scene.pull(there)), ['d']);
  t.ok(await scene.count(there, 'rival_records') + await scene.count(here, 'rival_records') > 0);
});

t.test('a home without room for the acknowledgement says so, and the lease stays', async (t) => {
  const scene = await Scene.start();
  const { world, home, others: [other] } = scene;
  const client = await world.client(other);
  await scene.publish(client, 'a');
  await world.converged();
  const [a] = await scene.pull(client) as [Leased];
  home.disk.isFull = true;
  t.match(await scene.ask(client, 'ACK', 'work', a.token), { code: 'DISKFULL' });
  t.strictSame(await scene.pull(client), [], 'it is still leased');
  home.disk.isFull = false;
  t.equal(await scene.ask(client, 'ACK', 'work', a.token), 1, 'and its token is good');
});

t.test('a home that was paused until another had taken over: of the two leases one is good, and the message is done then', async (t) => {
  const scene = await Scene.start();
  const { world, home, others: [other] } = scene;
  const [client, publisher] = [await world.client(other), await world.client(other)];
  await scene.publish(publisher, 'a');
  await world.converged();
  const [before] = await scene.pull(client) as [Leased];
  home.pause();
  await world.run(8000);
  const [after] = await scene.pull(client) as [Leased];
  t.equal(after.payload, 'a');
  home.resume();
  await world.run(8000);
  const good = [
    await scene.ask(client, 'ACK', 'work', after.token),
    await scene.ask(client, 'ACK', 'work', before.token),
  ];
  t.strictSame(good.sort(), [0, 1]);
  await world.run(40_000);
  t.strictSame(await scene.pull(client), []);
});

t.test('a home that comes back does not serve before it has what was acknowledged meanwhile, however slow its disk is', async (t) => {
  const scene = await Scene.start();
  const { world, home, others: [other] } = scene;
  const client = await world.client(other);
  await scene.publish(client, ...Array.from({ length: 200 }, (_, number) => `${number}`));
  await world.converged();
  home.crash();
  await world.run(5000);
  home.disk.slowWritesMs = 700;
  const back = world.of(home.start());
  const handled: string[] = [];
  await back;
  for (const end = world.time.now + 20_000; world.time.now < end; await world.run(40)) {
    const leases = await scene.pull(client, 'COUNT', 1);
    for (const { token, payload } of leases) {
      handled.push(payload);
      t.equal(await scene.ask(client, 'ACK', 'work', token), 1);
    }
  }
  t.equal(new Set(handled).size, handled.length, 'nothing twice');
  t.ok(handled.length > 10);
});

t.test('a PURGE drops what the broker that is asked has stored, though it has not come to the home yet', async (t) => {
  const scene = await Scene.start();
  const { world, home, others: [other] } = scene;
  const client = await world.client(other);
  home.disk.slowWritesMs = 300; // so that commands overtake messages
  await scene.publish(client, 'a', 'b');
  t.equal(await scene.ask(client, 'PURGE', 'work'), 2);
  await scene.publish(client, 'c');
  await world.converged();
  t.strictSame(payloads(await scene.pull(client)), ['c']);
});
