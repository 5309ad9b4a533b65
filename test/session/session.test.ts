import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { chunkings } from '../support/chunk.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { hello, VirtualPeer } from '../support/peer.ts';
import { origin } from '../support/record.ts';
import { VirtualBroker, type VirtualClient } from '../support/virtual-broker.ts';

const START = VirtualBroker.start;

/** A message's payload, of a reply to POLL all payloads. */
function payloads(reply: unknown): unknown {
  if (!Array.isArray(reply)) return reply;
  const [cursor, messages] = reply as [unknown, unknown];
  return Array.isArray(messages) && typeof cursor === 'string' && !cursor.includes('@')
    ? messages.map((message: unknown[]) => message[5])
    : reply[5];
}

t.test('what is pipelined happens in the order in which it was written', async (t) => {
  const { connect } = bound(await START());
  const client = connect();
  const replies = await client.ask(
    'PUBLISH a 1', 'LATEST a', 'PUBLISH a 2', 'PUBLISH a 3', 'PING', 'LATEST a', 'POLL a CURSOR earliest', 'ECHO end',
  );
  t.strictSame(replies.map(payloads), [1, '1', 2, 3, 'PONG', '3', ['1', '2', '3'], 'end']);
});

t.test('a pipeline means the same however it is cut', async (t) => {
  const commands = [
    'PUBLISH a 1', 'PUBLISH b 2 KEY k', 'LATEST a', 'NONSENSE', 'PUBLISH a', 'PUBLISH a 3', 'LATEST a', 'LATEST b',
    'PING x',
  ];
  const bytes = Buffer.concat(commands.map((command) => encodeCommand(command.split(' '))));
  for (const [name, chunks] of chunkings(bytes)) {
    const client = (await START()).connect();
    const replies: unknown[] = [];
    for (const chunk of chunks) {
      client.sendBytes(chunk);
      if (chunks.length < 20) replies.push(...(await client.replies()));
    }
    replies.push(...(await client.replies()));
    t.match(replies.map(payloads), [1, 2, '1', /^-ERR unknown command/, /^-ERR wrong number/, 3, '3', '2', 'x'], name);
  }
});

t.test('publishes overlap: their replies wait for the disk, in order, and so does what comes behind them', async (t) => {
  const { store, connect } = bound(await START());
  const client = connect();
  const release = store.hold();
  t.strictSame(
    await client.ask('PUBLISH a 1', 'PUBLISH b 2', 'PUBLISH a', 'PING'), [],
    'nothing is answered before it is on disk, nor before what is ahead of it',
  );
  t.strictSame(await connect().ask('PING'), ['PONG'], 'others do not wait');
  release();
  t.match(await client.replies(), [1, 2, /^-ERR wrong number/, 'PONG']);
});

t.test('ACKS none is answered before the disk, and a full disk refuses the rest', async (t) => {
  const { store, connect } = bound(await START());
  const client = connect();
  const release = store.hold();
  store.failures.push(new RumormillError('DISKFULL', 'no room; nothing was stored'));
  t.strictSame(await client.ask('PUBLISH a 1 ACKS none'), [1]);
  const other = connect();
  t.strictSame(await other.ask('PUBLISH a 2', 'PUBLISH a 3'), []);
  release();
  t.strictSame(await other.replies(), [2, 3], 'what was behind it has its turn');
  store.failures.push(new RumormillError('DISKFULL', 'no room; nothing was stored'));
  t.strictSame(await other.ask('PUBLISH a 4', 'PUBLISH a 5', 'PING'), [
    '-DISKFULL no room; nothing was stored', '-DISKFULL no room; nothing was stored', 'PONG',
  ], 'one answer a message');
  t.strictSame((await client.ask('POLL a CURSOR earliest')).map(payloads), [['2', '3']]);
});

