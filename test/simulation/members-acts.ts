/** What tests of the membership share: acts of people, publishers that go on, and what has to hold in the end. */
import type { Address } from '../../brokers/core/address.ts';
import { codeOf } from './caller.ts';
import { VirtualClient } from './client.ts';
import { Ledger } from './ledger.ts';
import type { Machine } from './machine.ts';
import { ask, plain } from './office.ts';
import type { World } from './world.ts';

const PAUSE_MS = 50; // between publishes

/** What a command is answered, by a client of its own. */
export async function admin(world: World, machine: Machine, ...args: string[]): Promise<unknown> {
  const client = await world.client(machine);
  const reply = await ask(world, client, ...args);
  client.close();
  return reply;
}

/** The state of a broker's seat as another one knows it; undefined if it has none. */
export function stateAt(machine: Machine, address: Address): string | undefined {
  return machine.broker.members.roster.seatAt(address)?.state;
}

/** Who the members are, and what they are, as a broker knows it. */
export function listOf({ broker }: Machine): string {
  const { roster } = broker.members;
  const seats = roster.seats().filter(({ state }) => state !== 'out');
  return JSON.stringify([roster.version, ...seats.map(({ name, address, id, state }) => [name, address, id, state])]);
}

/** All that run know these members, all of them in, and have the same records. */
export async function agreed(world: World, members: readonly Machine[]): Promise<void> {
  const addresses = members.map(({ address }) => address);
  await world.until(`the members are ${addresses.join(' ')}`, () => {
    const lists = new Set(world.running.map(listOf));
    const isIn = addresses.every((address) => stateAt(members[0]!, address) === 'in');
    return lists.size === 1 && isIn && members[0]!.broker.members.addresses.length === members.length;
  });
  await world.settled();
  await world.converged();
}

/** One that was invited, and is a member now. */
export async function join(world: World, at: Machine): Promise<Machine> {
  const machine = world.add([at.address]);
  for (;;) {
    const reply = await admin(world, at, 'MESH', 'INVITE', machine.address);
    if (reply === 'OK') break;
    if (!/^BUSY/.test(String(reply))) throw new Error(`INVITE: ${String(reply)}`);
    await world.run(PAUSE_MS);
  }
  await world.of(machine.start());
  await world.until(`${machine.address} is in`, () => machine.broker.members.own?.state === 'in');
  return machine;
}

/** Publishes with quorum, one message after another at one machine after another, until it is told to end. */
export class Steady {
  readonly acknowledged: string[] = [];
  readonly errors: string[] = [];
  readonly #world: World;
  readonly #done: Promise<void>;
  #isOver = false;

  constructor(world: World) {
    this.#world = world;
    this.#done = this.#run();
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#world.of(this.#done);
  }

  async #run(): Promise<void> {
    const { time } = this.#world;
    for (let number = 1; !this.#isOver; number += 1) {
      await time.sleep(PAUSE_MS);
      const { running } = this.#world;
      const machine = running[number % running.length];
      if (machine !== undefined) await this.#publish(machine, `steady-${number}`);
    }
  }

  async #publish(machine: Machine, payload: string): Promise<void> {
    try {
      const client = await VirtualClient.connect(this.#world, 'steady', machine);
      const reply = await client.command('PUBLISH', 'news', payload, 'ACKS', 'quorum');
      if (typeof reply === 'number') this.acknowledged.push(payload);
      else this.errors.push(String(plain(reply)));
      client.close();
    } catch (error) {
      this.errors.push(codeOf(error));
    }
  }
}

/** What of these payloads a broker that runs does not have, and what the ledger does not allow. */
export function lost(world: World, payloads: readonly string[]): string[] {
  const { byPayload, violations } = new Ledger(world.diskLog);
  const isEverywhere = (payload: string): boolean => (byPayload.get(payload) ?? [])
    .some(({ isOn }) => world.running.every(({ address }) => isOn.has(address)));
  return [...violations.map(({ kind, what }) => `${kind}: ${what}`), ...payloads.filter((each) => !isEverywhere(each))];
}
