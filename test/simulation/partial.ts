/** Meshes in which each broker has links with a few of the others. */
import type { Address } from '../../brokers/core/address.ts';
import { SEED } from '../support/random.ts';
import type { Machine } from './machine.ts';
import { World } from './world.ts';

export const FANOUT = 3;
export const COUNT = 16;

/** A mesh larger than its fan-out, all its brokers running, each knowing all addresses. */
export function start(seed = SEED): Promise<World> {
  return World.start(seed, COUNT, { fanout: FANOUT });
}

export function links(machine: Machine): number {
  return Number(machine.broker.status()['links']);
}

/** What a broker says of the others. */
export function states(machine: Machine): Map<Address, string> {
  return new Map(machine.broker.brokers().map(({ address, state }) => [address, state]));
}

export async function publish(
  world: World, machine: Machine, payload: string, ...options: string[]
): Promise<unknown> {
  const client = await world.client(machine);
  return world.of(client.command('PUBLISH', 'news', payload, ...options));
}
