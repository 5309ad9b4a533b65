/**
 * What all clients of a run are: processes on hosts of their own, each with its dice and a connection with one broker
 * at a time.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import { SeededRandom } from '../support/random.ts';
import { VirtualClient } from './client.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

/** What a client may be told, or tells itself, where its command came to nothing for no fault of its own. */
export const LOST = ['UNREACHABLE', 'DISCONNECTED', 'TIMEOUT', 'CLOSING', 'LEAVING'];

/** A client process: a connection with one broker at a time, chosen by its dice. */
export class Caller {
  readonly host: string;
  readonly world: World;
  readonly dice: SeededRandom;
  #machine: Machine;
  #client: VirtualClient | undefined;

  constructor(world: World, host: string, number: number) {
    this.host = host;
    this.world = world;
    this.dice = new SeededRandom(Math.imul(world.seed, 1009) + number);
    this.#machine = this.dice.pick(world.machines);
  }

  get machine(): Machine {
    return this.#machine;
  }

  get isConnected(): boolean {
    return this.#client !== undefined && !this.#client.isClosed;
  }

  /** Takes leave of its broker; the next one is another. */
  hop(): void {
    this.hangUp();
    this.#machine = this.dice.pick(this.world.present.filter((machine) => machine !== this.#machine));
  }

  hangUp(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** @throws RumormillError UNREACHABLE */
  async connect(): Promise<VirtualClient> {
    if (this.#client === undefined || this.#client.isClosed) {
      this.#client = await VirtualClient.connect(this.world, this.host, this.#machine);
    }
    return this.#client;
  }

  /** The host sleeps up to so long. */
  rest(ms: number): Promise<void> {
    return this.world.time.sleep(this.dice.integer(1, ms));
  }
}

/** @throws what is no RumormillError */
export function codeOf(error: unknown): string {
  if (error instanceof RumormillError) return error.code;
  throw error;
}
