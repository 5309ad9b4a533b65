import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { bytesOf, hello } from '../support/peer.ts';
import { VirtualBroker, type VirtualClient } from '../support/virtual-broker.ts';

const MEBIBYTE = 1024 * 1024;
/** A megabyte of memory for everybody, which leaves room for a thousand connections. */
const SMALL = {
  memoryBytes: MEBIBYTE, connectionBytes: 100, payloadBytesMax: 10_000, batchBytesMax: 10_000, bulkBytesMax: 100_000,
  commandBytesMax: 200_000, linkWindowBytes: 10_000,
};

/** The beginning of a PUBLISH with a payload of so many bytes, of which `bytes` come. */
function half(bytes: number, payload = 90_000): Buffer {
  return Buffer.concat([Buffer.from(`*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$${payload}\r\n`), Buffer.alloc(bytes, 'x')]);
}

/** What a client was told before its connection ended; undefined while that is open. */
async function end(client: VirtualClient): Promise<unknown[] | undefined> {
  const replies = await client.replies();
  return client.channel.isOpen ? undefined : replies;
}

t.test('half a command has 30 s, and a second more for each KiB that has come', async (t) => {
  const virtual = await VirtualBroker.start();
  const { clock } = virtual;
  const [never, slow, fast, whole] = [virtual.connect(), virtual.connect(), virtual.connect(), virtual.connect()];
  never.sendBytes(half(1000));
  slow.sendBytes(half(0));
  fast.sendBytes(half(50_000));
  t.strictSame(await whole.ask('PUBLISH a 1', 'PING'), [1, 'PONG']);
  for (let second = 0; second < 90; second += 1) {
    slow.sendBytes(Buffer.alloc(1000, 'x')); // 8 kbit/s
    await clock.advance(1000);
    if (second === 28) t.equal(never.channel.isOpen, true);
    if (second === 33) t.match(await end(never), [/^-ERR the rest of this command did not come in time/]);
    if (second === 70) t.equal(fast.channel.isOpen, true);
  }
  t.match(await end(fast), [/^-ERR the rest/]);
  slow.sendBytes(Buffer.from('\r\n'));
  t.match(await slow.replies(), [Number], 'a slow publisher that goes on is served');
  await clock.advance(3_600_000);
  t.strictSame([whole.channel.isOpen, slow.channel.isOpen], [true, true], 'who has begun nothing may take its time');
  t.ok(virtual.warnings.includes('client closed: it did not send the rest of its command in time'));
});

t.test('the deadline of half a command stands still while the client is not read from', async (t) => {
  const virtual = await VirtualBroker.start({ limits: { pendingBytesMax: 2000, payloadBytesMax: 1500 } });
  const { clock, store } = virtual;
  const release = store.hold();
  const [other, client] = [virtual.connect(), virtual.connect()];
  other.send(...Array.from({ length: 3 }, () => `PUBLISH a ${'x'.repeat(900)}`));
  await clock.settle();
  client.sendBytes(Buffer.concat([encodeCommand(['PUBLISH', 'a', '1']), half(10, 20)]));
  t.equal(client.channel.paused, true);
  await clock.advance(100_000);
  t.equal(client.channel.isOpen, true);
  release();
  await clock.settle();
  client.sendBytes(Buffer.from('xxxxxxxxxx\r\n'));
  t.strictSame((await client.replies()).map((reply) => typeof reply), ['number', 'number']);
});

t.test('memory is short: the greediest that does not move is told and closed, honest clients go on', async (t) => {
  const virtual = await VirtualBroker.start({ limits: SMALL });
  const { clock, broker } = virtual;
  const honest = virtual.connect();
  const subscriber = virtual.connect();
  t.strictSame(await subscriber.ask('SUBSCRIBE a'), [['subscribe', 'a', 1]]);
  const greedy = Array.from({ length: 11 }, (_, index) => {
    const client = virtual.connect();
    client.sendBytes(half(80_000 + index));
    return client;
  });
  await clock.advance(200);
  t.ok(broker.budget.isTight, `${broker.budget.bytes}`);
  for (const client of greedy) client.sendBytes(Buffer.from('x'));
  t.strictSame(greedy.map(({ channel }) => channel.paused), greedy.map(() => true), 'who holds much waits');
  t.match(await honest.ask('PUBLISH a 1', 'POLL a CURSOR earliest'), [1, Array]);
  t.match(await subscriber.replies(), [['message', 'a', '1']]);
  await clock.advance(10_000);
  const told = await Promise.all(greedy.map(end));
  t.match(told[10], [
    /^-ERR the broker's memory \(--memory 1 MiB\) is all in use, and this connection holds 7\d KiB of it and does not move/,
  ]);
  const left = told.filter((each) => each === undefined).length;
  t.ok(left > 0 && left < 11, `${left} are left: no more are closed than need be`);
  t.equal(told[0], undefined, 'the least greedy of them');
  t.equal(broker.budget.isTight, false);
  t.equal(greedy[0]!.channel.paused, false, 'and it goes on');
  greedy[0]!.sendBytes(Buffer.concat([Buffer.alloc(9_999, 'x'), Buffer.from('\r\n')]));
  t.match(await greedy[0]!.replies(), [/^-TOOBIG/]);
  t.match(await honest.ask('PUBLISH a 2'), [2]);
  for (const client of greedy) client.channel.handler.closed(undefined);
  await clock.advance(200);
  t.ok(broker.budget.connectionBytes < 2000, `${broker.budget.connectionBytes} bytes are left of it`);
});

