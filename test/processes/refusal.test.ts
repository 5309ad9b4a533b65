import { createServer } from 'node:net';
import t from 'tap';
import { encodeReply } from '../../brokers/wire/resp.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { type BrokerProcess as Broker, Cluster, type LogLine } from '../support/cluster.ts';
import { bytesOf, hello } from '../support/peer.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';

/** What a broker wrote about refusals. */
function refusals({ log }: Broker): Pick<LogLine, 'event' | 'peer' | 'reason'>[] {
  return log.filter(({ event }) => event.includes('refused'))
    .map(({ event, peer, reason }) => ({ event, peer, reason }));
}

function isPuzzled({ log }: Broker): boolean {
  return log.some((line) => String(line['reason']).includes('unknown peer message'));
}

t.test('a doubled address: the second process is refused and both sides say so, once', async (t) => {
  const cluster = await Cluster.start(t, 3);
  const [low, middle, high] = [...cluster.brokers] as [Broker, Broker, Broker];
  const second = cluster.add(low.port, { bind: '127.0.0.2', 'data-dir': `${cluster.folder}/second` });
  await second.start();
  const reason = `another process runs as ${low.address}, with another key`;
  await waitFor('both others refuse it', () => second.logged('refused by a peer').length >= 2);
  t.strictSame(refusals(second).map(({ peer }) => peer).sort(), [middle.address, high.address]);
  for (const refusal of refusals(second)) t.match(refusal, { event: 'refused by a peer', reason: `REFUSED ${reason}` });
  for (const broker of [middle, high]) {
    t.strictSame(refusals(broker), [{ event: 'peer refused', peer: low.address, reason }]);
  }
  t.equal(second.logged('peer connected').length, 0, 'no link was up, not for a moment');
  for (const broker of cluster.brokers) t.notOk(isPuzzled(broker), broker.address);
});

t.test('a refusal is understood after the handshake too, and said once however often it comes', async (t) => {
  const [port, other] = await freePorts(2) as [number, number];
  const address = parseAddress(`127.0.0.1:${other}`);
  let refused = 0;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      refused += 1;
      const refusal = encodeReply(new RumormillError('REFUSED', 'not today'));
      socket.end(Buffer.concat([bytesOf(hello({ address })), refusal]));
    });
  });
  await new Promise<void>((resolve) => server.listen(other, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const cluster = new Cluster(t);
  cluster.list([`127.0.0.1,${port}`, `127.0.0.1,${other}`]);
  const broker = cluster.add(port);
  await broker.start();
  await waitFor('it came again and again', () => refused >= 5);
  t.strictSame(refusals(broker), [{ event: 'refused by a peer', peer: address, reason: 'REFUSED not today' }]);
  t.notOk(isPuzzled(broker));
});
