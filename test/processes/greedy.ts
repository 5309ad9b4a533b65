/**
 * Command line: one honest publisher and one honest subscriber of a broker, first alone, then beside thousands
 * of greedy clients of all kinds at once, then alone again. The broker runs in a control group of 1 GiB where the
 * system lets us make one.
 *
 * Says what the median latency from publish to push was, whether anything was lost, and what memory the broker took.
 */
import { fork } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { text } from '../../brokers/wire/message.ts';
import { BrokerProcess } from '../support/cluster.ts';
import { FLOOD, type GreedyKind } from '../support/greedy.ts';
import { freePorts } from '../support/port.ts';
import { RespClient } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';

const MEBIBYTE = 1024 * 1024;
const EVERY_MS = 10; // a message of the honest publisher
const FLOOD_BYTES = 20 * MEBIBYTE;
const GROUP_ROOTS = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'];

/** How many of a thousand greedy clients are of each kind. */
const MIX: Readonly<Record<GreedyKind, number>> = {
  half: 250, crumbs: 50, ask: 200, idle: 200, names: 150, link: 50, silent: 100,
};

const options = new Command('greedy')
  .description('Measures an honest publisher and subscriber beside thousands of greedy clients.')
  .option('--connections <n>', 'greedy clients', Number, 10_000)
  .option('--seconds <s>', 'how long they stay', Number, 60)
  .option('--limit <MiB>', 'memory of the control group', Number, 1024)
  .option('--memory <bytes>', "the broker's own flag")
  .parse().opts<{ connections: number; seconds: number; limit: number; memory?: string }>();

/** A control group with a memory limit; undefined where we may not make one. */
function makeGroup(): string | undefined {
  for (const root of GROUP_ROOTS) {
    const folder = join(root, `rumormill-greedy-${process.pid}`);
    try {
      mkdirSync(folder);
      const file = existsSync(join(folder, 'memory.max')) ? 'memory.max' : 'memory.limit_in_bytes';
      writeFileSync(join(folder, file), String(options.limit * MEBIBYTE));
      return folder;
    } catch {
      continue; // not there, or not ours
    }
  }
  return undefined;
}

/** Publishes and takes in what is pushed; keeps the latency of each, ms. */
class Honest {
  readonly #publisher: RespClient;
  readonly #subscriber: RespClient;
  readonly #sentAt = new Map<number, number>();
  readonly #latencies: number[] = [];
  published = 0;
  received = 0;
  #isOver = false;

  private constructor(publisher: RespClient, subscriber: RespClient) {
    this.#publisher = publisher;
    this.#subscriber = subscriber;
  }

  static async start(port: number): Promise<Honest> {
    const [publisher, subscriber] = [await RespClient.open(port), await RespClient.open(port)];
    await subscriber.command('SUBSCRIBE', 'honest');
    const honest = new Honest(publisher, subscriber);
    honest.#receive().catch((error: unknown) => {
      if (!honest.#isOver) throw error;
    });
    return honest;
  }

  /** For so long; the latencies, ascending. */
  async run(seconds: number): Promise<readonly number[]> {
    this.#latencies.length = 0;
    for (
      const end = performance.now() + seconds * 1000;
      performance.now() < end;
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
    ) {
      this.#sentAt.set((this.published += 1), performance.now());
      await this.#publisher.publish('honest', String(this.published));
    }
    await waitFor('the subscriber has all', () => this.received === this.published, 60_000);
    return this.#latencies.toSorted((a, b) => a - b);
  }

  end(): void {
    this.#isOver = true;
    this.#publisher.close();
    this.#subscriber.close();
  }

  async #receive(): Promise<void> {
    for (;;) {
      const pushed = await this.#subscriber.next('a push', 1_000_000_000);
      const number = Number(text((pushed as Buffer[])[2]!));
      if (number !== (this.received += 1)) throw new Error(`message ${number} came in place of ${this.received}`);
      this.#latencies.push(performance.now() - this.#sentAt.get(number)!);
    }
  }
}

const quantile = (sorted: readonly number[], share: number): string =>
  `${(sorted[Math.floor((sorted.length - 1) * share)] ?? NaN).toFixed(2)} ms`;
