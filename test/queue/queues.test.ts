import t from 'tap';
import { RumormillError } from '../../brokers/core/error.ts';
import { recentMoves } from '../../brokers/queue/dead-letters.ts';
import { Acknowledgements, encodeRecord } from '../../brokers/core/queue/acknowledgements.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { draft, origin } from '../support/record.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';
import { BOUND, count, describe, type Given, given, payloads, pull, start, tokens } from '../support/virtual-queue.ts';

t.test('PULL leases messages as they are stored, ACK is good once', async (t) => {
  const { client } = await start({}, ...BOUND);
  await client.ask('PUBLISH a 1 KEY k', 'PUBLISH a 2', 'PUBLISH b x', 'PUBLISH a 3');
  const first = await pull(client, 's COUNT 2');
  t.strictSame(payloads(first), ['1', '2']);
  t.strictSame(first.map(([, deliveries]) => deliveries), [1, 1]);
  t.strictSame(payloads(await pull(client, 's')), ['3']);
  t.strictSame(await pull(client, 's'), []);
  t.equal(await count(client, `ACK s ${tokens(first)}`), 2);
  t.equal(await count(client, `ACK s ${tokens(first)}`), 0);
  t.match(await describe(client, 's'), {
    backlog: 0, in_flight: 1, delayed: 0, redelivered: 0, consumers: 1, bindings: 1, home: 'localhost:3000',
  });
});

t.test('one ACK counts each token once, and what is no token not at all', async (t) => {
  const { client } = await start({}, ...BOUND, 'SUBSCRIPTION CREATE o', 'BIND o a', 'PUBLISH a 1');
  const [[token]] = (await pull(client, 's')) as [Given];
  const [[other]] = (await pull(client, 'o')) as [Given];
  t.equal(await count(client, `ACK s ${other} x ${token}x ${token} ${token}`), 1);
  t.equal(await count(client, `ACK o ${other}`), 1);
});

t.test('a lease that runs out: the message is delivered again, first, and only the newest token is good', async (t) => {
  const { client, clock } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2', 'PUBLISH a 3');
  const old = await pull(client, 's COUNT 2');
  await clock.advance(1100);
  const again = await pull(client, 's COUNT 10');
  t.strictSame(again.map(([, deliveries, payload]) => [deliveries, payload]), [[2, '1'], [2, '2'], [1, '3']]);
  t.equal(await count(client, `ACK s ${tokens(old)}`), 0, 'late');
  t.equal(await count(client, `ACK s ${tokens(again)}`), 3);
  t.match(await describe(client, 's'), { redelivered: 2, in_flight: 0 });
});

t.test('EXTEND counts from now', async (t) => {
  const { client, clock } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  const [one, two] = (await pull(client, 's')) as [Given, Given];
  await clock.advance(900);
  t.equal(await count(client, `EXTEND s 2000 ${one[0]} x`), 1);
  await clock.advance(1000);
  t.strictSame(payloads(await pull(client, 's')), ['2']);
  await clock.advance(800);
  t.equal(await count(client, `EXTEND s 500 ${one[0]} ${two[0]}`), 1);
  t.match(await client.ask('EXTEND s 0 x', 'EXTEND s'), [/^-ERR EXTEND "0" is not an integer/, /^-ERR wrong number/]);
  t.equal(await count(client, `ACK s ${one[0]}`), 1);
});

t.test('NACK: again at once, after a delay, or by the backoff of the subscription', async (t) => {
  const { client, clock } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  const [one, two] = (await pull(client, 's')) as [Given, Given];
  t.equal(await count(client, `NACK s ${two[0]} x`), 1);
  t.equal(await count(client, `NACK s ${one[0]} DELAY 500`), 1);
  t.match(await client.ask('SUBSCRIPTION PENDING s'), [
    [[/@localhost:3000$/, /^client-\d+@localhost:3000$/, 1, 500, 'delayed']],
  ]);
  t.strictSame(payloads(await pull(client, 's CONSUMER me')), ['2']);
  t.match(await client.ask('SUBSCRIPTION PENDING s COUNT 2'), [
    [
      [/./, /./, 1, 500, 'delayed'],
      [/./, 'me', 2, 1000, 'leased'],
    ],
  ]);
  t.match(await describe(client, 's'), { in_flight: 1, delayed: 1, consumers: 2 });
  await clock.advance(600);
  t.strictSame(payloads(await pull(client, 's')), ['1']);
  await client.ask('SUBSCRIPTION UPDATE s BACKOFF 1000');
  await clock.advance(1100);
  t.strictSame(await pull(client, 's'), [], 'a lease that runs out waits too: 2 s after the second delivery');
  await clock.advance(2100);
  t.strictSame(payloads(await pull(client, 's')), ['1', '2']);
});

