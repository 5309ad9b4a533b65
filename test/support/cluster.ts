/**
 * Real brokers as processes of their own, on real sockets and files in a temporary folder; all of it is gone when the
 * test ends.
 *
 * They run `dist/`, which `npm test` builds first. Set DIST to run another build.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Test } from 'tap';
import { temporaryFolder } from './folder.ts';
import { freePorts } from './port.ts';
import { RespClient } from './resp-client.ts';
import { DIST, ROOT } from './root.ts';
import { waitFor, within } from './wait.ts';

const HOST = '127.0.0.1';

/** A line of a broker's log; `event` is the whole line where it is not JSON. */
export interface LogLine {
  readonly event: string;
  readonly level?: string;
  readonly [field: string]: unknown;
}

/** How a process ended: its exit status, or the signal that ended it. */
export type Exit = number | NodeJS.Signals;

type Args = Readonly<Record<string, string>>; // flags without their dashes, '' for no value; and `join`, the command

/** One broker: its address and folder for good, a process while it runs. */
export class BrokerProcess {
  readonly port: number;
  readonly address: string;
  /** Every line it ever logged, over all its lives. */
  readonly log: LogLine[] = [];
  readonly #args: Args;
  readonly #wrapper: readonly string[];
  readonly #clients = new Set<RespClient>();
  #child: ChildProcessByStdio<null, null, Readable> | undefined;
  #exited: Promise<Exit> | undefined;

  /** @param wrapper a command that runs the one behind it */
  constructor(port: number, args: Args, wrapper: readonly string[] = []) {
    this.port = port;
    this.#wrapper = wrapper;
    this.#args = { host: HOST, port: String(port), 'log-format': 'json', 'log-level': 'debug', ...args };
    this.address = `${this.#args['host']}:${port}`;
  }

  get file(): string {
    return join(this.#args['data-dir']!, `${this.#args['host']}-${this.port}`, 'broker.db');
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Starts the process and returns at once. */
  spawn(): void {
    const { NODE_OPTIONS: _, ...env } = process.env; // tap's loaders are none of the broker's business
    const { join: members, ...given } = this.#args;
    const flags = Object.entries(given).flatMap(([name, value]) => [`--${name}`, ...(value === '' ? [] : [value])]);
    if (members !== undefined) flags.unshift('join', members);
    const [command, ...args] = [...this.#wrapper, process.execPath, join(DIST, 'brokers/broker.js'), ...flags] as [
      string,
      ...string[],
    ];
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
    this.#child = child;
    createInterface({ input: child.stderr }).on('line', (line) => this.log.push(parseLine(line)));
    this.#exited = new Promise((resolve) => child.once('close', (code, signal) => {
      this.#child = undefined;
      resolve(code ?? signal ?? 0);
    }));
  }

  /** Starts the process and waits until it serves. */
  async start(): Promise<void> {
    const before = this.log.length;
    this.spawn();
    await waitFor(`broker ${this.port} is ready`, () => {
      if (!this.isRunning) throw new Error(`broker ${this.port} ended: ${JSON.stringify(this.log.at(-1))}`);
      return this.log.slice(before).some(({ event }) => event === 'broker ready');
    });
  }

  /** How the process ends, or ended. */
  exit(timeoutMs?: number): Promise<Exit> {
    return within(`broker ${this.port} exits`, this.#exited!, timeoutMs);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** As a power cut would: nothing is said to anybody. */
  async kill(): Promise<void> {
    if (this.#child === undefined) return;
    this.signal('SIGKILL');
    await this.exit();
  }

  /** SIGTERM, and how it exits. */
  async stop(): Promise<Exit> {
    this.signal('SIGTERM');
    return this.exit();
  }

  /** A new connection; closed with the cluster. */
  async connect(): Promise<RespClient> {
    const client = await RespClient.open(this.port, this.#args['host']!);
    this.#clients.add(client);
    return client;
  }

  /** How many messages it has, in all topics; what the brokers keep of subscriptions is none of them. */
  async messages(): Promise<number> {
    return this.#once(async (client) => {
      let count = 0;
      for (const topic of (await client.command('TOPIC', 'LIST')) as Buffer[]) {
        count += Number((await client.fields('TOPIC', 'GET', topic.toString()))['messages']);
      }
      return count;
    });
  }

  async status(): Promise<Record<string, string>> {
    return this.#once((client) => client.fields('MESH', 'STATUS'));
  }

  /** What MESH MEMBERS says. */
  members(): Promise<Record<string, string>[]> {
    return this.#once(async (client) => ((await client.command('MESH', 'MEMBERS')) as Buffer[][]).map((fields) =>
      Object.fromEntries(fields.flatMap((name, index) =>
        index % 2 === 0 ? [[String(name), String(fields[index + 1])]] : []))));
  }

  async vector(): Promise<Record<string, string>> {
    return this.#once((client) => client.fields('MESH', 'VECTOR'));
  }

  /** The coordinator as this broker sees it, '' for none. */
  async leader(): Promise<string> {
    return (await this.status())['coordinator']!;
  }

  logged(event: string): LogLine[] {
    return this.log.filter((line) => line.event === event);
  }

  async dispose(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.kill();
  }

  async #once<T>(ask: (client: RespClient) => Promise<T>): Promise<T> {
    const client = await RespClient.open(this.port, this.#args['host']!);
    try {
      return await ask(client);
    } finally {
      client.close();
    }
  }
}

