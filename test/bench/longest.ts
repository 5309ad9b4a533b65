/**
 * How long commands at their largest hold up everybody else: `npm run longest`. One client sends a command, another one
 * a PING each millisecond meanwhile; the longest answer to one of those is how long the broker did nothing else. That
 * many rounds are needed, and how much is done in each, is tested by test/session/longest.test.ts; this gives the
 * milliseconds.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { encodeCursor } from '../../brokers/core/read/cursor.ts';
import { makeOrigin } from '../../brokers/core/log/record.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { BrokerProcess } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';

type Command = readonly (string | number)[];

/** A connection that counts replies and does not keep them. */
class Client {
  readonly #socket: Socket;
  readonly #parser = new ReplyParser();
  #left = 0;
  #done: (() => void) | undefined;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1').setNoDelay(true);
    this.#socket.on('data', (chunk) => {
      this.#parser.push(chunk);
      while (this.#parser.next() !== undefined) if ((this.#left -= 1) === 0) this.#done?.();
    });
  }

  /** Sends commands together; resolves when so many replies have come, one each by default. */
  send(commands: readonly Command[], replies = commands.length): Promise<void> {
    this.#left = replies;
    this.#socket.write(Buffer.concat(commands.map((command) => encodeCommand(command))));
    return new Promise((resolve) => (this.#done = resolve));
  }

  end(): void {
    this.#socket.destroy();
  }
}

/**
 * Sends a PING each millisecond, in a thread of its own, and tells the longest wait for an answer each time it is
 * asked.
 */
async function ping(port: number): Promise<void> {
  const client = new Client(port);
  let longest = 0;
  parentPort!.on('message', () => {
    parentPort!.postMessage(longest);
    longest = 0;
  });
  for (;;) {
    const sent = performance.now();
    await client.send([['PING']]);
    longest = Math.max(longest, performance.now() - sent);
    await wait(1);
  }
}

/** The longest wait of a PING while something is done, ms. */
async function longestWait(pinger: Worker, task: () => Promise<void>): Promise<number> {
  const longest = async (): Promise<number> => {
    pinger.postMessage('longest');
    return ((await once(pinger, 'message')) as [number])[0];
  };
  await longest();
  await task();
  return longest();
}

function many(count: number, command: (index: number) => Command): Command[] {
  return Array.from({ length: count }, (_, index) => command(index));
}

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

const origin = (tag: number): ReturnType<typeof makeOrigin> => makeOrigin(parseAddress('h:1'), () => tag);
const longCursor = encodeCursor({
  instance: '000000000001', position: 1,
  vector: new Map(Array.from({ length: 8000 }, (_, index) => [origin(index * 65_537), index])),
});

const CASES: readonly [name: string, commands: readonly Command[]][] = [
  ['100,000 PINGs in one go', many(100_000, () => ['PING'])],
  ['100,000 PUBLISHes in one go', many(100_000, () => ['PUBLISH', 'news', 'x'])],
  ['publishes on 20,000 topics', many(20_000, (index) => ['PUBLISH', `topic ${index}`, 'x'])],
  ['TOPIC LIST', [['TOPIC', 'LIST']]],
  ['TOPIC LIST of a long pattern', [['TOPIC', 'LIST', `*${'t*'.repeat(120)}`]]],
  ['POLL of 10,000', [['POLL', 'news', 'CURSOR', 'earliest', 'COUNT', 10_000]]],
  ['RANGE of 10,000', [['RANGE', 'news', 'COUNT', 10_000]]],
  ['LATEST, a hundred times', many(100, () => ['LATEST', 'news'])],
  ['POLL of 1,000 topics', [['POLL', ...names('topic ', 1000), 'CURSOR', 'earliest', 'COUNT', 10_000]]],
  ['a cursor of 8,000 stores, 30 times', many(30, () => ['POLL', 'news', 'CURSOR', longCursor])],
  ['COMMAND DOCS, a thousand times', many(1000, () => ['COMMAND', 'DOCS'])],
  ['MESH STATUS, a thousand times', many(1000, () => ['MESH', 'STATUS'])],
];

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'longest-'));
  const [port] = (await freePorts(1)) as [number];
  const csv = join(folder, 'globalState.csv');
  writeFileSync(csv, `127.0.0.1,${port}\n`);
  const broker = new BrokerProcess(port, { 'data-dir': folder, 'global-state': csv, 'log-level': 'warn' });
  broker.spawn();
  await waitFor('the broker serves', () => broker.status().then(() => true, () => false), 60_000);
  const pinger = new Worker(new URL(import.meta.url), { workerData: port });
  const [sender, subscriber] = [new Client(port), new Client(port)];
  const tell = async (name: string, task: () => Promise<void>): Promise<void> => {
    console.log(`${(await longestWait(pinger, task)).toFixed(1).padStart(8)}  ${name}`);
  };
  console.log('longest wait of a PING meanwhile, ms');
  await tell('nothing', () => wait(2000));
  for (const [name, commands] of CASES) await tell(name, () => sender.send(commands));
  await tell('PSUBSCRIBE of 10,000 patterns', () =>
    subscriber.send([['PSUBSCRIBE', ...names('*a'.repeat(100), 10_000)]], 10_000),
  );
  await tell('a publish for which they are tried', () =>
    sender.send([['PUBLISH', 'a'.repeat(255), 'x']]).then(() => wait(1000)),
  );
  await pinger.terminate();
  for (const each of [sender, subscriber]) each.end();
  await broker.dispose();
  rmSync(folder, { recursive: true, force: true });
}

await (isMainThread ? main() : ping(workerData as number));