t.test('PULLs that wait are served in turn, and answered empty at their time', async (t) => {
  const { virtual, client, clock } = await start({}, ...BOUND);
  const [one, two, three] = [virtual.connect(), virtual.connect(), virtual.connect()];
  t.strictSame(await one.ask('PULL s BLOCK 5000'), []);
  t.strictSame(await two.ask('PULL s BLOCK 1000'), []);
  t.strictSame(await three.ask('PULL s BLOCK 5000'), []);
  await client.ask('PUBLISH b x', 'PUBLISH a 1');
  t.strictSame(payloads(given((await one.replies())[0])), ['1']);
  await clock.advance(950);
  const [again] = await two.replies();
  t.strictSame(again, undefined);
  await clock.advance(150);
  const [late] = await two.replies();
  t.ok(Array.isArray(late), 'its time is up, or it has what has run out');
  three.end();
  t.strictSame(await three.replies(), [[]], 'a client that is gone gets nothing');
  t.strictSame(payloads(await pull(client, 's')).concat(payloads(given(late))), ['1']);
});

t.test('a connection that is lost while its PULL waits takes no message with it', async (t) => {
  const { virtual, client } = await start({}, ...BOUND);
  const lost = virtual.connect();
  await lost.ask('PULL s BLOCK 5000');
  lost.channel.handler.closed(undefined);
  await client.ask('PUBLISH a 1');
  t.strictSame(payloads(await pull(client, 's')), ['1']);
});

t.test('direct bindings bring the messages of their keys, fanout bindings all, and a subscription may have both', async (t) => {
  const { client } = await start(
    {}, 'TOPIC CREATE d TYPE direct', 'TOPIC CREATE f', 'SUBSCRIPTION CREATE s', 'BIND s d KEY red', 'BIND s f',
    'SUBSCRIPTION CREATE r', 'BIND r d KEY green',
  );
  await client.ask('PUBLISH d 1 KEY red', 'PUBLISH d 2 KEY green', 'PUBLISH f 3 KEY x', 'PUBLISH d 4', 'PUBLISH f 5');
  t.match(await describe(client, 's'), { backlog: 3 });
  t.match(await describe(client, 'r'), { backlog: 1 });
  t.strictSame(payloads(await pull(client, 's')), ['1', '3', '5']);
  t.strictSame(payloads(await pull(client, 'r')), ['2']);
});

t.test('what was published before a binding is for it only where it begins earlier', async (t) => {
  const { client } = await start(
    {}, 'PUBLISH a 1', 'SUBSCRIPTION CREATE l', 'BIND l a', 'SUBSCRIPTION CREATE e FROM earliest', 'BIND e a',
    'PUBLISH a 2',
  );
  t.strictSame(payloads(await pull(client, 'l')), ['2']);
  t.strictSame(payloads(await pull(client, 'e')), ['1', '2']);
  await client.ask('PUBLISH b 3', 'BIND e b', 'PUBLISH a 4');
  t.strictSame(
    payloads(await pull(client, 'e')), ['3', '4'],
    'a new binding: what lies behind is found, and what is leased is not leased twice',
  );
  await client.ask('UNBIND e b', 'PUBLISH b 5');
  t.match(await describe(client, 'e'), { in_flight: 3, backlog: 0 });
});

t.test('PURGE drops the backlog, and what is leased', async (t) => {
  const { client, clock } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2', 'PUBLISH a 3');
  const leased = await pull(client, 's COUNT 1');
  t.equal(await count(client, 'PURGE s'), 2);
  t.equal(await count(client, `ACK s ${tokens(leased)}`), 0);
  await client.ask('PUBLISH a 4');
  await clock.advance(2000);
  t.strictSame(payloads(await pull(client, 's')), ['4']);
  t.equal(await count(client, 'PURGE s'), 0);
});