t.test('a POLL that waits holds up its own connection, and nobody else\'s', async (t) => {
  const { clock, connect } = bound(await START());
  const [reader, writer] = [connect(), connect()];
  t.strictSame(await reader.ask('POLL a BLOCK 5000', 'PING'), []);
  t.strictSame(await writer.ask('PUBLISH b 1', 'PING'), [1, 'PONG']);
  t.strictSame(await reader.replies(), [], 'another topic');
  t.strictSame(await writer.ask('PUBLISH a 2'), [2]);
  t.strictSame((await reader.replies()).map(payloads), [['2'], 'PONG']);
  t.strictSame(await reader.ask('POLL a BLOCK 5000', 'PING'), []);
  await clock.advance(4900);
  t.strictSame(await reader.replies(), []);
  await clock.advance(200);
  t.strictSame((await reader.replies()).map(payloads), [[], 'PONG'], 'empty at its time');
});

t.test('half a connection: what was sent is answered, then it ends', async (t) => {
  const { connect } = bound(await START());
  const client = connect();
  client.send('PUBLISH a 1', 'LATEST a', 'PING');
  client.end();
  t.equal(client.channel.isOpen, true, 'not before the answers');
  t.strictSame((await client.replies()).map(payloads), [1, '1', 'PONG']);
  t.equal(client.channel.ended, true);
  const idle = connect();
  idle.end();
  t.equal(idle.channel.ended, true, 'at once where nothing is to be answered');
});

t.test('half a connection: a POLL that waits is given up, also one whose turn comes later', async (t) => {
  const { broker, connect } = bound(await START());
  const client = connect();
  client.send('POLL a BLOCK 86400000');
  await client.replies();
  client.end();
  t.strictSame((await client.replies()).map(payloads), [[]]);
  t.equal(client.channel.ended, true);
  const later = connect();
  later.send('PUBLISH b 1', 'POLL a BLOCK 86400000', 'PING');
  later.end();
  t.strictSame((await later.replies()).map(payloads), [1, [], 'PONG']);
  t.equal(later.channel.ended, true);
  t.equal(broker.status()['waiters'], 0);
});

t.test('half a connection: commands that are held back are carried out before it ends', async (t) => {
  const { connect } = bound(await START({ limits: { outputBytesMax: 1000 } }));
  const client = connect();
  client.channel.bufferedBytes = 2000; // the client does not read
  client.send('PUBLISH a 1', 'PING');
  client.end();
  t.strictSame(await client.replies(), []);
  t.equal(client.channel.isOpen, true);
  client.channel.bufferedBytes = 0;
  client.channel.handler.drain();
  t.strictSame(await client.replies(), [1, 'PONG']);
  t.equal(client.channel.ended, true);
});

t.test('a client that goes away leaves nothing behind', async (t) => {
  const { broker, connect } = bound(await START());
  const [client, subscriber] = [connect(), connect()];
  await client.ask('POLL a BLOCK 60000');
  await subscriber.ask('SUBSCRIBE a', 'PSUBSCRIBE b*');
  t.strictSame(
    [broker.status()['connections'], broker.status()['waiters'], broker.readers.pubSub.isEmpty],
    [2, 1, false],
  );
  for (const each of [client, subscriber]) each.channel.cut();
  await client.replies();
  t.strictSame(
    [broker.status()['connections'], broker.status()['waiters'], broker.readers.pubSub.isEmpty],
    [0, 0, true],
  );
});

t.test('what cannot be understood is answered behind all that could, and the connection ends', async (t) => {
  const { store, connect } = bound(await START());
  for (const garbage of ['*1\r\n$x\r\n', '*1\r\n+PING\r\n', '*x\r\n', `*1\r\n$${64 * 1024 * 1024}\r\n`, '"\r\n']) {
    const client = connect();
    const release = store.hold();
    client.sendBytes(
      Buffer.concat([
        encodeCommand(['PING']), encodeCommand(['PUBLISH', 'a', '1']), Buffer.from(garbage), encodeCommand(['PING']),
      ]),
    );
    t.strictSame(await client.replies(), ['PONG'], 'the publish waits for the disk');
    t.equal(client.channel.isOpen, true);
    client.send('PING');
    release();
    const [published, error, ...more] = await client.replies();
    t.type(published, 'number');
    t.match(error, /^-ERR /);
    t.strictSame(more, [], 'what comes behind is not carried out');
    t.equal(client.channel.ended, true, JSON.stringify(garbage));
  }
  const client = connect();
  client.sendBytes(
    Buffer.concat([encodeCommand(['PUBLISH', 'a', '1']), encodeCommand(['PING']), Buffer.from('*x\r\n')]),
  );
  t.match(
    await client.replies(), [Number, 'PONG', /^-ERR Protocol error/], 'also behind a command that waits for its turn',
  );
  t.equal(client.channel.ended, true);
});

