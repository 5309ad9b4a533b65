/** The package as its users import it: names of the exports map, a broker and a client in one program. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'rumormill';
import { Broker, startBroker } from 'rumormill/broker';
import t from 'tap';
import { Handle, READ_WRITE } from '../brokers/io/sqlite.ts';
import { temporaryFolder } from './support/folder.ts';
import { freePorts } from './support/port.ts';

const silent = (): void => undefined;
const logger = { debug: silent, info: silent, warn: silent, error: silent };

t.test('a broker and a client in one program', async (t) => {
  const folder = temporaryFolder(t);
  const [port] = await freePorts(1);
  const file = join(folder, 'mesh.csv');
  writeFileSync(file, `127.0.0.1,${port}\n`);
  const broker = await startBroker({ host: '127.0.0.1', port: port!, brokers: file, dataDir: folder, logger });
  t.ok(broker instanceof Broker);
  const client = await connect({ brokers: `127.0.0.1:${port}` });
  const { lamport } = await client.publish('news', 'hello');
  t.match(await client.latest('news'), { lamport, text: 'hello' });
  await client.close();
  await broker.stop();
  await t.resolves(broker.stopped);
});

t.test('what cannot start says so as an error, and leaves nothing open', async (t) => {
  const folder = temporaryFolder(t);
  await t.rejects(startBroker({ brokers: ['nonsense'], dataDir: folder }), {
    code: 'CONFIG',
    message: 'address "nonsense" is not host:port',
  });
  await t.rejects(startBroker({ port: 0, brokers: [], dataDir: folder }), { code: 'CONFIG' });
  await t.rejects(startBroker({ brokers: join(folder, 'none.csv') }), {
    code: 'CONFIG',
    message: /none\.csv cannot be read/,
  });
});

t.test('after its store has failed, a broker has let go of its folder as soon as it has stopped', async (t) => {
  const folder = temporaryFolder(t);
  const [port] = await freePorts(1);
  const options = { host: '127.0.0.1', port: port!, brokers: [`127.0.0.1:${port}`], dataDir: folder, logger };
  const broker = await startBroker(options);
  const db = await Handle.open(join(folder, `127.0.0.1-${port}`, 'broker.db'), READ_WRITE);
  await db.exec('DROP VIEW topic_batches');
  await db.close();
  const client = await connect({ brokers: `127.0.0.1:${port}`, timeoutMs: 1000 });
  await t.rejects(client.latest('news'));
  await t.rejects(broker.stopped, { code: 'STORE', message: /no such table: topic_batches/ });
  await client.close();
  await broker.stop();
  const again = await startBroker(options);
  await again.stop();
});