t.test('the headers of a dead letter tell of its last sixteen moves', async (t) => {
  const move = (count: number): string[] => [
    'dead-letter-subscription', `s${count}`, 'dead-letter-topic', 't', 'dead-letter-id', 'i',
    'dead-letter-deliveries', '2',
  ];
  const moves = (from: number, to: number): string[] =>
    Array.from({ length: to - from + 1 }, (_, index) => move(from + index)).flat();
  const half = ['dead-letter-subscription', 's', 'dead-letter-topic', 't'];
  t.strictSame(recentMoves([]), []);
  t.strictSame(recentMoves(['a', 'b', ...half, ...moves(1, 15)]), ['a', 'b', ...half, ...moves(1, 15)]);
  t.strictSame(recentMoves(['a', 'b', ...half, ...moves(1, 16)]), ['a', 'b', ...half, ...moves(2, 16)]);
  t.strictSame(recentMoves([...moves(1, 9), 'a', 'b', ...moves(10, 20)]), [...moves(6, 9), 'a', 'b', ...moves(10, 20)]);
});

t.test('after MAXDELIVERIES deliveries a copy goes to the dead-letter topic, and the message is done', async (t) => {
  const { client, clock } = await start(
    {}, 'SUBSCRIPTION CREATE s VISIBILITY 1000 MAXDELIVERIES 2 DEADLETTER dead', 'TOPIC CREATE a', 'BIND s a',
  );
  await client.ask('PUBLISH a one KEY k HEADER n v', 'PUBLISH a two');
  const [one] = (await pull(client, 's')) as [Given];
  t.equal(await count(client, `NACK s ${one[0]}`), 1);
  await clock.advance(1100);
  const again = await pull(client, 's');
  t.strictSame(again.map(([, deliveries, payload]) => [deliveries, payload]), [[2, 'one'], [2, 'two']]);
  t.equal(await count(client, `NACK s ${again[0]![0]} DELAY 60000`), 1, 'no delay: it was the last one');
  await client.replies();
  t.match(await client.ask('POLL dead CURSOR earliest'), [
    [
      /./,
      [
        [
          /./,
          'dead',
          Number,
          'k',
          [
            'n', 'v', 'dead-letter-subscription', 's', 'dead-letter-topic', 'a', 'dead-letter-id',
            /^\d+@localhost:3000$/, 'dead-letter-deliveries', '2',
          ],
          'one',
        ],
      ],
    ],
  ]);
  await clock.advance(1100);
  t.match(await describe(client, 's'), { dead_lettered: 2, backlog: 0, in_flight: 0, delayed: 0, redelivered: 2 });
  const [[, both]] = (await client.ask('POLL dead CURSOR earliest')) as [[unknown, unknown[][]]];
  t.strictSame(both.map((message) => message[5]), ['one', 'two']);
});

t.test('a dead letter that finds the disk full waits, and is not lost', async (t) => {
  const { client, clock, store } = await start(
    {}, 'SUBSCRIPTION CREATE s VISIBILITY 1000 MAXDELIVERIES 1 DEADLETTER dead', 'TOPIC CREATE a', 'BIND s a',
    'PUBLISH a one',
  );
  await pull(client, 's');
  const full = new RumormillError('DISKFULL', 'no room');
  store.failures.push(full, full, full);
  await clock.advance(1100);
  t.match(await describe(client, 's'), { dead_lettered: 0 });
  await clock.advance(1000);
  t.match(await describe(client, 's'), { dead_lettered: 1, backlog: 0 });
  t.match(await client.ask('POLL dead CURSOR earliest'), [[/./, [[/./, 'dead', Number, null, Array, 'one']]]]);
});

t.test('an ACK that cannot be written says so, and the lease stays', async (t) => {
  const { client, clock, store } = await start({}, ...BOUND, 'PUBLISH a 1');
  const leased = await pull(client, 's');
  store.failures.push(new RumormillError('DISKFULL', 'no room'));
  t.match(await client.ask(`ACK s ${tokens(leased)}`), [/^-DISKFULL/]);
  t.equal(await count(client, `ACK s ${tokens(leased)}`), 1);
  await clock.advance(2000);
  t.strictSame(await pull(client, 's'), []);
});

t.test('ACK is answered when it is on disk; those of one turn share a record', async (t) => {
  const { virtual, client, store } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2', 'PUBLISH a 3');
  const leased = await pull(client, 's');
  const clients = leased.map(() => virtual.connect());
  const [before, release] = [store.batches.length, store.hold()];
  for (const [at, each] of clients.entries()) each.send(`ACK s ${leased[at]![0]}`);
  t.strictSame(await clients[0]!.replies(), [], 'not before');
  release();
  for (const each of clients) t.strictSame(await each.replies(), [1 - each.before]);
  t.strictSame(store.batches.slice(before).map(({ topic, count: records }) => [topic, records]), [['$acks', 1]]);
});

