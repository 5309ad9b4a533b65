/** What tests of queues ask a broker in this process (virtual-broker.ts). */
import type { ConfigOptions } from '../../brokers/config.ts';
import type { Address } from '../../brokers/core/address.ts';
import { VirtualBroker, type VirtualClient } from './virtual-broker.ts';

/** A delivery: its token, which delivery of the message it is, the payload. */
export type Given = readonly [token: string, deliveries: number, payload: string];

/** A broker that leads, to whose file these rows were added then, and a client. */
export async function start(
  { rows = [], ...options }: ConfigOptions & { readonly rows?: readonly Address[] } = {}, ...commands: readonly string[]
) {
  const virtual = await VirtualBroker.start(options);
  if (rows.length > 0) virtual.broker.configure(rows);
  const client = virtual.connect();
  await client.ask(...commands);
  return { virtual, client, clock: virtual.clock, store: virtual.store };
}

export function given(reply: unknown): Given[] {
  return (reply as [string, number, unknown[]][]).map(([token, deliveries, message]) => [
    token, deliveries, String(message[5]),
  ]);
}

export async function pull(client: VirtualClient, command: string): Promise<Given[]> {
  const [reply] = await client.ask(`PULL ${command}`);
  if (!Array.isArray(reply)) throw new Error(`PULL ${command}: ${String(reply)}`);
  return given(reply);
}

/** An integer reply; `VirtualClient` counts those that stand alone from the first publish. */
export async function count(client: VirtualClient, command: string): Promise<unknown> {
  const [reply] = await client.ask(command);
  return typeof reply === 'number' ? reply + client.before : reply;
}

export const payloads = (deliveries: readonly Given[]): string[] => deliveries.map(([, , payload]) => payload);
export const tokens = (deliveries: readonly Given[]): string => deliveries.map(([token]) => token).join(' ');

/** SUBSCRIPTION GET as an object. */
export async function describe(client: VirtualClient, name: string): Promise<Record<string, unknown>> {
  const [reply] = (await client.ask(`SUBSCRIPTION GET ${name}`)) as [unknown[]];
  return Object.fromEntries(Array.from({ length: reply.length / 2 }, (_, at) => [reply[2 * at], reply[2 * at + 1]]));
}

export const BOUND = ['SUBSCRIPTION CREATE s VISIBILITY 1000', 'TOPIC CREATE a', 'BIND s a'];
