import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import type { PeerMessage } from '../../brokers/wire/peer-message.ts';
import { hello, VirtualPeer } from '../support/peer.ts';
import { BOUND, start } from '../support/virtual-queue.ts';

const HOME = parseAddress('localhost:3000');
const PEER = parseAddress('localhost:2999'); // below the broker, which goes on leading

/** An attempt of an errand: PURGE at the broker. */
function attempt(id: number, number: number, errand = 'x/1'): PeerMessage {
  return {
    type: 'ASK', id, home: HOME, hops: 0, consumer: 'c', waitedMs: 0, version: 2, errand, attempt: number,
    known: [], command: ['PURGE', 's'].map((word) => Buffer.from(word)),
  };
}

t.test('of the attempts of one errand an older one that comes later is not carried out, and a newer one is answered as the first', async (t) => {
  const { virtual, client } = await start({ rows: [PEER] }, ...BOUND);
  const peer = new VirtualPeer(virtual.connect(), () => virtual.clock.settle());
  await peer.introduce(hello({ address: PEER, dialled: HOME }));
  /** The answers that have come. */
  const answers = async (): Promise<string[]> =>
    (await peer.heard()).flatMap((message) =>
      typeof message === 'object' && message.type === 'ANSWER'
        ? [`${message.id} ${Buffer.from(message.reply).toString().trim()}`]
        : [],
    );
  await client.ask('PUBLISH a x', 'PUBLISH a y');
  peer.say(attempt(1, 2));
  t.strictSame(await answers(), ['1 :2'], 'the newer attempt is carried out');
  await client.ask('PUBLISH a z');
  peer.say(attempt(2, 1));
  t.match(await answers(), [/^2 -MOVED /], 'the older one is not');
  peer.say(attempt(3, 3));
  t.strictSame(await answers(), ['3 :2'], 'a newer one is not either, and tells what was done');
  peer.say(attempt(4, 1, 'x/2'));
  t.strictSame(await answers(), ['4 :1'], 'what was published meanwhile is still there');
});
