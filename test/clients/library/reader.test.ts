import t, { type Test } from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import { type Client, type ClientEvent, connect, type ConnectOptions } from '../../../clients/client.ts';
import { waitFor, within } from '../../support/wait.ts';
import { type Answer, DROP, FakeBroker, type Handler, stored, option } from '../fake-broker.ts';

async function open(t: Test, brokers: readonly FakeBroker[], options: Partial<ConnectOptions> = {}): Promise<Client> {
  const client = await connect({ brokers: brokers.map(({ address }) => address), timeoutMs: 5000, ...options });
  t.teardown(() => client.close());
  return client;
}

/** A log of payloads, whose cursors are `c<how many were read>`. A poll beyond its end waits for ever. */
function logOf(payloads: readonly string[], atMost = Infinity): Handler {
  return (args) => {
    const cursor = option(args, 'CURSOR')!;
    if (cursor === 'latest') return [`c${payloads.length}`, []];
    const from = cursor === 'earliest' ? 0 : Number(cursor.slice(1));
    const to = Math.min(payloads.length, from + Math.min(atMost, Number(option(args, 'COUNT') ?? 100)));
    return from === to
      ? undefined
      : [`c${to}`, payloads.slice(from, to).map((payload, index) => stored(from + index + 1, payload))];
  };
}

const failure = (promise: Promise<unknown>): Promise<{ code?: string; name: string }> => promise.then(
  () => Promise.reject(new Error('should have failed')),
  (error: unknown) => error as RumormillError,
);

t.test('messages come in order over several polls, and the cursor counts what was wholly read', async (t) => {
  const broker = await FakeBroker.start(t, logOf(['a', 'b', 'c', 'd', 'e'], 2));
  const client = await open(t, [broker]);
  const reader = client.subscribe('news', { from: 'earliest', limit: 5 });
  const seen: [string, string][] = [];
  t.equal(reader.cursor, 'earliest');
  for await (const { text } of reader) seen.push([text, reader.cursor]);
  t.strictSame(seen, [['a', 'earliest'], ['b', 'earliest'], ['c', 'c2'], ['d', 'c2'], ['e', 'c4']]);
  t.equal(reader.cursor, 'c5');
});

t.test('no batch goes beyond the limit', async (t) => {
  const broker = await FakeBroker.start(t, logOf(['a', 'b', 'c', 'd', 'e']));
  const client = await open(t, [broker]);
  const batches: string[] = [];
  for await (const { cursor, messages } of client
    .subscribe('news', { from: 'earliest', count: 2, limit: 3 })
    .batches()) {
    batches.push(`${cursor}: ${messages.map(({ text }) => text).join(' ')}`);
  }
  t.strictSame(batches, ['c2: a b', 'c3: c']);
});

t.test('a limit of nothing ends at once, and leaves no poll whose failure nobody awaits', async (t) => {
  const broker = await FakeBroker.start(t, logOf(['a']));
  const client = await open(t, [broker]);
  for await (const { text } of client.subscribe('news', { from: 'earliest', limit: 0 })) t.fail(text);
  await client.poll('news', { cursor: 'earliest' });
  t.equal(broker.asked('POLL').length, 1, 'the one just made');
});

t.test('leaving the loop ends the reader and its connection', async (t) => {
  const broker = await FakeBroker.start(t, logOf(['a', 'b']));
  const client = await open(t, [broker], { pollsMax: 1 });
  for (const _ of [1, 2, 3]) {
    for await (const { text } of client.subscribe(['news'], { from: 'earliest' })) {
      t.equal(text, 'a');
      break;
    }
  }
});

t.test('leaving the loop while the next poll waits is no loss, and nobody polls on', async (t) => {
  const broker = await FakeBroker.start(t, logOf(['a', 'b']));
  const events: ClientEvent[] = [];
  const client = await open(t, [broker], { onEvent: (event) => events.push(event) });
  for await (const { cursor } of client.subscribe('news', { from: 'earliest' }).batches()) {
    t.equal(cursor, 'c2');
    await waitFor('the next poll', () => broker.asked('POLL').length === 2);
    break;
  }
  await waitFor('its connection is closed', () => broker.open === 1);
  t.strictSame(events, []);
  t.equal(broker.connections, 2);
});