t.test('leases have a limit: PULL brings nothing new until some are settled', async (t) => {
  const { virtual, client } = await start(
    { limits: { leasesMax: 2 } }, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2', 'PUBLISH a 3',
  );
  const leased = await pull(client, 's');
  t.strictSame(payloads(leased), ['1', '2']);
  const other = virtual.connect();
  t.strictSame(await other.ask('PULL s BLOCK 5000'), []);
  t.equal(await count(client, `ACK s ${leased[1]![0]}`), 1);
  t.strictSame(payloads(given((await other.replies())[0])), ['3']);
});

t.test('a reply has a limit in bytes, but one message at least', async (t) => {
  const { client } = await start(
    { limits: { replyBytesMax: 1000, payloadBytesMax: 1000 } }, ...BOUND, `PUBLISH a ${'x'.repeat(600)}`,
    `PUBLISH a ${'y'.repeat(600)}`, 'PUBLISH a z',
  );
  t.strictSame((await pull(client, 's')).map(([, , payload]) => payload[0]), ['x']);
  t.strictSame((await pull(client, 's')).map(([, , payload]) => payload[0]), ['y', 'z']);
});

t.test('a broker that starts again knows what was acknowledged, with and without its checkpoint; tokens of its earlier life acknowledge', async (t) => {
  for (const isClean of [true, false]) {
    const { virtual, client, store, clock } = await start(
      {}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2', 'PUBLISH a 3', 'PUBLISH a 4',
    );
    const leased = await pull(client, 's COUNT 3');
    t.equal(await count(client, `ACK s ${leased[0]![0]} ${leased[2]![0]}`), 2);
    if (isClean) {
      const stopping = virtual.broker.stop();
      await clock.advance(10_000);
      await stopping;
      t.equal(store.acks.size, 1);
      t.ok(store.acksPosition > 0);
    }
    const next = await VirtualBroker.start({}, isClean ? store : store.copy(), () => 7);
    const other = next.connect();
    t.equal(await count(other, `ACK s ${leased[1]![0]} ${leased[0]![0]}`), 1, 'not leased here and not done');
    t.equal(await count(other, `ACK s ${leased[1]![0]}`), 0);
    t.match(await describe(other, 's'), { backlog: 1 });
    t.strictSame(payloads(await pull(other, 's')), ['4']);
  }
});

t.test('an ACK with a token of an earlier life that cannot be written: the message is delivered again, also where a PULL passed it meanwhile', async (t) => {
  const before = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  const leased = await pull(before.client, 's COUNT 1');
  const store = before.store.copy();
  const again = await VirtualBroker.start({}, store, () => 7);
  const next = again.connect();
  const release = store.hold();
  store.failures.push(new RumormillError('DISKFULL', 'no room'));
  const other = again.connect();
  t.strictSame(await next.ask(`ACK s ${tokens(leased)}`), [], 'it is being written');
  t.strictSame(payloads(await pull(other, 's')), ['2'], 'nobody is given what is being acknowledged');
  release();
  await again.clock.settle();
  t.match(await next.ask('PING'), [/^-DISKFULL/, 'PONG']);
  await again.clock.advance(5000);
  const found = [...await pull(other, 's'), ...await pull(other, 's')];
  t.strictSame(payloads(found), ['2', '1'], 'the lease of the other has run out');
});

t.test('leased messages are delivered again after a start, and old tokens are not good then', async (t) => {
  const { client, store } = await start({}, ...BOUND, 'PUBLISH a 1');
  const leased = await pull(client, 's');
  const other = (await VirtualBroker.start({}, store.copy(), () => 7)).connect();
  const again = await pull(other, 's');
  t.strictSame(payloads(again), ['1']);
  t.equal(await count(other, `ACK s ${tokens(leased)}`), 0);
  t.equal(await count(other, `NACK s ${tokens(leased)}`), 0);
  t.equal(await count(other, `ACK s ${tokens(again)}`), 1);
});

