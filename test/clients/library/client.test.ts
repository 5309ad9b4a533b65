import t, { type Test } from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import { type Client, type ClientEvent, connect, type ConnectOptions } from '../../../clients/client.ts';
import { settingsOf } from '../../../clients/library/connect-options.ts';
import { Dialer } from '../../../clients/library/dialer.ts';
import { waitFor, within } from '../../support/wait.ts';
import { deadAddress, DROP, FakeBroker, type Handler, message, stored, option, publishReply } from '../fake-broker.ts';

async function open(
  t: Test, brokers: FakeBroker | string | readonly string[], options: Partial<ConnectOptions> = {},
): Promise<Client> {
  const client = await connect({
    brokers: brokers instanceof FakeBroker ? brokers.address : brokers,
    timeoutMs: 5000,
    ...options,
  });
  t.teardown(() => client.close());
  return client;
}

const code = (error: unknown): string => (error instanceof RumormillError ? error.code : String(error));
const failure = (promise: Promise<unknown>): Promise<RumormillError> => promise.then(
  () => Promise.reject(new Error('should have failed')),
  (error: unknown) => error as RumormillError,
);

t.test('publishes of one turn travel in one write and are answered in order', async (t) => {
  const broker = await FakeBroker.start(t);
  const client = await open(t, broker);
  const answered: number[] = [];
  const publishes = Array.from({ length: 500 }, (_, index) =>
    client.publish('news', `m${index}`).then(({ lamport }) => answered.push(lamport)),
  );
  await within('all are answered', Promise.all(publishes));
  t.strictSame(answered, Array.from({ length: 500 }, (_, index) => index + 1));
  t.strictSame(broker.commands.map(([, , payload]) => payload), Array.from({ length: 500 }, (_, index) => `m${index}`));
  const bytes = broker.commands.length * 50;
  t.ok(
    broker.writes.length <= Math.ceil(bytes / 16_384) + 1,
    `${broker.writes.length} reads at the broker: more than one only where the system cut the write`,
  );
});

t.test('a publish carries its options, and its result names the message', async (t) => {
  const broker = await FakeBroker.start(t, () => 7);
  const client = await open(t, broker);
  const bytes = Uint8Array.of(104, 105);
  const published = client.publish('news', bytes, {
    key: 'k', headers: { a: 'b', c: 'd' }, acks: 'quorum', id: 'once',
  });
  bytes[0] = 0;
  t.match(await published, { id: `7@${broker.address}`, lamport: 7 });
  const [args] = broker.commands;
  t.strictSame(args!.slice(0, 3), ['PUBLISH', 'news', 'hi'], 'the payload was copied');
  t.equal(option(args!, 'KEY'), 'k');
  t.equal(option(args!, 'ACKS'), 'quorum');
  t.equal(option(args!, 'ID'), 'once');
  t.match(args!.join(' '), 'HEADER a b HEADER c d');
});

t.test('the Lamport clock goes on from whatever was seen', async (t) => {
  const handler: Handler = ([name]) =>
    name === 'PUBLISH' ? 40 : name === 'LATEST' ? message(99, 'x') : ['c', [stored(200, 'y')]];
  const broker = await FakeBroker.start(t, handler);
  const client = await open(t, broker);
  const sent = async (): Promise<string | undefined> => {
    await client.publish('news', 'x');
    return option(broker.asked('PUBLISH').at(-1)!, 'LAMPORT');
  };
  t.equal(await sent(), '1');
  t.equal(await sent(), '41');
  await client.latest('news');
  t.equal(await sent(), '100');
  await client.poll('news', { cursor: 'earliest' });
  t.equal(await sent(), '201');
});

t.test('a broker\'s error rejects its own publish only', async (t) => {
  const broker = await FakeBroker.start(t, ([, , payload]) =>
    payload === 'big' ? new RumormillError('TOOBIG', 'payload is over 1') : 5,
  );
  const client = await open(t, broker);
  const [a, b, c] = await Promise.allSettled([
    client.publish('news', 'x'), client.publish('news', 'big'), client.publish('news', 'y'),
  ]);
  t.match([a, c], [{ status: 'fulfilled' }, { status: 'fulfilled' }]);
  t.match(b, { status: 'rejected', reason: { code: 'TOOBIG', message: 'payload is over 1' } });
});