t.test('commands that are wrong get an error each, and the connection lives on', async (t) => {
  const client = (await START()).connect();
  const cases: [command: string, error: RegExp][] = [
    ['NONSENSE', /^-ERR unknown command "NONSENSE"; COMMAND DOCS lists what there is$/],
    ['constructor', /^-ERR unknown command "constructor"/],
    ['__proto__', /^-ERR unknown command/],
    ['LATEST', /^-ERR wrong number of arguments for LATEST; usage: LATEST topic$/],
    ['LATEST a b', /^-ERR wrong number of arguments/],
    ['POLL a COUNT 0', /^-ERR COUNT "0" is not an integer from 1 to 10000$/],
    ['POLL a CURSOR nonsense', /^-ERR .* is not a cursor/],
    ['RANGE a FROM -1', /^-ERR FROM "-1" is not an integer/],
    ['SELECT 1', /^-ERR /],
    ['HELLO 4', /^-NOPROTO /],
    ['HELLO 3 SETNAME a\u00e9b', /^-ERR client names cannot contain/],
    ['MESH NONSENSE', /^-ERR unknown subcommand MESH "NONSENSE"/],
  ];
  for (const [command, error] of cases) t.match(await client.ask(command, 'PING'), [error, 'PONG'], command);
});

t.test('COMMAND describes each command with the ten parts that Redis 7 gives, which clients take for granted', async (t) => {
  const [rows] = (await (await START()).connect().ask('COMMAND')) as [unknown[][]];
  t.strictSame(new Set(rows.map(({ length }) => length)), new Set([10]));
  t.strictSame(rows.find(([name]) => name === 'latest'), ['latest', 2, [], 0, 0, 0, [], [], [], []]);
});

t.test('a pattern that is longer than any name is refused: matching it would hold everybody up', async (t) => {
  const { connect } = bound(await START());
  const long = `[${'x'.repeat(255)}`;
  const replies = await connect().ask(
    `TOPIC LIST ${long}`, `SUBSCRIPTION LIST ${long}`, `PUBSUB CHANNELS ${long}`, `PSUBSCRIBE a* ${long}`,
    `TOPIC LIST ${long.slice(1)}`,
  );
  t.strictSame(replies, [...new Array<string>(4).fill('-TOOBIG pattern is over 255 bytes'), []]);
});

t.test('a connection has so many channels and patterns at most, and keeps those that it has', async (t) => {
  const { connect } = bound(await START({ limits: { channelsMax: 3 } }));
  const subscriber = connect();
  t.strictSame(await subscriber.ask('SUBSCRIBE a b', 'PSUBSCRIBE a*'), [
    ['subscribe', 'a', 1], ['subscribe', 'b', 2], ['psubscribe', 'a*', 3],
  ]);
  t.strictSame(await subscriber.ask('SUBSCRIBE c', 'PSUBSCRIBE b* c*', 'SUBSCRIBE a'), [
    '-ERR 4 channels and patterns are over 3, the limit of a connection',
    '-ERR 5 channels and patterns are over 3, the limit of a connection',
    ['subscribe', 'a', 3],
  ]);
  t.strictSame(await subscriber.ask('UNSUBSCRIBE b', 'SUBSCRIBE c'), [['unsubscribe', 'b', 2], ['subscribe', 'c', 3]]);
});

