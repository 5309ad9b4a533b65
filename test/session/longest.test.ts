/**
 * No command that a client can send holds the event loop: each at its largest is carried out in many rounds, in none of
 * which more is done than a turn has room for. What it takes in milliseconds is measured by `npm run longest`.
 */
import t, { type Test } from 'tap';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import type { Operation } from '../../brokers/core/catalog/catalog-operation.ts';
import { LOOK_WORK } from '../../brokers/core/turns.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { BusyClock } from '../support/busy-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { catalogBatches, origin } from '../support/record.ts';
import { VirtualBroker, type VirtualClient } from '../support/virtual-broker.ts';

/** How much work a round has room for: a turn within the round of I/O, and one after it. */
const ROUND_WORK = 2 * LOOK_WORK * (DEFAULT_LIMITS.turnMs + 1);

interface Bench {
  readonly virtual: VirtualBroker;
  readonly clock: BusyClock;
  readonly client: VirtualClient;
  /** In how many rounds the commands that are sent together are answered, and the replies. */
  ask(...commands: readonly (readonly string[])[]): Promise<{ rounds: number; replies: unknown[] }>;
}

async function bench(limits: Partial<typeof DEFAULT_LIMITS> = {}, said: readonly Operation[] = []): Promise<Bench> {
  const clock = new BusyClock();
  const store = new MemoryStore(origin('localhost:3000'));
  await store.append(catalogBatches(said));
  const virtual = await VirtualBroker.start({ limits: { ...limits } }, store, undefined, [], clock);
  const client = virtual.connect();
  return {
    virtual, clock, client,
    async ask(...commands) {
      const before = clock.rounds;
      client.sendBytes(Buffer.concat(commands.map((command) => encodeCommand(command))));
      const replies = await client.replies();
      return { rounds: clock.rounds - before, replies };
    },
  };
}

/** That so much work, counted as its author counts it, took rounds accordingly. */
function inTurns(t: Test, rounds: number, work: number, what: string): void {
  t.ok(rounds >= work / ROUND_WORK, `${what}: ${rounds} rounds for ${work}`);
}

const PATTERNS = 5000;

/** Commands that subscribe to patterns of which none can be left out, and none matches. */
function manyPatterns(): string[][] {
  return repeat(5, (part) => [
    'PSUBSCRIBE',
    ...Array.from({ length: PATTERNS / 5 }, (_, index) => `${'*a'.repeat(50)}${part}${index}`),
  ]);
}

function repeat(count: number, command: (index: number) => string[]): string[][] {
  return Array.from({ length: count }, (_, index) => command(index));
}

t.test('a pipeline of small commands has no more of the loop than anything else, and others are answered meanwhile', async (t) => {
  const { virtual, clock, client, ask } = await bench();
  const { rounds, replies } = await ask(...repeat(10_000, (index) => ['ECHO', `${index}`]));
  t.strictSame(replies, Array.from({ length: 10_000 }, (_, index) => `${index}`), 'in order');
  inTurns(t, rounds, 10_000 * 20, 'ECHO');
  const other = virtual.connect();
  client.sendBytes(Buffer.concat(repeat(10_000, () => ['PING']).map((command) => encodeCommand(command))));
  other.sendBytes(encodeCommand(['PING']));
  for (let round = 0; round < 3; round += 1) await clock.round();
  t.ok(other.channel.onTheWay.length > 0, 'another client is answered within three rounds');
  t.equal((await client.replies()).length, 10_000);
});

t.test('so has a pipeline of publishes', async (t) => {
  const { ask } = await bench();
  const { rounds, replies } = await ask(...repeat(20_000, () => ['PUBLISH', 'a', 'x']));
  t.strictSame(replies, Array.from({ length: 20_000 }, (_, index) => index + 1));
  inTurns(t, rounds, 20_000, 'PUBLISH');
});

t.test('a client that sends on while it has to wait for its turn is not read from', async (t) => {
  const { client } = await bench({ inputBytesMax: 1000 });
  const many = Buffer.concat(repeat(5000, () => ['PING']).map((command) => encodeCommand(command)));
  client.sendBytes(many);
  t.equal(client.channel.paused, true);
  t.equal((await client.replies()).length, 5000);
  t.equal(client.channel.paused, false);
});

t.test('POLL and RANGE of as many messages as there may be are answered in turns', async (t) => {
  const { ask } = await bench();
  await ask(...repeat(10_000, (index) => ['PUBLISH', 'a', `${index}`, 'KEY', 'k', 'HEADER', 'n', 'v']));
  for (const command of [
    'POLL a CURSOR earliest COUNT 10000', 'RANGE a COUNT 10000', 'POLL a CURSOR earliest COUNT 10000 FORMAT batches',
  ]) {
    const { rounds, replies } = await ask(command.split(' '));
    const reply = replies[0] as unknown[];
    const messages = (command.startsWith('POLL') ? reply[1] : reply) as unknown[][];
    if (command.endsWith('batches')) {
      t.ok(messages.length >= 10);
      continue;
    }
    t.strictSame(
      messages.map(([, , , key, headers, payload]) => `${key} ${headers} ${payload}`),
      Array.from({ length: 10_000 }, (_, index) => `k n,v ${index}`),
    );
    inTurns(t, rounds, 10_000 * 7, command);
  }
});

