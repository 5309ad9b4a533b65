/** Machines come and go, while a client publishes all the time: what the README says, with real processes. */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { type Client, connect } from '../../clients/client.ts';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import { DIST } from '../support/root.ts';
import { waitFor } from '../support/wait.ts';

/** `admin` at a broker. @throws what it printed, if it failed */
async function admin({ port }: Broker, ...words: readonly string[]): Promise<string> {
  const args = [join(DIST, 'clients/admin.js'), '--host', '127.0.0.1', '--port', String(port), ...words];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return stdout.trim();
}

async function states(broker: Broker): Promise<Record<string, string>> {
  return Object.fromEntries((await broker.members()).map((each) => [each['address']!, each['state']!]));
}

/** Publishes one message after another, without ids, so that none is made again that may have been stored. */
class Load {
  readonly published: string[] = [];
  readonly failed: string[] = [];
  readonly #client: Client;
  readonly #loop: Promise<void>;
  #isOver = false;

  constructor(client: Client, acks: 'local' | 'quorum') {
    this.#client = client;
    this.#loop = this.#run(acks);
  }

  async #run(acks: 'local' | 'quorum'): Promise<void> {
    for (let number = 0; !this.#isOver; number += 1) {
      const payload = `message ${number}`;
      await this.#client.publish('news', payload, { acks }).then(
        () => void this.published.push(payload),
        (error: unknown) => void this.failed.push(String(error)),
      );
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#loop;
    await this.#client.close();
  }
}

/** All that was acknowledged is at a broker. */
async function holds(t: Test, broker: Broker, load: Load): Promise<void> {
  const client = await connect({ brokers: broker.address });
  const seen = new Set<string>();
  for (let cursor = 'earliest'; ; ) {
    const page = await client.poll(['news'], { cursor, count: 1000 });
    for (const { text } of page.messages) seen.add(text);
    if (page.messages.length === 0) break;
    cursor = page.cursor;
  }
  await client.close();
  const missing = load.published.filter((payload) => !seen.has(payload));
  t.strictSame(missing, [], `${load.published.length} messages are there`);
}

t.test('a mesh grows from one to five and shrinks to three under load, and no call fails', async (t) => {
  const cluster = new Cluster(t);
  const ports = await freePorts(5);
  cluster.list([`127.0.0.1,${ports[0]}`]);
  const first = cluster.add(ports[0]!);
  await first.start();
  const load = new Load(await connect({ brokers: first.address, idempotent: false }), 'quorum');
  for (const port of ports.slice(1)) {
    await admin(first, 'invite', `127.0.0.1:${port}`);
    const next = cluster.add(port, { join: first.address });
    await next.start();
    await waitFor(`${next.address} is in`, async () => (await states(first))[next.address] === 'in');
  }
  t.equal(Object.keys(await states(first)).length, 5);
  for (const leaver of cluster.brokers.slice(0, 2)) {
    const other = cluster.brokers.at(-1)!;
    t.equal(await admin(other, 'leave', leaver.address), `${leaver.address} has left`);
    t.equal(await leaver.exit(), 0);
  }
  const before = load.published.length;
  await waitFor('publishing goes on', () => load.published.length > before + 10);
  await load.end();
  t.strictSame(load.failed, []);
  await cluster.converged();
  const rest = cluster.running.map(({ address }) => address);
  for (const broker of cluster.running) {
    t.strictSame(Object.keys(await states(broker)), rest);
    await holds(t, broker, load);
  }
});

t.test('a machine is gone for good: it is forgotten and replaced; what comes back is told so', async (t) => {
  const cluster = await Cluster.start(t, 3);
  await cluster.founded();
  const [low, dead, high] = cluster.brokers as [Broker, Broker, Broker];
  await t.rejects(admin(low, 'forget', dead.address), /is up, and a member that runs is not forgotten/);
  const load = new Load(await connect({ brokers: low.address }), 'quorum');
  await dead.kill();
  t.equal(await admin(low, 'forget', dead.address), `${dead.address} is a member no more`);
  await waitFor('all know', async () => !(dead.address in await states(high)));
  const [port] = await freePorts(1) as [number];
  await admin(high, 'invite', `127.0.0.1:${port}`);
  const next = cluster.add(port, { join: `${low.address},${high.address}` });
  await next.start();
  await waitFor('it is in', async () => (await states(low))[next.address] === 'in');
  await load.end();
  t.strictSame(load.failed, []);
  await cluster.converged();
  await holds(t, next, load);

  dead.spawn();
  t.equal(await dead.exit(), 3, 'it is told so');
  t.match(dead.log.at(-1)?.event, /was put out of its mesh; --rejoin makes it a member anew/);
  const back = cluster.add(dead.port, { rejoin: '' });
  await back.start();
  await waitFor('it is a member anew', async () => (await states(low))[back.address] === 'in');
});

t.test('a member moves to another address: it keeps its id, and the others follow', async (t) => {
  const cluster = await Cluster.start(t, 3);
  await cluster.founded();
  const [low, , mover] = cluster.brokers as [Broker, Broker, Broker];
  const { id } = await mover.status();
  await mover.stop();
  const [port] = await freePorts(1) as [number];
  const moved = cluster.add(port, { join: low.address, 'data-dir': dirname(mover.file) });
  await moved.start();
  await waitFor('the others know', async () => (await states(low))[moved.address] === 'in');
  t.equal((await moved.status())['id'], id);
  t.notOk(mover.address in await states(low));
  const client = await low.connect();
  t.type(await client.command('PUBLISH', 'news', 'x', 'ACKS', 'all'), 'number', 'it counts where it is now');
});

t.test('a wiped member comes back with a new key and counts again; a stranger is not let in', async (t) => {
  const cluster = await Cluster.start(t, 3);
  await cluster.founded();
  const [low, wiped] = cluster.brokers as [Broker, Broker];
  const before = (await wiped.status())['id'];
  await wiped.kill();
  rmSync(dirname(wiped.file), { recursive: true });
  await wiped.start();
  const id = async (): Promise<unknown> =>
    (await low.members()).find(({ address }) => address === wiped.address)?.['id'];
  await waitFor('it has its seat again', async () => ![before, undefined].includes(String(await id())));
  t.equal(await id(), (await wiped.status())['id']);
  const client = await low.connect();
  t.type(await client.command('PUBLISH', 'news', 'x', 'ACKS', 'all'), 'number');

  const [port] = await freePorts(1) as [number];
  const stranger = cluster.add(port, { join: low.address });
  await stranger.start();
  const why = /is no member of this mesh: run admin invite/;
  for (const [broker, event] of [[low, 'peer refused'], [stranger, 'refused by a peer']] as const) {
    await waitFor(`${event} is logged`, () => broker.logged(event).some(({ reason }) => why.test(String(reason))));
  }
  t.equal((await stranger.status())['links'], '0');
  await stranger.stop();
});

t.test('a broker that reaches nobody to join by says so', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const [port, nobody] = await freePorts(2) as [number, number];
  const joiner = cluster.add(port, { join: `127.0.0.1:${nobody}` });
  await joiner.start();
  const event = 'no member is reached to join by';
  await waitFor('it says so', () => joiner.logged(event).length > 0);
  t.match(joiner.logged(event)[0], { level: 'warn', peer: `127.0.0.1:${nobody}`, reason: /ECONNREFUSED [\d.:]+$/ });
  await joiner.stop();
});
