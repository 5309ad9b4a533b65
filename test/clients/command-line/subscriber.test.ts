import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeCursor } from '../../../brokers/core/read/cursor.ts';
import { RumormillError } from '../../../brokers/core/error.ts';
import { type Origin, parseOrigin } from '../../../brokers/core/log/record.ts';
import type { Value } from '../../../brokers/wire/resp.ts';
import { waitFor } from '../../support/wait.ts';
import { Command, lines, run } from '../command.ts';
import { deadAddress, DROP, FakeBroker, type Handler, stored, option } from '../fake-broker.ts';

const ORIGIN: Origin = parseOrigin('a:1/0123456789ab');
const cursorAt = (count: number): string =>
  encodeCursor({ vector: new Map([[ORIGIN, count]]), instance: '000000000001', position: count });

/** A log of messages with real cursors. A poll beyond its end waits for ever. */
function logOf(messages: readonly Value[], atMost = Infinity): Handler {
  const cursors = messages.map((_, index) => cursorAt(index));
  return (args) => {
    const cursor = option(args, 'CURSOR')!;
    if (cursor === 'latest') return [cursorAt(messages.length), []];
    const from = cursor === 'earliest' ? 0 : cursors.indexOf(cursor);
    if (from < 0) return undefined;
    const to = Math.min(messages.length, from + Math.min(atMost, Number(option(args, 'COUNT'))));
    return [cursorAt(to), messages.slice(from, to)];
  };
}

const THREE = [
  stored(1, 'hello'),
  stored(2, 'two\nlines \x1b[31m', { key: 'k', headers: ['a', 'b'] }),
  stored(3, Uint8Array.of(0xff, 0x00)),
];
const flags = (broker: FakeBroker, ...more: string[]): string[] => [
  '--brokers', broker.address, '--from', 'earliest', ...more,
];

t.test('prints a readable line a message, which control characters cannot leave', async (t) => {
  const broker = await FakeBroker.start(t, logOf(THREE));
  const { code, stdout, stderr } = await run(t, 'subscriber', flags(broker, '--count', '3', 'news', 'sport'));
  t.strictSame(lines(stdout), ['[1] news: hello', '[2] news (k): two\\nlines \\u001b[31m', '[3] news: \ufffd\\u0000']);
  t.strictSame([code, stderr], [0, '']);
  t.strictSame(broker.commands[0]!.slice(0, 4), ['POLL', 'news', 'sport', 'CURSOR']);
});

t.test('--json is one object a line; a payload that is no text comes in base64', async (t) => {
  const broker = await FakeBroker.start(t, logOf(THREE));
  const { stdout } = await run(t, 'subscriber', flags(broker, '--count', '3', '--json', 'news'));
  t.strictSame(lines(stdout).map((line) => JSON.parse(line) as unknown), [
    { id: '1@a:1', topic: 'news', lamport: 1, key: null, headers: {}, payload: 'hello' },
    { id: '2@a:1', topic: 'news', lamport: 2, key: 'k', headers: { a: 'b' }, payload: 'two\nlines \x1b[31m' },
    { id: '3@a:1', topic: 'news', lamport: 3, key: null, headers: {}, payloadBase64: '/wA=' },
  ]);
});

t.test('--raw is the payload as it is', async (t) => {
  const broker = await FakeBroker.start(t, logOf(THREE));
  const { stdout } = await run(t, 'subscriber', flags(broker, '--count', '2', '--raw', 'news'));
  t.equal(stdout, 'hello\ntwo\nlines \x1b[31m\n');
});

t.test('--cursor-file: each run goes on where the last one ended, and a batch never goes past --count', async (t) => {
  const file = join(t.testdir(), 'news.cursor');
  const broker = await FakeBroker.start(t, logOf(THREE));
  const texts: string[][] = [];
  for (const _ of [1, 2, 3]) {
    const { code, stdout } = await run(
      t, 'subscriber', flags(broker, '--count', '1', '--json', '--cursor-file', file, 'news'),
    );
    t.equal(code, 0);
    texts.push(lines(stdout).map((line) => String((JSON.parse(line) as { lamport: number }).lamport)));
  }
  t.strictSame(texts, [['1'], ['2'], ['3']]);
  t.equal(readFileSync(file, 'utf8'), `${cursorAt(3)}\n`);
  t.strictSame(readdirSync(t.testdirName), ['news.cursor'], 'no temporary file is left');
});

t.test('--cursor-file from latest holds a place before there is a message', async (t) => {
  const file = join(t.testdir(), 'c');
  const broker = await FakeBroker.start(t, logOf(THREE));
  const command = new Command(t, 'subscriber', ['--brokers', broker.address, '--cursor-file', file, 'news']);
  await command.until('it waits', () => broker.asked('POLL').some((args) => option(args, 'BLOCK') !== '0'));
  t.equal(readFileSync(file, 'utf8'), `${cursorAt(3)}\n`);
});

t.test('--cursor-file: what was printed when Ctrl-C came is not printed again', async (t) => {
  const broker = await FakeBroker.start(t, logOf([stored(1, 'x'.repeat(1_000_000))]));
  const file = join(t.testdir(), 'news.cursor');
  const command = new Command(t, 'subscriber', flags(broker, '--raw', '--cursor-file', file, 'news'));
  command.child.stdout.pause(); // so that the batch is on its way: more than a pipe holds
  await waitFor('it fetches the next batch', () => broker.asked('POLL').length === 2);
  command.child.kill('SIGINT');
  await waitFor('it has heard that', () => broker.open === 1);
  command.child.stdout.resume();
  t.match(await command.ended(), { code: 0, stderr: '' });
  t.equal(command.stdout.length, 1_000_001);
  t.equal(readFileSync(file, 'utf8'), `${cursorAt(1)}\n`);
});