t.test('a publish for which thousands of patterns have to be tried, and one for thousands of subscribers', async (t) => {
  const { virtual, client, ask } = await bench();
  await ask(...manyPatterns());
  await ask(['PSUBSCRIBE', '*']);
  const publisher = virtual.connect();
  const before = virtual.clock instanceof BusyClock ? virtual.clock.rounds : 0;
  publisher.sendBytes(encodeCommand(['PUBLISH', 'a'.repeat(255), 'x']));
  t.equal((await publisher.replies()).length, 1);
  inTurns(t, (virtual.clock as BusyClock).rounds - before, PATTERNS * 5, 'patterns');
  t.strictSame(await client.replies(), [['pmessage', '*', 'a'.repeat(255), 'x']]);
  const many = Array.from({ length: 3000 }, () => virtual.connect());
  for (const each of many) each.sendBytes(encodeCommand(['SUBSCRIBE', 'news']));
  await virtual.clock.settle();
  const rounds = (virtual.clock as BusyClock).rounds;
  publisher.sendBytes(encodeCommand(['PUBLISH', 'news', 'x']));
  await virtual.clock.settle();
  inTurns(t, (virtual.clock as BusyClock).rounds - rounds, 3000 * 6, 'subscribers');
  t.ok(
    (await Promise.all(many.map((each) => each.replies()))).every(
      (replies) => JSON.stringify(replies.at(-1)) === '["message","news","x"]',
    ),
  );
});

t.test('who subscribes while pushes lag gets what is published from then on, and who leaves gets nothing more', async (t) => {
  const { virtual, clock, client, ask } = await bench();
  await ask(...manyPatterns());
  const [publisher, leaver, late] = [virtual.connect(), virtual.connect(), virtual.connect()];
  leaver.sendBytes(encodeCommand(['SUBSCRIBE', 'b']));
  await leaver.replies();
  publisher.sendBytes(
    Buffer.concat(
      [
        ['PUBLISH', 'a'.repeat(255), 'x'],
        ['PUBLISH', 'b', 'lagging'],
      ].map((command) => encodeCommand(command)),
    ),
  );
  for (let round = 0; round < 6; round += 1) {
    await clock.round();
  } // stored, and the first one's patterns are being tried
  t.ok(publisher.channel.onTheWay.length > 0 && leaver.channel.onTheWay.length === 0, 'pushes lag');
  leaver.sendBytes(encodeCommand(['UNSUBSCRIBE', 'b']));
  late.sendBytes(encodeCommand(['SUBSCRIBE', 'b']));
  publisher.sendBytes(encodeCommand(['PUBLISH', 'b', 'new']));
  t.strictSame(await late.replies(), [
    ['subscribe', 'b', 1],
    ['message', 'b', 'new'],
  ]);
  t.strictSame(await leaver.replies(), [['unsubscribe', 'b', 0]]);
  t.strictSame(await client.replies(), []);
});

t.test('publishers wait while too much is to be pushed', async (t) => {
  const { virtual, clock, ask } = await bench({ pushLagBytesMax: 2000 });
  await ask(...manyPatterns());
  const publisher = virtual.connect();
  publisher.sendBytes(encodeCommand(['PUBLISH', 'a'.repeat(255), 'x'.repeat(3000)]));
  for (let round = 0; round < 6; round += 1) await clock.round();
  t.equal(virtual.broker.isFull, true);
  publisher.sendBytes(encodeCommand(['PUBLISH', 'b', 'y']));
  t.equal(publisher.channel.paused, true);
  t.equal((await publisher.replies()).length, 2, 'both are answered in the end');
  t.strictSame([virtual.broker.isFull, publisher.channel.paused], [false, false]);
});