t.test('one SUBSCRIBE takes as many names as a connection may have, and more are an error', async (t) => {
  const { broker, connect } = bound(await START());
  const client = connect();
  const names = (count: number): string => Array.from({ length: count }, (_, index) => `t${index}`).join(' ');
  const confirmed = (await client.ask(`SUBSCRIBE ${names(10_000)}`)) as unknown[][];
  t.strictSame(
    [confirmed.length, confirmed[0], confirmed[9999]],
    [10_000, ['subscribe', 't0', 1], ['subscribe', 't9999', 10_000]],
  );
  t.match(await client.ask(`SUBSCRIBE ${names(100_000)}`, `UNSUBSCRIBE ${names(100_000)}`), [
    /^-ERR 100000 names/,
    /^-ERR 100000 names/,
  ]);
  t.equal(((await client.ask(`UNSUBSCRIBE ${names(10_000)}`)) as unknown[][]).length, 10_000);
  t.equal(broker.readers.pubSub.isEmpty, true);
  t.match(await client.ask(`ACK s ${names(100_000)}`, `POLL ${names(5000)}`, `POLL ${names(1000)}`), [
    /^-/, /^-ERR more than 1000/, Array,
  ]);
  t.match(await client.ask(`PUBSUB NUMSUB ${names(9000)}`, 'PING'), [Array, 'PONG']);
});

t.test('SUBSCRIBE: a RESP2 connection may say little else, and gets what is published anywhere', async (t) => {
  const { connect } = bound(await START());
  const [subscriber, writer] = [connect(), connect()];
  t.strictSame(await subscriber.ask('SUBSCRIBE a b', 'PSUBSCRIBE a*'), [
    ['subscribe', 'a', 1], ['subscribe', 'b', 2], ['psubscribe', 'a*', 3],
  ]);
  for (const command of ['PUBLISH a 1', 'POLL a', 'LATEST a', 'MESH STATUS', 'HELLO 3', 'ECHO x']) {
    t.match(
      await subscriber.ask(command), [/^-ERR [A-Z]+ cannot be used by a connection that has subscribed/], command,
    );
  }
  t.strictSame(await subscriber.ask('PING', 'PING x'), [['pong', ''], ['pong', 'x']]);
  t.strictSame(await writer.ask('PUBLISH a 1', 'PUBLISH ab 2', 'PUBLISH b 3', 'PUBLISH c 4'), [1, 2, 3, 4]);
  t.strictSame(await subscriber.replies(), [
    ['message', 'a', '1'], ['pmessage', 'a*', 'a', '1'], ['pmessage', 'a*', 'ab', '2'], ['message', 'b', '3'],
  ]);
  t.strictSame(await writer.ask('PUBSUB CHANNELS', 'PUBSUB NUMSUB a c'), [['a', 'b'], ['a', 1, 'c', 0]]);
  t.strictSame(await subscriber.ask('UNSUBSCRIBE', 'PUNSUBSCRIBE', 'UNSUBSCRIBE', 'PUBLISH a 5'), [
    ['unsubscribe', 'a', 2], ['unsubscribe', 'b', 1], ['punsubscribe', 'a*', 0], ['unsubscribe', null, 0], 5,
  ]);
});

t.test('SUBSCRIBE takes its turn behind publishes, RESET and QUIT end it', async (t) => {
  const { broker, connect } = bound(await START());
  const client = connect();
  t.strictSame(await client.ask('PUBLISH a 1', 'SUBSCRIBE a'), [1, ['subscribe', 'a', 1]], 'no history');
  t.strictSame(await client.ask('RESET', 'PUBLISH a 2'), ['RESET', 2]);
  t.equal(broker.readers.pubSub.isEmpty, true);
  t.strictSame(await client.ask('SUBSCRIBE a', 'QUIT', 'PING'), [['subscribe', 'a', 1], 'OK']);
  t.equal(client.channel.ended, true);
});