t.test('a pushed message is held once, however many have not read it', async (t) => {
  const virtual = await VirtualBroker.start();
  const { broker } = virtual;
  const subscribers = Array.from({ length: 100 }, () => virtual.connect());
  for (const subscriber of subscribers) await subscriber.ask('SUBSCRIBE a', 'PSUBSCRIBE a*');
  const before = broker.budget.connectionBytes;
  for (const { channel } of subscribers) channel.bufferedBytes = 1; // nothing has left
  for (const { channel } of subscribers) {
    const write = channel.write.bind(channel);
    channel.write = (bytes) => {
      channel.bufferedBytes += bytes.length;
      write(bytes);
    };
  }
  await virtual.connect().ask(`PUBLISH a ${'x'.repeat(100_000)}`);
  const [first, ...others] = subscribers.map(({ channel }) => channel.onTheWay);
  t.equal(first!.length, 2);
  t.ok(others.every((written) => written[0] === first![0] && written[1] === first![1]), 'the same bytes for all');
  const more = broker.budget.connectionBytes - before;
  t.ok(more > 200_000 && more < 250_000, `${more} bytes for 200 pushes of 100,000`);
  for (const { channel } of subscribers) {
    channel.bufferedBytes = 0;
    channel.handler.sent();
  }
  t.ok(broker.budget.connectionBytes - before < 10_000, 'nothing is held when all have it');
});

t.test('what a client has subscribed to counts, until it ends', async (t) => {
  const virtual = await VirtualBroker.start();
  const client = virtual.connect();
  const before = virtual.broker.budget.connectionBytes;
  const names = Array.from({ length: 1000 }, (_, index) => `${'long'.repeat(50)}${index}`).join(' ');
  await client.ask(`SUBSCRIBE ${names}`, `PSUBSCRIBE ${names}`);
  const held = virtual.broker.budget.connectionBytes - before;
  t.ok(held > 800_000 && held < 1_200_000, `${held}`);
  await client.ask(`UNSUBSCRIBE ${names}`);
  t.ok(virtual.broker.budget.connectionBytes - before < held * 0.6);
  await client.ask('RESET');
  const kept = virtual.broker.budget.connectionBytes - before;
  t.ok(kept < 20_000, `${kept}: room for the arguments of the next command`);
});

t.test('too many clients: those beyond are told, and a peer gets in', async (t) => {
  const virtual = await VirtualBroker.start({ limits: { connectionsMax: 5, doorMax: 2 } });
  const { clock, broker } = virtual;
  const clients = Array.from({ length: 5 }, () => virtual.connect());
  const refused = virtual.connect();
  t.match(await refused.ask('PING'), ['-ERR max number of clients reached'], 'with its first command');
  t.equal(refused.channel.isOpen, false);
  const silent = virtual.connect();
  t.equal(silent.channel.isOpen, true, 'it may be a peer');
  await clock.advance(1300);
  t.match(await end(silent), ['-ERR max number of clients reached'], 'or after a second');
  const [first, second, third] = [virtual.connect(), virtual.connect(), virtual.connect()];
  t.strictSame(
    [first, second, third].map(({ channel }) => channel.isOpen), [false, true, true],
    'the first of those at the door had to go',
  );
  const peer = third;
  peer.sendBytes(bytesOf(hello({ address: parseAddress('localhost:3999'), mesh: 'another' })));
  t.match(await peer.replies(), [/^-REFUSED.*mesh/], 'it is let in, to be answered as a peer');
  for (let count = 0; count < 100; count += 1) virtual.connect();
  await clock.advance(61_000);
  t.equal(broker.status()['connections'], 5);
  t.strictSame(await clients[0]!.ask('PING'), ['PONG']);
  t.strictSame(
    virtual.warnings.filter((warning) => warning.startsWith('client refused')).length, 2, 'at once, and after a minute',
  );
  clients[1]!.channel.handler.closed(undefined);
  for (const { channel } of [virtual.connect()]) t.equal(channel.isOpen, true);
});
