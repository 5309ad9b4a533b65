/** Limits of what is leased: who is told, what is shown, how it ends. */
import t from 'tap';
import { LEASE_BYTES } from '../../brokers/core/queue/lease.ts';
import { BOUND, count, describe, given, payloads, pull, start, tokens } from '../support/virtual-queue.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';

const publish = (count: number): string[] => Array.from({ length: count }, (_, number) => `PUBLISH a ${number}`);
const LONG = ['SUBSCRIPTION CREATE s VISIBILITY 86400000', 'TOPIC CREATE a', 'BIND s a'];

t.test('a consumer that holds as much as one may is told so when its time is up; others get what there is', async (t) => {
  const { virtual, client, clock } = await start({ limits: { consumerLeasesMax: 3 } }, ...LONG, ...publish(5));
  t.equal((await pull(client, 's CONSUMER hog COUNT 100')).length, 3);
  t.match(await client.ask('PULL s CONSUMER hog'), [/^-LIMIT consumer "hog" holds 3 messages of subscription "s"/]);
  const waiting = virtual.connect();
  t.strictSame(await waiting.ask('PULL s CONSUMER hog BLOCK 1000'), [], 'not before');
  t.match(await describe(client, 's'), { limit: /^consumer "hog" holds 3/, max_in_flight: 3, in_flight: 3 });
  t.strictSame(payloads(await pull(client, 's CONSUMER other COUNT 1')), ['3'], 'though the other stands before it');
  await clock.advance(1100);
  t.match(await waiting.replies(), [/^-LIMIT/]);
  t.equal(virtual.warnings.filter((event) => event.startsWith('a limit')).length, 1);
  await clock.advance(1000);
  await client.ask('PULL s CONSUMER hog');
  await clock.advance(1000);
  t.equal(virtual.warnings.filter((event) => event.startsWith('a limit')).length, 1, 'once a minute');
});

t.test('what a consumer acknowledges makes room for its PULL that waits; where nothing is left to come there is no limit to speak of', async (t) => {
  const { virtual, client, clock } = await start({ limits: { consumerLeasesMax: 2 } }, ...LONG, ...publish(3));
  const [[token]] = (await pull(client, 's CONSUMER c')) as [[string, number, string], ...unknown[]];
  const waiting = virtual.connect();
  await waiting.ask('PULL s CONSUMER c BLOCK 5000');
  t.equal(await count(client, `ACK s ${token}`), 1);
  t.strictSame(payloads((await waiting.replies()).flatMap(given)), ['2']);
  t.strictSame(await client.ask('PULL s CONSUMER c'), [[]], 'nothing is left');
  await clock.advance(1000);
});

t.test('all that may be leased is: PULL says so and to whom, FREE ends it, for all or for one', async (t) => {
  const { virtual, client } = await start({ limits: { leasesMax: 4, consumerLeasesMax: 3 } }, ...LONG, ...publish(6));
  const held = await pull(client, 's CONSUMER hog');
  await client.ask(`NACK s ${held[0]![0]} DELAY 86400000`, 'PULL s CONSUMER hog COUNT 1');
  t.match(await client.ask('PULL s CONSUMER honest'), [/^-LIMIT 4 messages of subscription "s"/]);
  t.match(await describe(client, 's'), { limit: /^4 messages of subscription "s"/ });
  const waiting = virtual.connect();
  await waiting.ask('PULL s CONSUMER honest COUNT 2 BLOCK 60000');
  t.match(await client.ask('SUBSCRIPTION CONSUMERS s', 'SUBSCRIPTION CONSUMERS s COUNT 1'), [
    [
      ['hog', 3, 0],
      ['honest', 0, 0],
    ],
    [['hog', 3, 0]],
  ]);
  t.equal(await count(client, 'SUBSCRIPTION FREE s CONSUMER nobody'), 0);
  t.equal(await count(client, 'SUBSCRIPTION FREE s CONSUMER hog'), 4, 'what it has put off too');
  t.strictSame(payloads((await waiting.replies()).flatMap(given)), ['0', '1']);
  t.equal(await count(client, `ACK s ${tokens(held)}`), 0, 'its leases are over');
  t.equal(await count(client, 'SUBSCRIPTION FREE s'), 2);
  t.match(await describe(client, 's'), { in_flight: 0, delayed: 0, backlog: 6, limit: '' });
  t.match(await client.ask('SUBSCRIPTION FREE s WHO', 'SUBSCRIPTION FREE nobody', 'SUBSCRIPTION CONSUMERS nobody'), [
    /^-ERR unknown option/, /^-NOTFOUND/, /^-NOTFOUND/,
  ]);
});

t.test('what was freed is not put off again by a restart', async (t) => {
  const { client, store } = await start({}, ...BOUND, ...publish(2));
  await client.ask(`NACK s ${tokens(await pull(client, 's'))} DELAY 3600000`);
  t.equal(await count(client, 'SUBSCRIPTION FREE s'), 2);
  const next = (await VirtualBroker.start({}, store.copy(), () => 7)).connect();
  t.strictSame((await pull(next, 's')).map(([, deliveries, payload]) => [deliveries, payload]), [[2, '0'], [2, '1']]);
});

t.test('leases of a consumer whose connection has gone end when they run out, and count for it until then', async (t) => {
  const { virtual, client, clock } = await start({ limits: { consumerLeasesMax: 2 } }, ...BOUND, ...publish(3));
  const gone = virtual.connect();
  t.equal((await pull(gone, 's CONSUMER c')).length, 2);
  gone.channel.handler.closed(undefined);
  t.match(await client.ask('PULL s CONSUMER c'), [/^-LIMIT/], 'it may be back');
  await clock.advance(1100);
  t.equal((await pull(client, 's CONSUMER c')).length, 2);
});

t.test('while all subscriptions together have too many messages out, each may have an even share; afterwards as many as before', async (t) => {
  const others = ['r', 'q'].flatMap((name) => [`SUBSCRIPTION CREATE ${name} VISIBILITY 86400000`, `BIND ${name} a`]);
  const { virtual, client, clock } = await start(
    { limits: { leasesBytesMax: 12 * LEASE_BYTES } }, ...LONG, ...others, ...publish(20),
  );
  const held = await pull(client, 's CONSUMER hog COUNT 100');
  t.equal(held.length, 20, 'nobody has looked');
  t.equal((await pull(client, 'r COUNT 1')).length, 1);
  await clock.advance(1000);
  t.match(await client.ask('PULL s CONSUMER other'), [[]], 'there is nothing more');
  t.equal((await pull(client, 'r COUNT 100')).length, 5, 'six of twelve');
  t.match(await client.ask('PULL r'), [/^-LIMIT 6 messages of subscription "r"/]);
  t.equal((await pull(client, 'q COUNT 3')).length, 3);
  await clock.advance(1000);
  t.equal((await pull(client, 'q COUNT 100')).length, 1, 'four of twelve: there are three now');
  const waiting = virtual.connect();
  await waiting.ask('PULL q COUNT 100 BLOCK 60000');
  t.equal(await count(client, `ACK s ${tokens(held)}`), 20);
  await clock.advance(1000);
  t.equal((await waiting.replies()).flatMap(given).length, 16, 'who waits is served');
});
