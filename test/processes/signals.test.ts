import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { Cluster } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import { DIST } from '../support/root.ts';
import { waitFor, within } from '../support/wait.ts';

t.test('SIGHUP reads globalState.csv again, whether it has changed or not; what cannot be read changes nothing', async (t) => {
  const [broker, cluster] = await Cluster.single(t);
  broker.signal('SIGHUP');
  await waitFor('it is read', () => broker.logged('globalState.csv read again').length === 1);
  t.match(broker.logged('globalState.csv read again'), [{ brokers: 1 }]);
  cluster.list(['127.0.0.1,x']);
  const bad = (): number => broker.logged('globalState.csv not taken over, the last good list stays').length;
  await waitFor('it was looked at', () => bad() === 1);
  broker.signal('SIGHUP');
  await waitFor('who asks is told', () => bad() === 2);
  t.equal(await broker.stop(), 0);
});

t.test('SIGUSR1 and SIGUSR2 do nothing, and open no port', async (t) => {
  const [broker] = await Cluster.single(t);
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGUSR1'] as const) broker.signal(signal);
  broker.signal('SIGHUP'); // comes after them
  await waitFor('they have come', () => broker.logged('globalState.csv read again').length === 1);
  await (await broker.connect()).publish('news', 'alive');
  t.strictSame(broker.log.filter(({ event }) => /debugger|inspector/i.test(event)), []);
  t.equal(await broker.stop(), 0);
});

t.test('SIGQUIT ends a broker in an orderly way', async (t) => {
  const [broker] = await Cluster.single(t);
  broker.signal('SIGQUIT');
  t.equal(await broker.exit(), 0);
});

t.test('a signal that comes while the broker still starts ends it in an orderly way too', async (t) => {
  const cluster = new Cluster(t);
  const [port] = (await freePorts(1)) as [number];
  cluster.list([`127.0.0.1,${port}`]);
  const args = [join(DIST, 'brokers/broker.js'), '--port', String(port), '--host', '127.0.0.1'];
  const files = ['--global-state', cluster.csv, '--data-dir', join(cluster.folder, 'data')];
  const child = spawn(process.execPath, [...args, ...files], { stdio: ['ignore', 'inherit', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (line.includes('broker ready')) child.kill('SIGTERM');
    lines.push(line);
  });
  t.equal(await within('it has stopped', exited), 0);
  t.match(lines.at(-1), /broker stopped/);
});

t.test('npm start passes SIGHUP on to each broker, and stops them all at SIGQUIT', async (t) => {
  const cluster = new Cluster(t);
  const ports = await freePorts(2);
  cluster.list(ports.map((port) => `127.0.0.1,${port}`));
  const args = [
    join(DIST, 'brokers/cluster.js'), '--global-state', cluster.csv, '--data-dir', join(cluster.folder, 'data'),
  ];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  t.teardown(() => child.kill('SIGTERM'));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const count = (text: string): number => lines.filter((line) => line.includes(text)).length;
  await waitFor('both are ready', () => count('broker ready') === 2);
  child.kill('SIGHUP');
  await waitFor('both read the file', () => count('globalState.csv read again') === 2);
  child.kill('SIGQUIT');
  t.equal(await within('all have stopped', exited), 0);
  t.equal(count('ended with status 0'), 2);
});
