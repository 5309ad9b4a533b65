/**
 * Dead letters: a message that fails twice is moved to another topic, with headers that say where it comes from.
 *
 *     node dist/clients/examples/dead-letters.js [brokers]
 *
 * The brokers are `host:port`, separated by commas; the default is those of `npm start`.
 */
import { connect } from '../client.ts'; // in your own program: from 'rumormill'

const [TOPIC, SUBSCRIPTION, FAILED] = ['example-payments', 'example-cashier', 'example-payments-failed'];
const brokers = process.argv[2] ?? 'localhost:3000,localhost:3001,localhost:3002';

const client = await connect({ brokers });
const stop = new AbortController();

/** Pays what can be paid, and gives the rest back. */
async function pay(): Promise<void> {
  for await (const message of client.consume(SUBSCRIPTION, { signal: stop.signal })) {
    const isGood = /^\d+ euros$/.test(message.text);
    console.log(`delivery ${message.deliveries} of ${message.text}: ${isGood ? 'paid' : 'failed'}`);
    if (isGood) await message.ack();
    else await message.nack({ delayMs: 0 }); // deliver it again at once
  }
}

try {
  await client.createTopic(TOPIC);
  await client.createSubscription(SUBSCRIPTION, { maxDeliveries: 2, deadLetter: FAILED });
  await client.bind(SUBSCRIPTION, TOPIC);
  const { cursor } = await client.poll(FAILED); // the end of the topic of dead letters

  await client.publish(TOPIC, '10 euros');
  await client.publish(TOPIC, 'ten euros');
  const paying = pay();

  for await (const letter of client.subscribe(FAILED, { from: cursor, limit: 1 })) {
    const { 'dead-letter-topic': topic, 'dead-letter-deliveries': deliveries } = letter.headers;
    console.log(`dead letter: ${letter.text}, from topic ${topic}, after ${deliveries} deliveries`);
  }
  stop.abort();
  await paying;
} finally {
  await client.close();
}
