import t, { type Test } from 'tap';
import { type Client, connect, type LeasedMessage } from '../../clients/client.ts';
import { Command, lines, run } from '../clients/command.ts';
import { Cluster } from '../support/cluster.ts';
import { waitFor, within } from '../support/wait.ts';

async function open(t: Test, cluster: Cluster, first = 0): Promise<Client> {
  const addresses = cluster.brokers.map(({ address }) => address);
  const client = await connect({ brokers: [...addresses.slice(first), ...addresses.slice(0, first)] });
  t.teardown(() => client.close());
  return client;
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`);
const publish = (client: Client, topic: string, payloads: readonly string[], key?: string): Promise<unknown> =>
  Promise.all(
    payloads.map((payload) => client.publish(topic, payload, { acks: 'quorum', ...(key !== undefined && { key }) })),
  );

/** What a subscription brings until nothing more comes for a while, each acknowledged. */
async function drain(client: Client, name: string): Promise<string[]> {
  const seen: string[] = [];
  for (;;) {
    const messages = await client.pull(name, { blockMs: 500 });
    if (messages.length === 0) return seen;
    seen.push(...messages.map(({ text }) => text));
    await Promise.all(messages.map((message) => message.ack()));
  }
}

t.test('consumers, with three brokers', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const clients = await Promise.all([0, 1, 2].map((first) => open(t, cluster, first)));
  const [one, two, three] = clients as [Client, Client, Client];
  const flags = (broker: number): string[] => ['--brokers', cluster.brokers[broker]!.address];

  await t.test('publish to two: each subscription of a fanout topic gets every message, whichever brokers are asked', async (t) => {
    await one.createTopic('orders');
    for (const name of ['billing', 'shipping']) {
      await one.createSubscription(name);
      await one.bind(name, 'orders');
    }
    await publish(two, 'orders', numbers(50));
    t.strictSame((await drain(three, 'billing')).sort(), numbers(50).sort());
    t.strictSame((await drain(one, 'shipping')).sort(), numbers(50).sort());
    t.match(await two.subscription('billing'), {
      backlog: 0, inFlight: 0, bindings: 1, transient: false, visibilityMs: 30_000,
    });
    const homes = await Promise.all(clients.map(async (client) => (await client.subscription('billing')).home));
    t.equal(new Set(homes).size, 1, 'all name the same home');
  });

  await t.test('direct routing by key', async (t) => {
    await one.createTopic('parcels', { type: 'direct' });
    for (const key of ['north', 'south']) {
      await one.createSubscription(key);
      await one.bind(key, 'parcels', { key });
    }
    await publish(one, 'parcels', ['to Oslo'], 'north');
    await publish(two, 'parcels', ['to Rome'], 'south');
    await publish(three, 'parcels', ['to nobody']);
    t.strictSame(await drain(three, 'north'), ['to Oslo']);
    t.strictSame(await drain(three, 'south'), ['to Rome']);
    t.equal((await one.topic('parcels')).type, 'direct');
    await t.rejects(one.bind('north', 'parcels'), { code: 'ERR' });
    await t.rejects(one.bind('north', 'orders', { key: 'x' }), { code: 'ERR' });
    await t.rejects(one.createTopic('parcels'), { code: 'EXISTS' });
  });

  await t.test('dead letters after the last delivery, with where they come from', async (t) => {
    await one.createTopic('payments');
    await one.createSubscription('pay', { maxDeliveries: 2, deadLetter: 'payments-failed' });
    await one.bind('pay', 'payments');
    await one.createSubscription('failed', { from: 'earliest' });
    await one.createTopic('payments-failed');
    await one.bind('failed', 'payments-failed');
    await publish(two, 'payments', ['broken']);
    const deliveries: number[] = [];
    for await (const message of two.consume('pay', { limit: 2 })) {
      deliveries.push(message.deliveries);
      await message.nack();
    }
    t.strictSame(deliveries, [1, 2]);
    const [dead] = await three.pull('failed', { blockMs: 5000 });
    t.match(dead, {
      text: 'broken',
      headers: { 'dead-letter-subscription': 'pay', 'dead-letter-topic': 'payments', 'dead-letter-deliveries': '2' },
    });
    await dead!.ack();
    t.match(await one.subscription('pay'), {
      backlog: 0, inFlight: 0, deadLettered: 1, deadLetter: 'payments-failed', maxDeliveries: 2,
    });
  });

  await t.test('a lease that is kept alive outlasts the visibility timeout by far; one that is not ends', async (t) => {
    await one.createSubscription('slow', { visibilityMs: 300 });
    await one.bind('slow', 'orders');
    await publish(one, 'orders', ['work']);
    let held: LeasedMessage | undefined;
    const consuming = (async (): Promise<void> => {
      for await (const message of two.consume('slow', { limit: 1, consumer: 'worker' })) {
        held = message;
        const others = await three.pull('slow', { blockMs: 1500 });
        t.strictSame(others, [], 'nobody else is given it');
        t.match(await three.pending('slow'), [{ consumer: 'worker', deliveries: 1, state: 'leased' }]);
        await message.ack();
      }
    })();
    await within('it is consumed', consuming);
    t.equal(held!.lost, false);
    await publish(one, 'orders', ['forgotten']);
    const [first] = await two.pull('slow', { blockMs: 5000 });
    const [again] = await three.pull('slow', { blockMs: 5000 });
    t.strictSame([first!.text, again!.text, again!.deliveries], ['forgotten', 'forgotten', 2]);
    t.equal(await two.ack('slow', [first!.token]), 0, 'only the newest lease is good');
    t.equal(await two.ack('slow', [again!.token]), 1);
  });

  await t.test('two subscribers with one --group-id share the work; each message is printed by one of them', async (t) => {
    const both = [0, 1].map(
      (broker) =>
        new Command(t, 'subscriber', [
          ...flags(broker), '--group-id', 'g1', '--consumer-id', `c${broker}`, '--raw', 'work',
        ]),
    );
    await both[0]!.until(
      'both are known',
      async () => (await one.subscriptions('g1')).length === 1 && (await one.subscription('g1')).consumers === 2,
    );
    for (let round = 0; both.some(({ stdout }) => stdout === ''); round += 1) {
      await publish(three, 'work', [`${round} a`, `${round} b`]);
      await both[0]!.until('both are acknowledged', async () => {
        const { backlog, inFlight } = await one.subscription('g1');
        return backlog + inFlight === 0 && both.flatMap(({ stdout }) => lines(stdout)).length >= 2 * (round + 1);
      });
    }
    const printed = both.flatMap(({ stdout }) => lines(stdout));
    t.equal(new Set(printed).size, printed.length);
    for (const { child } of both) child.kill('SIGINT');
    t.strictSame(
      (await Promise.all(both.map((each) => each.ended()))).map(({ code, stderr }) => [code, stderr]),
      [
        [0, ''],
        [0, ''],
      ],
    );
    await publish(three, 'work', ['later']);
    t.equal(
      (await run(t, 'subscriber', [...flags(2), '--group-id', 'g1', '--raw', '--count', '1', '--no-ack', 'work']))
        .stdout,
      'later\n',
    );
    t.equal(
      (await run(t, 'subscriber', [...flags(1), '--group-id', 'g1', '--raw', '--count', '1', 'work'])).stdout,
      'later\n', 'it was given back',
    );
  });

  await t.test('admin shows all of it', async (t) => {
    const admin = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await run(t, 'admin', [...flags(1), ...args]);
      t.strictSame([code, stderr], [0, ''], args.join(' '));
      return stdout;
    };
    t.match(
      lines(await admin('topics')).map((line) => line.split(/ +/).slice(0, 2).join(' ')),
      ['TOPIC TYPE', 'orders fanout', 'parcels direct', 'payments fanout'],
    );
    t.match(JSON.parse(await admin('--json', 'topics', 'parcels')), [
      { topic: 'parcels', type: 'direct', messages: 3, bindings: 2 },
    ]);
    t.match(JSON.parse(await admin('--json', 'subscriptions', 'bill*')), [
      { name: 'billing', backlog: 2, bindings: 1 },
    ]);
    t.match(await admin('subscriptions'), /^pay +durable .* 2 +payments-failed /m);
    t.match(await admin('bindings', 'north'), /^north +parcels +north$/m);
    t.equal(await admin('subscriptions', 'purge', 'billing'), '2 messages dropped\n');
    t.equal(await admin('topics', 'rename', 'orders', 'sales'), 'topic orders is now called sales\n');
    t.match(await admin('bindings', 'shipping'), /^shipping +sales +-$/m);
    await admin('subscriptions', 'delete', 'shipping');
    t.equal((await one.subscriptions()).includes('shipping'), false);
    const status = JSON.parse(await admin('--json', 'status')) as {
      brokers: { state: string }[];
      status: { broker: string };
    };
    t.strictSame(status.brokers.map(({ state }) => state).sort(), ['alive', 'alive', 'self']);
    t.equal(status.status.broker, cluster.brokers[1]!.address);
  });

  await t.test('the home is killed while consumers are at work: every message is consumed', async (t) => {
    await one.createTopic('load');
    await one.createSubscription('crew');
    await one.bind('crew', 'load');
    const { home } = await one.subscription('crew');
    const seen = new Set<string>();
    const stop = new AbortController();
    const consuming = Promise.all(clients.map(async (client, index) => {
      for await (const message of client.consume('crew', {
        concurrency: 20, consumer: `c${index}`, signal: stop.signal,
      })) {
        seen.add(message.text);
        void message.ack();
      }
    }));
    const all = numbers(2000);
    await publish(two, 'load', all.slice(0, 1000));
    await waitFor('some are consumed', () => seen.size > 300);
    await cluster.brokers.find(({ address }) => address === home)!.kill();
    await publish(two, 'load', all.slice(1000));
    await waitFor('all are consumed', () => seen.size === all.length, 20_000);
    t.not((await one.subscription('crew')).home, home);
    await waitFor('all are acknowledged', async () => {
      const { backlog, inFlight, delayed } = await one.subscription('crew');
      return backlog + inFlight + delayed === 0;
    });
    stop.abort();
    await within('they end', consuming);
  });
});