t.test('deliveries that failed before a start count', async (t) => {
  const { client, store } = await start(
    {}, 'SUBSCRIPTION CREATE s MAXDELIVERIES 2 DEADLETTER dead', 'TOPIC CREATE a', 'BIND s a', 'PUBLISH a 1',
  );
  await client.ask(`NACK s ${tokens(await pull(client, 's'))}`);
  const other = (await VirtualBroker.start({}, store.copy(), () => 7)).connect();
  const again = await pull(other, 's');
  t.strictSame(again.map(([, deliveries]) => deliveries), [2]);
  await other.ask(`NACK s ${tokens(again)}`);
  t.match(await describe(other, 's'), { dead_lettered: 1 });
});

t.test('a broker that stops while its name is not settled writes an ACK that comes meanwhile', async (t) => {
  const { store: before } = await start({}, ...BOUND, 'PUBLISH a 1');
  const store = before.copy();
  // whom it would ask is away
  const virtual = await VirtualBroker.start({}, store, () => 7, ['localhost:3000', 'localhost:3001'].map(parseAddress));
  const client = virtual.connect();
  await virtual.clock.advance(5000);
  const leased = await pull(client, 's');
  t.equal(store.state.origin, before.state.origin, 'not settled yet, or it would be another one');
  client.send(`ACK s ${tokens(leased)}`);
  const stopped = virtual.broker.stop();
  await virtual.clock.advance(10_000);
  await stopped;
  t.not(store.state.origin, before.state.origin);
  const other = (await VirtualBroker.start({}, store, () => 8)).connect();
  t.match(await describe(other, 's'), { backlog: 0 });
});

t.test('a broker that stops answers PULLs that wait as at the end of their time', async (t) => {
  const { virtual, client, clock } = await start({}, ...BOUND);
  await client.ask('PULL s BLOCK 50000');
  const stopping = virtual.broker.stop();
  await clock.advance(10_000);
  await stopping;
  t.strictSame(await client.replies(), [[]]);
});

t.test('exceptions become a floor, within a second, and the record stays small', async (t) => {
  const { client, clock, store } = await start(
    {}, ...BOUND, ...Array.from({ length: 20 }, (_, at) => `PUBLISH a ${at}`),
  );
  const leased = await pull(client, 's');
  await count(client, `ACK s ${tokens(leased.filter((_, at) => at % 2 === 1))}`);
  await clock.advance(500);
  await count(client, `ACK s ${tokens(leased.filter((_, at) => at % 2 === 0))}`);
  await clock.advance(6000);
  const state = JSON.parse(store.acks.get('s')!) as { d?: unknown; f: { v: object }[] };
  t.equal(state.d, undefined);
  t.equal(state.f.length, 1);
  const written = store.batches.length;
  await clock.advance(20_000);
  t.equal(store.batches.length, written, 'an idle subscription writes nothing');
});

t.test('a deleted subscription: its PULLs end, its next life knows nothing of it', async (t) => {
  const { virtual, client, clock } = await start({}, ...BOUND, 'PUBLISH a 1');
  const leased = await pull(client, 's');
  const waiting = virtual.connect();
  await waiting.ask('PULL s BLOCK 60000');
  await client.ask('SUBSCRIPTION DELETE s');
  await clock.advance(200);
  t.strictSame(await waiting.replies(), ['-NOTFOUND subscription "s"']);
  await client.ask('SUBSCRIPTION CREATE s FROM earliest', 'BIND s a');
  t.equal(await count(client, `ACK s ${tokens(leased)}`), 0);
  t.strictSame(payloads(await pull(client, 's')), ['1']);
});

t.test('a transient subscription goes with its last consumer; nothing of it is written', async (t) => {
  const { virtual, client, clock, store } = await start(
    {}, 'TOPIC CREATE a', 'SUBSCRIPTION CREATE s TRANSIENT VISIBILITY 1000', 'BIND s a', 'PUBLISH a 1',
  );
  const written = store.batches.length;
  t.equal(await count(client, `ACK s ${tokens(await pull(client, 's'))}`), 1);
  t.strictSame(await pull(client, 's'), []);
  t.equal(store.batches.length, written);
  const waiting = virtual.connect();
  await waiting.ask('PULL s BLOCK 5000');
  await clock.advance(4500);
  t.match(await describe(client, 's'), { transient: 1, consumers: 1 });
  await clock.advance(1000);
  t.strictSame(await waiting.replies(), [[]]);
  await clock.advance(1000);
  t.strictSame(await client.ask('PULL s'), ['-NOTFOUND subscription "s"']);
  await client.ask('SUBSCRIPTION CREATE never TRANSIENT VISIBILITY 1000');
  await clock.advance(1200);
  t.strictSame(await client.ask('SUBSCRIPTION LIST'), [[]], 'nor one that nobody ever used');
});