t.test('a subscriber that does not read is disconnected', async (t) => {
  const { connect } = bound(await START({ limits: { pushBytesMax: 1000 } }));
  const [subscriber, writer] = [connect(), connect()];
  await subscriber.ask('SUBSCRIBE a');
  subscriber.channel.bufferedBytes = 1000;
  t.strictSame(await writer.ask('PUBLISH a 1'), [1]);
  t.strictSame(await subscriber.replies(), [['message', 'a', '1']]);
  subscriber.channel.bufferedBytes = 1001;
  t.strictSame(await writer.ask('PUBLISH a 2'), [2], 'its publisher does not wait');
  t.equal(subscriber.channel.destroyed, true);
});

t.test('a subscriber that does not read is disconnected once, however much there was to push', async (t) => {
  const { broker, connect } = bound(await START({ limits: { pushBytesMax: 1000 } }));
  const warnings = t.capture(broker.logger, 'warn');
  const [subscriber, writer] = [connect(), connect()];
  await subscriber.ask('SUBSCRIBE a', 'PSUBSCRIBE *');
  subscriber.channel.bufferedBytes = 1001;
  await writer.ask('PUBLISH a 1', 'PUBLISH a 2', 'PUBLISH a 3');
  t.strictSame(warnings().map(({ args }) => args[0]), ['client too slow, disconnected']);
});

t.test('reading stops while too much waits behind a command, and goes on after it', async (t) => {
  const { connect } = bound(await START({ limits: { inputBytesMax: 100 } }));
  const [client, writer] = [connect(), connect()];
  client.send('POLL a BLOCK 60000', 'PUBLISH b 1');
  t.equal(client.channel.paused, false);
  client.send(...Array.from({ length: 10 }, () => 'PING'));
  t.equal(client.channel.paused, true);
  await writer.ask('PUBLISH a 1');
  t.strictSame((await client.replies()).map(payloads), [['1'], 2, ...Array.from({ length: 10 }, () => 'PONG')]);
  t.equal(client.channel.paused, false);
});

t.test('commands stop while the client does not read its replies', async (t) => {
  const { connect } = bound(await START({ limits: { outputBytesMax: 1000 } }));
  const client = connect();
  client.channel.bufferedBytes = 1000;
  t.strictSame(await client.ask('PING'), []);
  client.channel.bufferedBytes = 0;
  client.channel.handler.drain();
  t.strictSame(await client.replies(), ['PONG']);
});

t.test('publishes of one connection stop at so many that are unanswered', async (t) => {
  const { store, connect } = bound(await START({ limits: { unansweredMax: 2 } }));
  const client = connect();
  const release = store.hold();
  client.send('PUBLISH a 1', 'PUBLISH b 2', 'PUBLISH c 3', 'PUBLISH d 4');
  await client.replies();
  release();
  t.strictSame(await client.replies(), [1, 2, 3, 4]);
  t.strictSame(store.batches.map(({ topic }) => topic), ['a', 'b', 'c', 'd']);
});

t.test('while the log is full nobody publishes, and all go on when it is not', async (t) => {
  const { store, connect } = bound(
    await START({ limits: { pendingBytesMax: 1000, payloadBytesMax: 1000, transactionBytesMax: 100 } }),
  );
  const clients = [connect(), connect(), connect()];
  const release = store.hold();
  clients[0]!.send(...Array.from({ length: 5 }, (_, index) => `PUBLISH t${index} x`));
  for (const [index, client] of clients.entries()) client.send(`PUBLISH last ${index}`, 'PING');
  t.strictSame(clients.map(({ channel }) => channel.paused), [true, true, true]);
  release();
  const replies = await Promise.all(clients.map((client) => client.replies()));
  t.strictSame(replies.map((each) => each.length), [7, 2, 2]);
  t.strictSame(clients.map(({ channel }) => channel.paused), [false, false, false]);
});

