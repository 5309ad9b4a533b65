/** A member lies: it has a link and a proven id, and says what is not so. */
import t from 'tap';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import type { PeerMessage } from '../../brokers/wire/peer-message.ts';
import { testIdentity } from '../support/identity.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { hello, VirtualPeer } from '../support/peer.ts';
import { origin } from '../support/record.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';

const SELF = parseAddress('localhost:3000');
const LIAR = parseAddress('localhost:2999'); // below the broker, which goes on leading
const HONEST = parseAddress('localhost:2998');
const STRANGER = parseAddress('10.1.1.1:22');
const OWN = origin(SELF);

/** A broker with links to a liar and to an honest member; whom it dials is noted. */
async function begin() {
  const dialled: Address[] = [];
  const dial = (address: Address): Promise<never> => {
    dialled.push(address);
    return Promise.reject(new RumormillError('UNREACHABLE', 'there is nobody else'));
  };
  const virtual = await VirtualBroker.start({}, new MemoryStore(OWN), () => 0, [], new ManualClock(), dial);
  virtual.broker.configure([LIAR, HONEST]);
  const link = async (address: Address, seed: number): Promise<VirtualPeer> => {
    const key = testIdentity(seed);
    const peer = new VirtualPeer(virtual.connect(), () => virtual.clock.settle());
    await peer.introduce(hello({ address, instance: `x${seed}` }, key), key);
    return peer;
  };
  return { virtual, dialled, liar: await link(LIAR, 1), honest: await link(HONEST, 2) };
}

const holds = (store: Address, seq: number): PeerMessage => ({ type: 'HELD', held: [[OWN, [[origin(store), seq]]]] });

t.test('what a member says of the disk of another one that has a link counts for nothing', async (t) => {
  const { virtual, liar, honest } = await begin();
  const client = virtual.connect();
  await client.ask('PUBLISH a x ACKS local');
  client.send('PUBLISH a y ACKS all');
  await virtual.clock.settle();
  const seq = virtual.broker.vector().get(OWN)!;
  liar.say({ type: 'VECTOR', lamport: 1, entries: [[OWN, seq]] }, holds(HONEST, seq));
  await liar.heard();
  t.strictSame(await client.replies(), [], 'only two of three disks are known to have it');
  honest.say({ type: 'VECTOR', lamport: 1, entries: [[OWN, seq]] });
  await honest.heard();
  t.equal((await client.replies()).length, 1, 'it says so itself');
});

t.test('a broker that is no member is not dialled because somebody names it', async (t) => {
  const { virtual, dialled, liar } = await begin();
  dialled.length = 0;
  liar.say({ type: 'MEMBERS', beats: [[origin(STRANGER), 1]] });
  await liar.heard();
  await virtual.clock.advance(200);
  t.notOk(dialled.includes(STRANGER));
  t.notOk(virtual.broker.brokers().some(({ address }) => address === STRANGER), 'nor remembered');
});

t.test('a member can neither end the life of another one that has a link, nor give it another store', async (t) => {
  const { virtual, liar, honest } = await begin();
  const client = virtual.connect();
  liar.say({ type: 'MEMBERS', beats: [[origin(HONEST), 1000], [origin(HONEST, 7), 1001]] });
  await liar.heard();
  t.equal(virtual.broker.brokers().find(({ address }) => address === HONEST)?.state, 'alive');
  honest.client.channel.handler.ended();
  client.send('PUBLISH a x ACKS all');
  await virtual.clock.settle();
  const seq = virtual.broker.vector().get(OWN)!;
  const made: PeerMessage = { type: 'HELD', held: [[OWN, [[origin(HONEST, 7), seq]]]] };
  liar.say({ type: 'VECTOR', lamport: 1, entries: [[OWN, seq]] }, made);
  await liar.heard();
  t.strictSame(await client.replies(), [], 'a made-up store of it counts for nothing');
});

t.test('a view of the coordinator, as another one tells it, changes nothing where the coordinator itself is', async (t) => {
  const { virtual, liar, honest } = await begin();
  await virtual.clock.advance(200);
  await honest.heard();
  for (const coordinator of [SELF, HONEST]) {
    liar.say({ type: 'VIEW', view: { coordinator, term: 1, number: 1000, members: [LIAR] } });
  }
  await liar.heard();
  await virtual.clock.advance(200);
  const told = (await honest.heard()).filter((message) => typeof message === 'object' && message.type === 'VIEW');
  t.strictSame(told, [], 'it is not passed on either');
});

t.test('an absurd clock or term costs the link, moves nothing, and the log names who told it', async (t) => {
  const far: PeerMessage[] = [
    { type: 'VECTOR', lamport: Number.MAX_SAFE_INTEGER, entries: [] },
    { type: 'ELECTION', term: Number.MAX_SAFE_INTEGER, lamport: 1 },
    { type: 'COORDINATOR', term: Number.MAX_SAFE_INTEGER, lamport: 1, address: LIAR },
  ];
  for (const message of far) {
    const { virtual, liar } = await begin();
    const { lamport, term } = virtual.broker.status() as { lamport: number; term: number };
    liar.say(message);
    t.match((await liar.heard()).at(-1), /^-ERR .* is above /, message.type);
    const after = virtual.broker.status() as { lamport: number; term: number };
    t.ok(after.lamport < lamport + 100 && after.term === term, message.type);
    t.notOk(liar.client.channel.isOpen, message.type);
    t.match(virtual.warned, [{ event: 'peer refused', peer: LIAR, id: testIdentity(1).id, reason: / is above / }]);
  }
});