const shown = (what: string, latencies: readonly number[]): void =>
  console.log(
    `${what.padEnd(18)} median ${quantile(latencies, 0.5)}, 99% ${quantile(latencies, 0.99)}, most ${quantile(latencies, 1)}; ${latencies.length} messages`,
  );

function memoryOf(pid: number): string {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const of = (name: string): string =>
    `${Math.round(Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024)} MiB`;
  return `resident ${of('VmRSS')}, at most ${of('VmHWM')}`;
}

const group = makeGroup();
console.log(
  group === undefined
    ? 'no control group: the broker is not limited from outside'
    : `control group of ${options.limit} MiB: ${group}`,
);
const folder = mkdtempSync(join(tmpdir(), 'rumormill-greedy-'));
const [port] = (await freePorts(1)) as [number];
writeFileSync(join(folder, 'globalState.csv'), `ip-address,port\n127.0.0.1,${port}\n`);
const wrapper = group === undefined ? [] : ['sh', '-c', `echo $$ > ${group}/cgroup.procs; exec "$@"`, 'sh'];
const memory = options.memory === undefined ? {} : { memory: options.memory };
const broker = new BrokerProcess(
  port,
  { 'global-state': join(folder, 'globalState.csv'), 'data-dir': join(folder, 'data'), 'log-level': 'info', ...memory },
  wrapper,
);
let failed = true;
try {
  await broker.start();
  const looker = await RespClient.open(port);
  const status = (): Promise<Record<string, string>> => looker.fields('MESH', 'STATUS');
  console.log(
    `budget ${Math.round(Number((await status())['memory_limit_bytes']) / MEBIBYTE)} MiB; ${memoryOf(broker.pid)}`,
  );
  const honest = await Honest.start(port);
  await honest.run(3);
  const quiet = await honest.run(10);
  shown('alone', quiet);

  const counts = Object.entries(MIX).map(
    ([kind, share]) => `${kind}=${Math.ceil((share * options.connections) / 1000)}`,
  );
  const clients = fork(fileURLToPath(new URL('greedy-clients.js', import.meta.url)), [String(port), ...counts]);
  let report: unknown;
  clients.on('message', (message) => (report = message));
  const flooding = (async () => {
    const flooder = await RespClient.open(port);
    for (let sent = 0; sent < FLOOD_BYTES; sent += 100_000) await flooder.publish(FLOOD, Buffer.alloc(100_000));
    flooder.close();
  })();
  const beside = await honest.run(options.seconds);
  shown(`beside ${options.connections}`, beside);
  await flooding;
  const during = await status();
  console.log(
    `connections ${during['connections']}, memory ${Math.round(Number(during['memory_bytes']) / MEBIBYTE)} MiB counted, at most ${Math.round(Number(during['memory_peak_bytes']) / MEBIBYTE)}; ${memoryOf(broker.pid)}`,
  );
  console.log(JSON.stringify(report));
  clients.kill('SIGKILL');
  await waitFor('the greedy are gone', async () => Number((await status())['connections']) <= 3, 60_000);
  shown('alone again', await honest.run(20));
  const after = await status();
  console.log(`memory ${Math.round(Number(after['memory_bytes']) / MEBIBYTE)} MiB counted; ${memoryOf(broker.pid)}`);
  const stored = await looker.readAll('honest');
  console.log(`published ${honest.published}, pushed ${honest.received}, read back ${stored.length}`);
  for (const { event, count } of broker.log.filter(({ level }) => level === 'warn')) {
    console.log(`log: ${event}: ${String(count)}`);
  }
  const [before, later] = [quiet, beside].map((sorted) => sorted[Math.floor(sorted.length / 2)]!) as [number, number];
  console.log(`median beside greedy clients: ${(later / before).toFixed(1)} times that alone`);
  failed = honest.received !== honest.published || stored.length !== honest.published;
  honest.end();
  looker.close();
} finally {
  if (broker.isRunning) await broker.stop();
  else console.log(`the broker ended: ${String(await broker.exit())} ${JSON.stringify(broker.log.at(-1))}`);
  if (group !== undefined) rmdirSync(group);
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
