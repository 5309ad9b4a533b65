/**
 * Chaos: real brokers under load, killed, stopped and cut off from one another at random; then everything heals, and
 * what was promised is checked.
 *
 *     npm run chaos -- --seconds 60 --brokers 5 --seed 7
 *
 * Checked: no message that was acknowledged at `quorum` is missing from any broker's store, from what any broker
 * delivers, or from what subscribers got that moved from broker to broker all the time; those got nothing twice; what
 * one broker took from one publisher came in order; all stores hold the same batches; there is one coordinator; no
 * broker logged an error; and every kind of fault did happen.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import type { Address } from '../../brokers/core/address.ts';
import { messagesOf } from '../../brokers/core/log/record.ts';
import { systemRandom } from '../../brokers/io/clock.ts';
import { openStore } from '../../brokers/io/open-store.ts';
import { connect } from '../../clients/client.ts';
import { number, wholeNumber } from '../../clients/command-line/command-line.ts';
import { BrokerProcess } from '../support/cluster.ts';
import { BIND, FaultNetwork, HOST } from '../support/fault-proxy.ts';
import { freePorts } from '../support/port.ts';
import { waitFor } from '../support/wait.ts';
import { type FaultKind, Faults, FAULTS } from './chaos-fault.ts';
import { Delivery, Publisher, Subscriber, TOPIC } from './chaos-load.ts';

const PUBLISHERS = 3;
const SUBSCRIBERS = 3;
const LONG_RUN_S = 30;
const HEAL_MS = 60_000; // far beyond what converging takes
const READ_BYTES = 4 * 1024 * 1024;
const SHOWN_MAX = 5;

export interface ChaosOptions {
  readonly seconds: number;
  readonly brokers: number;
  readonly seed: number;
  /** Messages a second, of all publishers together. */
  readonly rate: number;
}

export interface Report {
  /** What was promised and not kept, a sentence each. */
  readonly problems: readonly string[];
  readonly faults: ReadonlyMap<FaultKind, number>;
  /** Names and figures, for people. */
  readonly table: readonly (readonly [string, string])[];
}

/** Runs it; leaves no process and no file behind. */
export async function runChaos(options: ChaosOptions): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'rumormill-chaos-'));
  const addresses = (await freePorts(options.brokers)).map((port) => `${HOST}:${port}` as Address);
  const csv = join(folder, 'globalState.csv');
  writeFileSync(csv, addresses.map((address) => `${address.replace(':', ',')}\n`).join(''));
  const brokers = addresses.map((address) => new BrokerProcess(Number(address.slice(HOST.length + 1)), {
    host: HOST, bind: BIND, 'global-state': csv, 'data-dir': join(folder, 'data'), 'log-level': 'info',
  }));
  const abandon = (): void => { // where the process ends in the middle of it
    for (const broker of brokers) broker.signal('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', abandon);
  const network = await FaultNetwork.start(addresses);
  try {
    await Promise.all(brokers.map((broker) => broker.start()));
    return await new Chaos(options, brokers, network).run();
  } finally {
    await Promise.all(brokers.map((broker) => broker.dispose()));
    await network[Symbol.asyncDispose]();
    process.off('exit', abandon);
    rmSync(folder, { recursive: true, force: true });
  }
}

class Chaos {
  readonly #options: ChaosOptions;
  readonly #brokers: readonly BrokerProcess[];
  readonly #network: FaultNetwork;
  readonly #problems: string[] = [];
  readonly #failovers: { readonly kind: FaultKind; readonly who: 'publisher' | 'subscriber'; readonly ms: number }[] =
    [];
  #publishers: Publisher[] = [];
  #subscribers: Subscriber[] = [];

  constructor(options: ChaosOptions, brokers: readonly BrokerProcess[], network: FaultNetwork) {
    this.#options = options;
    this.#brokers = brokers;
    this.#network = network;
  }

