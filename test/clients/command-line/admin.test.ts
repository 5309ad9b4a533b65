import t from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import type { Value } from '../../../brokers/wire/resp.ts';
import { lines, run } from '../command.ts';
import { deadAddress, FakeBroker, type Handler } from '../fake-broker.ts';
import { FakeQueue } from '../fake-queue.ts';

const queue = new FakeQueue(['a', 'b']);
queue.limit = '4 of 4 leases';

const handler: Handler = (args, socket) => {
  const [name, what, of] = args;
  switch (`${name} ${what}`) {
    case 'TOPIC LIST':
      return ['sport', 'news', 'deleted meanwhile'];
    case 'TOPIC GET':
      return of === 'deleted meanwhile'
        ? new RumormillError('NOTFOUND', 'topic')
        : [
            'topic',
            of!,
            'type',
            'fanout',
            'messages',
            1_234_567,
            'bytes',
            9,
            'bindings',
            0,
            'lamport',
            of === 'news' ? 12 : 0,
          ];
    case 'SUBSCRIPTION LIST':
      return ['billing'];
    case 'SUBSCRIPTION PENDING':
      return [['7@a:1', 'c1', 2, 1500, 'leased']];
    case 'PURGE billing':
      return 17;
    default:
      return name === 'BINDINGS'
        ? ([
            ['s', 'z', null],
            ['s', 'a', 'k'],
            ['b', 'z', null],
          ] satisfies Value)
        : queue.handler(args, socket);
  }
};

async function admin(
  t: Parameters<typeof FakeBroker.start>[0],
  ...args: string[]
): Promise<{ code: number | null; stdout: string; stderr: string; broker: FakeBroker }> {
  const broker = await FakeBroker.start(t, handler);
  return { ...(await run(t, 'admin', ['--brokers', broker.address, ...args])), broker };
}

t.test('topics: a table, sorted, without what was deleted meanwhile; plain on a pipe', async (t) => {
  const { code, stdout, stderr, broker } = await admin(t, 'topics', '*');
  t.strictSame([code, stderr], [0, '']);
  t.strictSame(lines(stdout), [
    'TOPIC  TYPE    MESSAGES  BYTES  BINDINGS  LAMPORT',
    'news   fanout   1234567      9         0       12',
    'sport  fanout   1234567      9         0        0',
  ]);
  t.strictSame(broker.commands[0], ['TOPIC', 'LIST', '*']);
});

t.test('--json, before or behind the command, is one document', async (t) => {
  for (const args of [['--json', 'topics'], ['topics', '--json']]) {
    t.strictSame(
      (JSON.parse((await admin(t, ...args)).stdout) as { topic: string }[]).map(({ topic }) => topic),
      ['news', 'sport'],
    );
  }
  t.match(JSON.parse((await admin(t, '--json', 'subscriptions')).stdout), [
    { name: 'billing', backlog: 2, home: 'a:1', maxDeliveries: null },
  ]);
  t.match(JSON.parse((await admin(t, '--json', 'bindings')).stdout), [
    { subscription: 'b', topic: 'z', key: null }, { topic: 'a', key: 'k' }, { topic: 'z' },
  ]);
  t.match(JSON.parse((await admin(t, '--json', 'status')).stdout), {
    brokers: [{ state: 'self', behind: 0 }],
    status: { term: 1 },
  });
});

t.test('subscriptions, bindings, pending, status', async (t) => {
  const [head, row] = lines((await admin(t, 'subscriptions')).stdout);
  t.match(head, /^SUBSCRIPTION +KIND +BACKLOG +IN FLIGHT .* HOME +HELD BACK BY$/);
  t.match(row, /^billing +durable +2 +0 +0 +2 +0 +1 +1 +30 s +- +- +- +a:1 +4 of 4 leases$/);
  t.strictSame(lines((await admin(t, 'bindings')).stdout), [
    'SUBSCRIPTION  TOPIC  KEY', 'b             z      -', 's             a      k', 's             z      -',
  ]);
  t.match(lines((await admin(t, 'subscriptions', 'pending', 'billing')).stdout)[1], /^7@a:1 +leased +c1 +2 +1.5 s$/);
  const { stdout, broker } = await admin(t, 'status');
  const brokers = [`${'BROKER'.padEnd(broker.address.length)}  STATE  BEHIND`, `${broker.address}  self        0`];
  t.strictSame(lines(stdout), [...brokers, '', `broker  ${broker.address}`, 'term    1']);
});

t.test('commands that act make one command and say what was done', async (t) => {
  const cases: readonly [string, string, string][] = [
    ['topics create parcels --type direct', 'TOPIC CREATE parcels TYPE direct', 'topic parcels exists'],
    ['topics rename a b', 'TOPIC RENAME a b', 'topic a is now called b'],
    ['topics delete a', 'TOPIC DELETE a', 'topic a is deleted'],
    [
      'subscriptions create s --transient --visibility 500 --from earliest',
      'SUBSCRIPTION CREATE s TRANSIENT VISIBILITY 500 FROM earliest', 'subscription s exists',
    ],
    [
      'subscriptions update s --max-deliveries 3 --dead-letter d --backoff 10',
      'SUBSCRIPTION UPDATE s MAXDELIVERIES 3 DEADLETTER d BACKOFF 10', 'subscription s is changed',
    ],
    ['subscriptions delete s', 'SUBSCRIPTION DELETE s', 'subscription s is deleted'],
    ['subscriptions purge billing', 'PURGE billing', '17 messages dropped'],
    ['bind s parcels --key north', 'BIND s parcels KEY north', 's is bound to parcels'],
    ['unbind s news', 'UNBIND s news', 's is no longer bound to news'],
  ];
  for (const [typed, command, said] of cases) {
    const { code, stdout, stderr, broker } = await admin(t, ...typed.split(' '));
    t.strictSame([code, stdout, stderr], [0, `${said}\n`, ''], typed);
    t.strictSame(broker.commands.map((args) => args.join(' ')), [command]);
  }
});

t.test('what was typed wrong, and what a broker refuses, is a clear error and exit status 1', async (t) => {
  const refusing = await FakeBroker.start(t, () => new RumormillError('NOTFOUND', 'subscription "s"'));
  const dead = await deadAddress();
  const cases: readonly [string[], RegExp][] = [
    [['nonsense'], /unknown command 'nonsense'/],
    [['topics', 'create', 'a', '--type', 'square'], /Allowed choices are fanout, direct/],
    [['subscriptions', 'create', 's', '--visibility', '-1'], /argument/],
    [['subscriptions', 'update', 's'], /^error: nothing to change: give --visibility, --max-deliveries,/],
    [['--brokers', refusing.address, 'subscriptions', 'delete', 's'], /^admin: not found: subscription "s"\n$/],
    [['--brokers', dead, '--timeout', '0.3', 'status'], /^admin: no broker can be reached/],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout, stderr } = await run(t, 'admin', args);
    t.match(stderr, expected, args.join(' '));
    t.notMatch(stderr, /^ +at /m, 'no stack trace');
    t.strictSame([code, stdout], [1, '']);
  }
  t.match((await run(t, 'admin', ['--help'])).stdout, /subscriptions \[pattern\][\s\S]*Examples:/);
});