t.test('a connection that is held back for two reasons goes on when both are over', async (t) => {
  const limits = { pendingBytesMax: 1000, payloadBytesMax: 1000, transactionBytesMax: 100, inputBytesMax: 100 };
  const { clock, store, connect } = bound(await START({ limits }));
  const [client, writer] = [connect(), connect()];
  client.send('POLL a BLOCK 200', ...Array.from({ length: 20 }, () => 'PING'));
  t.equal(client.channel.paused, true, 'much waits behind its POLL');
  for (let round = 0; round < 2; round += 1) {
    const release = store.hold();
    writer.send(...Array.from({ length: 7 }, (_, index) => `PUBLISH t${index} x`));
    t.equal(writer.channel.paused, true, 'the log is full');
    if (round === 1) await clock.advance(300);
    release();
    t.equal((await writer.replies()).length, 7, 'and drained');
  }
  t.strictSame(
    (await client.replies()).map(payloads), [[], ...Array.from({ length: 20 }, () => 'PONG')],
    'although the POLL ended while it was full',
  );
});

t.test('while the log is full all but publishers are served, and peers come', async (t) => {
  const { broker, store, clock, connect } = bound(
    await START({ limits: { pendingBytesMax: 1000, payloadBytesMax: 1000, transactionBytesMax: 100 } }),
  );
  const [writer, peer] = [connect(), connect()];
  const release = store.hold();
  writer.send(...Array.from({ length: 6 }, (_, index) => `PUBLISH t${index} x`));
  const reader = connect();
  t.match(
    await reader.ask('PING', 'LATEST t0', 'POLL t0 CURSOR earliest'), ['PONG', null, [String, []]],
    'nothing is on disk',
  );
  await new VirtualPeer(peer, () => clock.settle()).introduce(hello({ address: parseAddress('localhost:3001') }));
  t.equal(broker.status()['links'], 1);
  t.equal(peer.channel.paused, false);
  t.strictSame(
    await reader.ask('PUBLISH t0 y', 'PING'), [], 'its turn comes when there is room, and what stands behind it waits',
  );
  t.equal(reader.channel.paused, true);
  reader.end();
  release();
  t.equal((await writer.replies()).length, 6);
  t.match(await reader.replies(), [Number, 'PONG'], 'answered, although the client sends no more');
});

t.test('an HTTP request is not carried out', async (t) => {
  for (const line of ['POST / HTTP/1.1\r\nHost: x\r\n\r\nPUBLISH a 1\r\n', 'Host: x\r\nPUBLISH a 1\r\n']) {
    const { store, connect } = bound(await START());
    const client = connect();
    client.sendBytes(Buffer.from(line));
    await client.replies();
    t.equal(client.channel.destroyed, true);
    t.strictSame(store.batches, []);
  }
});

t.test('an id: published once, answered alike, together or later', async (t) => {
  const { store, connect } = bound(await START());
  const client = connect();
  t.strictSame(await client.ask('PUBLISH a 1 ID x', 'PUBLISH a 2 ID x', 'PUBLISH a 3'), [1, 1, 2]);
  t.strictSame(await client.ask('PUBLISH a 4 ID x'), [1]);
  store.failures.push(new RumormillError('DISKFULL', 'no room'));
  t.strictSame(await client.ask('PUBLISH a 5 ID y', 'PUBLISH a 6 ID y'), ['-DISKFULL no room', '-DISKFULL no room']);
  t.match(await client.ask('PUBLISH a 7 ID y'), [Number], 'an id that failed is free');
});

t.test('a shutdown answers what was accepted, and refuses what comes', async (t) => {
  const { broker, store, connect, clock } = bound(await START());
  const [client, reader] = [connect(), connect()];
  const release = store.hold();
  await client.ask('PUBLISH a 1 ID x');
  await reader.ask('POLL b BLOCK 60000');
  const stopping = broker.stop();
  client.send('PUBLISH a 2 ID y', 'PUBLISH a 3 ID y', 'PUBLISH b 4');
  release();
  await clock.settle();
  t.strictSame((await reader.replies()).map(payloads), [[]]);
  t.match(await client.replies(), [1, /^-CLOSING/, /^-CLOSING/, /^-CLOSING/]);
  for (const each of [client, reader]) each.channel.cut();
  await clock.advance(10_000);
  await stopping;
  t.strictSame(store.batches.length, 1);
});

