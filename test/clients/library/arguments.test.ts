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

type Call = readonly [method: string, args: readonly unknown[]];

/** The call with each of the values in place of one argument. */
function wrong(method: string, right: readonly unknown[], at: number, values: readonly unknown[]): Call[] {
  return values.map((value) => [method, right.map((each, index) => (index === at ? value : each))]);
}

/** Calls as they should be, whose first argument is a name. */
const NAMED: readonly Call[] = [
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
  ['consumers', ['s', {}]],
  ['free', ['s', {}]],
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

/** Calls as they should be, whose last argument is an object of options. */
const OPTIONAL = NAMED.filter(([, args]) => typeof args.at(-1) === 'object' && !Array.isArray(args.at(-1)));

const SETTINGS = [
  { visibilityMs: '5' }, { visibilityMs: null }, { maxDeliveries: '3' }, { deadLetter: 7 }, { backoffMs: true },
  { from: 7 }, { from: null },
];

/** Options of the wrong kind, by the method that takes them. */
const OF_WRONG_KIND: Readonly<Record<string, readonly object[]>> = {
  publish: [
    { key: 7 }, { key: null }, { headers: null }, { headers: { a: 7 } }, { headers: 'x' }, { id: 7 }, { acks: 1 },
    { acks: null },
  ],
  updateSubscription: SETTINGS,
  createSubscription: [...SETTINGS, { transient: 'yes' }, { transient: null }],
  createTopic: [{ type: 7 }, { type: null }],
  range: [{ from: '1' }, { to: null }, { count: '5' }, { reverse: 1 }],
  bind: [{ key: 7 }, { key: null }],
  unbind: [{ key: 7 }, { key: null }],
  nack: [{ delayMs: '5' }, { delayMs: null }],
  pull: [{ consumer: 7 }, { consumer: null }, ...WRONG_FIELDS],
  poll: [{ cursor: 7 }, { cursor: null }, ...WRONG_FIELDS],
  consumers: [{ count: '5' }, { count: null }],
  pending: [{ count: '5' }, { count: null }],
  free: [{ consumer: 7 }, { consumer: null }],
};

/** Every way in which a method can be called wrongly, with the rest as it should be. */
function calls(): Call[] {
  const tokens = [null, undefined, 'token', 7, {}, [7], [null]];
  return [
    ...NAMED.flatMap(([method, right]) =>
      wrong(method, right, 0, method === 'poll' ? WRONG.filter((value) => !Array.isArray(value)) : WRONG),
    ),
    ...wrong('renameTopic', ['a', 'b'], 1, WRONG),
    ...['bind', 'unbind'].flatMap((method) => wrong(method, ['s', 't', {}], 1, WRONG)),
    ...wrong('publish', ['t', 'payload', {}], 1, WRONG),
    ...wrong('extend', ['s', 1000, ['token']], 1, [...NOTHINGS, NaN, {}]),
    ...wrong('ack', ['s', []], 1, tokens),
    ...wrong('nack', ['s', []], 1, tokens),
    ...wrong('extend', ['s', 1, []], 2, tokens),
    ...wrong('updateSubscription', ['s', {}], 1, [undefined]),
    ...OPTIONAL.flatMap(([method, right]) =>
      wrong(method, right, right.length - 1, [...WRONG_OPTIONS, ...(OF_WRONG_KIND[method] ?? [])]),
    ),
  ];
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
    const shown = args.map((arg) => (typeof arg === 'object' ? JSON.stringify(arg) : String(arg)));
    const what = `${method}(${shown.join(', ')})`;
    const error = await end(t, what, () => (client as unknown as Loose)[method]!(...args));
    if (!(error instanceof RumormillError)) t.fail(`${what}: ${String(error)}`);
    count += 1;
  }
  t.ok(count > 300, `${count} calls`);
});

