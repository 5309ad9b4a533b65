import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync, closeSync, copyFileSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync, writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import type { RespClient } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';

const KIB = 'x'.repeat(1000);
const LOSS = 'store has lost records and goes on under a new name';
const OTHERS = 'this store is new and empty, and beside it are stores of other addresses on which no broker runs';

async function publish(client: RespClient, count: number, bytes = 100): Promise<void> {
  for (let number = 0; number < count; number += 1) await client.publish('news', `${number} ${'x'.repeat(bytes)}`);
}

/** Publishes one by one until the connection ends. How many were acknowledged. */
async function publishUntilClosed(broker: Broker): Promise<number> {
  const client = await broker.connect();
  for (let count = 0; ; count += 1) {
    try {
      await client.publish('news', String(count));
    } catch {
      return count;
    }
  }
}

const beside = (broker: Broker, name: string): string => join(dirname(broker.file), name);

/**
 * What happens to the files of a broker that runs, and whether what it had acknowledged is still in its folder.
 * test/io/place.test.ts has more.
 */
const REMOVALS: readonly (readonly [what: string, act: (broker: Broker) => void, isKept: boolean])[] = [
  ['the data folder is removed', ({ file }) => rmSync(dirname(file), { recursive: true }), false],
  ['broker.db is replaced by a copy', ({ file }) => {
    copyFileSync(file, `${file}.copy`);
    renameSync(`${file}.copy`, file);
  }, true],
  ['the WAL is removed', ({ file }) => rmSync(`${file}-wal`), true],
  ['the mark is removed', (broker) => rmSync(beside(broker, 'broker.mark')), true],
];

for (const [what, act, isKept] of REMOVALS) {
  t.test(`${what} while a broker is published on: it stops with a clear line, exit status 1`, async (t) => {
    const [broker] = await Cluster.single(t);
    await publish(await broker.connect(), 50);
    const publishing = publishUntilClosed(broker);
    act(broker);
    t.equal(await broker.exit(), 1);
    await publishing;
    const [stopped, last] = broker.log.slice(-2);
    t.match(stopped, { level: 'error', event: 'store failed, broker stops' });
    t.match(String(stopped!['reason']), /removed, moved or replaced/);
    t.equal(last!.event, `rumormill-broker: ${String(stopped!['reason'])}`);
    if (!isKept) return;
    await broker.start();
    const stored = await broker.messages();
    t.ok(stored >= 50, `${stored} messages: what was acknowledged before is there`);
  });
}

t.test('the data folder is removed under a broker that nobody publishes on: it stops by itself', async (t) => {
  const [broker] = await Cluster.single(t);
  rmSync(dirname(broker.file), { recursive: true });
  t.equal(await broker.exit(), 1);
  t.match(broker.log.at(-2), {
    level: 'error', event: 'store failed, broker stops', reason: /removed, moved or replaced/,
  });
});

t.test('the data folder is removed and the broker stopped before it could look: exit status 1', async (t) => {
  const [broker] = await Cluster.single(t);
  await publish(await broker.connect(), 5);
  broker.signal('SIGSTOP'); // so that all comes at once
  rmSync(dirname(broker.file), { recursive: true });
  broker.signal('SIGTERM');
  broker.signal('SIGCONT');
  t.equal(await broker.exit(), 1);
  t.match(broker.log.at(-1)?.event, /removed, moved or replaced/);
});

t.test('the WAL is deleted while a broker is down: it says so, and names nothing twice', async (t) => {
  const [broker] = await Cluster.single(t);
  const client = await broker.connect();
  await publish(client, 300, 1000);
  const last = Number(await client.command('PUBLISH', 'news', 'the last one'));
  const [before] = Object.keys(await broker.vector());
  await broker.kill();
  rmSync(`${broker.file}-wal`);
  await broker.start();
  const [line] = broker.logged(LOSS);
  t.match(line, { level: 'error', was: before, reason: /^it held \d+ batches when it last ran, and holds \d+ now$/ });
  const again = await broker.connect();
  const next = Number(await again.command('PUBLISH', 'news', 'a new one'));
  t.not((await broker.status())['origin'], before, 'a new name');
  t.ok(next > last, `${next} after ${last}: the clock does not go back either`);
  await broker.stop();
  await broker.start();
  t.equal(broker.logged(LOSS).length, 1, 'said once');
});

t.test('the WAL of one of three brokers is deleted while it is down: everything comes back', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const broker = cluster.brokers[0]!;
  await publish(await broker.connect(), 200, 1000);
  await cluster.converged();
  await broker.kill();
  rmSync(`${broker.file}-wal`);
  await broker.start();
  t.equal(broker.logged(LOSS).length, 1);
  await cluster.converged();
  t.equal(await broker.messages(), 200);
});

t.test('kills, stops and files of the version before are no loss', async (t) => {
  const [broker] = await Cluster.single(t);
  await publish(await broker.connect(), 100, 1000);
  await broker.kill();
  await broker.start();
  await publish(await broker.connect(), 100, 1000);
  t.equal(await broker.stop(), 0);
  await broker.start();
  await broker.kill();
  for (const name of ['broker.mark', 'broker.reserve']) rmSync(beside(broker, name)); // which that one did not have
  await broker.start();
  t.strictSame(broker.logged(LOSS), []);
  t.equal(await broker.messages(), 200);
});

const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

/**
 * A file system of that size on a folder, in a namespace of its own. The command that others enter it with, and where
 * the folder is for us.
 */
