/** A member lies: it has a link and a proven id, and says what is not so. */
import t from 'tap';
import { type ConfigOptions, DEFAULT_LIMITS } from '../../brokers/config.ts';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import { type Origin } from '../../brokers/core/log/record.ts';
import { homeOf } from '../../brokers/core/home/view.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import type { PeerMessage } from '../../brokers/wire/peer-message.ts';
import { testIdentity } from '../support/identity.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { bytesOf, hello, VirtualPeer } from '../support/peer.ts';
import { origin } from '../support/record.ts';
import { history } from '../support/signed.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';

const SELF = parseAddress('localhost:3000');
const LIAR = parseAddress('localhost:2999'); // below the broker, which goes on leading
const HONEST = parseAddress('localhost:2998');
const STRANGER = parseAddress('10.1.1.1:22');

/** A broker with links to a liar and to an honest member; whom it dials is noted. */
async function begin(limits: ConfigOptions['limits'] = {}) {
  const dialled: Address[] = [];
  const dial = (address: Address): Promise<never> => {
    dialled.push(address);
    return Promise.reject(new RumormillError('UNREACHABLE', 'there is nobody else'));
  };
  const store = new MemoryStore(origin(SELF));
  const virtual = await VirtualBroker.start({ limits }, store, () => 0, [], new ManualClock(), dial);
  virtual.broker.configure([LIAR, HONEST]);
  const link = async (address: Address, seed: number): Promise<VirtualPeer> => {
    const key = testIdentity(seed);
    const peer = new VirtualPeer(virtual.connect(), () => virtual.clock.settle());
    await peer.introduce(hello({ address, instance: `x${seed}` }, key), key);
    return peer;
  };
  const own = virtual.broker.status()['origin'] as Origin;
  return { virtual, own, dialled, link, liar: await link(LIAR, 1), honest: await link(HONEST, 2) };
}

const holds = (own: Origin, store: Address, seq: number): PeerMessage =>
  ({ type: 'HELD', held: [[own, [[origin(store), seq]]]] });

