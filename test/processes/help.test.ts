/** What `--help` advises is run as it stands, but for addresses and large numbers. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import t, { type Test } from 'tap';
import { run } from '../clients/command.ts';
import { Cluster } from '../support/cluster.ts';
import { deadAddress } from '../clients/fake-broker.ts';
import { describe, make } from '../support/queue-client.ts';
import { DIST } from '../support/root.ts';
import { waitFor } from '../support/wait.ts';

const CLIENTS = ['publisher', 'subscriber', 'admin'] as const;

/** The lines `  $ command` of a help text, without what is said about them. */
async function examples(t: Test, script: (typeof CLIENTS)[number]): Promise<string[]> {
  const { stdout } = await run(t, script, ['--help']);
  return [...stdout.matchAll(/^ {2}\$ (.*?)(?: {2,}.*)?$/gm)].map(([, command]) => command!);
}

/** Runs a line in a shell until it ends or has printed something. */
async function runLine(t: Test, line: string, folder: string): Promise<string> {
  const functions = CLIENTS.map(
    (name) => `${name}() { ${process.execPath} ${join(DIST, `clients/${name}.js`)} "$@"; }`,
  );
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn('bash', ['-c', `${functions.join('\n')}\nset -o pipefail\n${line}`], {
    cwd: folder, env, detached: true,
  });
  const kill = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, signal); // its children too
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  t.teardown(() => kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  let code: number | null | undefined;
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.once('close', (status) => (code = status));
  if (/publisher .*news$/.test(line)) child.stdin.write('typed\n');
  await waitFor(`${line}: ${stderr}`, () => stdout !== '' || code !== undefined);
  if (code !== undefined) t.equal(code, 0, `${line}: ${stderr}`);
  kill('SIGTERM');
  await waitFor(`${line} ends`, () => code !== undefined);
  t.notMatch(stderr, /error|not acknowledged/, line);
  return stdout;
}

t.test('every example of --help works, and none that looks costs anybody a message', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const [broker] = cluster.brokers;
  const client = await broker!.connect();
  await make(client, 'TOPIC CREATE orders', 'TOPIC CREATE parcels TYPE direct');
  for (const name of ['billing', 'g1']) {
    await make(client, `SUBSCRIPTION CREATE ${name} MAXDELIVERIES 1 DEADLETTER ${name}-failed`);
  }
  await make(client, 'SUBSCRIPTION CREATE north', 'BIND north parcels KEY north', 'BIND g1 orders');
  writeFileSync(join(cluster.folder, 'app.log'), 'started\n');
  const there = `--brokers ${await deadAddress()},${broker!.address}`;
  for (const script of CLIENTS) {
    const lines = await examples(t, script);
    t.ok(lines.length > 4, script);
    for (const line of lines) {
      if (/ (leave|forget) 10\./.test(line)) continue; // they need members to lose: members.test.ts has such
      if (/subscriptions create billing/.test(line)) await make(client, 'SUBSCRIPTION DELETE billing');
      for (const topic of ['news', 'orders']) {
        for (let count = 0; count < 10; count += 1) await client.publish(topic, 'hello');
      }
      await client.publish('parcels', 'to Oslo', 'KEY', 'north');
      const usable = line.replace('tail -f app.log', 'echo started').replace('--count 100000', '--count 1000')
        .replace(/ \| jq .*/, '') // not everybody has it
        .replace(/ --(brokers \S+|port 3001)/, '').replace(new RegExp(`\\b${script}\\b`), `${script} ${there}`);
      const isWaiting = script === 'subscriber' && !/--from earliest|--group-id/.test(line);
      const more = isWaiting ? setInterval(() => void client.command('PUBLISH', 'news', 'later'), 100) : undefined;
      const before = await describe(client, 'g1');
      try {
        await runLine(t, usable, cluster.folder);
      } finally {
        clearInterval(more);
      }
      const { dead_lettered, redelivered } = before;
      if (!line.includes('--group-id')) t.match(await describe(client, 'g1'), { dead_lettered, redelivered }, line);
    }
  }
});

t.test('what --help advises for looking at messages delivers them to nobody', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const [broker] = cluster.brokers;
  const client = await broker!.connect();
  await make(
    client, 'TOPIC CREATE orders', 'SUBSCRIPTION CREATE g1 MAXDELIVERIES 1 DEADLETTER failed', 'BIND g1 orders',
  );
  for (let count = 0; count < 10; count += 1) await client.publish('orders', `order ${count}`);
  const { stdout } = await run(t, 'subscriber', ['--help']);
  const [, advice] = /^ {2}\$ subscriber (.*?) {3,}looks at messages/m.exec(stdout) ?? [];
  t.ok(advice, 'there is some');
  const looked = await run(t, 'subscriber', ['--brokers', broker!.address, '--raw', ...advice!.split(' ')]);
  t.equal(looked.stdout, Array.from({ length: 5 }, (_, count) => `order ${count}\n`).join(''));
  t.match(await describe(client, 'g1'), { backlog: '10', in_flight: '0', dead_lettered: '0', redelivered: '0' });
});
