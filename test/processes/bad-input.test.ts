import t from 'tap';
import { COUNTER_MAX } from '../../brokers/core/counter.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { hello, introduce } from '../support/peer.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';

const MIB = 1024 * 1024;

t.test('a command that is wrong gets an error that names it, and the connection lives on', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const client = await cluster.brokers[0]!.connect();
  const cases: [args: (string | number)[], code: string, what: RegExp][] = [
    [['NONSENSE'], 'ERR', /unknown command "NONSENSE"/],
    [['toString'], 'ERR', /unknown command "toString"/],
    [[''], 'ERR', /unknown command ""/],
    [['PUBLISH'], 'ERR', /wrong number of arguments for PUBLISH/],
    [['PUBLISH', 'news'], 'ERR', /wrong number of arguments for PUBLISH/],
    [['PUBLISH', 'news', 'x', 'COLOUR', 'red'], 'ERR', /unknown option "COLOUR" of PUBLISH/],
    [['PUBLISH', 'news', 'x', 'KEY'], 'ERR', /"KEY" needs a value/],
    [['PUBLISH', 'news', 'x', 'HEADER', 'name'], 'ERR', /"HEADER" needs a value/],
    [['PUBLISH', 'news', 'x', 'ACKS', 'most'], 'ERR', /ACKS "most" is not none, local, quorum or all/],
    [['PUBLISH', 'news', 'x', 'LAMPORT', '-1'], 'ERR', /LAMPORT "-1" is not an integer from 0/],
    [
      ['PUBLISH', 'news', 'x', 'LAMPORT', '9007199254740992'], 'ERR',
      /LAMPORT "9007199254740992" is not an integer from 0 to 9007199254740991$/,
    ],
    [
      ['PUBLISH', 'news', 'x', 'LAMPORT', '400000000000000'], 'ERR',
      /LAMPORT 400000000000000 is \d+ ahead of this broker.s \d+, which follows publishers by 1048576 a second/,
    ],
    [
      ['PUBLISH', 'news', 'x'.repeat(MIB + 1)], 'TOOBIG',
      /payload of 1048577 bytes is over 1048576; nothing was stored/,
    ],
    [['PUBLISH', '', 'x'], 'ERR', /topic name is empty/],
    [['PUBLISH', 'é'.repeat(128), 'x'], 'TOOBIG', /topic name is over 255 bytes/],
    [['PUBLISH', 'a\nb', 'x'], 'ERR', /topic name "a\\nb" has control characters/],
    [['PUBLISH', 'news', 'x', 'KEY', 'k'.repeat(1025)], 'TOOBIG', /key is over 1024 bytes/],
    [['PUBLISH', 'news', 'x', 'HEADER', 'h', 'v'.repeat(8192)], 'TOOBIG', /headers are more than 64/],
    [['PUBLISH', 'news', 'x', 'ID', 'i'.repeat(129)], 'TOOBIG', /dedupe id is over 128 bytes/],
    [['POLL'], 'ERR', /wrong number of arguments for POLL; usage: POLL topic/],
    [['POLL', 'news', 'COUNT', '0'], 'ERR', /COUNT "0" is not an integer from 1 to 10000/],
    [['POLL', 'news', 'BLOCK', 'soon'], 'ERR', /BLOCK "soon" is not an integer/],
    [['POLL', 'news', 'COUNT', '1.5'], 'ERR', /COUNT "1.5"/],
    [['POLL', 'news', 'CURSOR', 'nonsense'], 'ERR', /"nonsense" is not a cursor/],
    [['POLL', 'a\x00b'], 'ERR', /control characters/],
    [['RANGE', 'news', 'FROM', '-5'], 'ERR', /FROM "-5"/],
    [['LATEST', 'a', 'b'], 'ERR', /wrong number of arguments for LATEST/],
    [['SUBSCRIBE', ''], 'ERR', /topic name is empty/],
    [['MESH', 'NONSENSE'], 'ERR', /unknown subcommand MESH "NONSENSE"; LEADER, BROKERS, VECTOR, STATUS/],
    [['HELLO', '4'], 'NOPROTO', /unsupported protocol version/],
    [['SELECT', '1'], 'ERR', /is not an integer from 0 to 0/],
    [['AUTH', 'secret'], 'ERR', /no password is configured/],
  ];
  for (const [args, code, message] of cases) {
    const title = args.join(' ').slice(0, 60);
    t.match(await client.command(...args), { code, message }, title);
    t.equal(await client.command('PING'), 'PONG', `${title}: lives on`);
  }
  t.equal((await cluster.brokers[0]!.status())['messages'], '0', 'nothing was stored');
  t.ok(await client.publish('t'.repeat(255), 'x'.repeat(MIB)) > 0, 'what just fits is taken');
});

