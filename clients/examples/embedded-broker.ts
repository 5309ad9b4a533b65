/**
 * Embedded broker: a broker inside a program. It stores messages in a temporary folder, which is removed at the end.
 *
 *     node dist/clients/examples/embedded-broker.js [own address] [brokers]
 *
 * Its own address is `localhost:3100` by default. It is alone unless members of a mesh are named, separated by commas:
 * then it joins that mesh, where it has to be invited first (`admin invite localhost:3100`).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeLogger, startBroker } from '../../brokers/embed.ts'; // in your own program: from 'rumormill/broker'
import { connect } from '../client.ts'; // in your own program: from 'rumormill'

const [address = 'localhost:3100', others = ''] = process.argv.slice(2);
const colon = address.lastIndexOf(':');

const dataDir = await mkdtemp(join(tmpdir(), 'rumormill-example-'));
const broker = await startBroker({
  host: address.slice(0, colon),
  port: address.slice(colon + 1),
  brokers: others === '' ? [address] : others.split(','), // or the path of a globalState.csv
  joins: others !== '',
  dataDir,
  logger: makeLogger('warn', 'text', (line) => process.stderr.write(line)),
});
try {
  const client = await connect({ brokers: address });
  await client.publish('example-embedded', 'hello from inside', { acks: 'quorum' });
  console.log(`stored: ${(await client.latest('example-embedded'))?.text}`);
  const { messages, batches } = broker.status();
  console.log(`the broker holds ${messages} records in ${batches} batches`);
  await client.close();
} finally {
  await broker.stop(); // writes what it accepted, answers, and tells its peers
  await rm(dataDir, { recursive: true });
}
console.log('the broker has stopped');
