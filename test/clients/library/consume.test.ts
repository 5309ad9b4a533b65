import t, { type Test } from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import {
  type Client, type ClientEvent, connect, type ConnectOptions, type LeasedMessage,
} from '../../../clients/client.ts';
import { waitFor, within } from '../../support/wait.ts';
import { type Answer, DROP, FakeBroker, type Handler, message, option } from '../fake-broker.ts';
import { FakeQueue } from '../fake-queue.ts';

async function open(t: Test, brokers: readonly FakeBroker[], options: Partial<ConnectOptions> = {}): Promise<Client> {
  const client = await connect({ brokers: brokers.map(({ address }) => address), timeoutMs: 5000, ...options });
  t.teardown(() => client.close());
  return client;
}

async function serve(
  t: Test, queue: FakeQueue, options: Partial<ConnectOptions> = {},
): Promise<{ broker: FakeBroker; client: Client }> {
  const broker = await FakeBroker.start(t, queue.handler);
  return { broker, client: await open(t, [broker], options) };
}

const failure = (promise: Promise<unknown>): Promise<RumormillError> => promise.then(
  () => Promise.reject(new Error('should have failed')),
  (error: unknown) => error as RumormillError,
);
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`);

/** Hands out messages to the test, one by one. */
class Hand {
  readonly messages: LeasedMessage[] = [];
  readonly ended: Promise<void>;
  constructor(messages: AsyncIterable<LeasedMessage>) {
    this.ended = (async (): Promise<void> => {
      for await (const message of messages) this.messages.push(message);
    })();
    this.ended.catch(() => undefined); // the test looks itself
  }

  get texts(): string[] {
    return this.messages.map(({ text }) => text);
  }

  until(count: number): Promise<boolean> {
    return waitFor(`${count} messages are handed out`, () => this.messages.length >= count);
  }
}

t.test('each message comes once, is acknowledged, and tells of its delivery', async (t) => {
  const queue = new FakeQueue(numbers(27));
  const { client } = await serve(t, queue);
  const seen: string[] = [];
  for await (const message of client.consume('billing', { limit: 25 })) {
    t.match(message, { topic: 'news', deliveries: 1, lost: false, key: null });
    seen.push(message.text);
    await message.ack();
  }
  t.strictSame(seen, numbers(25));
  t.strictSame(queue.acked, numbers(25));
  t.strictSame([queue.nacked, queue.leased], [[], []], 'no more was pulled than asked for');
});

t.test('many consumers share a signal, and nothing warns of a leak', async (t) => {
  const warnings: string[] = [];
  const warned = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', warned);
  t.teardown(() => process.off('warning', warned));
  const { broker, client } = await serve(t, new FakeQueue([]));
  const stop = new AbortController();
  const hands = Array.from({ length: 20 }, () => new Hand(client.consume('billing', { signal: stop.signal })));
  await waitFor('all wait', () => broker.asked('PULL').length >= 20);
  stop.abort();
  await within('all end', Promise.all(hands.map(({ ended }) => ended)));
  t.strictSame(warnings, []);
});

t.test('acknowledgements of one turn travel in one command, and those made meanwhile in the next', async (t) => {
  const queue = new FakeQueue(numbers(100));
  const { client } = await serve(t, queue);
  const messages = await client.pull('billing');
  const first = messages.slice(0, 40).map((message) => message.ack());
  await waitFor('the first are on their way', () => queue.ackSizes.length === 1);
  await Promise.all([...first, ...messages.slice(40).map((message) => message.ack())]);
  t.strictSame(queue.ackSizes, [40, 60]);
});

t.test('no command has more tokens than a broker takes', async (t) => {
  const queue = new FakeQueue(numbers(9000));
  const sizes: number[] = [];
  const broker = await FakeBroker.start(t, (args, socket) =>
    args[0] === 'ACK' ? sizes.push(args.length - 2) && args.length - 2 : queue.handler(args, socket),
  );
  const client = await open(t, [broker]);
  const messages = await client.pull('billing', { count: 9000 });
  await Promise.all(messages.map((message) => message.ack()));
  t.strictSame(sizes, [4000, 4000, 1000]);
  t.equal(
    await client.ack(
      'billing',
      messages.map(({ token }) => token),
    ),
    9000,
    'what the commands answer is added up',
  );
});

t.test('a message is settled once', async (t) => {
  const queue = new FakeQueue(['a']);
  const { client, broker } = await serve(t, queue);
  const [message] = await client.pull('billing');
  await Promise.all([message!.ack(), message!.ack(), message!.nack()]);
  await message!.nack();
  t.strictSame([broker.asked('ACK').length, broker.asked('NACK').length], [1, 0]);
});

t.test('an acknowledgement that fails is told, and can be made again', async (t) => {
  const queue = new FakeQueue(['a']);
  let isFull = true;
  const broker = await FakeBroker.start(t, (args, socket) =>
    args[0] === 'ACK' && isFull ? new RumormillError('DISKFULL', 'no room') : queue.handler(args, socket),
  );
  const client = await open(t, [broker]);
  for await (const message of client.consume('billing', { limit: 1 })) {
    t.equal((await failure(message.ack())).code, 'DISKFULL');
    isFull = false;
    await message.ack();
  }
  t.strictSame(queue.acked, ['a']);
});

t.test('nack gives its delay, or leaves it to the backoff, and the message comes again', async (t) => {
  const queue = new FakeQueue(['a']);
  const { client } = await serve(t, queue);
  const delays = [undefined, 0, 250];
  const deliveries: number[] = [];
  for await (const message of client.consume('billing', { limit: 3, concurrency: 1 })) {
    deliveries.push(message.deliveries);
    const delayMs = delays[deliveries.length - 1];
    await message.nack(delayMs === undefined ? {} : { delayMs });
  }
  t.strictSame(deliveries, [1, 2, 3]);
  t.strictSame(queue.nacked, [['a', undefined], ['a', '0'], ['a', '250']]);
});

t.test('no more are held than concurrency allows, and pulls stay large', async (t) => {
  const queue = new FakeQueue(numbers(40));
  const { client, broker } = await serve(t, queue);
  const hand = new Hand(client.consume('billing', { concurrency: 10, limit: 40 }));
  await hand.until(10);
  t.equal(queue.leased.length, 10);
  await hand.messages[0]!.ack();
  await hand.until(11);
  for (let done = 1; done < 40; done += 1) {
    await hand.until(done + 1);
    await hand.messages[done]!.ack();
  }
  await hand.ended;
  t.strictSame(hand.texts, numbers(40));

  queue.publish(...numbers(100));
  const before = broker.asked('PULL').length;
  for await (const message of client.consume('billing', { concurrency: 20, limit: 100 })) await message.ack();
  t.ok(
    broker.asked('PULL').length - before <= 12,
    `${broker.asked('PULL').length - before} pulls for 100 messages, one after another`,
  );
});

t.test('acknowledgements are not waited for, up to a bound', async (t) => {
  let [lamport, seen] = [0, 0];
  let answer: ((count: number) => void) | undefined;
  const broker = await FakeBroker.start(t, (args, socket): Answer | Promise<Answer> => {
    if (args[0] === 'PULL') {
      return Array.from({ length: Number(option(args, 'COUNT')) }, () => [
        `t${(lamport += 1)}`, 1, message(lamport, 'x'),
      ]);
    }
    if (args[0] === 'ACK' && seen < 15_000) return new Promise((resolve) => (answer = resolve));
    return args[0] === 'ACK' ? args.length - 2 : new FakeQueue().handler(args, socket);
  });
  const client = await open(t, [broker]);
  const consuming = (async (): Promise<void> => {
    for await (const each of client.consume('billing', { concurrency: 100, limit: 20_000 })) {
      seen += 1;
      void each.ack();
    }
  })();
  await waitFor('the bound is reached', () => seen >= 10_000);
  t.ok(lamport <= 10_100, `${lamport} were pulled`);
  while (seen < 15_000) {
    await waitFor('the next are on their way', () => answer !== undefined || seen >= 15_000);
    answer?.(1);
    answer = undefined;
  }
  await within('it goes on', consuming);
});

t.test('leases are kept alive while the messages are held', async (t) => {
  const queue = new FakeQueue(numbers(3));
  queue.visibilityMs = 100;
  const { client, broker } = await serve(t, queue);
  const hand = new Hand(client.consume('billing', { concurrency: 3 }));
  await hand.until(3);
  await waitFor('they are extended again and again', () => broker.asked('EXTEND').length >= 3);
  t.strictSame(broker.asked('EXTEND')[0], ['EXTEND', 'billing', '100', ...hand.messages.map(({ token }) => token)]);
  await hand.messages[1]!.ack();
  const before = broker.asked('EXTEND').length;
  await waitFor('it goes on', () => broker.asked('EXTEND').length > before + 1);
  t.notOk(broker.asked('EXTEND').at(-1)!.includes(hand.messages[1]!.token), 'what is settled is not extended');
  t.strictSame(hand.messages.map(({ lost }) => lost), [false, false, false]);
});

t.test('a lost lease is found among many, told, and its room is free; what was not handed out yet is dropped', async (t) => {
  const queue = new FakeQueue(numbers(8));
  queue.visibilityMs = 100;
  const { client } = await serve(t, queue);
  const hand = new Hand(client.consume('billing', { concurrency: 8 }));
  await hand.until(8);
  const { signal } = hand.messages[5]!;
  queue.expire('m2', 'm5');
  await hand.until(10);
  await waitFor('both are lost', () => hand.messages.filter(({ lost }) => lost).length === 2);
  t.strictSame(hand.messages.filter(({ lost }) => lost).map(({ text }) => text), ['m2', 'm5']);
  t.ok(signal.aborted && hand.messages[2]!.signal.aborted);
  t.notOk(hand.messages[4]!.signal.aborted);
  t.strictSame(hand.texts.slice(8), ['m2', 'm5'], 'they came again');
  t.strictSame(hand.messages.slice(8).map(({ deliveries }) => deliveries), [2, 2]);

  const ahead = client.consume('billing', { concurrency: 2 })[Symbol.asyncIterator]();
  queue.publish('x', 'y');
  t.equal((await ahead.next()).value!.text, 'x');
  await waitFor('y is pulled ahead', () => queue.leased.includes('y'));
  queue.expire('y');
  await waitFor('y is leased anew, in the room of the lost one', () => queue.leased.includes('y'));
  t.equal((await ahead.next()).value!.deliveries, 2, 'and not handed out with the lease that was lost');
  await ahead.return!();
});

t.test('extend by hand: false and lost where the lease has ended', async (t) => {
  const queue = new FakeQueue(['a']);
  const { client, broker } = await serve(t, queue);
  const [message] = await client.pull('billing', { consumer: 'c1', count: 1 });
  t.strictSame(broker.asked('PULL')[0], ['PULL', 'billing', 'CONSUMER', 'c1', 'COUNT', '1']);
  t.equal(await message!.extend(500), true);
  queue.expire();
  t.notOk(message!.lost);
  t.equal(await message!.extend(500), false);
  t.ok(message!.lost && message!.signal.aborted);
});

t.test('leases that nobody could extend in time are lost', async (t) => {
  const queue = new FakeQueue(['a']);
  queue.visibilityMs = 100;
  const { client } = await (async () => {
    const broker = await FakeBroker.start(t, (args, socket) =>
      args[0] === 'EXTEND' ? new RumormillError('ERR', 'no') : queue.handler(args, socket),
    );
    return { client: await open(t, [broker]) };
  })();
  const hand = new Hand(client.consume('billing', { concurrency: 1 }));
  await hand.until(1);
  await waitFor('it is lost', () => hand.messages[0]!.lost);
});

t.test('break gives back what was pulled ahead, at once, and leaves what was handed out to its handler', async (t) => {
  const queue = new FakeQueue(numbers(10));
  const { client } = await serve(t, queue, { pollsMax: 1 });
  let held: LeasedMessage | undefined;
  for await (const message of client.consume('billing', { concurrency: 10 })) {
    await waitFor('all are pulled', () => queue.leased.length === 10);
    held = message;
    break;
  }
  t.strictSame(queue.nacked, numbers(10).slice(1).map((text) => [text, '0']));
  t.strictSame(queue.leased, ['m0']);
  await held!.ack();
  t.strictSame(queue.acked, ['m0']);
  for await (const message of client.consume('billing', { limit: 1 })) {
    t.equal(message.text, 'm1', 'its connection is free again');
  }
});

t.test('a signal ends it quietly, and what a PULL on its way brings is given back', async (t) => {
  const queue = new FakeQueue(['a']);
  let release: (() => void) | undefined;
  const broker = await FakeBroker.start(t, async (args, socket): Promise<Answer> => {
    const answer = await queue.handler(args, socket);
    if (args[0] === 'PULL' && queue.leased.includes('b')) await new Promise<void>((resolve) => (release = resolve));
    return answer;
  });
  const client = await open(t, [broker]);
  const stop = new AbortController();
  const hand = new Hand(client.consume('billing', { signal: stop.signal }));
  await hand.until(1);
  queue.publish('b');
  await waitFor('the answer is on its way', () => release !== undefined);
  stop.abort();
  release!();
  await within('it ends', hand.ended);
  t.strictSame(hand.texts, ['a']);
  t.strictSame(queue.nacked, [['b', '0']]);
  const never = new Hand(client.consume('billing', { signal: stop.signal }));
  await within('it ends before it begins', never.ended);
});

t.test('a signal ends it while its home cannot be reached', async (t) => {
  const broker = await FakeBroker.start(t, ([name]) => (name === 'SUBSCRIPTION' ? undefined : 'OK'));
  const client = await open(t, [broker], { timeoutMs: 60_000 });
  const stop = new AbortController();
  const hand = new Hand(client.consume('billing', { signal: stop.signal }));
  await waitFor('it asks', () => broker.asked('SUBSCRIPTION').length === 1);
  stop.abort();
  await within('it ends', hand.ended);
});

t.test('it ends once acknowledgements that were made are answered', async (t) => {
  const queue = new FakeQueue(numbers(5));
  const { client } = await serve(t, queue);
  const unawaited: Promise<void>[] = [];
  for await (const message of client.consume('billing', { limit: 5 })) unawaited.push(message.ack());
  t.strictSame(queue.acked, numbers(5));
  await Promise.all(unawaited);
});

t.test('when its broker dies it goes on with another', async (t) => {
  const queue = new FakeQueue(numbers(4));
  const second = await FakeBroker.start(t, queue.handler);
  let pulls = 0;
  const first = await FakeBroker.start(t, (args, socket): Answer | Promise<Answer> =>
    args[0] === 'PULL' && (pulls += 1) > 1 ? DROP : queue.handler(args, socket),
  );
  const events: ClientEvent[] = [];
  const client = await open(t, [first, second], { onEvent: (event) => events.push(event) });
  const seen: string[] = [];
  for await (const message of client.consume('billing', { limit: 4, concurrency: 2, consumer: 'c1' })) {
    seen.push(message.text);
    await message.ack();
  }
  t.strictSame(seen, numbers(4));
  t.equal(option(second.asked('PULL')[0]!, 'CONSUMER'), 'c1');
  t.match(
    events.filter(({ purpose }) => purpose === 'poll'),
    [
      { type: 'lost', broker: first.address },
      { type: 'failover', broker: second.address },
    ],
  );
});

t.test('a broker that falls silent while a pull waits is noticed', async (t) => {
  const queue = new FakeQueue();
  const [first, second] = [await FakeBroker.start(t, queue.handler), await FakeBroker.start(t, queue.handler)];
  const client = await open(t, [first, second], { silenceMs: 100, connectTimeoutMs: 100, timeoutMs: 60_000 });
  const pulled = client.pull('billing', { blockMs: 60_000 });
  await waitFor('it waits', () => first.asked('PULL').some((args) => option(args, 'BLOCK') !== undefined));
  first.isFrozen = true;
  await waitFor('it waits elsewhere', () => second.asked('PULL').length > 0);
  queue.publish('a');
  t.match(await within('the pull is answered', pulled), [{ text: 'a' }]);
});

t.test('TRYAGAIN is waited out by every command', async (t) => {
  const queue = new FakeQueue(['a']);
  const refused = new Set<string>();
  const broker = await FakeBroker.start(t, (args, socket) => {
    const command = args[0] === 'SUBSCRIPTION' || args[0] === 'TOPIC' ? `${args[0]} ${args[1]}` : args[0]!;
    if (command === 'LATEST' || refused.has(command)) return queue.handler(args, socket);
    refused.add(command);
    return new RumormillError('TRYAGAIN', 'home of "billing" cannot be reached');
  });
  const client = await open(t, [broker]);
  await client.createTopic('news');
  await client.createSubscription('billing');
  await client.bind('billing', 'news');
  for await (const message of client.consume('billing', { limit: 1 })) {
    await message.extend(1000);
    await message.ack();
  }
  await client.nack('billing', ['x']);
  t.strictSame(
    [...refused],
    ['TOPIC CREATE', 'SUBSCRIPTION CREATE', 'BIND', 'SUBSCRIPTION GET', 'PULL', 'EXTEND', 'ACK', 'NACK'],
  );
  t.strictSame(queue.acked, ['a']);
});

t.test('TRYAGAIN that lasts is thrown after timeoutMs, and asked for less and less often', async (t) => {
  const unreachable: Handler = ([name, what]) =>
    name === 'SUBSCRIPTION' && what === 'GET'
      ? new FakeQueue().handler([name, what, 'billing'], undefined as never)
      : new RumormillError('TRYAGAIN', 'home of "billing" cannot be reached');
  const broker = await FakeBroker.start(t, unreachable);
  const client = await open(t, [broker], { timeoutMs: 600 });
  t.equal((await failure(client.ack('billing', ['x']))).code, 'TRYAGAIN');
  t.equal((await failure(client.pull('billing', { blockMs: 60_000 }))).code, 'TRYAGAIN');
  t.equal((await failure(client.consume('billing')[Symbol.asyncIterator]().next())).code, 'TRYAGAIN');
  t.ok(broker.commands.length < 30, `${broker.commands.length} commands`);
});

t.test('an unknown subscription is NOTFOUND at once, an impossible option CONFIG', async (t) => {
  const broker = await FakeBroker.start(t, () => new RumormillError('NOTFOUND', 'subscription "billing"'));
  const client = await open(t, [broker], { pollsMax: 1 });
  for (const _ of [1, 2]) {
    t.equal(
      (await failure(client.consume('billing').batches().next())).code, 'NOTFOUND', 'and its connection is free again',
    );
  }
  t.equal((await failure(client.pull('billing'))).code, 'NOTFOUND');
  t.equal(broker.commands.length, 3);
  for (const concurrency of [0, 1.5, 10_001]) {
    t.match(await failure(client.consume('billing', { concurrency })[Symbol.asyncIterator]().next()), {
      code: 'CONFIG',
    });
  }
});

t.test('a subscription that is deleted ends it with NOTFOUND', async (t) => {
  let isDeleted = false;
  const queue = new FakeQueue();
  const broker = await FakeBroker.start(t, (args, socket) =>
    isDeleted ? new RumormillError('NOTFOUND', 'subscription "billing"') : queue.handler(args, socket),
  );
  const hand = new Hand((await open(t, [broker])).consume('billing'));
  await waitFor('it waits', () => broker.asked('PULL').length > 0);
  isDeleted = true;
  t.equal((await within('it ends', failure(hand.ended))).code, 'NOTFOUND');
});

t.test('a client that is closed ends a consumer that waits, one that has no room, and a pull, with CLOSED', async (t) => {
  const { client, broker } = await serve(t, new FakeQueue(['a']));
  const full = new Hand(client.consume('billing', { concurrency: 1 }));
  await full.until(1);
  const waiting = new Hand(client.consume('billing'));
  const pulling = failure(client.pull('billing', { blockMs: 60_000 }));
  await waitFor('both wait', () => broker.asked('PULL').length >= 4);
  await client.close();
  const errors = await within('all end', Promise.all([failure(full.ended), failure(waiting.ended), pulling]));
  t.strictSame(errors.map(({ code }) => code), ['CLOSED', 'CLOSED', 'CLOSED']);
});

t.test('all that is there in one batch', async (t) => {
  const queue = new FakeQueue(numbers(7));
  const { client } = await serve(t, queue);
  const batches: number[] = [];
  for await (const messages of client.consume('billing', { concurrency: 5, limit: 7 }).batches()) {
    batches.push(messages.length);
    await Promise.all(messages.map((message) => message.ack()));
  }
  t.strictSame(batches, [5, 2]);
  t.strictSame(queue.ackSizes, [5, 2]);
});

t.test('what is published after a message was consumed is later', async (t) => {
  const queue = new FakeQueue(numbers(30));
  const broker = await FakeBroker.start(t, (args, socket) =>
    args[0] === 'PUBLISH' ? 1000 : queue.handler(args, socket),
  );
  const client = await open(t, [broker]);
  await client.pull('billing');
  await client.publish('news', 'answer');
  t.equal(option(broker.asked('PUBLISH')[0]!, 'LAMPORT'), '31');
});