t.test('lists of all there may be are made in turns', async (t) => {
  const names = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `${prefix}${index}`);
  const settings = { visibilityMs: 1, maxDeliveries: null, deadLetter: null, backoffMs: null, from: 'latest' };
  const { virtual, ask } = await bench({}, [
    ...names('t', 20_000).map((topic): Operation => ({ op: 'topic.create', topic, type: 'fanout' })),
    ...names('s', 10_000).map((name): Operation => ({ op: 'subscription.create', name, settings })),
    ...names('s', 10_000).map((name): Operation => ({ op: 'bind', name, topic: 't1', key: null, start: new Map() })),
  ]);
  const cases: [command: string[], expected: unknown[], work: number][] = [
    [['TOPIC', 'LIST', 't*'], names('t', 20_000).sort(), 3],
    [['TOPIC', 'LIST', `*${'t*'.repeat(100)}`], [], 2],
    [['SUBSCRIPTION', 'LIST'], names('s', 10_000).sort(), 3],
    [['BINDINGS'], names('s', 10_000).map((name) => [name, 't1', null]), 5],
  ];
  for (const [command, expected, work] of cases) {
    const { rounds, replies: [reply] } = await ask(command);
    t.strictSame(reply, expected, command.join(' ').slice(0, 40));
    inTurns(t, rounds, (expected.length || 20_000) * work, command[1]!);
  }
  const subscriber = virtual.connect();
  subscriber.sendBytes(encodeCommand(['SUBSCRIBE', ...names('c', 10_000)]));
  await subscriber.replies();
  const { rounds, replies } = await ask(['PUBSUB', 'CHANNELS', 'c*']);
  t.strictSame(replies, [names('c', 10_000).sort()]);
  inTurns(t, rounds, 10_000 * 3, 'CHANNELS');
});

t.test('as many names as a connection may have are subscribed to, and left, in turns; what is pushed meanwhile comes behind its own confirmation', async (t) => {
  const { virtual, clock, client, ask } = await bench();
  const names = (prefix: string): string[] => Array.from({ length: 5000 }, (_, index) => `${prefix}${index}`);
  for (const [joins, leaves] of [['SUBSCRIBE', 'UNSUBSCRIBE'], ['PSUBSCRIBE', 'PUNSUBSCRIBE']] as const) {
    for (const [command, count] of [
      [[joins, ...names('n')], (index: number) => index + 1],
      [[leaves], (index: number) => 4999 - index],
    ] as const) {
      const { rounds, replies } = await ask(command);
      t.strictSame(
        replies,
        names('n').map((name, index) => [command[0]!.toLowerCase(), name, count(index)]),
      );
      inTurns(t, rounds, 5000, command[0]!);
    }
  }
  const publisher = virtual.connect();
  client.sendBytes(encodeCommand(['SUBSCRIBE', ...names('m')]));
  while (client.channel.onTheWay.length === 0) await clock.round();
  publisher.sendBytes(Buffer.concat(['m4999', 'm0'].map((name) => encodeCommand(['PUBLISH', name, 'x']))));
  await publisher.replies();
  const seen = (await client.replies()).map((reply) => (reply as string[]).slice(0, 2).join(' '));
  t.ok(seen.includes('message m0') && seen.indexOf('subscribe m0') < seen.indexOf('message m0'));
  t.ok(!seen.includes('message m4999') || seen.indexOf('subscribe m4999') < seen.indexOf('message m4999'));
  const leaver = virtual.connect();
  leaver.sendBytes(encodeCommand(['SUBSCRIBE', ...names('l')]));
  while (leaver.channel.onTheWay.length === 0) await clock.round();
  leaver.channel.handler.closed(undefined);
  await clock.settle();
  publisher.sendBytes(encodeCommand(['PUBSUB', 'CHANNELS', 'l*']));
  t.strictSame(await publisher.replies(), [[]], 'who hangs up meanwhile is subscribed to nothing');
});

t.test('SUBSCRIBE with one bad name among thousands subscribes to none', async (t) => {
  const { ask } = await bench();
  const { replies } = await ask(
    ['SUBSCRIBE', ...Array.from({ length: 3000 }, (_, index) => `n${index}`), 'x'.repeat(5000)],
    ['PUBSUB', 'CHANNELS'],
  );
  t.match(String(replies[0]), /TOOBIG/);
  t.strictSame(replies.slice(1), [[]]);
});

t.test('as many tokens as fit into a command are looked at in turns, and those that are good counted once', async (t) => {
  const { client, ask } = await bench({ consumerLeasesMax: 50_000 });
  await ask(['TOPIC', 'CREATE', 'a'], ['SUBSCRIPTION', 'CREATE', 's', 'VISIBILITY', '3600000'], ['BIND', 's', 'a']);
  await ask(...repeat(20_000, (index) => ['PUBLISH', 'a', `${index}`]));
  const { replies } = await ask(...repeat(2, () => ['PULL', 's', 'COUNT', '10000']));
  const tokens = replies.flatMap((reply) => (reply as string[][]).map(([token]) => token!));
  t.equal(tokens.length, 20_000);
  for (const [command, count] of [
    [['EXTEND', 's', '1000000', ...tokens], 20_000],
    [['NACK', 's', ...tokens.slice(0, 10_000), ...tokens.slice(0, 10_000), 'DELAY', '60000'], 10_000],
    [['ACK', 's', ...tokens], 10_000],
    [['ACK', 's', ...tokens.slice(10_000), ...tokens.slice(10_000)], 0],
  ] as const) {
    const { rounds, replies: [reply] } = await ask(command);
    t.equal((reply as number) + client.before, count, command[0]);
    inTurns(t, rounds, 20_000, command[0]!);
  }
});
