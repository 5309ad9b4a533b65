import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { homeOf } from '../../brokers/core/home/view.ts';
import type { Leases, PeerMessage } from '../../brokers/wire/peer-message.ts';
import { hello, VirtualPeer } from '../support/peer.ts';
import { start } from '../support/virtual-queue.ts';

const HOME = parseAddress('localhost:3000');
const PEER = parseAddress('localhost:2999'); // below the broker, which goes on leading

const isOfHomes = (message: PeerMessage | string): boolean =>
  typeof message === 'object' && (message.type === 'LEASES' || message.type === 'SEEN');

t.test('a broker says that it uses a view once the next home has the leases', async (t) => {
  const view = { coordinator: HOME, term: 1, number: 1, members: [PEER, HOME] };
  const name = Array.from({ length: 99 }, (_, index) => `s${index}`).find((each) => homeOf(each, view) === PEER)!;
  const said = ['TOPIC CREATE a', `SUBSCRIPTION CREATE ${name}`, `BIND ${name} a`];
  const { virtual, client } = await start({ rows: [PEER] }, ...said);
  await client.ask('PUBLISH a x', `PULL ${name}`);
  const peer = new VirtualPeer(virtual.connect(), () => virtual.clock.settle());
  /** What the peer is told of leases and words within so many ms. */
  const told = async (ms: number): Promise<(PeerMessage | string)[]> => {
    await virtual.clock.advance(ms);
    return (await peer.heard()).filter(isOfHomes);
  };
  const first = (await peer.introduce(hello({ address: PEER, dialled: HOME }))).filter(isOfHomes);
  const [leases, ...others] = [...first, ...(await told(200))];
  t.match(leases, { type: 'LEASES', subscription: name, from: HOME, to: PEER });
  t.strictSame(others, []);
  t.match(await told(300), [leases!], 'it is sent again');
  peer.say({ type: 'TAKEN', from: PEER, to: HOME, hops: 0, id: (leases as Leases).id });
  t.match(await told(0), [{ type: 'SEEN', members: [HOME], isFar: false }]);
});
