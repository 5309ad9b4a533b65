import t from 'tap';
import { Cluster } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';

t.test('with --fanout brokers keep links to a part of the mesh; every message and every acknowledgement gets everywhere', async (t) => {
  const cluster = new Cluster(t);
  const ports = await freePorts(6);
  cluster.list(ports.map((port) => `127.0.0.1,${port}`));
  for (const port of ports) cluster.add(port, { fanout: '2' });
  await Promise.all(cluster.brokers.map((broker) => broker.start()));
  const leader = cluster.brokers.at(-1)!;
  const agreed = (): Promise<true> => waitFor('all follow the highest', async () => {
    const statuses = await Promise.all(cluster.running.map((broker) => broker.status()));
    return statuses.every(({ coordinator, term }) => coordinator === leader.address && term === statuses[0]!['term']);
  }, 20_000);
  await agreed();
  const links = await Promise.all(cluster.brokers.map(async (broker) => Number((await broker.status())['links'])));
  t.ok(Math.min(...links) < 5, `not everybody has a link with everybody: ${links.join()}`);

  let expected = 0;
  const publishAll = async (acks: string): Promise<void> => {
    for (const broker of cluster.running) {
      const client = await broker.connect();
      t.ok(await client.publish('news', `${expected += 1}`, 'ACKS', acks) > 0, `${broker.address} ${acks}`);
    }
  };
  await publishAll('all');
  await cluster.converged(6);
  const victim = cluster.brokers[2]!;
  await victim.kill();
  await publishAll('quorum');
  await cluster.converged(11);
  await victim.start();
  await cluster.converged(11);
  await agreed();
  const reader = await victim.connect();
  t.equal((await reader.poll(['news'], 'earliest')).payloads.length, 11);
});