t.test('an answer that makes no sense is a PROTOCOL error', async (t) => {
  const client = await open(t, await FakeBroker.start(t, ([name]) => (name === 'PUBLISH' ? 'what?' : 1)));
  t.equal((await failure(client.publish('news', 'x'))).code, 'PROTOCOL');
  t.equal((await failure(client.poll('news'))).code, 'PROTOCOL');
  t.equal((await failure(client.range('news'))).code, 'PROTOCOL');
});

t.test('when the connection is lost, a publish is made again on another broker, with the same id', async (t) => {
  const second = await FakeBroker.start(t);
  const first = await FakeBroker.start(t, () => DROP);
  const client = await open(t, [first.address, second.address]);
  const published = await client.publish('news', 'x');
  t.match(published, { id: `1@${second.address}`, lamport: 1, attempts: 2 });
  const ids = [first, second].map(({ commands }) => commands.map((args) => option(args, 'ID')));
  t.strictSame(ids, [[published.dedupeId], [published.dedupeId]]);
});

t.test('each publish has a short id of its own, whichever client it is from', async (t) => {
  const broker = await FakeBroker.start(t);
  const clients = await Promise.all([1, 2, 3].map(() => open(t, broker)));
  const published = await Promise.all(
    clients.flatMap((client) => Array.from({ length: 100 }, () => client.publish('news', 'x'))),
  );
  const ids = [...published.map(({ dedupeId }) => dedupeId!), clients[0]!.dedupeId()];
  t.equal(new Set(ids).size, 301);
  t.strictSame(new Set(published.map(({ attempts }) => attempts)), new Set([1]));
  t.strictSame(new Set(broker.commands.map((args) => option(args, 'ID'))), new Set(ids.slice(0, 300)));
  t.strictSame(ids.filter((id) => !/^[\w-]{13,29}$/.test(id)), []);
});

t.test('without an id, a publish whose connection is lost fails, since it may have been delivered', async (t) => {
  const cases = [[{ idempotent: false }, {}], [{}, { acks: 'none' }]] as const;
  for (const [options, publish] of cases) {
    const second = await FakeBroker.start(t);
    const first = await FakeBroker.start(t, () => DROP);
    const client = await open(t, [first.address, second.address], options);
    t.match(await failure(client.publish('news', 'x', publish)), {
      code: 'DISCONNECTED',
      message: /may still be delivered$/,
    });
    t.match(
      await client.publish('news', 'y', publish), { id: `1@${second.address}`, dedupeId: null },
      'the next goes to another broker',
    );
    t.ok([...first.commands, ...second.commands].every((args) => option(args, 'ID') === undefined));
  }
});

t.test('publishes and reads are made again on another broker, in order', async (t) => {
  const second = await FakeBroker.start(t, ([name]) => (name === 'LATEST' ? message(3, 'from the second') : 9));
  const first = await FakeBroker.start(t, () => DROP);
  const client = await open(t, [first.address, second.address], { idempotent: false });
  const [a, latest, b] = await Promise.all([
    client.publish('news', 'a', { id: 'a' }), client.latest('news'), client.publish('news', 'b', { id: 'b' }),
  ]);
  t.strictSame([a.lamport, latest?.text, b.lamport], [9, 'from the second', 9]);
  t.strictSame(
    second.commands.map(([name, , payload]) => [name, payload]),
    [
      ['PUBLISH', 'a'], ['LATEST', undefined], ['PUBLISH', 'b'],
    ],
  );
});

t.test('an error after which the message may be stored tells with which id to publish it again', async (t) => {
  const errors: Record<string, RumormillError> = {
    'no quorum': new RumormillError('NOQUORUM', 'on disk on 1 of 2'),
    'disk full': new RumormillError('DISKFULL', 'no room; nothing was stored'),
  };
  const second = await FakeBroker.start(t, ([, , payload]) => errors[payload!]!);
  const first = await FakeBroker.start(t, ([, , payload]) => (payload === 'no quorum' ? errors[payload]! : DROP));
  const client = await open(t, [first.address, second.address]);
  t.match(await failure(client.publish('news', 'no quorum', { id: 'a' })), {
    code: 'NOQUORUM',
    message: 'on disk on 1 of 2; published again with id "a" it is not doubled',
  });
  const twice = await failure(client.publish('news', 'disk full', { id: 'b' }));
  t.match(
    twice, { code: 'DISKFULL', message: /may still be delivered; published again with id "b"/ },
    'the first broker may have stored it',
  );
  t.equal(
    (await failure(client.publish('news', 'disk full', { id: 'c' }))).message, 'no room; nothing was stored',
    'asked once, it is not stored',
  );
});

