import { stripVTControlCharacters } from 'node:util';
import t, { type Test } from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import type { Value } from '../../../brokers/wire/resp.ts';
import { type Client, connect, type ConnectOptions } from '../../../clients/client.ts';
import { tableLines } from '../../../clients/command-line/table.ts';
import { waitFor, within } from '../../support/wait.ts';
import { type Answer, DROP, FakeBroker, type Handler } from '../fake-broker.ts';
import { FakeQueue } from '../fake-queue.ts';

async function open(t: Test, brokers: readonly FakeBroker[], options: Partial<ConnectOptions> = {}): Promise<Client> {
  const client = await connect({ brokers: brokers.map(({ address }) => address), timeoutMs: 5000, ...options });
  t.teardown(() => client.close());
  return client;
}

const failure = (promise: Promise<unknown>): Promise<RumormillError> => promise.then(
  () => Promise.reject(new Error('should have failed')),
  (error: unknown) => error as RumormillError,
);

t.test('each method makes the command of its name', async (t) => {
  const broker = await FakeBroker.start(t, ([name, what]) =>
    name === 'PURGE' || name === 'ACK' || name === 'NACK' || name === 'EXTEND'
      ? 2
      : what === 'LIST' || what === 'PENDING' || name === 'BINDINGS' || name === 'PULL'
        ? []
        : 'OK',
  );
  const client = await open(t, [broker]);
  const cases: [Promise<unknown>, string][] = [
    [client.createTopic('news'), 'TOPIC CREATE news'],
    [client.createTopic('news', { type: 'direct' }), 'TOPIC CREATE news TYPE direct'],
    [client.topics(), 'TOPIC LIST'],
    [client.topics('n*'), 'TOPIC LIST n*'],
    [client.renameTopic('news', 'olds'), 'TOPIC RENAME news olds'],
    [client.deleteTopic('news'), 'TOPIC DELETE news'],
    [client.createSubscription('s'), 'SUBSCRIPTION CREATE s'],
    [
      client.createSubscription('s', {
        transient: true, visibilityMs: 1000, maxDeliveries: 3, deadLetter: 'dead', backoffMs: 50, from: 'earliest',
      }),
      'SUBSCRIPTION CREATE s TRANSIENT VISIBILITY 1000 MAXDELIVERIES 3 DEADLETTER dead BACKOFF 50 FROM earliest',
    ],
    [client.createSubscription('s', { transient: false }), 'SUBSCRIPTION CREATE s'],
    [client.subscriptions('s*'), 'SUBSCRIPTION LIST s*'],
    [client.updateSubscription('s', { visibilityMs: 500 }), 'SUBSCRIPTION UPDATE s VISIBILITY 500'],
    [
      client.updateSubscription('s', { maxDeliveries: null, deadLetter: null, backoffMs: null, from: 'latest' }),
      'SUBSCRIPTION UPDATE s MAXDELIVERIES 0 DEADLETTER  BACKOFF 0 FROM latest',
    ],
    [client.deleteSubscription('s'), 'SUBSCRIPTION DELETE s'],
    [client.pending('s'), 'SUBSCRIPTION PENDING s'],
    [client.pending('s', { count: 5 }), 'SUBSCRIPTION PENDING s COUNT 5'],
    [client.bind('s', 'news'), 'BIND s news'],
    [client.bind('s', 'parcels', { key: 'north' }), 'BIND s parcels KEY north'],
    [client.unbind('s', 'parcels', { key: '' }), 'UNBIND s parcels KEY '],
    [client.bindings(), 'BINDINGS'],
    [client.bindings('s'), 'BINDINGS s'],
    [client.pull('s'), 'PULL s COUNT 100'],
    [client.ack('s', ['a', 'b']), 'ACK s a b'],
    [client.nack('s', ['a']), 'NACK s a'],
    [client.nack('s', ['a', 'b'], { delayMs: 0 }), 'NACK s a b DELAY 0'],
    [client.extend('s', 1000, ['a']), 'EXTEND s 1000 a'],
    [client.purge('s'), 'PURGE s'],
  ];
  await Promise.all(cases.map(([call]) => call));
  t.strictSame(broker.commands.map((args) => args.join(' ')), cases.map(([, command]) => command));
  t.strictSame(await Promise.all([client.ack('s', ['a', 'b']), client.purge('s'), client.ack('s', [])]), [2, 2, 0]);
});

t.test('a PULL that a limit holds up is asked for again until its time is up; then the reason is told', async (t) => {
  let limits = 2;
  const broker = await FakeBroker.start(t, ([name]) =>
    name === 'PULL' && limits-- > 0 ? new RumormillError('LIMIT', 'consumer "c" holds too many') : [],
  );
  const client = await open(t, [broker]);
  t.strictSame(await client.pull('s', { blockMs: 300 }).then((messages) => messages.length, String), 0);
  limits = 1;
  t.match(await failure(client.pull('s')), { code: 'LIMIT', message: /holds too many/ });
});

