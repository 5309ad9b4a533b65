/** Our brokers, as the benchmark starts them: those of dist/, with a file each. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { BrokerProcess } from '../support/cluster.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';
import type { Publishing } from './load.ts';
import { RespCounter } from './replies.ts';
import type { Home, Running, System } from './system.ts';

export const TOPIC = 'bench';

/** Our system, at one level of acknowledgement. */
export class Ours implements System {
  readonly name: string;
  readonly promise: string;
  readonly #acks: 'local' | 'quorum';
  readonly #brokers: number;

  constructor(acks: 'local' | 'quorum', brokers = 3) {
    this.#acks = acks;
    this.#brokers = brokers;
    this.name = brokers === 1 ? 'ours, alone' : `ours, ${acks}`;
    this.promise =
      acks === 'quorum' ? 'synced to the disks of a majority' : 'synced to the disk of the broker that answers';
  }

  version(): string {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    return `Rumormill ${version}`;
  }

  start(home: Home): Promise<Brokers> {
    return Brokers.start(home, this.#brokers, this.#acks);
  }
}

/** Brokers that run. */
export class Brokers implements Running {
  readonly all: readonly BrokerProcess[];

  static async start(home: Home, count: number, acks: string): Promise<Brokers> {
    const ports = await freePorts(count);
    const folder = mkdtempSync(join(home.folder, 'brokers-'));
    const csv = join(folder, 'globalState.csv');
    writeFileSync(csv, ports.map((port) => `127.0.0.1,${port}\n`).join(''));
    const args = { 'global-state': csv, 'data-dir': folder, 'log-level': 'warn', acks };
    const brokers = new Brokers(ports.map((port) => new BrokerProcess(port, args)));
    for (const broker of brokers.all) home.adopt({ kill: () => broker.signal('SIGKILL'), end: () => broker.dispose() });
    await Promise.all(brokers.all.map((broker) => brokers.up(broker)));
    await waitFor('the brokers are linked', async () => {
      const statuses = await Promise.all(brokers.all.map((broker) => broker.status()));
      return statuses.every(
        ({ links, coordinator }) => Number(links) >= count - 1 && coordinator === brokers.all.at(-1)!.address,
      );
    });
    return brokers;
  }

  private constructor(all: readonly BrokerProcess[]) {
    this.all = all;
  }

  /** Starts a broker and waits until it serves. */
  async up(broker: BrokerProcess): Promise<void> {
    broker.spawn();
    await waitFor(`${broker.address} serves`, () => broker.status().then(() => true, () => false), 60_000);
  }

  get publishing(): Publishing {
    return this.publishingOn(this.all[0]!);
  }

  get everywhere(): Publishing {
    return this.publishingOn(...this.all);
  }

  publishingOn(...brokers: readonly BrokerProcess[]): Publishing {
    return {
      ports: brokers.map(({ port }) => port),
      unit: () => 1,
      greeting: () => '',
      frame: (_, payload) => encodeCommand(['PUBLISH', TOPIC, payload]),
      counter: () => new RespCounter(),
    };
  }

  async stored(): Promise<number[]> {
    return Promise.all(this.all.map((broker) => broker.messages()));
  }
}