t.test('when its broker dies it goes on with another, from its cursor', async (t) => {
  const log = ['a', 'b', 'c', 'd'];
  const second = await FakeBroker.start(t, logOf(log));
  const first = await FakeBroker.start(t, (args, socket) =>
    option(args, 'CURSOR') === 'c2' ? DROP : logOf(log, 2)(args, socket),
  );
  first.others = [second.address];
  const events: ClientEvent[] = [];
  const client = await open(t, [first], { onEvent: (event) => events.push(event) });
  const seen: string[] = [];
  for await (const { text } of client.subscribe('news', { from: 'earliest', limit: 4 })) seen.push(text);
  t.strictSame(seen, log);
  t.strictSame(second.asked('POLL').map((args) => option(args, 'CURSOR')), ['c2']);
  t.match(
    events.filter(({ purpose }) => purpose === 'poll'),
    [
      { type: 'lost', broker: first.address, reason: /^the broker closed|^connection reset/ },
      { type: 'failover', broker: second.address },
    ],
  );
});

t.test('latest is a cursor before anything is waited for, so that nothing is lost when the first broker dies', async (t) => {
  const second = await FakeBroker.start(t, logOf(['old', 'new']));
  const first = await FakeBroker.start(t, (args) => (option(args, 'CURSOR') === 'latest' ? ['c1', []] : DROP));
  const client = await open(t, [first, second]);
  for await (const { text } of client.subscribe('news', { limit: 1 })) t.equal(text, 'new');
  t.strictSame(second.asked('POLL').map((args) => option(args, 'CURSOR')), ['c1']);

  const again = await open(t, [first, second]);
  const { messages } = await again.poll('news', { blockMs: 5000 });
  t.strictSame(messages.map(({ text }) => text), ['new'], 'a poll that waits does so too');
});

t.test('a broker that falls silent while a poll waits is noticed', async (t) => {
  const second = await FakeBroker.start(t, logOf(['a']));
  const first = await FakeBroker.start(t, () => undefined);
  const client = await open(t, [first, second], { silenceMs: 100, connectTimeoutMs: 100, timeoutMs: 60_000 });
  const polled = client.poll('news', { cursor: 'earliest', blockMs: 60_000 });
  await waitFor('it waits', () => first.asked('POLL').length === 1);
  first.isFrozen = true;
  const { messages } = await within('the poll moves', polled);
  t.equal(messages[0]!.text, 'a');
});

t.test('a broker that answers a poll late, but lives, is left alone', async (t) => {
  let answer: (() => void) | undefined;
  const broker = await FakeBroker.start(
    t,
    () => new Promise((resolve) => (answer = (): void => resolve(['c1', [stored(1, 'a')]]))),
  );
  const client = await open(t, [broker], { silenceMs: 20, connectTimeoutMs: 1000 });
  const polled = client.poll('news', { cursor: 'earliest', blockMs: 1 });
  await waitFor('it was probed more than once', () => broker.connections > 3);
  answer!();
  t.equal((await polled).messages[0]!.text, 'a');
  t.equal(broker.asked('POLL').length, 1);
});

t.test('a long wait is made of short ones, each from where the last one ended', async (t) => {
  let polls = 0;
  const broker = await FakeBroker.start(t, () => ((polls += 1) < 3 ? [`c${polls}`, []] : ['c3', [stored(1, 'a')]]));
  const client = await open(t, [broker]);
  t.match(await client.poll('news', { cursor: 'earliest', blockMs: 60_000 }), {
    cursor: 'c3',
    messages: [{ text: 'a' }],
  });
  t.strictSame(broker.asked('POLL').map((args) => option(args, 'CURSOR')), ['earliest', 'c1', 'c2']);
  t.ok(broker.asked('POLL').every((args) => Number(option(args, 'BLOCK')) <= 1000));
});

t.test('what two brokers took of one retried publish is delivered once, and does not count towards the limit', async (t) => {
  const second = await FakeBroker.start(t, (args) =>
    option(args, 'CURSOR') === 'c2'
      ? [
          'c4',
          [
            stored(2, 'b', { id: '2@b:1', dedupe: { id: 'b', time: 0 } }),
            stored(3, 'other topic', { topic: 'sport', dedupe: { id: 'b', time: 0 } }),
          ],
        ]
      : ['c6', [stored(4, 'no id'), stored(5, 'c', { dedupe: { id: 'c', time: 0 } })]],
  );
  const first = await FakeBroker.start(t, (args) =>
    option(args, 'CURSOR') === 'earliest'
      ? [
          'c2',
          [
            stored(1, 'a', { id: '1@a:1', dedupe: { id: 'a', time: 0 } }),
            stored(2, 'b', { id: '2@a:1', dedupe: { id: 'b', time: 0 } }),
          ],
        ]
      : DROP,
  );
  const client = await open(t, [first, second]);
  const seen: string[] = [];
  for await (const { text } of client.subscribe(['news', 'sport'], { from: 'earliest', limit: 5 })) seen.push(text);
  t.strictSame(seen, ['a', 'b', 'other topic', 'no id', 'c']);
  t.strictSame(second.asked('POLL').map((args) => option(args, 'COUNT')), ['3', '2']);
});