t.test('bytes that are not RESP get an error, and the connection is closed', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const broker = cluster.brokers[0]!;
  const other = await broker.connect();
  const cases: [name: string, bytes: string, message: RegExp][] = [
    ['length that is no number', '*1\r\n$abc\r\nPING\r\n', /^Protocol error: invalid bulk length/],
    ['negative length', '*1\r\n$-5\r\n', /^Protocol error: invalid bulk length/],
    ['missing $', '*2\r\n$4\r\nECHO\r\n:3\r\n', /^Protocol error: expected '\$', got ":"/],
    ['64 KiB of garbage', 'x'.repeat(70_000), /^Protocol error: too big inline request/],
    [
      'bulk over the limit', '*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$9000000\r\n',
      /^Protocol error: invalid bulk length/,
    ],
    ['2^31 items', '*2147483648\r\n', /^Protocol error: invalid multibulk length/],
    ['items that are no number', '*x\r\n', /^Protocol error: invalid multibulk length/],
    ['bulk without its end', '*1\r\n$4\r\nPINGxx', /^Protocol error: bulk string is not followed by CR LF/],
    ['unbalanced quotes', 'PUBLISH news "hello\r\n', /^Protocol error: unbalanced quotes/],
  ];
  for (const [name, bytes, message] of cases) {
    const client = await broker.connect();
    client.raw(encodeCommand(['PUBLISH', 'before', name]));
    client.raw(`${bytes}PUBLISH after the-error\r\n`);
    t.type(await client.next(), 'number', `${name}: what came before is answered`);
    t.match(await client.next(), { code: 'ERR', message }, name);
    await client.closed;
    t.equal(client.hasReply, false, `${name}: closed without another word`);
  }
  t.equal(await other.command('PING'), 'PONG', 'nobody else notices');
  t.equal(await other.command('LATEST', 'after'), null, 'nothing behind the error was carried out');
});

t.test('an HTTP request is dropped, with one line, and nothing of it is carried out', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const broker = cluster.brokers[0]!;
  const post = await broker.connect();
  post.raw('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nPUBLISH news gotcha\r\n');
  await post.closed;
  t.equal(post.hasReply, false);
  const get = await broker.connect();
  get.raw('GET / HTTP/1.1\r\nHost: localhost\r\n\r\nPUBLISH news gotcha\r\n');
  await get.closed;
  const lines = broker.logged('not a client: an HTTP request, connection dropped');
  t.match(lines, [{ level: 'warn', command: 'POST' }, { level: 'warn', command: 'HOST:' }]);
  t.equal(lines.length, 2, 'one line each');
  t.equal((await broker.status())['messages'], '0');
});

t.test('a peer that tells of absurd clocks, terms, beats and views leaves the mesh as it was', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  await waitFor(
    'a coordinator',
    async () => (await low.leader()) === high.address && (await high.leader()) === high.address,
  );
  const publisher = await low.connect();
  for (let count = 0; count < 1000; count += 1) publisher.send('PUBLISH', 'news', count);
  // their clocks have begun
  for (let count = 0; count < 1000; count += 1) t.type(await publisher.next(), 'number') || t.bailout();
  const most = COUNTER_MAX;
  const stranger = parseAddress('10.9.9.9:1');
  const absurd = [
    ['VECTOR', most],
    ['ELECTION', most, 1],
    ['OK', 1, most],
    ['COORDINATOR', most, stranger, 1],
    ['MEMBERS', `${low.address}/00000000000f`, most],
    ['VIEW', high.address, most, 1, stranger],
    ['VIEW', high.address, 1, most, stranger],
    ['RECORDS', `${stranger}/000000000000`, 1, 1, most, 0, 'news', '', '[1]', '', 'x', 0, ''],
  ];
  for (const message of [undefined, ...absurd]) {
    const peer = await low.connect();
    await introduce(peer, hello({ address: stranger, lamport: message === undefined ? most : 1 }));
    if (message !== undefined) peer.send(...message);
    await peer.closed;
  }
  for (const broker of [low, high]) {
    const client = await broker.connect();
    const lamport = await client.command('PUBLISH', 'news', 'x', 'ACKS', 'all');
    t.ok(typeof lamport === 'number' && lamport < 10_000, `${String(lamport)} is a clock that counts on`);
    t.equal(await broker.leader(), high.address);
    t.ok(Number((await broker.status())['term']) < 10);
  }
});

