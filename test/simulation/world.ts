/**
 * A world for whole Brokers, the real ones, that is made of nothing but a seed: virtual time, network and disks. Whatever happens in it
 * stands in its history; the same seed and the same acts give the same history.
 *
 * Nothing moves by itself: `run`, `until` and `await world.of(promise)` let time pass. One of them at a time.
 */
import type { ConfigOptions } from '../../brokers/config.ts';
import { type Address, parseAddress, splitAddress } from '../../brokers/core/address.ts';
import type { Clock, LogFields, Logger, LogLevel } from '../../brokers/core/runtime.ts';
import { Broker } from '../../brokers/host.ts';
import { type Reply, ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { SeededRandom } from '../support/random.ts';
import { VirtualDisk } from './disk.ts';
import { VirtualNetwork } from './network.ts';
import { Life, VirtualTime } from './time.ts';

const BEGINNING = 1_700_000_000_000; // wall clock, ms since 1970
const BOUND_MS = 60_000; // of virtual time, for what should come at once

export class World {
  readonly seed: number;
  readonly random: SeededRandom;
  /** Of every broker, beside its address. */
  readonly options: ConfigOptions;
  readonly time = new VirtualTime();
  readonly network: VirtualNetwork;
  readonly machines: Machine[] = [];
  /** Every log line of every broker, and every act of the test. */
  readonly history: string[] = [];
  #clients = 0;

  /** @param count machines, `10.0.0.1:3000` and up, none of them running; each knows all the others */
  constructor(seed: number, count: number, options: ConfigOptions = {}) {
    this.seed = seed;
    this.options = options;
    this.random = new SeededRandom(seed);
    this.network = new VirtualNetwork(this.time, this.random);
    for (let index = 1; index <= count; index += 1) this.machines.push(new Machine(this, parseAddress(`10.0.${index >> 8}.${index & 255}:3000`)));
  }

  /** A world whose brokers run and agree on a coordinator. */
  static async start(seed: number, count: number, options: ConfigOptions = {}): Promise<World> {
    const world = new World(seed, count, options);
    for (const machine of world.machines) await world.of(machine.start());
    await world.settled();
    return world;
  }

  get running(): Machine[] {
    return this.machines.filter((machine) => machine.isRunning);
  }

  note(who: string, what: string): void {
    this.history.push(`${this.time.now.toFixed(3)} ${who} ${what}`);
  }

  /** Lets virtual time pass. */
  run(ms: number): Promise<void> {
    return this.time.run(ms);
  }

  /** Lets time pass until the promise settles. @throws what the promise rejects with, or Error once `boundMs` have passed */
  async of<T>(promise: Promise<T>, boundMs = BOUND_MS): Promise<T> {
    let settled = false;
    const settle = (): void => void (settled = true);
    promise.then(settle, settle);
    await this.until('a promise settles', () => settled, boundMs);
    return promise;
  }

  /** Lets time pass until the condition holds. @throws Error that says `what` did not come and how to replay it, after `boundMs` */
  async until(what: string, condition: () => boolean, boundMs = BOUND_MS): Promise<void> {
    const end = this.time.now + boundMs;
    await this.run(0);
    while (!condition()) {
      if (!(await this.time.step(end))) throw new Error(`seed ${this.seed}: not within ${boundMs} virtual ms: ${what}`);
    }
  }

  /** Everybody that runs agrees that the highest of them leads, in one term. */
  settled(boundMs?: number): Promise<void> {
    const { running } = this;
    const leader = running.at(-1)!.address;
    return this.until(`${leader} leads`, () => running.every(({ broker }) =>
      broker.coordinator === leader && broker.status()['term'] === running[0]!.broker.status()['term']), boundMs);
  }

  /** Everybody that runs has the same records. */
  converged(boundMs?: number): Promise<void> {
    return this.until('all brokers hold the same', () => new Set(this.running.map((machine) => machine.vector())).size === 1, boundMs);
  }

  /** Hosts of the two groups cannot reach each other. */
  partition(left: readonly Machine[], right: readonly Machine[]): void {
    this.note('test', `partition ${left.map(({ address }) => address).join()} | ${right.map(({ address }) => address).join()}`);
    for (const { address: a } of left) for (const { address: b } of right) this.network.cut(a, b);
  }

  heal(): void {
    this.note('test', 'heal');
    this.network.healAll();
  }

  /** A client of one broker, on a host of its own. */
  async client(machine: Machine): Promise<VirtualClient> {
    const name = `client-${(this.#clients += 1)}`;
    const client = new VirtualClient();
    const channel = await this.of(this.network.transport(name, new Life()).dial(machine.address, 1000));
    client.send = (bytes) => channel.write(bytes);
    channel.attach(client);
    return client;
  }
}

/** A computer with one broker on it: a disk for good, a process while it runs. */
export class Machine {
  readonly address: Address;
  disk: VirtualDisk;
  readonly #world: World;
  #life: Life | undefined;
  #broker: Broker | undefined;

  constructor(world: World, address: Address) {
    this.#world = world;
    this.address = address;
    this.disk = new VirtualDisk(address, world.time, world.random);
  }

  get isRunning(): boolean {
    return this.#broker !== undefined;
  }

  /** Only while it runs. */
  get broker(): Broker {
    if (this.#broker === undefined) throw new Error(`${this.address} does not run`);
    return this.#broker;
  }

  /** @param rows its globalState.csv; all machines by default */
  async start(rows: readonly Address[] = this.#world.machines.map(({ address }) => address)): Promise<void> {
    const { network, random, time } = this.#world;
    const life = new Life();
    this.#life = life;
    const clock: Clock = {
      now: () => time.now,
      wallTime: () => BEGINNING + time.now,
      schedule: (delayMs, task) => time.after(delayMs, () => life.isOver || task()),
      defer: (task) => void time.after(0, () => life.isOver || task()),
    };
    const broker = await Broker.start({ ...this.#world.options, ...splitAddress(this.address) }, rows, {
      clock, random: random.word, logger: this.#logger(life), transport: network.transport(this.address, life),
      openStore: () => Promise.resolve(this.disk.open(life)),
    });
    if (!life.isOver) this.#broker = broker;
  }

  /** The process dies at once; its disk keeps what was written. */
  crash(): void {
    this.#world.note(this.address, 'crash');
    const life = this.#life;
    this.#broker = undefined;
    if (life === undefined) return;
    life.isOver = true;
    this.#world.network.crashed(life);
  }

  /** The disk is replaced by an empty one, while no process runs. */
  wipe(): void {
    this.#world.note(this.address, 'wipe');
    this.disk = new VirtualDisk(this.address, this.#world.time, this.#world.random);
  }

  /** The process ends in an orderly way. */
  async stop(): Promise<void> {
    const { broker } = this;
    this.#broker = undefined;
    await broker.stop();
  }

  /** What the broker holds, as text that is the same wherever the same is held. */
  vector(): string {
    return JSON.stringify([...this.broker.vector()].sort());
  }

  /** Every record on disk, in an order that does not depend on the machine. */
  records(): string[] {
    return this.disk.data.batches.map(({ origin, seq, count, lamport, time, topic, deps, lengths, meta, body }) =>
      JSON.stringify([origin, seq, count, lamport, time, topic, deps, lengths, meta, Buffer.from(body).toString('latin1')])).sort();
  }

  #logger(life: Life): Logger {
    const at = (level: LogLevel) => (event: string, fields: LogFields = {}): void => {
      if (!life.isOver) this.#world.note(this.address, `${level} ${event} ${JSON.stringify(fields)}`);
    };
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }
}

/** A client that sends commands and gets replies in order. */
export class VirtualClient {
  send: (bytes: Uint8Array) => void = () => undefined;
  isClosed = false;
  readonly #parser = new ReplyParser();
  readonly #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = [];

  command(...args: (string | number)[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) return reject(new Error('connection closed'));
      this.#waiting.push({ resolve, reject });
      this.send(encodeCommand(args));
    });
  }

  data(chunk: Buffer): void {
    this.#parser.push(chunk);
    for (let reply = this.#parser.next(); reply !== undefined; reply = this.#parser.next()) this.#waiting.shift()?.resolve(reply);
  }

  drain(): void {}

  ended(): void {
    this.closed();
  }

  closed(): void {
    this.isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('connection closed'));
  }
}
