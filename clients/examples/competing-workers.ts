/**
 * Competing workers: two consumers share the messages of one subscription. Each message goes to one of them.
 *
 *     node dist/clients/examples/competing-workers.js [brokers]
 *
 * The brokers are `host:port`, separated by commas; the default is those of `npm start`.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { connect } from '../client.ts'; // in your own program: from 'rumormill'

const [TOPIC, SUBSCRIPTION] = ['example-jobs', 'example-workers'];
const brokers = process.argv[2] ?? 'localhost:3000,localhost:3001,localhost:3002';

const client = await connect({ brokers });
const stop = new AbortController();

/** Handles one message at a time until `stop` is aborted. */
async function work(consumer: string, open: Set<string>): Promise<void> {
  for await (const message of client.consume(SUBSCRIPTION, { consumer, concurrency: 1, signal: stop.signal })) {
    await wait(20); // the work; the client extends the lease if it takes longer than the visibility timeout
    await message.ack(); // resolves when the acknowledgement is on disk
    console.log(`${consumer} did ${message.text}`);
    open.delete(message.text);
    if (open.size === 0) stop.abort();
  }
}

try {
  await client.createTopic(TOPIC);
  await client.createSubscription(SUBSCRIPTION); // it is no error if it exists with the same settings
  await client.bind(SUBSCRIPTION, TOPIC);

  const jobs = Array.from({ length: 10 }, (_, index) => `job ${index + 1}`);
  await Promise.all(jobs.map((job) => client.publish(TOPIC, job)));

  const open = new Set(jobs);
  await Promise.all([work('anna', open), work('ben', open)]);
  console.log('all jobs are done');
} finally {
  await client.close();
}