t.test('brokers that drop every publish are tried with growing pauses, not besieged', async (t) => {
  const broker = await FakeBroker.start(t, () => DROP);
  const client = await open(t, broker, { timeoutMs: 500 });
  const failures = await Promise.all([client.publish('news', 'x'), client.topics()].map(failure));
  for (const { code } of failures) t.match(code, /^(DISCONNECTED|UNREACHABLE)$/);
  t.ok(broker.connections < 20, `${broker.connections} connections`);
});

t.test('no broker any more: a publish that was written says that it may be stored', async (t) => {
  const broker = await FakeBroker.start(t, () => {
    void broker.stop();
    return undefined;
  });
  const client = await open(t, broker, { timeoutMs: 300 });
  const [written, never] = [
    await failure(client.publish('news', 'x', { id: 'x' })),
    await failure(client.publish('news', 'y')),
  ];
  t.match(written, { code: 'UNREACHABLE', message: /may still be delivered; published again with id "x"/ });
  t.match(never, { code: 'UNREACHABLE', message: /connection refused\)$/ });
});

t.test('which brokers there are is asked now and then, since all that were known may be replaced', async (t) => {
  const closing = new AbortController();
  t.teardown(() => closing.abort());
  const dialer = new Dialer(settingsOf({ brokers: '10.0.0.1:3000' }), closing.signal);
  const answers = [['10.0.0.1:3000', '10.0.0.2:3000'], ['10.0.0.2:3000', '10.0.0.3:3000']];
  let asked = 0;
  dialer.refresh(async () => {
    asked += 1;
    if (asked === 2) throw new RumormillError('UNREACHABLE', 'nobody is there');
    return (answers[asked - 1] ?? answers[1]!).map((address) => [Buffer.from(address), Buffer.from('alive'), 0]);
  }, 1);
  await waitFor('it has asked', () => asked > 2 && dialer.known.length === 2);
  t.strictSame(dialer.known, answers[1]);
});

for (const going of ['CLOSING', 'LEAVING']) {
  t.test(`what a broker refuses with ${going}, since it goes, goes to another`, async (t) => {
    const second = await FakeBroker.start(t);
    const first = await FakeBroker.start(t, ([, , payload]) =>
      payload === 'a' ? 1 : new RumormillError(going, 'nothing was stored'),
    );
    const client = await open(t, [first.address, second.address]);
    const published = await Promise.all(['a', 'b', 'c'].map((payload) => client.publish('news', payload)));
    t.strictSame(published.map(({ id }) => id), [`1@${first.address}`, `1@${second.address}`, `2@${second.address}`]);
    t.strictSame(published.map(({ attempts }) => attempts), [1, 1, 1], 'a broker that refused has stored nothing');
    t.strictSame(second.commands.map(([, , payload]) => payload), ['b', 'c']);
  });
}

t.test('a broker that is none of the mesh any more is not tried again', async (t) => {
  const [first, second, third] = [await FakeBroker.start(t), await FakeBroker.start(t), await FakeBroker.start(t)];
  first.others = [second.address, third.address];
  const client = await open(t, first);
  t.strictSame(client.knownBrokers, [first.address, second.address, third.address], 'one address is enough');
  second.others = [third.address];
  third.others = [second.address];
  first.drop();
  await client.publish('news', 'x');
  t.strictSame([...client.knownBrokers].sort(), [second.address, third.address].sort());
});

t.test('publishing on while the broker goes away crashes nothing, and every publish is acknowledged', async (t) => {
  const second = await FakeBroker.start(t);
  let left = 20;
  const first = await FakeBroker.start(t, (_args, socket) => {
    if (--left === 0) socket.end();
    return left > 0 ? left : undefined;
  });
  const client = await open(t, [first.address, second.address]);
  while (second.commands.length < 20) await Promise.all([client.publish('news', 'x'), client.publish('news', 'y')]);
});

t.test('no broker: after timeoutMs UNREACHABLE, with every address and why', async (t) => {
  const [a, b] = [await deadAddress(), await deadAddress()];
  const error = await failure(connect({ brokers: `${a}, ${b}`, timeoutMs: 300 }));
  t.equal(error.code, 'UNREACHABLE');
  t.match(error.message, `${a} (connection refused)`);
  t.match(error.message, `${b} (connection refused)`);
});

t.test('UNREACHABLE too where somebody else listens, or somebody who is silent', async (t) => {
  const frozen = await FakeBroker.start(t);
  frozen.isFrozen = true;
  const error = await failure(connect({ brokers: frozen.address, timeoutMs: 300, connectTimeoutMs: 100 }));
  t.match(error, { code: 'UNREACHABLE', message: /no broker can be reached; tried .* \(no answer within \d+ ms\)/ });
});

