/** What tests of homes share: names by their homes, and what consumers ask and get. */
import { homeOf } from '../../brokers/core/home/view.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import type { VirtualClient } from './client.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

/** A name whose home, among all machines and among those that are left without some, are these. */
export function nameAt(all: readonly Machine[], home: Machine, without?: Machine, next?: Machine): string {
  const view = (machines: readonly Machine[]) => ({
    coordinator: all[0]!.address, term: 1, number: 1, members: machines.map(({ address }) => address),
  });
  for (let index = 0; ; index += 1) {
    const name = `work-${index}`;
    if (homeOf(name, view(all)) !== home.address) continue;
    if (without === undefined || homeOf(name, view(all.filter((each) => each !== without))) === next?.address) {
      return name;
    }
  }
}

/** Replies as plain text, arrays as arrays. */
export function plain(reply: Reply | undefined): unknown {
  if (Array.isArray(reply)) return reply.map(plain);
  return Buffer.isBuffer(reply)
    ? reply.toString()
    : reply instanceof RumormillError
      ? `${reply.code} ${reply.message}`
      : reply;
}

export async function ask(world: World, client: VirtualClient, ...args: (string | number)[]): Promise<unknown> {
  return plain(await world.of(client.command(...args)));
}

/** The payloads and delivery counts that a PULL brought. */
export function pulled(reply: unknown): unknown[] {
  return (reply as [string, number, unknown[]][]).map(([, deliveries, message]) => [message[5], deliveries]);
}

export function tokens(reply: unknown): string[] {
  return (reply as [string][]).map(([token]) => token);
}
