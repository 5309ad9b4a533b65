import t from 'tap';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import { proofText } from '../../brokers/core/mesh/identity.ts';
import type { Channel } from '../../brokers/core/runtime.ts';
import type { Hello, PeerMessage, Proof } from '../../brokers/wire/peer-message.ts';
import { testIdentity } from '../support/identity.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { answererOf, diallerOf, hello, VirtualPeer } from '../support/peer.ts';
import { origin } from '../support/record.ts';
import { VIRTUAL_KEY, VirtualBroker } from '../support/virtual-broker.ts';
import { VirtualChannel } from '../support/virtual-channel.ts';

const SELF = parseAddress('localhost:3000');
const PEER = parseAddress('localhost:2999'); // below the broker, which goes on leading
const OTHER = parseAddress('localhost:2998');
const ITS_KEY = testIdentity(VIRTUAL_KEY);
const [KEY, OTHER_KEY] = [testIdentity(1), testIdentity(2)];
const LIFE: PeerMessage = { type: 'LIFE', life: 0, holder: '' };

const links = ({ broker }: VirtualBroker): unknown => broker.status()['links'];
const types = (heard: readonly (PeerMessage | string)[]): string[] =>
  heard.map((message) => (typeof message === 'string' ? message : message.type));

/** A broker, and rows of two others. */
async function begin(): Promise<VirtualBroker> {
  const virtual = await VirtualBroker.start();
  virtual.broker.configure([PEER, OTHER]);
  return virtual;
}

/** A peer that has dialled the broker. */
function dialler(virtual: VirtualBroker): VirtualPeer {
  return new VirtualPeer(virtual.connect(), () => virtual.clock.settle());
}

/** The broker with a link to a peer. */
async function linked(changes: Partial<Hello> = {}): Promise<{ virtual: VirtualBroker; peer: VirtualPeer }> {
  const virtual = await begin();
  const peer = dialler(virtual);
  await peer.introduce(hello({ address: PEER, ...changes }, KEY), KEY);
  return { virtual, peer };
}

/** What the broker has said of peers that it refuses. */
function refusals({ warned }: VirtualBroker): unknown[] {
  return warned.filter(({ event }) => event === 'peer refused').map(({ event: _, ...fields }) => fields);
}

t.test('who dials says who it is, and gets a link once it has proved that', async (t) => {
  const virtual = await begin();
  const peer = dialler(virtual);
  const mine = hello({ address: PEER }, KEY);
  const handshake = diallerOf(mine, KEY);
  peer.say(mine);
  await virtual.clock.advance(3000); // a tick and a beat, at which a link would be used
  const heard = await peer.heard();
  t.strictSame(types(heard), ['PEER', 'PROOF'], 'nothing else is said before');
  t.equal(links(virtual), 0);
  const [theirs, proof] = heard as [Hello, Proof];
  t.equal(handshake.hear(theirs).id, virtual.broker.status()['id']);
  t.equal(handshake.verify(proof).id, ITS_KEY.id);
  peer.say(handshake.prove());
  t.ok(types(await peer.heard()).includes('LIFE'));
  t.equal(links(virtual), 1);
  t.strictSame(virtual.warned, []);
});

t.test('a proof that is none: the link is refused, with one line', async (t) => {
  const before = await linked();
  const old = diallerOf(hello({ address: PEER }, KEY), KEY);
  const cases: [what: string, key: Uint8Array, prove: (mine: Hello, theirs: Hello, proof: Proof) => Uint8Array][] = [
    ['made with another key', KEY.publicKey, (mine, theirs) => proven(mine, theirs, OTHER_KEY)],
    ['replayed', KEY.publicKey, (_, theirs) => {
      if (old.peer === undefined) old.hear({ ...theirs, nonce: Buffer.alloc(32) });
      return old.prove().signature;
    }],
    ['reflected', ITS_KEY.publicKey, (_mine, _theirs, proof) => proof.signature],
    ['for another mesh', KEY.publicKey, (mine, theirs) => proven({ ...mine, mesh: 'another' }, theirs, KEY)],
    ['of another version', KEY.publicKey, (mine, theirs) => proven({ ...mine, version: 4 }, theirs, KEY)],
    ['for another broker', KEY.publicKey, (mine, theirs) =>
      proven(mine, { ...theirs, key: OTHER_KEY.publicKey }, KEY)],
    ['signed as the other side', KEY.publicKey, ({ version, mesh, ...mine }, theirs) =>
      KEY.sign(proofText('answerer', { version, mesh, dialler: mine, answerer: theirs }))],
    ['nothing', KEY.publicKey, () => Buffer.alloc(64)],
  ];
  for (const [what, key, prove] of cases) {
    const virtual = await begin();
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const peer = dialler(virtual);
      const mine = hello({ address: PEER, key });
      peer.say(mine);
      const [theirs, proof] = (await peer.heard()) as [Hello, Proof];
      peer.say({ type: 'PROOF', signature: prove(mine, theirs, proof) }, { type: 'BYE' });
      t.strictSame(await peer.heard(), [`-REFUSED the proof of the key of ${PEER} is wrong`], what);
      t.notOk(peer.client.channel.isOpen, what);
    }
    t.equal(links(virtual), 0, what);
    const reason = `the proof of the key of ${PEER} is wrong`;
    t.strictSame(refusals(virtual), [{ peer: PEER, from: 'client', reason }], what);
  }
  t.equal(links(before.virtual), 1);
});

