import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import { RespClient } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';

const MEND = 'if its data folder is a copy, stop it, remove broker.key there and start it again';
const RENEWED = 'store goes on under a new name';

async function publish(broker: Broker, payload: string, acks = 'all'): Promise<void> {
  const client = await broker.connect();
  await client.publish('news', payload, 'ACKS', acks);
  client.close();
}

/** Every broker that runs serves just these, in whatever order. */
async function serves(t: Test, cluster: Cluster, payloads: readonly string[]): Promise<void> {
  await cluster.converged(payloads.length);
  for (const broker of cluster.running) {
    const client = await broker.connect();
    t.strictSame([...(await client.poll(['news'], 'earliest')).payloads].sort(), [...payloads].sort(), broker.address);
  }
}

for (const [what, isWhole] of [['a backup', true], ['a backup of broker.db alone', false]] as const) {
  t.test(`${what} put back: the broker gets what it lost and reuses no name`, async (t) => {
    const cluster = await Cluster.start(t, 3);
    const low = cluster.brokers[0]!;
    const folder = dirname(low.file);
    const backup = `${folder}-backup`;
    await publish(low, 'before the backup');
    t.equal(await low.stop(), 0);
    cpSync(folder, backup, { recursive: true });
    await low.start();
    await cluster.settled();
    await publish(low, 'after it');
    const { origin } = await low.status();
    t.equal(await low.stop(), 0); // by then the others have all that it named
    const named = (await cluster.brokers[1]!.vector())[origin!];
    t.ok(Number(named) >= 2, 'two messages at least'); // and what it said of the members

    if (isWhole) rmSync(folder, { recursive: true });
    cpSync(isWhole ? backup : join(backup, 'broker.db'), isWhole ? folder : low.file, { recursive: true });
    await low.start();
    await publish(low, 'after the restore');
    await serves(t, cluster, ['before the backup', 'after it', 'after the restore']);
    const [event, level, reason] = isWhole
      ? [RENEWED, 'warn', / holds \d+ records of it that it has lost$|knows a later life of it$/]
      : ['store has lost records and goes on under a new name', 'error', /./]; // which it finds by itself
    t.match(low.logged(event), [{ level, was: origin, reason }]);
    t.equal((await low.vector())[origin!], named, 'the old name stands for what it always stood for');
    t.equal(low.logged('peer refused').length, 0);
  });
}

t.test('a wiped store: the broker comes back under a new name and gets everything', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  await cluster.founded(); // so that it names nothing more than this
  await publish(low, 'before');
  const { origin } = await low.status();
  await low.kill();
  const records = (await high.vector())[origin!];
  t.ok(Number(records) >= 1, 'one message at least');
  rmSync(dirname(low.file), { recursive: true });
  await low.start();
  await publish(low, 'after');
  await serves(t, cluster, ['before', 'after']);
  t.not((await low.status())['origin'], origin);
  t.match(low.logged('peers know an earlier store of this broker; its records are fetched'), [
    { origin, records },
  ]);
});

t.test('a restart while nobody can be asked: what is published then gets a new name', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  await publish(low, 'before');
  await Promise.all([low.kill(), high.kill()]);
  await low.start();
  t.equal(low.logged(RENEWED).length, 0, 'no need to as long as nothing is published');
  await publish(low, 'alone', 'local');
  t.match(low.logged(RENEWED), [{ reason: `${high.address} could not be asked whether it is the newest copy` }]);
  await high.start();
  await serves(t, cluster, ['before', 'alone']);
  await publish(high, 'together');
  t.equal(high.logged(RENEWED).length, 0, 'who could be asked was');
});

t.test('a broker on a copy of a data folder, beside the one that it was copied from: it needs a key of its own', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  await publish(low, 'before');
  await cluster.founded();
  const [port] = (await freePorts(1)) as [number];
  const csv = join(cluster.folder, 'copy.csv');
  writeFileSync(csv, [...cluster.brokers.map((each) => each.port), port].map((each) => `127.0.0.1,${each}\n`).join(''));
  const copy = cluster.add(port, { 'global-state': csv });
  cpSync(dirname(low.file), dirname(copy.file), { recursive: true });
  const lost = (): unknown[] => [low, high].flatMap((broker) => broker.logged('peer lost'));
  const before = lost(); // of two that dial each other at once, one may lose a link
  await copy.start();
  t.equal(copy.logged('store was made under another address and goes on under a new name').length, 1);
  const reason = `${copy.address} has the key of ${low.address}: ${MEND}`;
  await waitFor('it is refused', () => [low, high].every((broker) => broker.logged('peer refused').length > 0));
  for (const broker of [low, high]) {
    t.match(broker.logged('peer refused'), [{ peer: copy.address, reason }]);
    t.equal((await broker.status())['links'], '1', 'and the original goes on');
  }
  t.strictSame(lost(), before);
  const [refused, refuses] = ['refused by a peer', 'peer refused'];
  await waitFor('it says so too', () => [refused, refuses].every((event) => copy.logged(event).length > 0));
  t.equal(copy.logged('peer connected').length, 0);
  await copy.stop();
  rmSync(join(dirname(copy.file), 'broker.key'));
  t.equal(await (await low.connect()).command('MESH', 'INVITE', copy.address), 'OK');
  await copy.start();
  await waitFor('it is a member', async () =>
    (await low.members()).some(({ address, state }) => address === copy.address && state === 'in'));
  await publish(copy, 'from the copy');
  await publish(low, 'from the original');
  await serves(t, cluster, ['before', 'from the copy', 'from the original']);
});

t.test('a copy that claims the same address is refused until the original is gone, and reuses no name', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  await publish(low, 'before');
  const elsewhere = join(cluster.folder, 'elsewhere');
  const copy = cluster.add(low.port, { 'data-dir': elsewhere, bind: '127.0.0.2' });
  cpSync(dirname(low.file), dirname(copy.file), { recursive: true });
  await copy.start();
  await waitFor('it is refused', () => high.logged('peer refused').length > 0);
  t.match(high.logged('peer refused')[0], { reason: `another process runs as ${low.address}` });
  const client = await RespClient.open(copy.port, '127.0.0.2');
  t.teardown(() => client.close());
  await client.publish('news', 'from the copy');
  t.equal(copy.logged(RENEWED).length, 1);
  await publish(low, 'from the original');
  await low.kill();
  await waitFor('it takes the place of the original', async () => (await high.messages()) === 3);
  const reader = await high.connect();
  t.strictSame([...(await reader.poll(['news'], 'earliest')).payloads].sort(), [
    'before', 'from the copy', 'from the original',
  ]);
});