  async run(): Promise<Report> {
    const { seconds, seed, rate } = this.#options;
    this.#publishers = await Promise.all(
      this.#clients(PUBLISHERS, (name, brokers) => Publisher.start(name, brokers, rate / PUBLISHERS)),
    );
    this.#subscribers = await Promise.all(
      this.#clients(SUBSCRIBERS, (name, brokers) => Subscriber.start(name, brokers)),
    );
    const usual = seconds < LONG_RUN_S ? [300, 1000] as const : [300, 4000] as const;
    const stop = seconds < LONG_RUN_S ? [2500, 2500] as const : [2500, 12_500] as const;
    const faults = new Faults(this.#brokers, this.#network, { usual, stop }, seed, (kind, broker) =>
      this.#tookAway(kind, broker),
    );
    faults.start();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    await faults.stop();

    const healedAt = performance.now();
    await Promise.all(this.#publishers.map((publisher) => publisher.stop()));
    const acknowledged = this.#publishers.flatMap((publisher) => publisher.acknowledged);
    await this.#converged();
    const convergedMs = performance.now() - healedAt;
    await this.#checkSubscribers(acknowledged);
    await this.#checkCoordinator();
    for (const broker of this.#brokers) await this.#checkDelivery(broker, acknowledged);
    const pairs = await this.#checkStores(acknowledged);
    this.#checkLogs();
    for (const [kind, count] of faults.counts) this.#check(count > 0, `no ${kind}`);
    return {
      problems: this.#problems, faults: faults.counts,
      table: this.#table(acknowledged, faults.counts, convergedMs, pairs),
    };
  }

  /** Clients that begin at different brokers. */
  #clients<T>(count: number, start: (name: string, brokers: readonly string[]) => T): T[] {
    const addresses = this.#brokers.map(({ address }) => address);
    return Array.from({ length: count }, (_, index) => {
      const at = index % addresses.length;
      return start(`${index + 1}`, [...addresses.slice(at), ...addresses.slice(0, at)]);
    });
  }

  #tookAway(kind: FaultKind, broker: Address): () => void {
    for (const { failover } of this.#publishers) {
      failover.watch(broker, (ms) => this.#failovers.push({ kind, who: 'publisher', ms }));
    }
    for (const { failover } of this.#subscribers) {
      failover.watch(broker, (ms) => this.#failovers.push({ kind, who: 'subscriber', ms }));
    }
    return () => {
      for (const { failover } of [...this.#publishers, ...this.#subscribers]) failover.endWatch(broker);
    };
  }

  async #converged(): Promise<void> {
    await waitFor('all brokers hold the same records', async () => {
      // busy: asked again
      const vectors = await Promise.all(this.#brokers.map((broker) => broker.vector().catch(() => undefined)));
      return (
        !vectors.includes(undefined) &&
        new Set(vectors.map((vector) => JSON.stringify(Object.entries(vector!).sort()))).size === 1
      );
    }, HEAL_MS);
  }

  async #checkSubscribers(acknowledged: readonly string[]): Promise<void> {
    for (const subscriber of this.#subscribers) {
      const { name, delivery } = subscriber;
      await waitFor('the subscriber has everything', () => delivery.missing(acknowledged).length === 0, HEAL_MS).catch(
        () => undefined,
      ); // told below
      await subscriber.stop();
      this.#none(delivery.missing(acknowledged), `acknowledged messages never came to subscriber ${name}`);
      this.#none(delivery.repeated, `messages came twice to subscriber ${name}`);
      this.#none(delivery.disorder, `messages came out of order to subscriber ${name}`);
    }
  }

  async #checkCoordinator(): Promise<void> {
    const highest = this.#brokers.at(-1)!.address;
    await waitFor(`${highest} is everybody's coordinator`, async () => {
      const leaders = await Promise.all(this.#brokers.map((broker) => broker.leader()));
      return leaders.every((leader) => leader === highest);
    }, HEAL_MS);
  }

  /** Reads all that a broker delivers, from the beginning. */
  async #checkDelivery({ address }: BrokerProcess, acknowledged: readonly string[]): Promise<void> {
    const client = await connect({ brokers: address, timeoutMs: HEAL_MS });
    const delivery = new Delivery();
    for (let cursor = 'earliest'; ; ) {
      const polled = await client.poll(TOPIC, { cursor, count: 10_000 });
      if (polled.messages.length === 0) break;
      for (const message of polled.messages) delivery.add(message);
      cursor = polled.cursor;
    }
    await client.close();
    this.#none(delivery.missing(acknowledged), `acknowledged messages are not delivered by ${address}`);
    this.#none(delivery.repeated, `messages are delivered twice by ${address}`);
    this.#none(delivery.disorder, `messages are delivered out of order by ${address}`);
  }

  /** Stops the brokers and looks into their files. Returns how many messages of one id are stored more than once. */
  async #checkStores(acknowledged: readonly string[]): Promise<number> {
    const contents: string[][] = [];
    let pairs = 0;
    for (const broker of this.#brokers) {
      this.#check(await broker.stop() === 0, `${broker.address} did not exit with 0`);
      const store = await openStore(dirname(broker.file), broker.address as Address, systemRandom);
      const payloads = new Map<string, number>();
      const lines: string[] = [];
      for (let position = 0; ; ) {
        const { batches, through } = await store.readAfter(position, undefined, READ_BYTES);
        if (batches.length === 0) break;
        for (const batch of batches) {
          const { origin, seq, count, lamport, time, topic, deps, lengths, meta, body } = batch;
          lines.push(
            [origin, seq, count, lamport, time, topic, deps, lengths, meta, Buffer.from(body).toString('base64')].join(
              ' ',
            ),
          );
          for (const message of messagesOf(batch)) {
            const payload = Buffer.from(message.payload).toString();
            payloads.set(payload, (payloads.get(payload) ?? 0) + 1);
          }
        }
        position = through;
      }
      await store.close();
      contents.push(lines.sort());
      pairs = [...payloads.values()].filter((copies) => copies > 1).length;
      this.#none(
        acknowledged.filter((payload) => !payloads.has(payload)),
        `acknowledged messages are not stored at ${broker.address}`,
      );
    }
    this.#check(contents.every((lines) => lines.join('\n') === contents[0]!.join('\n')), 'the stores differ');
    return pairs;
  }

  #checkLogs(): void {
    for (const broker of this.#brokers) {
      const errors = broker.log.filter(({ level }) => level === undefined || level === 'error');
      this.#none(errors.map((line) => JSON.stringify(line)), `unexpected lines logged by ${broker.address}`);
    }
  }

  #check(isKept: boolean, problem: string): void {
    if (!isKept) this.#problems.push(problem);
  }

  #none(found: readonly string[], problem: string): void {
    this.#check(found.length === 0, `${found.length} ${problem}: ${found.slice(0, SHOWN_MAX).join(', ')}`);
  }

  #table(
    acknowledged: readonly string[], counts: ReadonlyMap<FaultKind, number>, convergedMs: number, pairs: number,
  ): [string, string][] {
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    const failures = this.#publishers.flatMap(({ failed }) => [...failed]).map(([code, count]) => `${count} ${code}`);
    const published = sum(this.#publishers.map((publisher) => publisher.published));
    return [
      ['published', `${published}`],
      ['acknowledged', `${acknowledged.length}`],
      ['unacknowledged', [`${published - acknowledged.length}`, ...failures].join(', ')],
      ['retried on another broker', `${sum(this.#publishers.map(({ retried }) => retried))}`],
      ['stored twice', `${pairs}`],
      ['delivered to subscribers', this.#subscribers.map(({ delivery }) => delivery.counts.size).join(', ')],
      ['subscribers moved', `${sum(this.#subscribers.map(({ moves }) => moves))} times`],
      ...[...counts].map(([kind, count]): [string, string] => [kind, `${count} (${FAULTS[kind]})`]),
      ...(['kill', 'stop', 'isolate'] as const).flatMap((kind) =>
        (['publisher', 'subscriber'] as const).map((who): [string, string] => [
          `failover of a ${who}, ${kind}`,
          spread(this.#failovers.filter((each) => each.kind === kind && each.who === who).map(({ ms }) => ms)),
        ]),
      ),
      ['converged', `${Math.round(convergedMs)} ms after everything healed`],
    ];
  }
}

function spread(times: number[]): string {
  if (times.length === 0) return 'none seen';
  const sorted = times.sort((a, b) => a - b);
  return `median ${Math.round(sorted[sorted.length >> 1]!)} ms, max ${Math.round(sorted.at(-1)!)} ms, of ${sorted.length}`;
}

async function main(): Promise<void> {
  const { seconds, brokers, seed, rate } = new Command('chaos')
    .description('Runs a mesh under load and faults, and checks what was promised.')
    .option('--seconds <n>', 'how long faults go on', number(1, 86_400), 60)
    .option('--brokers <n>', 'brokers of the mesh', wholeNumber(3, 9), 3)
    .option('--seed <n>', 'of the choice of faults', wholeNumber(1, 2 ** 31), 1 + Math.floor(Math.random() * 1e6))
    .option('--rate <n>', 'messages a second', wholeNumber(1, 100_000), 3000)
    .parse().opts<ChaosOptions>();
  process.stdout.write(`chaos: ${brokers} brokers, ${seconds} s, ${rate} messages a second, seed ${seed}\n`);
  const { problems, table } = await runChaos({ seconds, brokers, seed, rate });
  for (const [name, value] of table) process.stdout.write(`  ${name.padEnd(34)} ${value}\n`);
  for (const problem of problems) process.stdout.write(`NOT KEPT: ${problem}\n`);
  process.stdout.write(problems.length === 0 ? 'every promise was kept\n' : '');
  process.exitCode = problems.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // which kills the brokers
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
  await main();
}
