import t from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import { startBroker } from '../../../brokers/embed.ts';
import { type Client, connect } from '../../../clients/client.ts';
import { FakeBroker } from '../fake-broker.ts';

// What programs in JavaScript hand over: nothing checks it before it is here.
const NOTHINGS = [undefined, null] as const;
const WRONG = [undefined, null, NaN, Infinity, {}, [], Symbol('s'), () => 'f', 7n, true] as const;
const WRONG_OPTIONS = [null, 7, 'text', true, Symbol('s')] as const;
const WRONG_FIELDS = [
  { signal: {} },
  { signal: null },
  { blockMs: 'soon' },
  { blockMs: NaN },
  { blockMs: -1 },
  { count: 'x' },
  { count: null },
] as const;

type Loose = Record<string, (...args: unknown[]) => unknown>;

/** Every way in which a method can be called wrongly, with the rest as it should be. */
function calls(): [method: string, args: readonly unknown[]][] {
  const found: [string, readonly unknown[]][] = [];
  const wrong = (method: string, right: readonly unknown[], at: number, values: readonly unknown[]): void => {
    for (const value of values) found.push([method, right.map((each, index) => (index === at ? value : each))]);
  };
  const names: [method: string, right: readonly unknown[]][] = [
    ['latest', ['t']],
    ['range', ['t', {}]],
    ['topic', ['t']],
    ['createTopic', ['t', {}]],
    ['renameTopic', ['a', 'b']],
    ['deleteTopic', ['t']],
    ['createSubscription', ['s', {}]],
    ['subscription', ['s']],
    ['updateSubscription', ['s', { visibilityMs: 1 }]],
    ['deleteSubscription', ['s']],
    ['pending', ['s', {}]],
    ['bind', ['s', 't', {}]],
    ['unbind', ['s', 't', {}]],
    ['pull', ['s', {}]],
    ['ack', ['s', ['token']]],
    ['nack', ['s', ['token'], {}]],
    ['extend', ['s', 1000, ['token']]],
    ['purge', ['s']],
    ['publish', ['t', 'payload', {}]],
    ['poll', [['t'], {}]],
  ];
  for (const [method, right] of names) {
    wrong(method, right, 0, method === 'poll' ? WRONG.filter((value) => !Array.isArray(value)) : WRONG);
  }
  wrong('renameTopic', ['a', 'b'], 1, WRONG);
  for (const method of ['bind', 'unbind']) wrong(method, ['s', 't', {}], 1, WRONG);
  wrong('publish', ['t', 'payload', {}], 1, WRONG);
  wrong('publish', ['t', 'payload', {}], 2, [
    { key: 7 }, { key: null }, { headers: null }, { headers: { a: 7 } }, { headers: 'x' }, { id: 7 }, { acks: 1 },
    { acks: null },
  ]);
  wrong('extend', ['s', 1000, ['token']], 1, [...NOTHINGS, NaN, {}]);
  for (const [method, right] of [['ack', ['s', []]], ['nack', ['s', []]], ['extend', ['s', 1, []]]] as const) {
    wrong(method, right, right.length - 1, [null, undefined, 'token', 7, {}, [7], [null]]);
  }
  const optional: [method: string, right: readonly unknown[]][] = [
    ['range', ['t', {}]],
    ['createTopic', ['t', {}]],
    ['createSubscription', ['s', {}]],
    ['updateSubscription', ['s', {}]],
    ['pending', ['s', {}]],
    ['bind', ['s', 't', {}]],
    ['unbind', ['s', 't', {}]],
    ['pull', ['s', {}]],
    ['nack', ['s', ['token'], {}]],
    ['publish', ['t', 'p', {}]],
    ['poll', ['t', {}]],
  ];
  for (const [method, right] of optional) wrong(method, right, right.length - 1, WRONG_OPTIONS);
  for (const [method, right] of [
    ['pull', ['s', {}]],
    ['poll', ['t', {}]],
  ] as const) {
    wrong(method, right, 1, WRONG_FIELDS);
  }
  wrong('updateSubscription', ['s', {}], 1, [undefined]);
  return found;
}

/** How a call ends; what it throws at once is no way to end. */
async function end(t: Test, what: string, call: () => unknown): Promise<unknown> {
  let promise: unknown;
  try {
    promise = call();
  } catch (error) {
    t.fail(`${what} throws ${String(error)}`);
    return undefined;
  }
  return Promise.resolve(promise).then(() => undefined, (error: unknown) => error);
}