t.test('a cursor file that cannot be used is an error, and stays as it is', async (t) => {
  const folder = t.testdir({ junk: 'junk\n', folder: {} });
  const broker = await FakeBroker.start(t, logOf(THREE));
  for (const [name, expected] of [
    ['junk', /cursor file .*junk holds no cursor/], ['folder', /cursor file .* cannot be read/],
    ['no/c', /cannot be written/],
  ] as const) {
    const { code, stderr } = await run(
      t,
      'subscriber',
      flags(broker, '--count', '1', '--cursor-file', join(folder, name), 'news'),
    );
    t.match(stderr, expected);
    t.equal(lines(stderr).length, 1);
    t.equal(code, 1);
  }
  t.equal(readFileSync(join(folder, 'junk'), 'utf8'), 'junk\n');
  writeFileSync(join(folder, 'empty'), '');
  t.match(
    (await run(t, 'subscriber', flags(broker, '--cursor-file', '', 'news'))).stderr,
    /option '--cursor-file <path>' argument '' is invalid. It is empty/,
  );
  t.equal(
    (await run(t, 'subscriber', flags(broker, '--count', '1', '--cursor-file', join(folder, 'empty'), 'news'))).code, 0,
    'an empty one is a new one',
  );
});

t.test('when its broker dies it goes on with another of the mesh, and says so', async (t) => {
  const second = await FakeBroker.start(t, logOf(THREE));
  const first = await FakeBroker.start(t, (args, socket) =>
    option(args, 'CURSOR') === 'earliest' ? logOf(THREE, 1)(args, socket) : DROP,
  );
  first.others = [second.address];
  const { code, stdout, stderr } = await run(t, 'subscriber', flags(first, '--count', '3', 'news'));
  t.strictSame(lines(stdout).map((line) => line.slice(0, 3)), ['[1]', '[2]', '[3]']);
  t.match(stderr, `lost ${first.address} (`);
  t.match(stderr, `going on with ${second.address}`);
  t.equal(lines(stderr).length, 2);
  t.equal(code, 0);
});

t.test('when no broker is left, and when none was up: exit status 1 with the addresses', async (t) => {
  const broker = await FakeBroker.start(t, logOf(THREE));
  const command = new Command(t, 'subscriber', flags(broker, '--timeout', '0.3', 'news'));
  await command.until('it has printed', ({ stdout }) => lines(stdout).length === 3);
  await broker.stop();
  const { code, stderr } = await command.ended();
  t.match(stderr, `subscriber: no broker can be reached; tried ${broker.address} (connection refused)`);
  t.equal(code, 1);
  const dead = await deadAddress();
  const never = await run(t, 'subscriber', ['--brokers', dead, '--timeout', '0.3', 'news']);
  t.match(never.stderr, `${dead} (connection refused)`);
  t.equal(never.code, 1);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  t.test(`${signal} exits 0, while it waits and while it looks for a broker`, async (t) => {
    const broker = await FakeBroker.start(t, logOf(THREE));
    const waiting = new Command(t, 'subscriber', flags(broker, 'news'));
    await waiting.until('it waits', () => broker.asked('POLL').length === 2);
    waiting.child.kill(signal);
    t.match(await waiting.ended(), { code: 0, stderr: '' });
    broker.isFrozen = true;
    const looking = new Command(t, 'subscriber', flags(broker, 'news'));
    const before = broker.connections;
    await looking.until('it looks', () => broker.connections > before);
    looking.child.kill(signal);
    t.match(await looking.ended(), { code: 0, stderr: '' });
  });
}

t.test('a reader that goes away ends it quietly', async (t) => {
  const log = Array.from({ length: 5000 }, (_, index) => stored(index + 1, 'x'.repeat(100)));
  const broker = await FakeBroker.start(t, logOf(log));
  const command = new Command(t, 'subscriber', flags(broker, 'news'));
  command.child.stdout.once('data', () => command.child.stdout.destroy());
  t.match(await command.ended(), { code: 0, stderr: '' });
});

t.test('what was typed wrong, and what a broker refuses, is a clear error and exit status 1', async (t) => {
  const broker = await FakeBroker.start(t, () => new RumormillError('ERR', '"x" is not a cursor'));
  const cases: readonly [string[], RegExp][] = [
    [[], /missing required argument 'topic'/],
    [['--count', '1.5', 'news'], /whole number/],
    [['--json', '--raw', 'news'], /cannot be used with/],
    [['--brokers', broker.address, '--from', 'x', 'news'], /^subscriber: "x" is not a cursor\n$/],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout, stderr } = await run(t, 'subscriber', args);
    t.match(stderr, expected, args.join(' '));
    t.notMatch(stderr, /^ +at /m, 'no stack trace');
    t.strictSame([code, stdout], [1, '']);
  }
});

t.test('--help has examples', async (t) => {
  t.match((await run(t, 'subscriber', ['--help'])).stdout, /--cursor-file <path>[\s\S]*Examples:/);
});
