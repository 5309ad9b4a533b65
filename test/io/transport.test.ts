import { existsSync, readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { type Address, makeAddress } from '../../brokers/core/address.ts';
import type { Channel, ChannelHandler } from '../../brokers/core/runtime.ts';
import { makeTcpTransport, tcpTransport } from '../../brokers/io/transport.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';

/** Writes down what happens on a channel. */
class Recorder implements ChannelHandler {
  readonly chunks: Buffer[] = [];
  drains = 0;
  sendings = 0;
  hasEnded = false;
  isClosed = false;
  reason: string | undefined;

  data(chunk: Buffer): void {
    this.chunks.push(chunk);
  }

  sent(): void {
    this.sendings += 1;
  }

  drain(): void {
    this.drains += 1;
  }

  ended(): void {
    this.hasEnded = true;
  }

  closed(reason: string | undefined): void {
    this.isClosed = true;
    this.reason = reason;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

async function localAddress(): Promise<Address> {
  const [port] = await freePorts(1);
  return makeAddress('127.0.0.1', port!);
}

const LINGER_MS = 200;

const portOf = (address: Address): number => Number(address.split(':')[1]);

/** Both ends of a connection. */
async function connection(t: Test): Promise<{ dialled: Channel; accepted: Channel }> {
  const address = await localAddress();
  const channels: Channel[] = [];
  const listener = await tcpTransport.listen(address, (channel) => channels.push(channel), (reason) => t.fail(reason));
  const dialled = await tcpTransport.dial(address, 1000);
  const accepted = await waitFor('it is accepted', () => channels[0]);
  t.teardown(async () => {
    dialled.destroy();
    accepted.destroy();
    await listener.close();
  });
  return { dialled, accepted };
}

/** A plain socket to a listener of ours. */
async function plain(t: Test, accept: (channel: Channel) => void, transport = tcpTransport): Promise<Socket> {
  const address = await localAddress();
  const listener = await transport.listen(address, accept, (reason) => t.fail(reason));
  const socket = connect({ port: portOf(address), host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(async () => {
    socket.destroy();
    await listener.close();
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

// of Linux: local address, remote address, state, queues, timer; 02 is the one of keep-alive
const SOCKETS = '/proc/net/tcp';
const KEEP_ALIVE_TIMER = '02';

t.test('a client whose machine is gone is noticed: the system asks now and then', { skip: !existsSync(SOCKETS) && `no ${SOCKETS}` }, async (t) => {
  const socket = await plain(t, (channel) => channel.attach(new Recorder()));
  const hex = (port: number | undefined): string => `0100007F:${port!.toString(16).toUpperCase().padStart(4, '0')}`;
  const timer = (): string | undefined => {
    const rows = readFileSync(SOCKETS, 'utf8').split('\n').map((row) => row.trim().split(/\s+/));
    return rows
      .find(([, local, remote]) => local === hex(socket.remotePort) && remote === hex(socket.localPort))?.[5]
      ?.slice(0, 2);
  };
  t.ok(await waitFor('the timer of keep-alive', () => timer() === KEEP_ALIVE_TIMER, 2000));
});

t.test('bytes go both ways, in order', async (t) => {
  const { dialled, accepted } = await connection(t);
  const [left, right] = [new Recorder(), new Recorder()];
  dialled.attach(left);
  accepted.attach(right);
  for (const word of ['one ', 'two ', 'three']) dialled.write(Buffer.from(word));
  accepted.write(Buffer.from('answer'));
  await waitFor('both have it', () => right.text === 'one two three' && left.text === 'answer');
  t.match(accepted.remote, /^127\.0\.0\.1:\d+$/);
});

t.test('nothing is delivered before a handler is there, and a second one takes over', async (t) => {
  const { dialled, accepted } = await connection(t);
  dialled.write(Buffer.from('early'));
  const [first, second] = [new Recorder(), new Recorder()];
  accepted.attach(first);
  await waitFor('it is delivered', () => first.text === 'early');
  accepted.attach(second);
  dialled.write(Buffer.from('late'));
  await waitFor('the second has it', () => second.text === 'late');
  t.equal(first.text, 'early');
});

t.test('what is written in one turn travels together', async (t) => {
  const channels: Channel[] = [];
  const socket = await plain(t, (channel) => channels.push(channel));
  const chunks: number[] = [];
  socket.on('data', (chunk) => chunks.push(chunk.length));
  const channel = await waitFor('it is accepted', () => channels[0]);
  channel.attach(new Recorder());
  for (let count = 0; count < 500; count += 1) channel.write(Buffer.from('x'));
  t.equal(channel.bufferedBytes, 500);
  await waitFor('all is there', () => chunks.reduce((sum, length) => sum + length, 0) === 500);
  t.strictSame(chunks, [500], 'in one piece');
});

t.test('flush sends what was written so far without waiting for the end of the turn', async (t) => {
  const { dialled, accepted } = await connection(t);
  const recorder = new Recorder();
  accepted.attach(recorder);
  for (const text of ['one ', 'turn; ']) dialled.write(Buffer.from(text));
  t.equal(dialled.bufferedBytes, 10);
  dialled.flush();
  t.equal(dialled.bufferedBytes, 0, 'the system has it');
  dialled.write(Buffer.from('the rest'));
  t.equal(dialled.bufferedBytes, 8, 'which waits again');
  await waitFor('all of it is there', () => recorder.text === 'one turn; the rest');
  dialled.flush();
  t.equal(dialled.bufferedBytes, 0, 'nothing to send');
});

t.test('a client that has sent its last byte still gets its answer', async (t) => {
  let answered = false;
  const socket = await plain(t, (channel) => {
    const recorder = new Recorder();
    channel.attach({
      data: (chunk) => recorder.data(chunk),
      sent: () => undefined,
      drain: () => undefined,
      closed: () => undefined,
      ended() {
        channel.write(Buffer.from(`you said ${recorder.text}`));
        answered = true;
        channel.end();
      },
    });
  });
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString()));
  const ended = new Promise((resolve) => socket.once('end', resolve));
  socket.end('hello');
  await ended;
  t.equal(answered, true);
  t.equal(text, 'you said hello');
});

t.test('pausing holds the other side up; drain tells when it is over', async (t) => {
  const { dialled, accepted } = await connection(t);
  const [sender, receiver] = [new Recorder(), new Recorder()];
  dialled.attach(sender);
  accepted.attach(receiver);
  accepted.pause();
  const bytes = 32 * 1024 * 1024; // more than the system takes over
  dialled.write(Buffer.alloc(bytes));
  await waitFor('the system has taken what it takes', () => dialled.bufferedBytes > 0);
  t.equal(sender.drains, 0);
  accepted.resume();
  await waitFor('all is there', () => receiver.chunks.reduce((sum, { length }) => sum + length, 0) === bytes);
  await waitFor('drained', () => sender.drains === 1);
  t.equal(dialled.bufferedBytes, 0);
});

t.test('end sends what is queued; destroy does not; both are seen on the other side, once', async (t) => {
  const orderly = await connection(t);
  const [left, right] = [new Recorder(), new Recorder()];
  orderly.dialled.attach(left);
  orderly.accepted.attach(right);
  orderly.dialled.write(Buffer.from('last words'));
  orderly.dialled.end();
  await waitFor('it has ended', () => right.hasEnded);
  t.equal(right.text, 'last words');
  t.equal(right.isClosed, false, 'the other direction is open');
  orderly.dialled.write(Buffer.from('ignored'));
  orderly.accepted.end();
  await waitFor('both are closed', () => left.isClosed && right.isClosed);
  t.strictSame([left.reason, right.reason], [undefined, undefined]);

  const abrupt = await connection(t);
  const other = new Recorder();
  abrupt.accepted.attach(other);
  abrupt.dialled.attach(new Recorder());
  abrupt.dialled.destroy();
  await waitFor('the other side knows', () => other.isClosed || other.hasEnded);
  abrupt.dialled.write(Buffer.from('ignored'));
});

t.test('listening where it cannot be: one line that says why', async (t) => {
  const server = createServer();
  const address = await localAddress();
  await new Promise<void>((resolve) => server.listen(portOf(address), '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const nothing = (): void => undefined;
  await t.rejects(tcpTransport.listen(address, nothing, nothing), {
    code: 'CONFIG', message: `port ${portOf(address)} on 127.0.0.1 is in use; is a broker running there already?`,
  });
  await t.rejects(tcpTransport.listen(makeAddress('192.0.2.1', 3000), nothing, nothing), {
    code: 'CONFIG', message: '192.0.2.1 is not an address of this machine; use --bind to listen on another',
  });
});

t.test('a listener that is closed accepts nothing more, and open channels stay open', async (t) => {
  const address = await localAddress();
  const channels: Channel[] = [];
  const listener = await tcpTransport.listen(address, (channel) => channels.push(channel), (reason) => t.fail(reason));
  const dialled = await tcpTransport.dial(address, 1000);
  const accepted = await waitFor('it is accepted', () => channels[0]);
  await listener.close();
  await t.rejects(tcpTransport.dial(address, 1000), { code: 'UNREACHABLE' });
  const recorder = new Recorder();
  dialled.attach(recorder);
  accepted.write(Buffer.from('still here'));
  await waitFor('it is open', () => recorder.text === 'still here');
  dialled.destroy();
  accepted.destroy();
});

t.test('dialling where nobody listens', async (t) => {
  const address = await localAddress();
  await t.rejects(tcpTransport.dial(address, 1000), {
    code: 'UNREACHABLE',
    message: new RegExp(`^${address}: .*ECONNREFUSED`),
  });
  await t.rejects(tcpTransport.dial(makeAddress('no-such-host.invalid', 1), 5000), { code: 'UNREACHABLE' });
});

t.test('who goes on sending when all has been said to it is cut off', async (t) => {
  const channels: Channel[] = [];
  const socket = await plain(t, (channel) => channels.push(channel), makeTcpTransport(LINGER_MS));
  const channel = await waitFor('it is accepted', () => channels[0]);
  const recorder = new Recorder();
  channel.attach(recorder);
  socket.on('error', () => undefined); // the reset
  const heard: Buffer[] = [];
  socket.on('data', (chunk) => heard.push(chunk));
  const sending = setInterval(() => socket.write('more'), 20);
  t.teardown(() => clearInterval(sending));
  channel.write(Buffer.from('goodbye'));
  channel.end();
  await waitFor('it is cut off', () => recorder.isClosed);
  t.equal(Buffer.concat(heard).toString(), 'goodbye');
});