t.test('what they answer', async (t) => {
  const rows: Record<string, Value> = {
    'TOPIC GET': [
      'topic', 'news', 'type', 'direct', 'messages', 3, 'bytes', '120', 'bindings', 2, 'lamport', 99,
      'of a later version', 'x',
    ],
    'TOPIC LIST': ['news', 'sport'],
    'SUBSCRIPTION GET': new FakeQueue(['a']).handler(['SUBSCRIPTION', 'GET', 'billing'], undefined as never) as Value,
    'SUBSCRIPTION LIST': [],
    'SUBSCRIPTION PENDING': [
      ['7@a:1', 'c1', 2, 1500, 'leased'],
      [null, '', 1, 20, 'delayed'],
    ],
    BINDINGS: [
      ['billing', 'news', null],
      ['billing', 'parcels', 'north'],
    ],
  };
  const client = await open(t, [await FakeBroker.start(t, ([name, what]) => rows[`${name} ${what}`] ?? rows[name!])]);
  t.strictSame(await client.topic('news'), {
    topic: 'news', type: 'direct', messages: 3, bytes: 120, bindings: 2, lamport: 99,
  });
  t.strictSame(await client.topics(), ['news', 'sport']);
  t.strictSame(await client.subscription('billing'), {
    name: 'billing',
    transient: false,
    visibilityMs: 30_000,
    maxDeliveries: null,
    deadLetter: null,
    backoffMs: null,
    from: 'latest',
    bindings: 1,
    backlog: 1,
    inFlight: 0,
    delayed: 0,
    deadLettered: 0,
    redelivered: 2,
    consumers: 1,
    limit: null,
    home: 'a:1',
    rivalRecords: 0,
  });
  t.strictSame(await client.subscriptions(), []);
  t.strictSame(await client.pending('billing'), [
    { id: '7@a:1', consumer: 'c1', deliveries: 2, msLeft: 1500, state: 'leased' },
    { id: null, consumer: '', deliveries: 1, msLeft: 20, state: 'delayed' },
  ]);
  t.strictSame(await client.bindings(), [
    { subscription: 'billing', topic: 'news', key: null },
    { subscription: 'billing', topic: 'parcels', key: 'north' },
  ]);
  t.match(await client.status(), { term: 1 });
});

t.test('an answer that makes no sense is a PROTOCOL error', async (t) => {
  for (const answer of [1, 'what?', ['x'], [1], [['x']], ['name', 'x', 'type', 'square'], [['token', 1]], null]) {
    const client = await open(t, [await FakeBroker.start(t, () => answer)]);
    for (const call of [client.topic('x'), client.subscription('x'), client.pending('x'), client.pull('x')]) {
      t.equal((await failure(call)).code, 'PROTOCOL', JSON.stringify(answer));
    }
    if (typeof answer !== 'number') t.equal((await failure(client.purge('x'))).code, 'PROTOCOL');
    await client.close();
  }
});

t.test('when its broker is lost a command is made again, and one that was carried out before is done', async (t) => {
  const gone: Handler = ([name, what]) =>
    name === 'UNBIND' || what === 'DELETE' ? new RumormillError('NOTFOUND', 'it') : 'OK';
  const second = await FakeBroker.start(t, gone);
  const first = await FakeBroker.start(t, (): Answer => DROP);
  for (const act of [
    (client: Client) => client.deleteTopic('news'),
    (client: Client) => client.deleteSubscription('s'),
    (client: Client) => client.unbind('s', 'news'),
    (client: Client) => client.createTopic('news'),
    (client: Client) => client.renameTopic('a', 'b'),
  ]) {
    const client = await open(t, [first, second]);
    await within('it is done', act(client));
    await client.close();
  }
  t.strictSame(first.commands, second.commands);
  const client = await open(t, [second]);
  t.equal((await failure(client.deleteTopic('news'))).code, 'NOTFOUND', 'asked once, it is the answer');
});

t.test('what a broker refuses is the answer, at once', async (t) => {
  const broker = await FakeBroker.start(t, () => new RumormillError('EXISTS', 'topic "news" is direct'));
  const client = await open(t, [broker]);
  t.match(await failure(client.createTopic('news')), { code: 'EXISTS', message: 'topic "news" is direct' });
  t.equal(broker.commands.length, 1);
});

t.test('a command that waits for a home holds up no publish', async (t) => {
  const broker = await FakeBroker.start(t, ([name]) => (name === 'PUBLISH' ? 1 : undefined));
  const client = await open(t, [broker]);
  const waiting = failure(client.ack('s', ['a']));
  await waitFor('it waits', () => broker.asked('ACK').length === 1);
  t.equal((await within('the publish is answered', client.publish('news', 'x'))).lamport, 1);
  await client.close();
  t.equal((await waiting).code, 'CLOSED');
});

t.test('tables: columns aligned, numbers to the right; plain on a pipe', async (t) => {
  const rows = [['news', 12_345, null], ['a\nb', 7, '']] as const;
  t.strictSame(tableLines(['TOPIC', 'COUNT', 'KEY'], rows, false), [
    'TOPIC  COUNT  KEY', 'news   12345  -', 'a\\nb       7  -',
  ]);
  const [head, ...lines] = tableLines(['TOPIC', 'COUNT', 'KEY'], rows, true);
  t.equal(stripVTControlCharacters(head!), 'TOPIC   COUNT  KEY', 'bold where the system has a terminal');
  t.strictSame(lines, ['news   12,345  -', 'a\\nb        7  -']);
  t.strictSame(tableLines(['TOPIC', 'COUNT'], [], false), ['TOPIC  COUNT']);
});
