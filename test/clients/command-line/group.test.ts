import t from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import { Command, lines, run } from '../command.ts';
import { FakeBroker, type Handler, option } from '../fake-broker.ts';
import { FakeQueue } from '../fake-queue.ts';

const flags = (broker: FakeBroker, ...more: string[]): string[] => [
  '--brokers', broker.address, '--group-id', 'g1', ...more,
];
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`);
const raw = ({ stdout }: { stdout: string }): string[] => lines(stdout);

t.test('it makes the subscription and its bindings, prints, and acknowledges what was printed', async (t) => {
  const queue = new FakeQueue(numbers(5));
  const broker = await FakeBroker.start(t, queue.handler);
  const { code, stdout, stderr } = await run(
    t, 'subscriber', flags(broker, '--consumer-id', 'c1', '--from', 'earliest', '--count', '3', 'news', 'sport'),
  );
  t.strictSame([code, stderr], [0, '']);
  t.strictSame(lines(stdout), ['[1] news: m0', '[2] news: m1', '[3] news: m2']);
  t.strictSame(queue.acked, ['m0', 'm1', 'm2']);
  t.strictSame([queue.leased, queue.nacked], [[], []], 'no more was pulled');
  t.strictSame(broker.commands.slice(0, 3), [
    ['SUBSCRIPTION', 'CREATE', 'g1', 'FROM', 'earliest'], ['BIND', 'g1', 'news'], ['BIND', 'g1', 'sport'],
  ]);
  t.equal(option(broker.asked('PULL')[0]!, 'CONSUMER'), 'c1');
});

t.test('topics that are unknown are made, direct ones for a key; a subscription that is there stays as it is', async (t) => {
  const queue = new FakeQueue(['a']);
  const known = new Set<string>();
  const handler: Handler = (args, socket) => {
    const [name, what, topic] = args;
    if (name === 'SUBSCRIPTION' && what === 'CREATE') {
      return new RumormillError('EXISTS', 'subscription "g1" has other settings');
    }
    if (name === 'TOPIC') known.add(topic!);
    return name === 'BIND' && !known.has(topic!)
      ? new RumormillError('NOTFOUND', 'topic')
      : queue.handler(args, socket);
  };
  const broker = await FakeBroker.start(t, handler);
  const { code } = await run(t, 'subscriber', flags(broker, '--key', 'north', '--count', '1', 'parcels'));
  t.equal(code, 0);
  t.strictSame(broker.asked('TOPIC'), [['TOPIC', 'CREATE', 'parcels', 'TYPE', 'direct']]);
  t.strictSame(broker.asked('BIND'), [
    ['BIND', 'g1', 'parcels', 'KEY', 'north'],
    ['BIND', 'g1', 'parcels', 'KEY', 'north'],
  ]);
});

t.test('--json and --raw', async (t) => {
  const broker = await FakeBroker.start(t, new FakeQueue(['a', 'b']).handler);
  t.strictSame(raw(await run(t, 'subscriber', flags(broker, '--raw', '--count', '1', 'news'))), ['a']);
  const [line] = raw(await run(t, 'subscriber', flags(broker, '--json', '--count', '1', 'news')));
  t.strictSame(JSON.parse(line!), { id: '2@a:1', topic: 'news', lamport: 2, key: null, headers: {}, payload: 'b' });
});

t.test('two share the messages', async (t) => {
  const queue = new FakeQueue();
  const broker = await FakeBroker.start(t, queue.handler);
  const both = ['c1', 'c2'].map(
    (id) => new Command(t, 'subscriber', flags(broker, '--consumer-id', id, '--raw', 'news')),
  );
  const waiting = (): Set<string | undefined> => new Set(broker.asked('PULL').map((args) => option(args, 'CONSUMER')));
  await both[0]!.until('both wait', () => waiting().size === 2);
  for (let count = 0; both.some(({ stdout }) => stdout === ''); count += 1) {
    queue.publish(`m${count}`);
    await both[0]!.until('it is acknowledged', () => queue.acked.length === count + 1);
  }
  t.strictSame(both.flatMap(raw).sort(), [...queue.acked].sort(), 'each message once');
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  t.test(`${signal} exits 0 and gives back what it holds`, async (t) => {
    const queue = new FakeQueue(numbers(3));
    const broker = await FakeBroker.start(t, queue.handler);
    const acknowledging = new Command(t, 'subscriber', flags(broker, 'news'));
    await acknowledging.until('all is acknowledged', () => queue.acked.length === 3);
    queue.publish('late');
    await acknowledging.until('it waits', () => queue.acked.length === 4);
    acknowledging.child.kill(signal);
    t.match(await acknowledging.ended(), { code: 0, stderr: '' });

    queue.publish('x', 'y');
    const looking = new Command(t, 'subscriber', flags(broker, '--no-ack', 'news'));
    await looking.until('both are printed', ({ stdout }) => lines(stdout).length === 2);
    looking.child.kill(signal);
    t.match(await looking.ended(), { code: 0, stderr: '' });
    t.strictSame(queue.nacked, [['x', '0'], ['y', '0']]);
    t.equal(queue.acked.length, 4);
  });
}

t.test('Ctrl-C ends it while the home cannot be reached', async (t) => {
  const broker = await FakeBroker.start(t, () => undefined);
  const command = new Command(t, 'subscriber', flags(broker, 'news'));
  await command.until('it asks', () => broker.commands.length === 1);
  command.child.kill('SIGINT');
  t.match(await command.ended(), { code: 0, stderr: '' });
});

t.test('--no-ack leaves messages to come again', async (t) => {
  const queue = new FakeQueue(['a', 'b', 'c']);
  const broker = await FakeBroker.start(t, queue.handler);
  t.strictSame(raw(await run(t, 'subscriber', flags(broker, '--no-ack', '--raw', '--count', '2', 'news'))), ['a', 'b']);
  t.strictSame(raw(await run(t, 'subscriber', flags(broker, '--raw', '--count', '3', 'news'))), ['a', 'b', 'c']);
  t.equal(broker.asked('EXTEND').length, 0);
});

t.test('a reader that goes away ends it quietly, and what nobody reads is given back', async (t) => {
  const queue = new FakeQueue(Array.from({ length: 5000 }, (_, index) => `${index} ${'x'.repeat(200)}`));
  const broker = await FakeBroker.start(t, queue.handler);
  const command = new Command(t, 'subscriber', flags(broker, 'news'));
  command.child.stdout.once('data', () => command.child.stdout.destroy());
  t.match(await command.ended(), { code: 0, stderr: '' });
  t.strictSame(queue.leased, []);
  t.ok(queue.acked.length < 5000);
});

t.test('what was typed wrong, and what a broker refuses, is a clear error and exit status 1', async (t) => {
  const broker = await FakeBroker.start(t, ([name]) =>
    name === 'BIND' ? new RumormillError('ERR', 'topic "news" is direct: give a KEY') : 'OK',
  );
  const cases: readonly [string[], RegExp][] = [
    [['--group-id', 'g1', '--cursor-file', 'c', 'news'], /cannot be used with/],
    [['--consumer-id', 'c1', 'news'], /option '--consumer-id' needs '--group-id <name>'/],
    [['--no-ack', 'news'], /option '--no-ack' needs/],
    [['--key', 'k', 'news'], /option '--key' needs/],
    [flags(broker, 'news'), /^subscriber: topic "news" is direct: give a KEY\n$/],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout, stderr } = await run(t, 'subscriber', args);
    t.match(stderr, expected, args.join(' '));
    t.notMatch(stderr, /^ +at /m, 'no stack trace');
    t.strictSame([code, stdout], [1, '']);
  }
});
