/**
 * No command that a client can send holds the event loop: each at its largest is carried out in many rounds, in none of which more is done than a turn has room for.
 * What it takes in milliseconds is measured by `npm run bench -- --only longest`.
 */
import t, { type Test } from 'tap';
import { DEFAULT_LIMITS } from '../brokers/config.ts';
import { LOOK_WORK } from '../brokers/core/turns.ts';
import { encodeCommand } from '../brokers/wire/resp.ts';
import { BusyClock } from './support/busy-clock.ts';
import { VirtualBroker, type VirtualClient } from './support/virtual-broker.ts';

/** How much work a round has room for: a turn within the round of I/O, and one after it. */
const ROUND_WORK = 2 * LOOK_WORK * (DEFAULT_LIMITS.turnMs + 1);

interface Bench {
  readonly virtual: VirtualBroker;
  readonly clock: BusyClock;
  readonly client: VirtualClient;
  /** In how many rounds the commands that are sent together are answered, and the replies. */
  ask(...commands: readonly (readonly string[])[]): Promise<{ rounds: number; replies: unknown[] }>;
}

async function bench(limits: Partial<typeof DEFAULT_LIMITS> = {}): Promise<Bench> {
  const clock = new BusyClock();
  const virtual = await VirtualBroker.start({ limits: { ...limits } }, undefined, undefined, [], clock);
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
  for (const command of ['POLL a CURSOR earliest COUNT 10000', 'RANGE a COUNT 10000', 'POLL a CURSOR earliest COUNT 10000 FORMAT batches']) {
    const { rounds, replies } = await ask(command.split(' '));
    const reply = replies[0] as unknown[];
    const messages = (command.startsWith('POLL') ? reply[1] : reply) as unknown[][];
    if (command.endsWith('batches')) {
      t.ok(messages.length >= 10);
      continue;
    }
    t.strictSame(messages.map(([, , , key, headers, payload]) => `${key} ${headers} ${payload}`), Array.from({ length: 10_000 }, (_, index) => `k n,v ${index}`));
    inTurns(t, rounds, 10_000 * 7, command);
  }
});
