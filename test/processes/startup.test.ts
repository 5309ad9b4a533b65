import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import t from 'tap';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';

/** A broker that will not start. */
async function prepare(
  t: Parameters<typeof Cluster.start>[0],
  args: Record<string, string> = {},
): Promise<[Broker, Cluster]> {
  const cluster = new Cluster(t);
  const [port] = (await freePorts(1)) as [number];
  cluster.list([`127.0.0.1,${port}`]);
  return [cluster.add(port, args), cluster];
}

/** It exits 1 with exactly one line. */
async function refusesToStart(
  t: Parameters<typeof Cluster.start>[0], broker: Broker, line: string | RegExp,
): Promise<void> {
  broker.spawn();
  t.equal(await broker.exit(), 1);
  t.equal(broker.log.length, 1, JSON.stringify(broker.log));
  t.match(broker.log[0]?.event, line);
}

t.test('port in use', async (t) => {
  const [broker] = await prepare(t);
  const server = createServer().listen(broker.port, '127.0.0.1');
  t.teardown(() => server.close());
  await refusesToStart(
    t, broker, `rumormill-broker: port ${broker.port} on 127.0.0.1 is in use; is a broker running there already?`,
  );
});

t.test('host that is not of this machine, and a name that nobody knows', async (t) => {
  const [address] = await prepare(t, { bind: '192.0.2.1' });
  await refusesToStart(
    t, address, 'rumormill-broker: 192.0.2.1 is not an address of this machine; use --bind to listen on another',
  );
  const [name] = await prepare(t, { bind: 'no-such-host.invalid' });
  await refusesToStart(t, name, /no-such-host\.invalid/);
});

t.test('an address that no other broker can dial, and one in no row', async (t) => {
  const [any] = await prepare(t, { host: '0.0.0.0' });
  await refusesToStart(
    t, any,
    /^rumormill-broker: no other broker can dial 0\.0\.0\.0: start with --host .+ --bind 0\.0\.0\.0$/,
  );
  const [loopback, far] = await prepare(t);
  far.list([`127.0.0.1,${loopback.port}`, '192.0.2.1,3000']);
  await refusesToStart(
    t, loopback,
    new RegExp(`: 127\\.0\\.0\\.1 is this machine alone, and other brokers of ${far.csv} cannot dial it `),
  );
  const [other, cluster] = await prepare(t);
  cluster.list([`127.0.0.1,${loopback.port}`]);
  await refusesToStart(
    t, other,
    `rumormill-broker: 127.0.0.1:${other.port} is in no row of ${cluster.csv}: ` +
      `start with the --host and --port of a row, or add the row 127.0.0.1,${other.port}`,
  );
});

t.test('data folder that cannot be made', async (t) => {
  const [broker, cluster] = await prepare(t);
  writeFileSync(join(cluster.folder, 'data'), 'a file');
  await refusesToStart(t, broker, new RegExp(`data folder ${cluster.folder}/data/.* cannot be made`));
  t.equal(readFileSync(join(cluster.folder, 'data'), 'utf8'), 'a file');
});

t.test('broker.db that is not a database, left as it is', async (t) => {
  const [broker] = await prepare(t);
  mkdirSync(dirname(broker.file), { recursive: true });
  const bytes = Buffer.alloc(10_000, 'this is my diary. ');
  writeFileSync(broker.file, bytes);
  await refusesToStart(t, broker, `rumormill-broker: ${broker.file} is not an SQLite database`);
  t.ok(readFileSync(broker.file).equals(bytes));
});

t.test('two brokers on one data folder', async (t) => {
  const [first, cluster] = await prepare(t);
  await first.start();
  await refusesToStart(
    t, cluster.add(first.port), /^rumormill-broker: another broker is running on data folder .*127\.0\.0\.1-\d+$/,
  );
  t.equal(await first.stop(), 0);
});

t.test('globalState.csv: missing, or with a bad row', async (t) => {
  const [missing, { folder }] = await prepare(t);
  const [broker, cluster] = await prepare(t, { 'global-state': join(folder, 'none.csv') });
  await refusesToStart(t, broker, /none\.csv cannot be read/);
  cluster.list(['10.0.0.1,3000', '', '10.0.0.2']);
  const other = cluster.add(missing.port);
  await refusesToStart(t, other, `${cluster.csv} line 4: a row is ip-address,port; "10.0.0.2" has no port`);
});

t.test('seconds that are no whole number of milliseconds once they are multiplied', async (t) => {
  // 2009.9999999999998, 1004.9999999999999
  const [broker] = await prepare(t, { 'ack-timeout': '2.01', 'dedupe-window': '1.005' });
  await broker.start();
  t.equal(await broker.stop(), 0);
});

t.test('flags that cannot be', async (t) => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ port: '70000' }, /port "70000" is not a number from 1 to 65535/],
    [{ host: 'a b' }, /host "a b" is neither an IP address nor a host name/],
    [{ mesh: 'a b' }, /mesh name "a b"/],
    [{ acks: 'most' }, /acks/],
    [{ 'no-such-flag': 'x' }, /unknown option/],
  ];
  for (const [args, line] of cases) {
    const [broker] = await prepare(t, args);
    broker.spawn();
    t.equal(await broker.exit(), 1, JSON.stringify(args));
    t.equal(broker.log.length, 1, JSON.stringify(broker.log));
    t.match(broker.log[0]?.event, line);
  }
});

t.test('a broker whose log nobody reads any more goes on', async (t) => {
  const cluster = new Cluster(t);
  const [port, other] = await freePorts(2) as [number, number];
  cluster.list([`127.0.0.1,${port}`]);
  const deaf = 'exec "$0" "$@" 2> >(head -n 1 > /dev/null)';
  const broker = cluster.add(port, {}, ['bash', '-c', deaf]);
  broker.spawn();
  await waitFor('it serves', () => broker.status().then(() => true, () => false));
  cluster.list([`127.0.0.1,${port}`, `127.0.0.1,${other}`]);
  const client = await broker.connect();
  await waitFor('it has read the new list, and has said so', async () =>
    String(await client.command('MESH', 'BROKERS')).includes(String(other)),
  );
  t.type(await client.publish('news', 'x'), 'number');
  t.equal(await broker.stop(), 0);
});
