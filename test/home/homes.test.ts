import t from 'tap';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { homeOf } from '../../brokers/core/home/view.ts';
import { CommandParser } from '../../brokers/wire/command-parser.ts';
import { decodePeerMessage, encodePeerMessage } from '../../brokers/wire/peer-codec.ts';
import { PEER_PROTOCOL_VERSION, type PeerMessage } from '../../brokers/wire/peer-message.ts';
import { origin } from '../support/record.ts';
import { start } from '../support/virtual-queue.ts';

const HOME = parseAddress('localhost:3000');
const PEER = parseAddress('localhost:2999'); // below the broker, which goes on leading

t.test('a broker says that it uses a view once the next home has the leases', async (t) => {
  const view = { coordinator: HOME, term: 1, number: 1, members: [PEER, HOME] };
  const name = Array.from({ length: 99 }, (_, index) => `s${index}`).find((each) => homeOf(each, view) === PEER)!;
  const { virtual, client } = await start({}, 'TOPIC CREATE a', `SUBSCRIPTION CREATE ${name}`, `BIND ${name} a`);
  await client.ask('PUBLISH a x', `PULL ${name}`);
  const peer = virtual.connect();
  const send = (message: PeerMessage): void => peer.sendBytes(Buffer.concat(encodePeerMessage(message)));
  send({
    type: 'PEER', version: PEER_PROTOCOL_VERSION, mesh: 'default', address: PEER, origin: origin(PEER, 1), lamport: 1,
    instance: 'peer', wants: 'link', dialled: HOME, time: 0, names: [],
  });
  const parser = new CommandParser({ bulkBytesMax: 100_000, commandBytesMax: 200_000 });
  /** What the peer is told of leases and words within so many ms. */
  const told = async (ms: number): Promise<PeerMessage[]> => {
    await virtual.clock.advance(ms);
    for (const bytes of peer.channel.onTheWay.splice(0)) parser.push(Buffer.from(bytes));
    const messages: PeerMessage[] = [];
    for (let args = parser.next(); args !== undefined; args = parser.next()) {
      const message = decodePeerMessage(args, DEFAULT_LIMITS);
      if (message.type === 'LEASES' || message.type === 'SEEN') messages.push(message);
    }
    return messages;
  };
  const [leases, ...others] = await told(200);
  t.match(leases, { type: 'LEASES', subscription: name, from: HOME, to: PEER });
  t.strictSame(others, []);
  t.match(await told(300), [leases!], 'it is sent again');
  send({ type: 'TAKEN', from: PEER, to: HOME, hops: 0, id: leases?.type === 'LEASES' ? leases.id : 0 });
  t.match(await told(0), [{ type: 'SEEN', members: [HOME], isFar: false }]);
});