t.test('so do readers and consumers, when they are iterated', async (t) => {
  const client = await open(t) as unknown as Loose;
  const cases: Call[] = [
    ...WRONG_OPTIONS.map((options): [string, unknown[]] => ['subscribe', ['t', options]]),
    ...WRONG_OPTIONS.map((options): [string, unknown[]] => ['consume', ['s', options]]),
    ...[null, undefined, 7n, {}, NaN].map((topics): [string, unknown[]] => ['subscribe', [topics, {}]]),
    ...[null, undefined, 7n, {}, NaN].map((name): [string, unknown[]] => ['consume', [name, {}]]),
    ...[{ signal: {} }, { limit: 'x' }, { limit: NaN }, { count: 'x' }, { from: 7 }].map(
      (options): [string, unknown[]] => ['subscribe', ['t', options]],
    ),
    ...[{ signal: {} }, { limit: 'x' }, { concurrency: 0 }, { concurrency: Symbol('s') }, { consumer: 7 }].map(
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

t.test('an option of the wrong kind is CONFIG, and the error names it: no broker is asked', async (t) => {
  const client = await open(t);
  const loose = client as unknown as Loose;
  const cases: [method: string, args: readonly unknown[], message: string][] = [
    ['free', ['s', { consumer: 7 }], 'free: consumer must be text, not 7'],
    ['consumers', ['s', { count: '5' }], 'consumers: count must be a number from 0, not 5'],
    ['range', ['t', { from: 'x' }], 'range: from must be a number from 0, not x'],
    ['range', ['t', { reverse: 'yes' }], 'range: reverse must be true or false, not yes'],
    ['createSubscription', ['s', { from: 1 }], 'createSubscription: from must be text, not 1'],
    ['createSubscription', ['s', { transient: 1 }], 'createSubscription: transient must be true or false, not 1'],
    [
      'updateSubscription', ['s', { backoffMs: '1' }],
      'updateSubscription: backoffMs must be a number from 0, or null, not 1',
    ],
    ['nack', ['s', ['token'], { delayMs: '1' }], 'nack: delayMs must be a number from 0, not 1'],
  ];
  for (const [method, args, message] of cases) {
    await t.rejects(loose[method]!(...args) as Promise<unknown>, { code: 'CONFIG', message }, message);
  }
  // what is of the right kind goes to the broker, which knows what is possible
  await t.rejects(client.createSubscription('s', { visibilityMs: 0, maxDeliveries: null }), { code: 'ERR' });
});

t.test('connect names the option that is wrong', async (t) => {
  const cases: [options: object, message: RegExp][] = [
    [{ name: 7 }, /^name must be text of 1 to 100 .*, not 7$/],
    [{ name: null }, /^name must be text of .*, not \[object Null\]$/],
    [{ name: 'two words' }, /^name must be text of .*, not two words$/],
    [{ idempotent: 'no' }, /^idempotent must be true or false, not no$/],
    [{ timeoutMs: '100' }, /^timeoutMs must be a whole number from 1 to \d+, not 100$/],
    [{ pollsMax: Symbol('s') }, /^pollsMax must be a whole number from 1 to \d+, not Symbol\(s\)$/],
    [{ onEvent: 7 }, /^onEvent must be a function$/],
  ];
  for (const [options, message] of cases) {
    const connecting = (connect as (options: unknown) => Promise<unknown>)({ brokers: 'x:1', ...options });
    await t.rejects(connecting, { code: 'CONFIG', message }, String(message));
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
    { brokers: [], port: {} }, { brokers: [], mesh: null }, { brokers: [], mesh: 7 },
    { brokers: [], acks: 7 }, { brokers: [], dataDir: 7 },
    { brokers: [], limits: { tickMs: 'x' } },
  ]) {
    const error = await end(t, 'startBroker', () => (startBroker as (options: unknown) => unknown)(options));
    t.ok(error instanceof RumormillError, `startBroker(${JSON.stringify(options)}): ${String(error)}`);
  }
});
