/** The programs of clients/examples/, as a user would run them: processes of their own, against a real broker. */
import t from 'tap';
import { Cluster } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import { lines, run } from './command.ts';

t.test('publish-and-read, competing-workers, dead-letters, resume', async (t) => {
  const [{ address }] = await Cluster.single(t);

  await t.test('publish-and-read', async (t) => {
    const { code, stdout, stderr } = await run(t, 'examples/publish-and-read', [address]);
    t.strictSame([code, stderr], [0, '']);
    const printed = lines(stdout);
    for (const [index, text] of ['hello', 'mesh', 'goodbye'].entries()) {
      t.match(printed[index], new RegExp(`^published ${text} as \\d+@${address}$`));
      t.equal(printed[index + 3], `read ${text}, key greeting, headers {"lang":"en"}`);
    }
    t.equal(printed.length, 6);
  });

  await t.test('competing-workers', async (t) => {
    const { code, stdout, stderr } = await run(t, 'examples/competing-workers', [address]);
    t.strictSame([code, stderr], [0, '']);
    const printed = lines(stdout);
    t.equal(printed.pop(), 'all jobs are done');
    t.ok(printed.every((line) => /^(anna|ben) did job \d+$/.test(line)), stdout);
    const jobs = printed.map((line) => Number(line.split(' ').at(-1)));
    t.strictSame(jobs.sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 'each job once');
  });

  await t.test('dead-letters', async (t) => {
    const { code, stdout, stderr } = await run(t, 'examples/dead-letters', [address]);
    t.strictSame([code, stderr], [0, '']);
    t.strictSame(lines(stdout), [
      'delivery 1 of 10 euros: paid',
      'delivery 1 of ten euros: failed',
      'delivery 2 of ten euros: failed',
      'dead letter: ten euros, from topic example-payments, after 2 deliveries',
    ]);
  });

  await t.test('resume', async (t) => {
    const { code, stdout, stderr } = await run(t, 'examples/resume', [address]);
    t.strictSame([code, stderr], [0, '']);
    t.strictSame(lines(stdout), [
      'first reader: one', 'first reader: two', 'second reader: three', 'second reader: four',
    ]);
  });

  await t.test('each can be run again', async (t) => {
    for (const name of ['publish-and-read', 'competing-workers', 'dead-letters', 'resume'] as const) {
      t.match(await run(t, `examples/${name}`, [address]), { code: 0, stderr: '' }, name);
    }
  });
});

t.test('embedded-broker', async (t) => {
  const [port] = await freePorts(1);
  const { code, stdout, stderr } = await run(t, 'examples/embedded-broker', [`127.0.0.1:${port}`]);
  t.strictSame([code, stderr], [0, '']);
  t.strictSame(lines(stdout), [
    'stored: hello from inside', 'the broker holds 1 records in 1 batches', 'the broker has stopped',
  ]);
});

t.test('embedded-broker joins a mesh', async (t) => {
  const [broker] = await Cluster.single(t);
  const [port] = await freePorts(1);
  await (await broker.connect()).command('MESH', 'INVITE', `127.0.0.1:${port}`);
  const { code, stderr } = await run(t, 'examples/embedded-broker', [`127.0.0.1:${port}`, broker.address]);
  t.strictSame([code, stderr], [0, '']);
  t.equal(await broker.messages(), 1, 'the message is on both brokers');
});