t.test('ACKS none is answered where the store finds no room for the name that it needs', async (t) => {
  const store = new MemoryStore(origin('localhost:3000'));
  await (await START({}, store)).connect().ask('PUBLISH a 1');
  const { clock, connect } = bound(await START({}, store, undefined, [parseAddress('localhost:3001')]));
  store.renew = () => Promise.reject(new RumormillError('DISKFULL', 'no room'));
  const client = connect();
  t.strictSame(
    await client.ask('PUBLISH a 2 ACKS none', 'PING'), [],
    'nobody can be asked yet whether the store is the newest copy',
  );
  await clock.advance(2000);
  t.strictSame(await client.replies(), ['-DISKFULL no room', 'PONG']);
});

t.test('a store that takes long to read when the broker starts keeps its name: peers are asked for as long as ever', async (t) => {
  const { store } = await START();
  await (await START({}, store)).connect().ask('PUBLISH a 1');
  const name = store.origin;
  const clock = new ManualClock();
  store.readIds = async function* () {
    await clock.advance(60_000);
  };
  let random = 7;
  const virtual = await START(
    {}, store, () => (random = (random * 48271) % 2147483647), [parseAddress('localhost:3001')], clock,
  );
  const client = virtual.connect();
  t.strictSame(await client.ask('PUBLISH a 2'), []);
  await clock.advance(1000);
  t.strictSame(await client.replies(), []);
  t.equal(store.origin, name);
  await clock.advance(1000);
  t.match(await client.replies(), [Number], 'until nobody has answered for long');
  t.not(store.origin, name);
});

t.test('over a restart, the ids of a topic are not forgotten for those of others', async (t) => {
  const limits = { dedupeIdsMax: 3 };
  const { store, connect } = bound(await START({ limits }));
  await connect().ask(
    'PUBLISH a one ID x', 'PUBLISH b 1 ID 1', 'PUBLISH b 2 ID 2', 'PUBLISH b 3 ID 3', 'PUBLISH b 4 ID 4',
  );
  const client = (await START({ limits }, store)).connect();
  await client.ask('PUBLISH a again ID x', 'PUBLISH b again ID 1');
  t.strictSame(
    (await client.ask('POLL a b CURSOR earliest')).map(payloads), [['one', '1', '2', '3', '4', 'again']],
    'but for those beyond the limit of their own',
  );
});

/** The broker's parts, to be taken apart. */
function bound(virtual: VirtualBroker): {
  broker: VirtualBroker['broker'];
  store: VirtualBroker['store'];
  clock: VirtualBroker['clock'];
  connect: () => VirtualClient;
} {
  return { broker: virtual.broker, store: virtual.store, clock: virtual.clock, connect: () => virtual.connect() };
}

t.test('POLL in batches: a batch as it is stored, cut where COUNT ends; another FORMAT is refused', async (t) => {
  const client = (await START()).connect();
  await client.ask('PUBLISH a one', 'PUBLISH a two KEY k', 'PUBLISH a three');
  const [reply] = await client.ask('POLL a CURSOR earliest COUNT 2 FORMAT batches') as [[string, unknown[][]]];
  const fields = reply[1].map(([, topic, lamport, , lengths, , body]) => [topic, lamport, lengths, body]);
  t.equal(fields.map(([, , , body]) => body).join(''), 'onetwo');
  t.equal(fields[0]![0], 'a');
  const [rest] = await client.ask(`POLL a CURSOR ${reply[0]} FORMAT BATCHES`) as [[string, unknown[][]]];
  t.strictSame(rest[1].map((batch) => batch[6]), ['three']);
  t.match((await client.ask('POLL a FORMAT xml'))[0], /FORMAT "xml" is not messages or batches/);
});