type Test = Parameters<typeof FakeBroker.start>[0];

async function open(t: Test): Promise<Client> {
  const broker = await FakeBroker.start(t, () => new RumormillError('ERR', 'a broker refuses it'));
  const client = await connect({ brokers: broker.address });
  t.teardown(() => client.close());
  return client;
}

t.test('a method that is given what cannot be rejects with a RumormillError, and throws nothing', async (t) => {
  const client = await open(t);
  const known = new Set(Object.getOwnPropertyNames(Object.getPrototypeOf(client)));
  let count = 0;
  for (const [method, args] of calls()) {
    if (!known.has(method)) t.fail(`there is no ${method}`);
    const what = `${method}(${args.map((arg) => (typeof arg === 'object' ? JSON.stringify(arg) : String(arg))).join(', ')})`;
    const error = await end(t, what, () => (client as unknown as Loose)[method]!(...args));
    if (!(error instanceof RumormillError)) t.fail(`${what}: ${String(error)}`);
    count += 1;
  }
  t.ok(count > 300, `${count} calls`);
});

t.test('so do readers and consumers, when they are iterated', async (t) => {
  const client = await open(t) as unknown as Loose;
  const cases: [method: string, args: readonly unknown[]][] = [
    ...WRONG_OPTIONS.map((options): [string, unknown[]] => ['subscribe', ['t', options]]),
    ...WRONG_OPTIONS.map((options): [string, unknown[]] => ['consume', ['s', options]]),
    ...[null, undefined, 7n, {}, NaN].map((topics): [string, unknown[]] => ['subscribe', [topics, {}]]),
    ...[null, undefined, 7n, {}, NaN].map((name): [string, unknown[]] => ['consume', [name, {}]]),
    ...[{ signal: {} }, { limit: 'x' }, { limit: NaN }, { count: 'x' }].map((options): [string, unknown[]] => [
      'subscribe',
      ['t', options],
    ]),
    ...[{ signal: {} }, { limit: 'x' }, { concurrency: 0 }, { concurrency: 'x' }].map(
      (options): [string, unknown[]] => ['consume', ['s', options]],
    ),
  ];
  for (const [method, args] of cases) {
    for (const batches of [false, true]) {
      const what = `${method}(${args.map(String).join(', ')})`;
      const error = await end(t, what, async () => {
        const iterable = client[method]!(...args) as { batches(): AsyncIterable<unknown> } & AsyncIterable<unknown>;
        for await (const _ of batches ? iterable.batches() : iterable) t.fail(`${what} gives something`);
      });
      if (!(error instanceof RumormillError)) t.fail(`${what}: ${String(error)}`);
    }
  }
});

t.test('making one throws nothing', async (t) => {
  const client = await open(t) as unknown as Loose;
  for (const options of [...WRONG_OPTIONS, { signal: {} }, { concurrency: 0 }]) {
    t.doesNotThrow(() => client['subscribe']!('t', options));
    t.doesNotThrow(() => client['consume']!('s', options));
  }
});

t.test('so do connect and startBroker', async (t) => {
  for (const options of [
    undefined, null, 7, 'localhost:3000', {}, { brokers: null }, { brokers: [7] }, { brokers: 'x:1', onEvent: 7 },
    { brokers: 'x:1', name: 7, timeoutMs: 100 }, { brokers: 'x:1', timeoutMs: 'x' },
  ]) {
    const error = await end(t, 'connect', () => (connect as (options: unknown) => unknown)(options));
    t.ok(error instanceof RumormillError, `connect(${JSON.stringify(options)}): ${String(error)}`);
  }
  for (const options of [
    null, 7, 'x', { brokers: null }, { brokers: [7] }, { brokers: {} }, { brokers: [], host: 7 },
    { brokers: [], port: {} }, { brokers: [], mesh: null }, { brokers: [], acks: 7 }, { brokers: [], dataDir: 7 },
    { brokers: [], limits: { tickMs: 'x' } },
  ]) {
    const error = await end(t, 'startBroker', () => (startBroker as (options: unknown) => unknown)(options));
    t.ok(error instanceof RumormillError, `startBroker(${JSON.stringify(options)}): ${String(error)}`);
  }
});