t.test('a broker that comes up within timeoutMs is found', async (t) => {
  const broker = await FakeBroker.start(t);
  broker.isFrozen = true;
  const opening = connect({ brokers: broker.address, timeoutMs: 5000, connectTimeoutMs: 100 });
  await waitFor('a first try', () => broker.connections > 0);
  broker.isFrozen = false;
  const client = await opening;
  t.equal((await client.publish('news', 'x')).lamport, 1);
  await client.close();
});

t.test('options that cannot be are CONFIG errors', async (t) => {
  for (const options of [
    { brokers: 'nonsense' }, { brokers: [] }, { brokers: 'a:0' }, { brokers: 'a:1', timeoutMs: 0 },
    { brokers: 'a:1', timeoutMs: 2 ** 31 - 1 }, { brokers: 'a:1', name: 'a b' },
  ]) {
    t.equal((await failure(connect(options))).code, 'CONFIG', JSON.stringify(options));
  }
});

t.test('the longest times that are allowed are no timer that fires at once', async (t) => {
  const broker = await FakeBroker.start(t, async () => {
    await new Promise((resolve) => setTimeout(resolve, 50)); // long beside such a timer
    return ['c1', [stored(1, 'a')]];
  });
  const client = await open(t, broker, {
    timeoutMs: 2_000_000_000, connectTimeoutMs: 2_000_000_000, silenceMs: 2_000_000_000, refreshMs: 2_000_000_000,
  });
  t.match(await within('the poll is answered', client.poll('news', { cursor: 'earliest', blockMs: 1_000 })), {
    messages: [{ text: 'a' }],
  });
  t.equal(broker.connections, 2);
  t.equal(broker.asked('POLL').length, 1);
});

t.test('a client given one broker learns the others, and says when it moves', async (t) => {
  const second = await FakeBroker.start(t);
  const first = await FakeBroker.start(t);
  first.others = [second.address];
  const events: ClientEvent[] = [];
  const client = await open(t, first, { onEvent: (event) => events.push(event) });
  t.match(await client.brokers(), [
    { address: first.address, state: 'self', behind: 0 },
    { address: second.address, state: 'alive', behind: 3 },
  ]);
  await first.stop();
  await waitFor('the loss is told', () => events.length > 0);
  t.equal((await client.publish('news', 'x')).id, `1@${second.address}`);
  t.match(events, [
    { type: 'lost', purpose: 'requests', broker: first.address },
    { type: 'failover', purpose: 'requests', broker: second.address, from: first.address },
  ]);
});

t.test('a broker that falls silent is noticed by a probe, long before timeoutMs', async (t) => {
  const second = await FakeBroker.start(t);
  const first = await FakeBroker.start(t, publishReply());
  const client = await open(t, [first.address, second.address], {
    timeoutMs: 60_000, silenceMs: 100, connectTimeoutMs: 100,
  });
  await client.publish('news', 'x');
  first.isFrozen = true;
  t.equal((await within('the publish moves', client.publish('news', 'y'))).lamport, 1);
  t.equal(second.commands.length, 1);
});

t.test('a broker that is alive and never answers a poll: the next one does, or the poll fails when each has had its time', async (t) => {
  const hangs: Handler = ([name]) => (name === 'POLL' ? undefined : []);
  const [first, second] = [
    await FakeBroker.start(t, hangs),
    await FakeBroker.start(t, ([name]) => (name === 'POLL' ? ['cursor', []] : [])),
  ];
  const [alone, both] = [
    await connect({ brokers: first.address, timeoutMs: 1200 }),
    await connect({ brokers: [first.address, second.address], timeoutMs: 1200 }),
  ];
  t.teardown(() => Promise.all([alone.close(), both.close()]));
  t.match(await failure(alone.poll(['news'], { blockMs: 1 })), {
    code: 'DISCONNECTED',
    message: /no answer within 120\d ms/,
  });
  t.match(await both.poll(['news'], { blockMs: 1 }), { messages: [] });
});

t.test('a broker that is silent does not hold up the search for one that answers', async (t) => {
  const [silent, second] = [await FakeBroker.start(t), await FakeBroker.start(t)];
  const first = await FakeBroker.start(t, () => DROP);
  first.others = [silent.address, second.address];
  const client = await open(t, first, { connectTimeoutMs: 60_000, timeoutMs: 60_000 });
  silent.isFrozen = true;
  await first.stop();
  t.equal((await within('the publish is answered', client.publish('news', 'x'))).id, `1@${second.address}`);
  t.equal(silent.connections, 1, 'it was asked first');
  t.equal(client.knownBrokers[0], second.address);
});