/** The signature that an identity makes of a connection, as the side that dialled. */
function proven(mine: Hello, theirs: Hello, identity = KEY): Uint8Array {
  const handshake = diallerOf(mine, identity);
  handshake.hear(theirs);
  return handshake.prove().signature;
}

t.test('a proof that was good once is good once', async (t) => {
  const virtual = await begin();
  const first = dialler(virtual);
  const mine = hello({ address: PEER }, KEY);
  first.say(mine);
  const [theirs] = (await first.heard()) as [Hello, Proof];
  const signature = proven(mine, theirs);
  first.say({ type: 'PROOF', signature });
  await first.heard();
  t.equal(links(virtual), 1);
  first.client.channel.handler.closed('cut');
  t.equal(links(virtual), 0);
  const second = dialler(virtual);
  second.say(mine);
  await second.heard();
  second.say({ type: 'PROOF', signature });
  t.match(await second.heard(), [/^-REFUSED the proof/]);
  t.equal(links(virtual), 0);
});

t.test('what is out of turn ends the connection', async (t) => {
  const mine = hello({ address: PEER }, KEY);
  const cases: [what: string, messages: PeerMessage[], reply: RegExp][] = [
    ['a second PEER', [hello({ address: OTHER }, KEY)], /^-ERR PEER out of turn$/],
    ['VECTOR in place of PROOF', [{ type: 'VECTOR', lamport: 2 ** 40, entries: [] }], /^-ERR VECTOR out of turn$/],
    ['BYE in place of PROOF', [{ type: 'BYE' }], /^-ERR BYE out of turn$/],
    ['PART in place of PROOF', [{ type: 'PART', lane: 0, left: 0, bytes: Buffer.from('x') }], /PART out of turn$/],
    ['more than a PROOF can be', [{ type: 'ANSWER', id: 1, reply: Buffer.alloc(2000) }],
      /^-ERR Protocol error: invalid bulk length$/],
  ];
  for (const [what, messages, reply] of cases) {
    const virtual = await begin();
    const peer = dialler(virtual);
    peer.say(mine, ...messages);
    t.match((await peer.heard()).at(-1), reply, what);
    t.notOk(peer.client.channel.isOpen, what);
    t.equal(links(virtual), 0, what);
    t.ok(Number(virtual.broker.status()['lamport']) < 1000, what);
  }
  const { virtual, peer } = await linked();
  peer.say({ type: 'PROOF', signature: Buffer.alloc(64) });
  t.equal((await peer.heard()).at(-1), '-ERR PROOF out of turn', 'a second PROOF');
  t.equal(links(virtual), 0);
  t.match(await virtual.connect().ask('PROOF x'), [/^-ERR unknown command "PROOF"/], 'PROOF before PEER is of no peer');
});

t.test('without a proof in time the connection ends, with one line', async (t) => {
  const virtual = await begin();
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const peer = dialler(virtual);
    peer.say(hello({ address: PEER }, KEY));
    await virtual.clock.advance(5100);
    t.ok(peer.client.channel.destroyed);
  }
  t.strictSame(refusals(virtual), [{ peer: PEER, from: 'client', reason: 'no proof of its key in time' }]);
});

