/**
 * `subscriber --group-id`: messages through a subscription that several subscribers share. It is made and bound to the
 * topics if that was not done yet.
 *
 * A message is acknowledged after it was handed to the system, so what is printed twice was printed by a run that was
 * killed, or lost its lease.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import type { Client, LeasedMessage } from '../client.ts';
import { orAborted } from '../library/request.ts';

export interface GroupOptions {
  readonly group: string;
  readonly consumer: string;
  readonly topics: readonly string[];
  /** Where a subscription that is made begins. */
  readonly from: string;
  /** For direct topics. */
  readonly key: string | undefined;
  /** False to leave messages as they are: they come again, here or elsewhere, when their leases have run out. */
  readonly isAcknowledging: boolean;
  /** End after so many. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** Prints messages; whether that is done, and somebody reads on. */
export type Print = (messages: readonly LeasedMessage[]) => Promise<boolean>;

const AHEAD_MAX = 100; // messages pulled and not acknowledged: the others want some too
const BLOCK_MS = 25_000;
const GIVEN_BACK_MAX = 100_000; // of the newest leases that are left as they are

/**
 * Until the limit is reached or the signal aborted; what was not printed is given back. @throws RumormillError as
 * `client.consume`; ERR if a topic does not fit the key
 */
export async function printGroup(client: Client, options: GroupOptions, print: Print): Promise<void> {
  try {
    await orAborted(bindGroup(client, options), options.signal);
    if (options.isAcknowledging) await printAndAcknowledge(client, options, print);
    else await printOnly(client, options, print);
  } catch (error) {
    if (!options.signal.aborted || error !== options.signal.reason) throw error;
  }
}

async function bindGroup(client: Client, { group, topics, from, key }: GroupOptions): Promise<void> {
  await unless('EXISTS', client.createSubscription(group, { from })); // it keeps the settings that it has
  const binding = key === undefined ? {} : { key };
  for (const topic of topics) {
    if (await unless('NOTFOUND', client.bind(group, topic, binding))) continue;
    await client.createTopic(topic, { type: key === undefined ? 'fanout' : 'direct' });
    await client.bind(group, topic, binding);
  }
}

async function printAndAcknowledge(
  client: Client, { group, consumer, limit, signal }: GroupOptions, print: Print,
): Promise<void> {
  for await (const messages of client.consume(group, { consumer, concurrency: AHEAD_MAX, limit, signal }).batches()) {
    const isPrinted = await print(messages);
    await Promise.all(messages.map((message) => (isPrinted ? message.ack() : message.nack({ delayMs: 0 }))));
    if (!isPrinted) return;
  }
}

async function printOnly(
  client: Client, { group, consumer, limit, signal }: GroupOptions, print: Print,
): Promise<void> {
  let tokens: string[] = [];
  try {
    for (let left = limit; left > 0;) {
      const messages = await client.pull(group, {
        consumer,
        count: Math.min(AHEAD_MAX, left),
        blockMs: BLOCK_MS,
        signal,
      });
      left -= messages.length;
      tokens = [...tokens, ...messages.map(({ token }) => token)].slice(-GIVEN_BACK_MAX);
      if (messages.length > 0 && !(await print(messages))) return;
    }
  } finally {
    if (tokens.length > 0) await client.nack(group, tokens, { delayMs: 0 });
  }
}

/** Whether the promise is fulfilled; false if it fails with the code. @throws what else it fails with */
async function unless(code: string, promise: Promise<void>): Promise<boolean> {
  try {
    await promise;
    return true;
  } catch (error) {
    if (error instanceof RumormillError && error.code === code) return false;
    throw error;
  }
}