t.test('a peer that sends records that no publisher can send is cut off with a line that names it, and nothing is stored', async (t) => {
  const cluster = new Cluster(t);
  const [own, other] = await freePorts(2) as [number, number];
  cluster.list([own, other].map((port) => `127.0.0.1,${port}`));
  const broker = cluster.add(own);
  await broker.start();
  const stranger = parseAddress(`127.0.0.1:${other}`); // in a row, and another program
  const origin = `${stranger}/000000000000`;
  const record = (topic: string, meta: string, payload: Buffer): (string | number | Buffer)[] => [
    'RECORDS', origin, 1, 1, 1, 0, topic, '', `[${payload.length}]`, meta, payload, 0, '',
  ];
  const small = Buffer.from('x');
  const headers = JSON.stringify({ headers: [new Array<string>(20_000).fill('h')] });
  const cases: [message: (string | number | Buffer)[], why: RegExp][] = [
    [record('x'.repeat(100_000), '', small), /topic is over 255 bytes/],
    [record('a\u0007b', '', small), /topic has control characters/],
    [record('', '', small), /topic is empty/],
    [record('news', '', Buffer.alloc(MIB + 1)), /a payload of 1048577 bytes is too large/],
    [record('news', headers, small), /headers is not one list per message, within the limits/],
    [record('news', JSON.stringify({ keys: ['k'.repeat(1025)] }), small), /keys is not one key/],
    [record('news', JSON.stringify({ ids: ['i'.repeat(129)] }), small), /ids is not one id/],
  ];
  for (const [message, why] of cases) {
    const peer = await broker.connect();
    await introduce(peer, hello({ address: stranger }));
    peer.send('VECTOR', 1, origin, 1);
    peer.send(...message);
    await peer.closed;
    await waitFor(String(why), () =>
      broker.log.some((line) => line['peer'] === stranger && why.test(String(line['reason']))),
    );
  }
  t.equal((await broker.status())['messages'], '0');
});

t.test('a client that goes away in the middle of a command, or while it waits, leaves nothing behind', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const broker = cluster.brokers[0]!;
  const [half, waiting, listening] = [await broker.connect(), await broker.connect(), await broker.connect()];
  half.raw('*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$100\r\nhalf');
  waiting.send('POLL', 'news', 'BLOCK', 60_000);
  await listening.command('SUBSCRIBE', 'news');
  for (const client of [half, waiting, listening]) client.close();
  const other = await broker.connect();
  let [left, waiters] = ['', ''];
  while (left !== '2' || waiters !== '0') {
    ({ connections: left = '', waiters = '' } = await broker.status());
  } // the other's and that of the question
  t.ok((await other.publish('news', 'to nobody')) > 0);
  t.strictSame(await other.command('PUBSUB', 'NUMSUB', 'news'), [Buffer.from('news'), 0]);
});

t.test('inline commands are enough for a person with nc, who gets the answer after the last line', async (t) => {
  const cluster = await Cluster.start(t, 1);
  const client = await cluster.brokers[0]!.connect();
  client.raw('PUBLISH news "hello world"\r\n\r\nLATEST news\n');
  client.endSending();
  const lamport = await client.next();
  t.type(lamport, 'number');
  t.match(await client.next(), [Buffer, Buffer.from('news'), lamport, null, [], Buffer.from('hello world')]);
  await client.closed;
});
