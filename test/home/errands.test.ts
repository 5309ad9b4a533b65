import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { CommandParser } from '../../brokers/wire/command-parser.ts';
import { decodePeerMessage, encodePeerMessage } from '../../brokers/wire/peer-codec.ts';
import { PEER_PROTOCOL_VERSION, type PeerMessage } from '../../brokers/wire/peer-message.ts';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { origin } from '../support/record.ts';
import type { VirtualClient } from '../support/virtual-broker.ts';
import { BOUND, start } from '../support/virtual-queue.ts';

const LIMITS = { bulkBytesMax: 100_000, commandBytesMax: 200_000 };
const HOME = parseAddress('localhost:3000');
const PEER = parseAddress('localhost:2999'); // below the broker, which goes on leading

function send(peer: VirtualClient, message: PeerMessage): void {
  peer.sendBytes(Buffer.concat(encodePeerMessage(message)));
}

/** An attempt of one errand: PURGE at the broker. */
function attempt(id: number, number: number): PeerMessage {
  return {
    type: 'ASK', id, home: HOME, hops: 0, consumer: 'c', waitedMs: 0, version: 2, errand: 'x/1', attempt: number,
    known: [], command: ['PURGE', 's'].map((word) => Buffer.from(word)),
  };
}

t.test('of the attempts of one errand an older one that comes later is not carried out', async (t) => {
  const { virtual, client } = await start({}, ...BOUND);
  const peer = virtual.connect();
  send(peer, {
    type: 'PEER', version: PEER_PROTOCOL_VERSION, mesh: 'default', address: PEER, origin: origin(PEER, 1), lamport: 1,
    instance: 'peer', wants: 'link', dialled: HOME, time: 0, names: [],
  });
  const parser = new CommandParser(LIMITS);
  /** The answers that have come. */
  const answers = async (): Promise<string[]> => {
    await virtual.clock.settle();
    for (const bytes of peer.channel.onTheWay.splice(0)) parser.push(Buffer.from(bytes));
    const replies: string[] = [];
    for (let args = parser.next(); args !== undefined; args = parser.next()) {
      const message = decodePeerMessage(args, DEFAULT_LIMITS);
      if (message.type === 'ANSWER') replies.push(`${message.id} ${Buffer.from(message.reply).toString().trim()}`);
    }
    return replies;
  };
  await client.ask('PUBLISH a x', 'PUBLISH a y');
  send(peer, attempt(1, 2));
  t.strictSame(await answers(), ['1 :2'], 'the newer attempt is carried out');
  await client.ask('PUBLISH a z');
  send(peer, attempt(2, 1));
  t.match(await answers(), [/^2 -MOVED /], 'the older one is not');
  send(peer, attempt(3, 3));
  t.strictSame(await answers(), ['3 :1'], 'what was published meanwhile is still there');
});