t.test('a batch of nothing but repeats is passed over', async (t) => {
  const twice = [
    stored(1, 'a', { id: '1@a:1', dedupe: { id: 'a', time: 0 } }),
    stored(1, 'a', { id: '1@b:1', dedupe: { id: 'a', time: 0 } }),
  ];
  const broker = await FakeBroker.start(t, (args) => {
    const index = ['earliest', 'c1', 'c2'].indexOf(option(args, 'CURSOR')!);
    return [`c${index + 1}`, [twice[index] ?? stored(2, 'b')]];
  });
  const client = await open(t, [broker]);
  const batches: string[][] = [];
  for await (const { cursor, messages } of client.subscribe('news', { from: 'earliest', limit: 2 }).batches()) {
    batches.push([cursor, ...messages.map(({ text }) => text)]);
  }
  t.strictSame(batches, [['c1', 'a'], ['c3', 'b']]);
});

t.test('a poll that every broker drops is tried with growing pauses, and ends', async (t) => {
  const broker = await FakeBroker.start(t, ([name]): Answer => (name === 'POLL' ? DROP : 1));
  const client = await open(t, [broker], { timeoutMs: 500 });
  const error = await failure(client.poll('news', { cursor: 'earliest', blockMs: 100 }));
  t.ok(['DISCONNECTED', 'UNREACHABLE'].includes(error.code!), `it ends with ${error.code}`);
  t.ok(broker.asked('POLL').length < 10, `${broker.asked('POLL').length} polls`);
});

t.test('no topics are a mistake, and nothing else is read in their place', async (t) => {
  const broker = await FakeBroker.start(t, logOf(['a']));
  const client = await open(t, [broker]);
  for (const read of [
    client.poll([]), client.poll([], { blockMs: 10 }), client.subscribe([])[Symbol.asyncIterator]().next(),
  ]) {
    t.match(await failure(read), { code: 'CONFIG', message: 'give at least one topic' });
  }
  t.strictSame(broker.commands, []);
});

t.test('a cursor that is none is the user\'s mistake, and not tried again', async (t) => {
  const broker = await FakeBroker.start(t, () => new RumormillError('ERR', '"x" is not a cursor'));
  const client = await open(t, [broker]);
  t.match(await failure(client.subscribe('news', { from: 'x' }).batches().next()), { code: 'ERR' });
  t.equal(broker.asked('POLL').length, 1);
});

t.test('an AbortSignal ends a poll with its reason and a reader quietly', async (t) => {
  const broker = await FakeBroker.start(t, logOf(['a']));
  const client = await open(t, [broker]);
  const stop = new AbortController();
  const polling = failure(client.poll('news', { cursor: 'c1', blockMs: 60_000, signal: stop.signal }));
  const seen: string[] = [];
  const reading = (async (): Promise<void> => {
    for await (const { text } of client.subscribe('news', { from: 'earliest', signal: stop.signal })) seen.push(text);
  })();
  await waitFor('both wait', () => broker.asked('POLL').filter((args) => option(args, 'CURSOR') === 'c1').length === 2);
  stop.abort();
  t.equal((await polling).name, 'AbortError');
  await within('the loop ends', reading);
  t.strictSame(seen, ['a']);
  t.equal((await failure(client.poll('news', { signal: stop.signal }))).name, 'AbortError');
});

t.test('polls that wait do not hold up publishes, are bounded, and warn of no leak', async (t) => {
  const warnings: string[] = [];
  const warned = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', warned);
  t.teardown(() => process.off('warning', warned));
  const broker = await FakeBroker.start(t, ([name]) => (name === 'POLL' ? undefined : 1));
  const client = await open(t, [broker], { pollsMax: 20 });
  const polls = Array.from({ length: 20 }, () => failure(client.poll('news', { cursor: 'earliest', blockMs: 60_000 })));
  await waitFor('all wait', () => broker.asked('POLL').length === 20);
  t.equal((await failure(client.poll('news', { cursor: 'earliest', blockMs: 60_000 }))).code, 'BUSY');
  t.equal((await within('a publish is answered', client.publish('news', 'x'))).lamport, 1);
  await client.close();
  t.strictSame(new Set((await Promise.all(polls)).map(({ code }) => code)), new Set(['CLOSED']));
  t.strictSame(warnings, []);
});