t.test('a look is answered with PEER and PROOF, and proves nothing itself', async (t) => {
  const virtual = await begin();
  const peer = dialler(virtual);
  const mine = hello({ address: PEER, wants: 'look' }, KEY);
  peer.say(mine);
  const [theirs, proof] = (await peer.heard()) as [Hello, Proof];
  const handshake = diallerOf(mine, KEY);
  handshake.hear(theirs);
  t.equal(handshake.verify(proof).id, ITS_KEY.id);
  t.ok(peer.client.channel.ended);
  t.equal(links(virtual), 0);
});

// The side that dials

interface Dialled {
  readonly virtual: VirtualBroker;
  /** The newest connection that the broker has dialled. */
  next(): VirtualPeer;
}

/** A broker with one other row, which the test answers. */
async function dialling(): Promise<Dialled> {
  const [clock, channels] = [new ManualClock(), [] as VirtualChannel[]];
  const dial = (): Promise<Channel> => {
    const channel = new VirtualChannel('peer:1');
    channels.push(channel);
    return Promise.resolve(channel);
  };
  const virtual = await VirtualBroker.start({}, new MemoryStore(origin(SELF)), () => 0, [PEER], clock, dial);
  const next = (): VirtualPeer => {
    const channel = channels.at(-1)!;
    return new VirtualPeer({ channel, sendBytes: (bytes) => channel.receive(bytes) }, () => clock.settle());
  };
  return { virtual, next };
}

/** What the broker that was dialled says of itself, with a proof. */
function answer(mine: Hello, theirs: Hello, identity = KEY): [Hello, Proof] {
  const handshake = answererOf(mine, identity);
  handshake.hear(theirs);
  return [mine, handshake.prove()];
}

t.test('who is dialled proves its key first, and has the last word', async (t) => {
  const { virtual, next } = await dialling();
  const peer = next();
  const [theirs] = (await peer.heard()) as [Hello];
  t.match(theirs, { type: 'PEER', wants: 'link', dialled: PEER });
  const mine = hello({ address: PEER }, KEY);
  const handshake = answererOf(mine, KEY);
  handshake.hear(theirs);
  peer.say(mine, handshake.prove());
  const [proof, ...more] = (await peer.heard()) as [Proof];
  t.equal(handshake.verify(proof).id, ITS_KEY.id);
  t.strictSame(more, []);
  t.equal(links(virtual), 0, 'it may still refuse');
  peer.say(LIFE);
  t.ok(types(await peer.heard()).includes('LIFE'));
  t.equal(links(virtual), 1);
});

t.test('of who is dialled, and proves nothing, nothing is believed', async (t) => {
  const cases: [what: string, say: (theirs: Hello) => PeerMessage[], told: RegExp][] = [
    ['another key', (theirs) => answer(hello({ address: OTHER }, KEY), theirs, OTHER_KEY), /^-REFUSED the proof of/],
    ['PROOF first', (theirs) => answer(hello({ address: OTHER }, KEY), theirs).reverse(), /^-ERR PROOF out of turn/],
    ['no PROOF', () => [hello({ address: OTHER }, KEY), LIFE], /^-ERR LIFE out of turn/],
    ['two PROOFs', (theirs) => {
      const said = answer(hello({ address: OTHER }, KEY), theirs);
      return [...said, said[1]];
    }, /^-ERR PROOF out of turn/],
    ['another mesh', (theirs) => answer(hello({ address: OTHER, mesh: 'another' }, KEY), theirs), /^-REFUSED .* mesh/],
  ];
  for (const [what, say, told] of cases) {
    const { virtual, next } = await dialling();
    const peer = next();
    const [theirs] = (await peer.heard()) as [Hello];
    peer.say(...say(theirs));
    t.match((await peer.heard()).at(-1), told, what);
    t.equal(links(virtual), 0, what);
    t.equal(refusals(virtual).length, 1, what);
    const isKnown = virtual.broker.brokers().some(({ address }) => address === OTHER);
    t.equal(isKnown, what === 'two PROOFs', what);
  }
  const { virtual, next } = await dialling();
  const peer = next();
  const [theirs] = (await peer.heard()) as [Hello];
  peer.say(theirs);
  t.strictSame(await peer.heard(), [], 'its own PEER that comes back');
  t.ok(peer.client.channel.ended);
  t.equal(links(virtual), 0);
});

