import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import type { Origin } from '../../brokers/core/log/record.ts';
import { decodeCursor } from '../../brokers/core/read/cursor.ts';
import type { Hello, Proof } from '../../brokers/wire/peer-message.ts';
import { type BrokerProcess as Broker, Cluster } from '../support/cluster.ts';
import { testIdentity } from '../support/identity.ts';
import { bytesOf, diallerOf, hello, introduce, nextOf } from '../support/peer.ts';
import { waitFor } from '../support/wait.ts';

/** What a broker says of itself to anybody who looks. */
async function look({ address, connect }: { address: string; connect: Broker['connect'] }): Promise<Hello> {
  const client = await connect();
  client.raw(bytesOf(hello({ wants: 'look', dialled: parseAddress(address) })));
  const shown = (await nextOf(client)) as Hello;
  t.equal((await nextOf(client)).type, 'PROOF');
  await client.closed;
  return shown;
}

t.test('who knows all of a broker but its key gets no link in its place', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  await cluster.settled();
  const lost = (): number[] => [low, high].map((broker) => broker.logged('peer lost').length);
  const before = lost(); // two dials may have crossed, of which one stays
  const { cursor } = await (await high.connect()).poll(['news'], 'latest');
  const { origin, id } = await high.status();
  const address = parseAddress(high.address);
  const known = { address, origin: origin as Origin, instance: decodeCursor(cursor).instance };
  const { key } = await look({ address, connect: () => high.connect() });

  const thief = testIdentity(7);
  const own = await low.connect();
  await introduce(own, hello(known, thief), thief);
  t.match(await own.next(), { code: 'REFUSED', message: `another process runs as ${address}, with another key` });
  await own.closed;

  const itsKey = await low.connect();
  const mine = hello({ ...known, key });
  const handshake = diallerOf(mine, thief);
  itsKey.raw(bytesOf(mine));
  handshake.hear((await nextOf(itsKey)) as Hello);
  handshake.verify((await nextOf(itsKey)) as Proof);
  itsKey.raw(bytesOf(handshake.prove()));
  t.match(await itsKey.next(), { code: 'REFUSED', message: `the proof of the key of ${address} is wrong` });
  await itsKey.closed;

  const reflecting = await low.connect();
  reflecting.raw(bytesOf({ ...mine, key: (await look({ address: low.address, connect: () => low.connect() })).key }));
  t.equal((await nextOf(reflecting)).type, 'PEER');
  reflecting.raw(bytesOf(await nextOf(reflecting)));
  t.match(await reflecting.next(), { code: 'REFUSED', message: `the proof of the key of ${address} is wrong` });
  await reflecting.closed;

  t.match(low.logged('peer refused'), [
    { level: 'warn', peer: address, reason: `another process runs as ${address}, with another key` },
    { level: 'warn', peer: address, from: '127.0.0.1', reason: `the proof of the key of ${address} is wrong` },
  ]);
  t.equal(low.logged('peer refused').length, 2, 'the third attempt is not worth another line');
  t.strictSame(lost(), before, 'the link is still that one');
  t.equal((await low.status())['links'], '1');
  t.equal((await high.status())['id'], id);
  t.equal(await (await low.connect()).publish('news', 'x', 'ACKS', 'all') > 0, true);
});

t.test('the id is the same after a restart, and a new one without its key; a key that is not safe is not used', async (t) => {
  const cluster = await Cluster.start(t, 2);
  const [low, high] = cluster.brokers as [Broker, Broker];
  const file = join(dirname(low.file), 'broker.key');
  const { id } = await low.status();
  t.match(id, /^[0-9a-f]{32}$/);
  t.not((await high.status())['id'], id);
  await low.kill();
  const text = readFileSync(file, 'utf8');
  const cases: [change: () => void, line: RegExp][] = [
    [() => chmodSync(file, 0o644), /^rumormill-broker: others may read .*broker\.key \(mode 0644\), .* run chmod 600/],
    [() => writeFileSync(file, text.slice(0, 50)), /^rumormill-broker: .*broker\.key is damaged, .* put a copy of/],
  ];
  for (const [change, line] of cases) {
    change();
    const before = low.log.length;
    low.spawn();
    t.equal(await low.exit(), 1);
    t.equal(low.log.length, before + 1);
    t.match(low.log.at(-1)?.event, line);
    chmodSync(file, 0o600);
  }
  writeFileSync(file, text);
  await low.start();
  t.equal((await low.status())['id'], id);
  await cluster.settled();
  await low.kill();
  rmSync(file);
  await low.start();
  const after = await low.status();
  t.not(after['id'], id);
  await waitFor('it is let in', async () => (await low.status())['links'] === '1');
  t.equal(high.logged('peer refused').length, 0);
});