t.test('bad input gets a clear answer', async (t) => {
  const { client } = await start({}, ...BOUND);
  t.match(
    await client.ask(
      'PULL nobody', 'ACK nobody x', 'NACK nobody x', 'EXTEND nobody 5 x', 'PURGE nobody', 'SUBSCRIPTION GET nobody',
      'SUBSCRIPTION PENDING nobody',
    ),
    Array.from({ length: 7 }, () => '-NOTFOUND subscription "nobody"'),
  );
  t.match(
    await client.ask(
      'PULL s COUNT 0', 'PULL s COUNT 10001', 'PULL s BLOCK x', 'PULL s NONSENSE', 'ACK s', 'NACK s x DELAY -1',
      'SUBSCRIPTION PENDING s COUNT 0',
    ),
    [
      /^-ERR COUNT "0" is not/, /^-ERR COUNT/, /^-ERR BLOCK/, /^-ERR unknown option "NONSENSE" of PULL/,
      /^-ERR wrong number/, /^-ERR DELAY "-1"/, /^-ERR COUNT "0"/,
    ],
  );
});

t.test('acknowledgements of another home hold, and are counted; what is not understood is ignored', async (t) => {
  const { virtual, client, store } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  await pull(client, 's COUNT 1');
  const { name, since } = virtual.broker.metadata.subscription('s')!;
  const mine = [...virtual.broker.vector()][0]![0];
  const state = new Acknowledgements();
  const [second] = store.batches.filter(({ topic }) => topic === 'a').slice(-1);
  state.add(mine, second!.seq + second!.count - 1);
  const records = [
    encodeRecord({ subscription: name, since, state }, 0, { wall: 0, steady: 0 }), 'nonsense',
    encodeRecord({ subscription: 'x', since, state }, 0, { wall: 0, steady: 0 }),
  ];
  virtual.broker.queues.committed([
    {
      ...draft(records, { topic: '$acks' }), origin: origin('other:1', 9), seq: 1, lamport: 1000, deps: '', proof: '',
      position: 99, repeats: '',
    },
  ]);
  t.strictSame(await pull(client, 's'), []);
  t.match(await describe(client, 's'), { rival_records: 1, backlog: 0, in_flight: 1 });
});