async function smallDisk(t: Test, folder: string, options: string): Promise<[wrapper: string[], path: string]> {
  const script = `mount -t tmpfs -o ${options} none "$0" && echo ready && exec sleep 600`;
  const holder = spawn('unshare', ['-rm', 'sh', '-c', script, folder], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => holder.kill('SIGKILL'));
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  return [
    ['nsenter', '-t', String(holder.pid), '-U', '-m', '--preserve-credentials'],
    join('/proc', String(holder.pid), 'root', folder),
  ];
}

/** Leaves no byte free. */
function fillUp(folder: string): void {
  const file = openSync(join(folder, 'ballast'), 'a');
  try {
    for (const bytes of [65_536, 4096]) {
      try {
        while (writeSync(file, Buffer.alloc(bytes, 'x')) === bytes);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  } finally {
    closeSync(file);
  }
}

for (const [how, end] of [['stopped', (broker: Broker) => broker.stop()], ['killed', (broker: Broker) => broker.kill()]] as const) {
  t.test(`a broker that was ${how} starts on a full disk and serves reads`, { skip: !canMount && 'no mounts here' }, async (t) => {
    const cluster = new Cluster(t);
    const [port] = await freePorts(1) as [number];
    cluster.list([`127.0.0.1,${port}`]);
    const data = join(cluster.folder, 'small');
    mkdirSync(data);
    const [wrapper, path] = await smallDisk(t, data, 'size=16m');
    const broker = cluster.add(port, { 'data-dir': data }, wrapper);
    await broker.start();
    fillUp(path);
    const filling = await broker.connect();
    let stored = 0;
    let reply = await filling.command('PUBLISH', 'news', KIB);
    for (; typeof reply === 'number'; reply = await filling.command('PUBLISH', 'news', KIB)) stored += 1;
    t.match(reply, { code: 'DISKFULL', message: /ENOSPC/ });
    for (let times = 1; times <= 3; times += 1) {
      await end(broker);
      fillUp(path); // what the end has set free is somebody else's
      await broker.start();
      t.equal(await broker.messages(), stored, `start ${times}`);
      const again = await (await broker.connect()).command('PUBLISH', 'news', 'x');
      if (typeof again === 'number') stored += 1; // in a WAL that a kill has left there is room
      else t.match(again, { code: 'DISKFULL' });
    }
    rmSync(join(path, 'ballast'));
    const client = await broker.connect();
    await waitFor(
      'publishing resumes',
      async () => typeof (await client.command('PUBLISH', 'news', 'room again')) === 'number',
    );
    await waitFor(
      'the reserve is whole',
      () => statSync(join(path, `127.0.0.1-${port}`, 'broker.reserve')).blocks * 512 >= 1024 * 1024,
    );
    t.equal(await broker.stop(), 0);
  });
}

t.test('a disk that takes no more files is a full one', { skip: !canMount && 'no mounts here' }, async (t) => {
  const cluster = new Cluster(t);
  const [port] = await freePorts(1) as [number];
  cluster.list([`127.0.0.1,${port}`]);
  const data = join(cluster.folder, 'small');
  mkdirSync(data);
  const [wrapper] = await smallDisk(t, data, 'size=16m,nr_inodes=5');
  const broker = cluster.add(port, { 'data-dir': data }, wrapper);
  broker.spawn();
  t.equal(await broker.exit(), 1);
  t.match(broker.log.at(-1)?.event, /ENOSPC/);
});

t.test('folders and files are for their user alone, those of earlier versions too', async (t) => {
  const [broker, cluster] = await Cluster.single(t);
  const check = (): void => {
    const folder = dirname(broker.file);
    t.equal(statSync(folder).mode & 0o777, 0o700);
    const names = readdirSync(folder);
    for (const name of [
      'broker.db', 'broker.db-wal', 'broker.db-shm', 'broker.lock', 'broker.mark', 'broker.reserve',
      'broker.key',
    ]) {
      t.ok(names.includes(name), name);
    }
    t.strictSame(names.filter((name) => (statSync(join(folder, name)).mode & 0o777) !== 0o600), []);
  };
  check();
  t.equal(statSync(join(cluster.folder, 'data')).mode & 0o777, 0o700, 'the folder of the stores, which it has made');
  await publish(await broker.connect(), 5);
  await broker.kill();
  chmodSync(dirname(broker.file), 0o755);
  for (const name of readdirSync(dirname(broker.file))) {
    if (name !== 'broker.key') chmodSync(beside(broker, name), 0o644); // which is refused
  }
  await broker.start();
  check();
});

t.test('a new store beside the one of a former address: it is said which, and what to do', async (t) => {
  const [former, cluster] = await Cluster.single(t);
  await publish(await former.connect(), 5);
  const [port] = await freePorts(1) as [number];
  const beside = cluster.add(port);
  cluster.list([former, beside].map((broker) => `127.0.0.1,${broker.port}`));
  await beside.start();
  t.strictSame(beside.logged(OTHERS), [], 'the other one belongs to a broker that runs');
  for (const broker of [beside, former]) await broker.stop();
  rmSync(dirname(beside.file), { recursive: true });
  await beside.start();
  t.match(beside.logged(OTHERS), [{ level: 'warn', others: dirname(former.file), remedy: /rename the former folder/ }]);
  await beside.stop();

  rmSync(dirname(beside.file), { recursive: true });
  renameSync(dirname(former.file), dirname(beside.file)); // as it says
  await beside.start();
  t.equal(beside.logged(OTHERS).length, 1);
  t.equal(await beside.messages(), 5);
});