t.test('what a look shows counts only with its proof', async (t) => {
  const { virtual, next } = await dialling();
  let peer = next();
  const addresses = (): Address[] => virtual.broker.brokers().map(({ address }) => address);
  const [first] = (await peer.heard()) as [Hello];
  peer.say(...answer(hello({ address: OTHER }, KEY), first)); // the row leads to a broker of another name
  await peer.heard();
  t.ok(addresses().includes(OTHER));
  const third = parseAddress('localhost:2997');
  for (const identity of [OTHER_KEY, KEY]) {
    let look: Hello | undefined;
    while (look?.wants !== 'look') {
      await virtual.clock.advance(1000);
      peer = next();
      look = (await peer.heard()).find((message) => typeof message === 'object' && message.type === 'PEER') as Hello;
    }
    peer.say(...answer(hello({ address: third }, KEY), look, identity));
    await peer.heard();
    t.equal(addresses().includes(third), identity === KEY);
  }
});

// Who may take the place of whom

t.test('who knows the address, the store and the process of a broker, but not its key, cannot push it out', async (t) => {
  const mine = hello({ address: PEER }, KEY);
  const known = { address: PEER, origin: mine.origin, instance: mine.instance };
  const cases: [changes: Partial<Hello>, reason: string][] = [
    [known, `another process runs as ${PEER}, with another key`],
    [{ ...known, instance: 'y' }, `another process runs as ${PEER}, with another key`],
    [{ ...known, origin: origin(PEER, 9) }, `another process runs as ${PEER}, with another key`],
    [{ ...known, address: OTHER }, `its store is that of ${PEER}, which has another key`],
  ];
  for (const silentMs of [0, 4000]) {
    for (const [changes, reason] of cases) {
      const { virtual, peer } = await linked({ origin: mine.origin });
      await virtual.clock.advance(silentMs); // beyond suspectAfterMs
      const rival = dialler(virtual);
      const [reply] = await rival.introduce(hello(changes, OTHER_KEY), OTHER_KEY);
      t.equal(reply, `-REFUSED ${reason}`);
      t.notOk(rival.client.channel.isOpen);
      t.strictSame(refusals(virtual), [{ peer: changes.address, reason }]);
      t.ok(peer.client.channel.isOpen);
      t.equal(links(virtual), 1);
      await peer.heard();
      peer.say({ type: 'VECTOR', lamport: 1, entries: [] });
      await virtual.clock.advance(1000);
      t.ok((await peer.heard()).length > 0, 'it goes on');
    }
  }
});

t.test('a key at two addresses, and two processes with one key: the one that was there first stays', async (t) => {
  const mend = 'if its data folder is a copy, stop it, remove broker.key there and start it again';
  const cases: [mine: Hello, identity: typeof KEY, reason: string][] = [
    [hello({ address: OTHER, instance: 'y' }, KEY), KEY, `${OTHER} has the key of ${PEER}: ${mend}`],
    [hello({ address: PEER, instance: 'y' }, KEY), KEY, `another process runs as ${PEER}`],
    [hello({ address: OTHER, instance: 'y' }, ITS_KEY), ITS_KEY, `${OTHER} has the key of ${SELF}: ${mend}`],
    [hello({ address: SELF, origin: origin(SELF, 9) }, OTHER_KEY), OTHER_KEY, `${SELF} is this broker's own address`],
  ];
  for (const [mine, identity, reason] of cases) {
    const { virtual, peer } = await linked();
    for (let minute = 1; minute <= 2; minute += 1) {
      for (let attempt = 0; attempt < 3; attempt += 1) {
        const [reply] = await dialler(virtual).introduce({ ...mine, nonce: Buffer.alloc(32, attempt) }, identity);
        t.equal(reply, `-REFUSED ${reason}`);
      }
      t.strictSame(refusals(virtual), new Array(minute).fill({ peer: mine.address, reason }), 'one line a minute');
      for (let second = 0; second < 60; second += 1) {
        peer.say({ type: 'VECTOR', lamport: 1, entries: [] });
        await virtual.clock.advance(1000);
      }
      t.ok(peer.client.channel.isOpen);
      t.equal(links(virtual), 1);
    }
  }
});

t.test('the next life of a broker, with its key, takes the place of a link that is silent', async (t) => {
  const { virtual, peer } = await linked();
  await virtual.clock.advance(4000);
  const next = dialler(virtual);
  t.ok(types(await next.introduce(hello({ address: PEER, instance: 'y' }, KEY), KEY)).includes('LIFE'));
  t.notOk(peer.client.channel.isOpen);
  t.equal(links(virtual), 1);
});