t.test('leases of made-up subscriptions have a limit, and push out none of others', async (t) => {
  const { virtual, client } = await start({ limits: { subscriptionsMax: 10 } }, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  await pull(client, 's COUNT 1');
  const { queues } = virtual.broker;
  const [own] = await queues.giveUp(() => false);
  const nothing = '[]';
  const made = (from: number): void => {
    for (let index = from; index < from + 20; index += 1) {
      for (let time = 0; time < 20; time += 1) queues.takeOver({ subscription: `made-up ${index}`, leases: nothing });
    }
  };
  made(0);
  queues.takeOver(own!);
  made(20);
  const handed = (await queues.giveUp(() => false)).map(({ subscription }) => subscription);
  t.strictSame(handed.filter((name) => name === 's'), ['s']);
  t.ok(handed.length <= 11, `${handed.length}`);
  queues.takeOver(own!);
  t.strictSame(payloads(await pull(client, 's')), ['2']);
});

t.test('leases move with their subscription: the next home does not deliver before they have run out', async (t) => {
  const { virtual, client, clock } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2', 'PUBLISH a 3');
  const leased = await pull(client, 's COUNT 2');
  for (let homes = 0; homes < 3; homes += 1) { // the next homes give it up before anybody asks for it
    const handovers = await virtual.broker.queues.giveUp(() => false);
    t.equal(handovers.length, 1);
    for (const handover of handovers) virtual.broker.queues.takeOver(handover);
  }
  virtual.broker.queues.takeOver({ subscription: 's', leases: 'nonsense' });
  t.strictSame(payloads(await pull(client, 's')), ['3']);
  t.match(await describe(client, 's'), { in_flight: 3, backlog: 0 });
  t.equal(await count(client, `ACK s ${leased[0]![0]}`), 1, 'its tokens are good');
  await clock.advance(1100);
  const again = await pull(client, 's');
  t.strictSame(again.map(([, deliveries, payload]) => [deliveries, payload]), [[2, '2'], [2, '3']]);
});

t.test('a subscription that is deleted while a PULL has waited for long: it was not out of reach, so the answer is NOTFOUND', async (t) => {
  const { virtual, client, clock } = await start({}, ...BOUND);
  const waiting = virtual.connect();
  await waiting.ask('PULL s BLOCK 60000');
  await clock.advance(30_000);
  await client.ask('SUBSCRIPTION DELETE s');
  await clock.advance(200);
  t.strictSame(await waiting.replies(), ['-NOTFOUND subscription "s"']);
});

t.test('half a connection: commands of a subscription that were sent are answered, and a PULL is given up', async (t) => {
  const { virtual, client } = await start();
  const half = virtual.connect();
  half.send(...BOUND, 'PUBLISH a 1', 'SUBSCRIPTION CREATE o', 'BIND o a', 'PULL s');
  half.end();
  t.strictSame(await half.replies(), ['OK', 'OK', 'OK', 4, 'OK', 'OK', []]);
  t.equal(half.channel.ended, true);
  t.strictSame(payloads(await pull(client, 's')), ['1'], 'nobody can tell whether that client would still get it');
});

t.test('a reply has a limit in bytes, headers and keys included', async (t) => {
  const long = 'x'.repeat(500);
  const { client } = await start(
    { limits: { replyBytesMax: 1000, payloadBytesMax: 1000 } }, ...BOUND, `PUBLISH a 1 HEADER h ${long} KEY ${long}`,
    `PUBLISH a 2 HEADER h ${long}`, 'PUBLISH a 3',
  );
  t.strictSame(payloads(await pull(client, 's')), ['1']);
  t.strictSame(payloads(await pull(client, 's')), ['2', '3']);
});

t.test('dead letters with long headers become batches that are no larger than others', async (t) => {
  const long = 'x'.repeat(800);
  const { client, store } = await start(
    { limits: { batchBytesMax: 1000 } }, 'SUBSCRIPTION CREATE s MAXDELIVERIES 1 DEADLETTER dead', 'TOPIC CREATE a',
    'BIND s a',
  );
  await client.ask(`PUBLISH a 1 HEADER h ${long}`, `PUBLISH a 2 HEADER h ${long}`);
  t.equal(await count(client, `NACK s ${tokens(await pull(client, 's'))}`), 2);
  await client.replies();
  t.strictSame(store.batches.filter(({ topic }) => topic === 'dead').map((batch) => batch.count), [1, 1]);
});

t.test('names of connections, libraries and consumers have 256 bytes at most', async (t) => {
  const { client } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  const [fits, long] = ['x'.repeat(256), 'é'.repeat(129)];
  t.strictSame(
    await client
      .ask(`CLIENT SETNAME ${fits}`, `CLIENT SETINFO lib-name ${fits}`, `HELLO 2 SETNAME ${fits}`)
      .then(([name, info]) => [name, info]),
    ['OK', 'OK'],
  );
  const refused = await client.ask(
    `CLIENT SETNAME ${'x'.repeat(257)}`,
    `CLIENT SETINFO lib-name ${long}`,
    `HELLO 2 SETNAME ${'x'.repeat(257)}`,
    `PULL s CONSUMER ${long}`,
  );
  t.match(refused, [
    /^-TOOBIG client name of 257 bytes is over 256/,
    /^-TOOBIG library name of 258/,
    /^-TOOBIG client name/,
    /^-TOOBIG consumer name of 258 bytes is over 256/,
  ]);
  await client.ask('PULL s COUNT 1', `PULL s COUNT 1 CONSUMER ${'y'.repeat(256)}`);
  const [pending] = (await client.ask('SUBSCRIPTION PENDING s')) as [unknown[][]];
  t.strictSame(pending.map(([, consumer]) => String(consumer)), [fits, 'y'.repeat(256)]);
});

t.test('leases that were handed over and that nobody has asked for are handed on', async (t) => {
  const { virtual, client, clock } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  const leased = await pull(client, 's COUNT 1');
  const { queues } = virtual.broker;
  for (const handover of await queues.giveUp(() => false)) queues.takeOver(handover);
  await clock.advance(400);
  for (const handover of await queues.giveUp(() => false)) queues.takeOver(handover);
  t.strictSame(payloads(await pull(client, 's')), ['2']);
  t.equal(await count(client, `ACK s ${tokens(leased)}`), 1);
});

t.test('leases that a former home tells of late are not taken over where their messages are done', async (t) => {
  const { virtual, client, clock } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  const { queues } = virtual.broker;
  await pull(client, 's');
  const handovers = await queues.giveUp(() => false);
  const [one] = await pull(client, 's COUNT 1');
  t.equal(await count(client, `ACK s ${one![0]}`), 1);
  for (const handover of handovers) queues.takeOver(handover);
  t.match(await describe(client, 's'), { backlog: 0, in_flight: 1 });
  await clock.advance(2000);
  t.match(await describe(client, 's'), { backlog: 1, in_flight: 0 });
  t.strictSame(payloads(await pull(client, 's')), ['2']);
  t.match(await describe(client, 's'), { backlog: 0, in_flight: 1 });
});

t.test('leases move also of messages that an older binding has left behind', async (t) => {
  const { virtual, client, clock } = await start(
    {}, 'SUBSCRIPTION CREATE s VISIBILITY 60000 FROM earliest', 'TOPIC CREATE a', 'BIND s a', 'PUBLISH b old',
    'PUBLISH a 1',
  );
  const { queues } = virtual.broker;
  await client.ask(`ACK s ${tokens(await pull(client, 's'))}`);
  await clock.advance(3000); // all before is done for the binding with a
  await client.ask('BIND s b');
  t.strictSame(payloads(await pull(client, 's')), ['old']);
  for (const handover of await queues.giveUp(() => false)) queues.takeOver(handover);
  t.strictSame(await pull(client, 's'), []);
  t.match(await describe(client, 's'), { in_flight: 1, backlog: 0 });
});

t.test('what was leased to a PULL is its answer, though the subscription goes to another home in the same turn', async (t) => {
  const { virtual, client } = await start({}, ...BOUND, 'PUBLISH a 1', 'PUBLISH a 2');
  t.strictSame(payloads(await pull(client, 's COUNT 1')), ['1'], 'what is read next is in memory');
  const { queues } = virtual.broker;
  const answer = queues.pull('s', { consumer: 'c', count: 1, blockMs: 0 }, { cancelled: false, onCancel: undefined });
  const handovers = queues.giveUp(() => false);
  t.match(await answer, [{ message: { lamport: Number } }]);
  t.equal((await handovers).length, 1);
});

t.test('a PURGE that is still counting when the subscription goes to another home is left to that one', async (t) => {
  const { virtual, client } = await start({}, ...BOUND, 'PUBLISH a 1');
  const { queues } = virtual.broker;
  const purging = queues.purge('s');
  const handovers = queues.giveUp(() => false);
  await t.rejects(purging, { code: 'MOVED' });
  await handovers;
  t.strictSame(payloads(await pull(client, 's')), ['1']);
});

t.test('a NACK while the disk is full counts in the next life too, once there is room', async (t) => {
  const { client, clock, store } = await start(
    {}, 'SUBSCRIPTION CREATE s MAXDELIVERIES 2 DEADLETTER dead', 'TOPIC CREATE a', 'BIND s a', 'PUBLISH a 1',
  );
  const leased = await pull(client, 's');
  const full = new RumormillError('DISKFULL', 'no room');
  store.failures.push(full, full);
  t.equal(await count(client, `NACK s ${tokens(leased)}`), 1);
  t.strictSame((await pull(client, 's')).map(([, deliveries]) => deliveries), [2], 'which has not failed yet');
  await clock.advance(1000);
  const next = (await VirtualBroker.start({}, store.copy(), () => 7)).connect();
  t.strictSame((await pull(next, 's')).map(([, deliveries]) => deliveries), [2]);
});

t.test('deliveries that failed before a start count without a limit too: there may be one again', async (t) => {
  const { client, store } = await start(
    {}, 'SUBSCRIPTION CREATE s MAXDELIVERIES 3 DEADLETTER dead', 'TOPIC CREATE a', 'BIND s a', 'PUBLISH a 1',
  );
  await client.ask(`NACK s ${tokens(await pull(client, 's'))}`, `SUBSCRIPTION UPDATE s MAXDELIVERIES 0 DEADLETTER ''`);
  const next = (await VirtualBroker.start({}, store.copy(), () => 7)).connect();
  const again = await pull(next, 's');
  t.strictSame(again.map(([, deliveries]) => deliveries), [2]);
  await next.ask('SUBSCRIPTION UPDATE s MAXDELIVERIES 2 DEADLETTER dead', `NACK s ${tokens(again)}`);
  t.match(await describe(next, 's'), { dead_lettered: 1 });
});
