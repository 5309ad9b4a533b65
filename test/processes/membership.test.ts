import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { bytesOf, hello } from '../support/peer.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';

const NOT_TAKEN_OVER = 'globalState.csv not taken over, the last good list stays';
const NOT_CHANGED = 'globalState.csv was changed, and the members were not';
const IS_ITSELF = 'a row of globalState.csv is this broker itself';

/** What a broker says of the others: address -> state. */
async function states(broker: Broker): Promise<Record<string, string>> {
  const client = await broker.connect();
  const reply = await client.command('MESH', 'BROKERS');
  client.close();
  return Object.fromEntries(
    (reply as [Buffer, Buffer, number][]).map(([address, state]) => [String(address), String(state)]),
  );
}

t.test('a late joiner that was invited, and that knows one of them, is learned by all', async (t) => {
  const cluster = new Cluster(t);
  const ports = await freePorts(3);
  cluster.list(ports.slice(0, 2).map((port) => `127.0.0.1,${port}`));
  const [low, middle] = [cluster.add(ports[0]!), cluster.add(ports[1]!)];
  await Promise.all([low.start(), middle.start()]);
  await cluster.settled();
  await (await middle.connect()).publish('news', 'from before');

  const csv = join(cluster.folder, 'joiner.csv');
  writeFileSync(csv, `127.0.0.1,${ports[0]}\n127.0.0.1,${ports[2]}\n`);
  await cluster.founded();
  await (await middle.connect()).command('MESH', 'INVITE', `127.0.0.1:${ports[2]}`);
  const joiner = cluster.add(ports[2]!, { 'global-state': csv });
  await joiner.start();
  await cluster.settled();
  await cluster.converged(1);
  for (const broker of [low, middle]) t.equal((await states(broker))[joiner.address], 'alive');
  t.strictSame(await states(joiner), { [low.address]: 'alive', [middle.address]: 'alive', [joiner.address]: 'self' });

  await joiner.kill();
  await waitFor('it is dead', async () => (await states(low))[joiner.address] === 'dead');
});

t.test('globalState.csv changed while the broker runs: a row added, a bad one, one taken out', async (t) => {
  const cluster = new Cluster(t);
  const [first, second] = await freePorts(2) as [number, number];
  const low = cluster.add(first);
  const high = cluster.add(second, { 'global-state': join(cluster.folder, 'other.csv') });
  cluster.list([`127.0.0.1,${first}`]);
  writeFileSync(join(cluster.folder, 'other.csv'), `127.0.0.1,${second}\n`);
  await Promise.all([low.start(), high.start()]);
  t.equal((await low.status())['links'], '0');

  const both = [`127.0.0.1,${first}`, `127.0.0.1,${second}`];
  cluster.list(both);
  writeFileSync(join(cluster.folder, 'other.csv'), `${both.join('\n')}\n`);
  await cluster.settled();
  await cluster.founded();
  t.equal(low.logged('globalState.csv read again').at(-1)?.['brokers'], 2);

  cluster.list([`127.0.0.1,${first}`, `127.0.0.1,${second}`, '127.0.0.1,99999']);
  await waitFor('the bad row is logged', () => low.logged(NOT_TAKEN_OVER).length > 0);
  t.match(low.logged(NOT_TAKEN_OVER), [
    { level: 'error', reason: `${cluster.csv} line 4: port "99999" is not a number from 1 to 65535` },
  ]);
  t.equal((await states(low))[high.address], 'alive', 'the last good list stays');

  await high.stop();
  cluster.list([`127.0.0.1,${first}`]);
  await waitFor('one of two is no majority', () => low.logged(NOT_CHANGED).length > 0);
  t.match(low.logged(NOT_CHANGED), [{ broker: high.address, reason: /^1 of 2 members have it on disk/ }]);
  await (await low.connect()).command('MESH', 'FORGET', high.address, 'FORCE');
  await waitFor('it is forgotten', async () => !(high.address in await states(low)));
  t.equal(low.logged(NOT_TAKEN_OVER).length, 1, 'logged once');
});

t.test('a row that is this very broker under another name is recognised, with one line', async (t) => {
  const cluster = new Cluster(t);
  const ports = await freePorts(2);
  cluster.list(ports.map((port) => `localhost,${port}`));
  for (const port of ports) cluster.add(port);
  const [low, high] = cluster.brokers as [Broker, Broker];
  await Promise.all([low.start(), high.start()]);
  await cluster.settled();
  for (const broker of [low, high]) {
    await waitFor('it knows itself', () => broker.logged(IS_ITSELF).length > 0);
    t.match(broker.logged(IS_ITSELF), [{ row: `localhost:${broker.port}`, broker: broker.address }]);
    t.equal((await broker.status())['links'], '1', 'no link with itself, one with the other');
  }
  await waitFor('everybody stands there once, by its own name', async () => {
    return JSON.stringify(await states(low)) === JSON.stringify({ [low.address]: 'self', [high.address]: 'alive' });
  });
  cluster.list(ports.map((port) => `localhost,${port}`).reverse());
  await waitFor('the file was read again', () => low.logged('globalState.csv read again').length > 0);
  t.equal(low.logged(IS_ITSELF).length, 1);
});

t.test('a broker of another mesh is refused, and that is logged once', async (t) => {
  const cluster = new Cluster(t);
  const ports = await freePorts(2);
  cluster.list(ports.map((port) => `127.0.0.1,${port}`));
  const [low, high] = [cluster.add(ports[0]!), cluster.add(ports[1]!, { mesh: 'other' })];
  await Promise.all([low.start(), high.start()]);
  const refusals = (broker: Broker): unknown[] => [
    ...broker.logged('peer refused'),
    ...broker.logged('refused by a peer'),
  ];
  await waitFor('both say so', () => refusals(low).length > 0 && refusals(high).length > 0);
  for (const broker of [low, high]) {
    for (const line of refusals(broker)) t.match(line, { reason: /belongs to mesh "\w+", not "\w+"$/ });
  }

  const stranger = parseAddress('10.9.9.9:1');
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const client = await low.connect();
    client.raw(bytesOf(hello({ address: stranger, mesh: 'other' })));
    t.match(await client.next(), { code: 'REFUSED', message: /belongs to mesh "default", not "other"/ });
    await client.closed;
  }
  const told = low.logged('peer refused').filter(({ peer: address }) => address === '10.9.9.9:1');
  t.match(told, [{ level: 'warn', reason: /belongs to mesh "default", not "other"/ }]);
  t.equal(told.length, 1);
  t.equal((await low.status())['links'], '0');
  for (const broker of [low, high]) {
    await waitFor('each mesh has a coordinator of its own', async () => (await broker.leader()) === broker.address);
  }
});

t.test('a peer of another protocol version is refused, and that is logged once', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const broker = cluster.brokers[0]!;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const client = await broker.connect();
    t.match(await client.command('PEER', 99, 'whatever', 'another', 'version', 'says'), {
      code: 'REFUSED',
      message: /version 99/,
    });
    await client.closed;
  }
  t.equal(broker.logged('peer refused').length, 1);
});
