import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RumormillError } from '../../brokers/core/error.ts';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { temporaryFolder } from '../support/folder.ts';
import { freePorts } from '../support/port.ts';
import { execute } from '../support/sqlite.ts';
import { waitFor } from '../support/wait.ts';

const KIB = 'x'.repeat(1000);

async function prepare(t: Test, wrapper: readonly string[] = []): Promise<[Broker, Cluster]> {
  const cluster = new Cluster(t);
  const [port] = await freePorts(1) as [number];
  cluster.list([`127.0.0.1,${port}`]);
  const broker = cluster.add(port, {}, wrapper);
  await broker.start();
  return [broker, cluster];
}

/** Publishes until an error comes. */
async function publishUntilRefused(broker: Broker): Promise<[acknowledged: string[], error: unknown]> {
  const client = await broker.connect();
  const acknowledged: string[] = [];
  for (;;) {
    const payload = `${acknowledged.length} ${KIB}`;
    try {
      await client.publish('news', payload);
    } catch (error) {
      return [acknowledged, error];
    }
    acknowledged.push(payload);
  }
}

async function readAll(broker: Broker): Promise<string[]> {
  const client = await broker.connect();
  const all: string[] = [];
  for (let cursor = 'earliest'; ; ) {
    const page = await client.poll(['news'], cursor, 'COUNT', 10_000);
    if (page.payloads.length === 0) return all;
    all.push(...page.payloads);
    cursor = page.cursor;
  }
}

const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

t.test('a full disk: publishes are refused, reads go on, and publishing resumes when there is room', { skip: !canMount && 'no mounts here' }, async (t) => {
  const script = 'mount -t tmpfs -o size=6m none "$0" && head -c 3000000 /dev/zero > "$0/ballast" && exec "$@"';
  const cluster = new Cluster(t);
  const [port] = await freePorts(1) as [number];
  cluster.list([`127.0.0.1,${port}`]);
  const data = join(cluster.folder, 'small');
  mkdirSync(data);
  const broker = cluster.add(port, { 'data-dir': data }, ['unshare', '-rm', 'sh', '-c', script, data]);
  await broker.start();

  const [acknowledged, error] = await publishUntilRefused(broker);
  t.match(error, { code: 'DISKFULL', message: 'no room on the disk (ENOSPC) for broker.db; nothing was stored' });
  t.ok(acknowledged.length > 100);
  t.strictSame(await readAll(broker), acknowledged, 'reads go on');
  t.equal(broker.logged('disk full, publishes are refused until there is room').length, 1);

  rmSync(join('/proc', String(broker.pid), 'root', data, 'ballast'));
  const client = await broker.connect();
  await waitFor('publishing resumes', async () => {
    const reply = await client.command('PUBLISH', 'news', 'room again');
    return !(reply instanceof RumormillError);
  });
  t.strictSame(
    await readAll(broker), [...acknowledged, 'room again'],
    'nothing that was refused, everything that was acknowledged',
  );
  t.equal(await broker.stop(), 0);
});

t.test('a broker that is started on a full disk: it exits with a line that names the file', { skip: !canMount && 'no mounts here' }, async (t) => {
  const folder = temporaryFolder(t);
  const full =
    'mount -t tmpfs -o size=64k none "$0" && { head -c 100000 /dev/zero > "$0/ballast" 2>/dev/null; exec "$@"; }';
  const cluster = new Cluster(t);
  const [port] = await freePorts(1) as [number];
  cluster.list([`127.0.0.1,${port}`]);
  const broker = cluster.add(port, { 'data-dir': folder }, ['unshare', '-rm', 'sh', '-c', full, folder]);
  broker.spawn();
  t.equal(await broker.exit(), 1);
  t.match(broker.log, [
    {
      event: `rumormill-broker: no room on the disk (ENOSPC) for ${join(folder, `127.0.0.1-${port}`, 'broker.db')}; nothing was stored`,
    },
  ]);
});

t.test('a disk that fails: the broker acknowledges nothing more and exits with a clear line; everything acknowledged is there', async (t) => {
  // A limit on the size of files: the write beyond it fails, once the signal that comes with it is ignored.
  const ignore = join(temporaryFolder(t), 'ignore.mjs');
  writeFileSync(ignore, "process.on('SIGXFSZ', () => undefined);");
  const [broker, cluster] = await prepare(t, [
    'env', `NODE_OPTIONS=--import=${ignore}`, 'sh', '-c', 'ulimit -f 4000 && exec "$0" "$@"',
  ]);
  const [acknowledged] = await publishUntilRefused(broker);
  t.equal(await broker.exit(), 1);
  t.match(broker.log.slice(-2), [
    { level: 'error', event: 'store failed, broker stops', reason: /broker\.db: SQLITE_IOERR/ },
    { event: /^rumormill-broker: broker\.db: SQLITE_IOERR/ },
  ]);
  const bytes = readFileSync(broker.file);
  const again = cluster.add(broker.port);
  t.ok(readFileSync(broker.file).equals(bytes), 'the file is left as it is');
  await again.start();
  const stored = await readAll(again);
  t.strictSame(stored.slice(0, acknowledged.length), acknowledged);
  t.ok(stored.length <= acknowledged.length + 1, 'and at most the one that was under way');
});

t.test('a file that is corrupted under a broker that runs: it stops with a clear line', async (t) => {
  const [broker] = await prepare(t);
  const client = await broker.connect();
  // more than SQLite caches
  for (let number = 0; number < 40; number += 1) await client.publish('news', `${number} ${'x'.repeat(500_000)}`);
  await waitFor('much of it is in the file', () => statSync(broker.file).size > 8_000_000);
  const file = openSync(broker.file, 'r+');
  for (let at = 4096; at < statSync(broker.file).size; at += 4096) {
    writeSync(file, Buffer.alloc(4096, 0xee), 0, 4096, at);
  }
  closeSync(file);
  // the connection may go before the answer comes
  await client.command('RANGE', 'news', 'COUNT', 10_000).catch(() => undefined);
  t.equal(await broker.exit(), 1);
  t.match(broker.log.slice(-2), [
    {
      level: 'error', event: 'store failed, broker stops',
      reason: /SQLITE_CORRUPT|SQLITE_IOERR|SQLITE_NOTADB|malformed|is not an SQLite database/,
    },
    { event: /^rumormill-broker: / },
  ]);
});

for (const [what, damage, command] of [
  [
    'a column of a batch', "UPDATE batches SET lengths = '[' WHERE position = 1",
    ['POLL', 'news', 'CURSOR', 'earliest'],
  ],
  ['a view', 'DROP VIEW topic_batches', ['TOPIC', 'GET', 'news']],
] as const) {
  t.test(`${what} is damaged: the broker stops with a clear line when it is read`, async (t) => {
    const [broker] = await prepare(t);
    await (await broker.connect()).publish('news', 'one');
    await broker.kill();
    await broker.start(); // with nothing in memory
    await execute(broker.file, damage);
    const client = await broker.connect();
    await client.command(...command).catch(() => undefined); // the connection may go before the answer comes
    t.equal(await broker.exit(), 1);
    t.match(broker.log.slice(-2), [
      {
        level: 'error',
        event: 'store failed, broker stops',
        reason: /its lengths are not JSON|no such table: topic_batches/,
      },
      { event: /^rumormill-broker: (a stored batch is damaged|broker.db: SQLITE_ERROR)/ },
    ]);
  });
}