t.test('what a member says of the disk of another one that has a link counts for nothing', async (t) => {
  const { virtual, liar, honest, own } = await begin();
  const client = virtual.connect();
  await client.ask('PUBLISH a x ACKS local');
  client.send('PUBLISH a y ACKS all');
  await virtual.clock.settle();
  const seq = virtual.broker.vector().get(own)!;
  liar.say({ type: 'VECTOR', lamport: 1, entries: [[own, seq]] }, holds(own, HONEST, seq));
  await liar.heard();
  t.strictSame(await client.replies(), [], 'only two of three disks are known to have it');
  honest.say({ type: 'VECTOR', lamport: 1, entries: [[own, seq]] });
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
  const { virtual, liar, honest, own } = await begin();
  const client = virtual.connect();
  liar.say({ type: 'MEMBERS', beats: [[origin(HONEST), 1000], [origin(HONEST, 7), 1001]] });
  await liar.heard();
  t.equal(virtual.broker.brokers().find(({ address }) => address === HONEST)?.state, 'alive');
  honest.client.channel.handler.ended();
  client.send('PUBLISH a x ACKS all');
  await virtual.clock.settle();
  const seq = virtual.broker.vector().get(own)!;
  const made: PeerMessage = { type: 'HELD', held: [[own, [[origin(HONEST, 7), seq]]]] };
  liar.say({ type: 'VECTOR', lamport: 1, entries: [[own, seq]] }, made);
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

t.test('100,000 clocks and terms that may just be so take nobody so far that others hang up on him', async (t) => {
  const { virtual, liar, honest } = await begin();
  const { lamport, term } = virtual.broker.status() as { lamport: number; term: number };
  const far = [DEFAULT_LIMITS.lamportPeersAheadMax, DEFAULT_LIMITS.termAheadMax] as const;
  for (let message = 0; message < 25_000; message += 1) {
    const [time, next] = [lamport + far[0] - 1, term + far[1] - 1];
    liar.say(
      { type: 'VECTOR', lamport: time, entries: [] }, { type: 'ELECTION', term: next, lamport: time },
      { type: 'OK', term: next, lamport: time }, { type: 'COORDINATOR', term: next, lamport: time, address: LIAR },
    );
  }
  await virtual.clock.advance(1000);
  const { lamportToldSavedMax, lamportToldPerSecondMax, termToldSavedMax, termToldPerSecondMax } = DEFAULT_LIMITS;
  const after = virtual.broker.status() as { lamport: number; term: number };
  t.ok(after.lamport <= lamport + lamportToldSavedMax + lamportToldPerSecondMax + 1_000_000, `${after.lamport}`);
  t.ok(after.term <= term + termToldSavedMax + termToldPerSecondMax + 10, `${after.term}`);
  const told = (await honest.heard()).flatMap((message) =>
    typeof message === 'object' && 'lamport' in message ? message.lamport : []);
  t.ok(told.length > 0 && told.every((time) => time <= after.lamport), 'so far only are others told');
  t.ok(honest.client.channel.isOpen);
});

t.test('ways to made-up brokers are not sought, and keep nobody from seeking others', async (t) => {
  const { liar, honest, virtual } = await begin();
  const gone = parseAddress('localhost:2997');
  virtual.broker.configure([LIAR, HONEST, gone]);
  await honest.heard();
  const seek = (address: Address): PeerMessage => ({ type: 'SEEK', address, hops: 8 });
  for (let port = 1; port <= 2000; port += 1) liar.say(seek(parseAddress(`made.up:${port}`)));
  liar.say(seek(gone));
  const sought = (await honest.heard()).flatMap((message) =>
    typeof message === 'object' && message.type === 'SEEK' ? message.address : []);
  t.strictSame(sought, [gone]);
});

t.test('a member that tells of more stores than a mesh has is cut off, and said who it is', async (t) => {
  const { liar, honest, virtual } = await begin();
  const stores = Array.from({ length: 60_000 }, (_, index) => [origin(LIAR, index + 1), 1] as const);
  for (let part = 0; part < stores.length; part += 1000) {
    liar.say({ type: 'VECTOR', lamport: 1, entries: stores.slice(part, part + 1000) });
  }
  t.match((await liar.heard()).at(-1), /^-ERR .* more than \d+ stores/);
  t.match(virtual.warned, [{ event: 'peer refused', peer: LIAR, id: testIdentity(1).id, reason: / stores/ }]);
  t.ok(honest.client.channel.isOpen);
});

t.test('what a member wants of stores that are not known here is not remembered, nor told to others', async (t) => {
  const { liar, honest } = await begin();
  const made = origin(STRANGER, 5);
  const vector: PeerMessage = { type: 'VECTOR', lamport: 1, entries: [[made, 9]] };
  honest.say(vector); // it has what is not here yet
  await honest.heard();
  liar.say({ type: 'GRAFT', wanted: [[made, 0]] });
  await liar.heard();
  liar.say(vector);
  const held = (await honest.heard()).filter((message) => typeof message === 'object' && message.type === 'HELD');
  t.strictSame(held, []);
});

t.test('claims for stores of nobody in the mesh are neither kept nor told on', async (t) => {
  const { liar, honest, own } = await begin();
  const [batch] = history([['one']], {}, 2, HONEST).groups[0]!;
  const theirs = batch!.origin;
  honest.say({ type: 'RECORDS', batch: batch!, ageMs: 0 });
  await honest.heard();
  liar.say({ type: 'HELD', held: [[theirs, [[origin(STRANGER), 1], [origin(LIAR), 1]]]] });
  const held = (await honest.heard()).flatMap((message) =>
    typeof message === 'object' && message.type === 'HELD' ? message.held : []);
  t.strictSame(held, [[theirs, [[origin(LIAR), 1], [own, 1]]]]);
});

t.test('a member does not give the word of another one that has a link', async (t) => {
  const { virtual, liar, honest, link } = await begin();
  const third = parseAddress('localhost:2997');
  virtual.broker.configure([LIAR, HONEST, third]);
  const leaver = await link(third, 4);
  await virtual.clock.advance(200);
  await honest.heard();
  leaver.say({ type: 'BYE' });
  leaver.client.channel.handler.ended();
  await virtual.clock.advance(200);
  const view = (await honest.heard()).flatMap((message) =>
    typeof message === 'object' && message.type === 'VIEW' ? message.view : []).at(-1)!;
  t.strictSame(view.members, [HONEST, LIAR, SELF]);
  const before = { ...view, members: [third, ...view.members] };
  const moved = Array.from({ length: 100 }, (_, index) => `jobs${index}`)
    .find((name) => homeOf(name, before) === third && homeOf(name, view) === SELF)!;
  const client = virtual.connect();
  const word = (members: Address[]): PeerMessage => ({ type: 'SEEN', view, members, stored: [], isFar: true });
  liar.say(word([LIAR, HONEST]));
  client.send(`SUBSCRIPTION CREATE ${moved}`, `PULL ${moved}`);
  t.strictSame(await client.replies(), [], 'the view is not in use everywhere');
  honest.say(word([HONEST]));
  await honest.heard();
  t.strictSame(await client.replies(), ['OK', []]);
});

t.test('a member has so many commands carried out at a time, and none twice under one number', async (t) => {
  const { liar, virtual, own } = await begin({ asksMax: 3 });
  await virtual.clock.advance(200); // all are in the view
  const names = Array.from({ length: 100 }, (_, index) => `jobs${index}`);
  const view = { coordinator: SELF, term: 1, number: 1, members: [HONEST, LIAR, SELF] };
  const here = names.find((name) => homeOf(name, view) === SELF)!;
  const ask = (id: number): PeerMessage => ({
    type: 'ASK', id, home: SELF, hops: 1, consumer: '', waitedMs: 0, version: 2, errand: `x/${id}`, attempt: 1,
    known: [[own, 1_000_000]], command: ['PULL', here].map((word) => Buffer.from(word)),
  });
  await liar.heard();
  liar.say(...[1, 2, 3, 4].map(ask));
  const answers = (await liar.heard()).filter((message) => typeof message === 'object' && message.type === 'ANSWER');
  t.match(answers, [{ type: 'ANSWER', id: 4 }], 'three wait for what they know');
  t.match(Buffer.from((answers[0] as { reply: Uint8Array }).reply).toString(), /^-TRYAGAIN 3 commands/);
  liar.say(ask(2));
  t.match((await liar.heard()).at(-1), /^-ERR it asks twice under the number 2/);
});

t.test('connections that prove nothing have a limit, and the host that opens them gives way', async (t) => {
  const { virtual, honest } = await begin();
  const key = testIdentity(3);
  const first = virtual.connect();
  first.sendBytes(bytesOf(hello({ address: LIAR }, key)));
  const flood = Array.from({ length: DEFAULT_LIMITS.handshakesMax }, () => virtual.connect('flood'));
  for (const client of flood) client.sendBytes(bytesOf(hello({ address: LIAR }, key)));
  await virtual.clock.settle();
  t.strictSame(flood.map(({ channel }) => channel.isOpen), flood.map((_, index) => index > 0), 'its oldest');
  t.ok(first.channel.isOpen, 'one of another host goes on');
  t.ok(honest.client.channel.isOpen);
  t.match(virtual.warned, [{ event: 'peer refused', from: 'flood', reason: /too many connections/ }]);
});

t.test('a store whose clock or term a liar took far says so at its start, and what mends it', async (t) => {
  for (const [lamport, term, isFar] of [[2 ** 37, 0, true], [0, 2 ** 37, true], [2 ** 35, 2 ** 35, false]] as const) {
    const store = new MemoryStore(origin(SELF));
    await store.saveClock(lamport, term);
    const { warned } = await VirtualBroker.start({}, store);
    t.equal(warned.some(({ remedy }) => String(remedy).includes('--mend-clock')), isFar, `${lamport} ${term}`);
  }
});
