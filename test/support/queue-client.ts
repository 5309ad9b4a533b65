/** What tests of queues ask a broker, over a RESP connection. */
import { decodeMessage, text } from '../../brokers/wire/message.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import type { RespClient } from './resp-client.ts';

export interface Leased {
  readonly token: string;
  readonly deliveries: number;
  readonly topic: string;
  readonly payload: string;
}

/** Carries out commands that answer OK, one after another. @throws the broker's error */
export async function make(client: RespClient, ...commands: readonly string[]): Promise<void> {
  for (const command of commands) {
    const reply = await client.command(...command.split(' '));
    if (reply !== 'OK') throw reply;
  }
}

/** @throws the broker's error */
export async function pull(
  client: RespClient,
  subscription: string,
  ...options: (string | number)[]
): Promise<Leased[]> {
  const reply = await client.command('PULL', subscription, ...options);
  if (!Array.isArray(reply)) throw reply;
  return (reply as [Reply, number, Reply][]).map(([token, deliveries, message]) => {
    const { topic, payload } = decodeMessage(message);
    return { token: text(token), deliveries, topic, payload: Buffer.from(payload).toString() };
  });
}

/** How many tokens were good. @throws the broker's error */
export async function ack(client: RespClient, subscription: string, leased: readonly Leased[]): Promise<number> {
  if (leased.length === 0) return 0;
  const reply = await client.command('ACK', subscription, ...leased.map(({ token }) => token));
  if (typeof reply !== 'number') throw reply;
  return reply;
}

/** The texts of an array, sorted; those of an array in it joined with spaces. */
export async function list(client: RespClient, ...command: string[]): Promise<string[]> {
  const reply = await client.command(...command);
  if (!Array.isArray(reply)) throw reply;
  return reply
    .map((each) =>
      Array.isArray(each) ? each.map((part) => (part === null ? '-' : text(part))).join(' ') : text(each),
    )
    .sort();
}

/** SUBSCRIPTION GET. */
export function describe(client: RespClient, subscription: string): Promise<Record<string, string>> {
  return client.fields('SUBSCRIPTION', 'GET', subscription);
}

/**
 * Pulls and acknowledges until nothing is left that could come. Returns the payloads, in the order in which they came.
 */
export async function drain(client: RespClient, subscription: string): Promise<string[]> {
  const payloads: string[] = [];
  for (;;) {
    const leased = await pull(client, subscription, 'COUNT', 100, 'BLOCK', 20);
    payloads.push(...leased.map(({ payload }) => payload));
    await ack(client, subscription, leased);
    if (leased.length > 0) continue;
    const { backlog, in_flight: inFlight, delayed } = await describe(client, subscription);
    if ([backlog, inFlight, delayed].every((count) => count === '0')) return payloads;
  }
}