t.test('those who probe at the same time share a connection', async (t) => {
  const broker = await FakeBroker.start(t, () => undefined);
  const client = await open(t, broker, { silenceMs: 50, connectTimeoutMs: 60_000 });
  const calls = [
    client.latest('news'),
    ...Array.from({ length: 5 }, () => client.poll('news', { cursor: 'earliest', blockMs: 1 })),
  ].map(failure);
  await waitFor('all have asked', () => broker.commands.length === 6);
  const before = broker.connections;
  broker.isFrozen = true;
  await waitFor('it is probed', () => broker.connections > before);
  await client.close();
  await Promise.all(calls);
  t.equal(broker.connections, before + 1);
});

t.test('a broker that is only slow is left alone', async (t) => {
  let answer: (() => void) | undefined;
  const broker = await FakeBroker.start(t, () => new Promise((resolve) => (answer = (): void => resolve(1))));
  const client = await open(t, broker, { silenceMs: 20, connectTimeoutMs: 1000 });
  const published = client.publish('news', 'x');
  await waitFor('it was probed more than once', () => broker.connections > 2);
  answer!();
  t.equal((await published).lamport, 1);
});

t.test('a publish without an answer fails after timeoutMs, also where the broker is alive', async (t) => {
  const client = await open(t, await FakeBroker.start(t, () => undefined), { timeoutMs: 300 });
  t.match(await failure(client.publish('news', 'x')), { code: 'DISCONNECTED', message: /may still be delivered/ });
});

t.test('calls without an answer are bounded: BUSY', async (t) => {
  const broker = await FakeBroker.start(t, () => undefined);
  const client = await open(t, broker, { unansweredMax: 3 });
  const first = [1, 2, 3].map((each) => failure(client.publish('news', `${each}`)));
  t.equal((await failure(client.publish('news', 'one too many'))).code, 'BUSY');
  await waitFor('the three are written', () => broker.commands.length === 3);
  await client.close();
  t.strictSame((await Promise.all(first)).map(code), ['CLOSED', 'CLOSED', 'CLOSED']);
});

t.test('after close: CLOSED, and no connection is left', async (t) => {
  const broker = await FakeBroker.start(t, () => undefined);
  const client = await open(t, broker);
  const pending = [
    client.publish('news', 'x'), client.publish('news', 'x', { id: 'x' }), client.leader(),
    client.poll('news', { blockMs: 60_000 }),
  ].map(failure);
  await waitFor(
    'they are on their way',
    () => broker.asked('POLL').length === 1 && broker.asked('PUBLISH').length === 2,
  );
  await client[Symbol.asyncDispose]();
  t.strictSame((await within('all fail', Promise.all(pending))).map(code), ['CLOSED', 'CLOSED', 'CLOSED', 'CLOSED']);
  t.equal(code(await failure(client.publish('news', 'x'))), 'CLOSED');
  t.equal(code(await failure(client.poll('news'))), 'CLOSED');
});

t.test('a header may bear the name of anything that objects have by themselves', async (t) => {
  const broker = await FakeBroker.start(t, () => message(1, 'a', { headers: ['__proto__', 'p', 'constructor', 'c'] }));
  const client = await open(t, broker);
  t.equal(JSON.stringify((await client.latest('news'))!.headers), '{"__proto__":"p","constructor":"c"}');
});

t.test('latest, range, leader', async (t) => {
  const broker = await FakeBroker.start(t, ([name, what]) => {
    if (name === 'RANGE') return [message(2, 'b', { key: 'k', headers: ['a', '1', 'a', '2'] }), message(1, 'a')];
    return name === 'MESH' && what === 'LEADER' ? 'b:3001' : null;
  });
  const client = await open(t, broker);
  t.equal(await client.latest('news'), null);
  t.match(await client.range('news', { from: 1, to: 9, count: 2, reverse: true }), [
    { id: '2@a:1', lamport: 2, key: 'k', headers: { a: '2' }, text: 'b' },
    { lamport: 1, key: null, headers: {}, payload: Buffer.from('a') },
  ]);
  t.strictSame(broker.asked('RANGE')[0], ['RANGE', 'news', 'FROM', '1', 'TO', '9', 'COUNT', '2', 'REV']);
  t.equal(await client.leader(), 'b:3001');
});
