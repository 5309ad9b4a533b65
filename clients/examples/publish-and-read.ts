/**
 * Publish and read: publishes three messages on a topic, and reads them back from a cursor.
 *
 *     node dist/clients/examples/publish-and-read.js [brokers]
 *
 * The brokers are `host:port`, separated by commas; the default is those of `npm start`.
 */
import { connect } from '../client.ts'; // in your own program: from 'rumormill'

const TOPIC = 'example-news';
const brokers = process.argv[2] ?? 'localhost:3000,localhost:3001,localhost:3002';

const client = await connect({ brokers });
try {
  const { cursor } = await client.poll(TOPIC); // the end of the topic, so that earlier messages are not read

  for (const text of ['hello', 'mesh', 'goodbye']) {
    // `quorum`: the promise resolves when the message is on disk on a majority of the brokers.
    const { id } = await client.publish(TOPIC, text, { key: 'greeting', headers: { lang: 'en' }, acks: 'quorum' });
    console.log(`published ${text} as ${id}`);
  }

  for await (const message of client.subscribe(TOPIC, { from: cursor, limit: 3 })) {
    console.log(`read ${message.text}, key ${message.key}, headers ${JSON.stringify(message.headers)}`);
  }
} finally {
  await client.close();
}