/** Brokers that share a globalState.csv. Their ports ascend, so the last one is the highest: the coordinator. */
export class Cluster {
  readonly folder: string;
  readonly csv: string;
  readonly brokers: BrokerProcess[] = [];

  /** A cluster without brokers; gone with the test. */
  constructor(t: Test) {
    assertBuilt();
    this.folder = temporaryFolder(t);
    this.csv = join(this.folder, 'globalState.csv');
    this.list([]);
    // before the folder goes: the last teardown runs first
    t.teardown(() => Promise.all(this.brokers.map((broker) => broker.dispose())));
  }

  /** A mesh of running brokers that agree on a coordinator. */
  static async start(t: Test, count: number, args: Args = {}): Promise<Cluster> {
    const cluster = new Cluster(t);
    const ports = await freePorts(count);
    cluster.list(ports.map((port) => `${HOST},${port}`));
    for (const port of ports) cluster.add(port, args);
    await Promise.all(cluster.brokers.map((broker) => broker.start()));
    await cluster.settled();
    return cluster;
  }

  /** One broker that runs, alone in its mesh. */
  static async single(t: Test): Promise<[BrokerProcess, Cluster]> {
    const cluster = new Cluster(t);
    const [port] = await freePorts(1) as [number];
    cluster.list([`${HOST},${port}`]);
    const broker = cluster.add(port);
    await broker.start();
    return [broker, cluster];
  }

  /** Writes globalState.csv, at one stroke: a broker that reads it meanwhile finds the old rows or the new ones. */
  list(rows: readonly string[]): void {
    writeFileSync(`${this.csv}.new`, ['ip-address,port', ...rows, ''].join('\n'));
    renameSync(`${this.csv}.new`, this.csv);
  }

  /** Another broker, which is not started yet. */
  add(port: number, args: Args = {}, wrapper: readonly string[] = []): BrokerProcess {
    const broker = new BrokerProcess(
      port, { 'global-state': this.csv, 'data-dir': join(this.folder, 'data'), ...args }, wrapper,
    );
    this.brokers.push(broker);
    return broker;
  }

  get running(): BrokerProcess[] {
    return this.brokers.filter((broker) => broker.isRunning);
  }

  /** Waits until all that run are linked and name the last one coordinator. */
  async settled(timeoutMs?: number): Promise<void> {
    const { running } = this;
    const leader = running.at(-1)!.address;
    await waitFor(`all ${running.length} brokers are linked under ${leader}`, async () => {
      const statuses = await Promise.all(running.map((broker) => broker.status()));
      return statuses.every(
        (status) => status['coordinator'] === leader && Number(status['links']) >= running.length - 1,
      );
    }, timeoutMs);
  }

  /** Waits until those that run know each other as members. */
  async founded(): Promise<void> {
    await waitFor('the mesh is founded', async () => {
      const known = await Promise.all(this.running.map((broker) => broker.members()));
      return known.every((members) =>
        this.running.every(({ address }) => members.some((each) => each['address'] === address && each['id'] !== '')));
    });
    await this.converged();
  }

  /** Waits until all that run hold the same records, `messages` of them where that is given. */
  async converged(messages?: number): Promise<void> {
    await waitFor(`all brokers hold the same ${messages ?? ''} messages`, async () => {
      const vectors = await Promise.all(this.running.map((broker) => broker.vector()));
      const texts = vectors.map((vector) => JSON.stringify(Object.entries(vector).sort()));
      if (texts.some((text) => text !== texts[0])) return false;
      return messages === undefined || (await this.running[0]!.messages()) === messages;
    });
  }
}

function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { event: line }; // what is written before there is a log
  }
}

/** Fails early and clearly, where tests would otherwise try what is not there any more. */
function assertBuilt(): void {
  const built = statSync(join(DIST, '.tsbuildinfo'), { throwIfNoEntry: false })?.mtimeMs ?? 0; // each build writes it
  const sources = readdirSync(join(ROOT, 'brokers'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const newer = sources.find((name) => statSync(join(ROOT, 'brokers', name)).mtimeMs > built);
  if (newer !== undefined && process.env['DIST'] === undefined) {
    throw new Error(`dist/ is older than brokers/${newer}: npm run build`);
  }
}
