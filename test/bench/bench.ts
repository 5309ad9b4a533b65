/**
 * The benchmark: our brokers beside what people would pick instead, in the same run.
 *
 *     npm run bench -- --quick --only publish
 *
 * Starts what it measures on free ports and in temporary folders, runs each scenario several rounds in turn (ours,
 * peer, peer, ours, ...), counts every acknowledged message in every store, and prints medians over the rounds. It
 * asserts no speed, since that is the machine's.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Command, Option } from 'commander';
import { wholeNumber } from '../../clients/command-line/command-line.ts';
import { Ours } from './brokers.ts';
import { growth } from './growth.ts';
import { ids } from './ids.ts';
import { nats } from './nats.ts';
import { makePlan, type Plan } from './plan.ts';
import { publishLarge, publishLocal, publishQuorum } from './publishing.ts';
import { catchUp, endToEnd, fanOut, idleWaiters, keepUp, replay } from './reading.ts';
import { queue } from './queue.ts';
import { redis } from './redis.ts';
import { Report } from './report.ts';

const SCENARIOS: Readonly<Record<string, (plan: Plan) => Promise<void>>> = {
  publish: publishQuorum('publish, 100 B', 100, true),
  'publish-1k': publishQuorum('publish, 1 KiB', 1024, false),
  'publish-64k': publishLarge('publish, 64 KiB', 64 * 1024),
  local: publishLocal('local, 100 B', 100),
  'end-to-end': endToEnd,
  'keep-up': keepUp,
  'fan-out': fanOut,
  replay,
  'catch-up': catchUp,
  waiters: idleWaiters,
  growth,
  ids,
  queue,
};
const SLOW: readonly string[] = ['publish-1k', 'publish-64k']; // left out of a quick run, unless they are asked for
const PICTURE = 'publish, 100 B';

const options = new Command('bench')
  .description('Measures the mesh beside Redis Streams and NATS JetStream, where they are installed.')
  .option('--quick', `one short round of each scenario but ${SLOW.join(' and ')}, in under a minute`)
  .addOption(new Option('--only <name>', 'one scenario').choices(Object.keys(SCENARIOS)))
  .option('--rounds <n>', 'how often each system runs in each case (default: 3; 1 with --quick)', wholeNumber(1))
  .option('--json <file>', 'write every round there')
  .option('--svg <file>', 'write a picture of publishing there')
  .parse()
  .opts<{
    readonly quick?: true;
    readonly only?: string;
    readonly rounds?: number;
    readonly json?: string;
    readonly svg?: string;
  }>();

// whose listeners kill and clean up
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const quick = options.quick === true;
const ours = new Ours('quorum');
const peers = [redis, nats].filter((peer) => {
  if (peer.version() === undefined) say(`${peer.name} is not installed, and is left out.`);
  return peer.version() !== undefined;
});
const report = new Report();
const plan = makePlan(report, peers, quick, options.rounds ?? (quick ? 1 : 3));
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  if (options.only === undefined ? !quick || !SLOW.includes(name) : options.only === name) await scenario(plan);
}

const versions = [`Node ${process.versions.node}`, ...[ours, ...peers].map((system) => system.version()!)];
const machine = `${cpus().length} cores, ${versions.join(', ')}`;
say(`\n${report.table()}\n\nOn ${machine}. An acknowledgement means, with`);
for (const { name, promise } of [ours, new Ours('local'), ...peers]) say(`* ${name}: ${promise}`);
if (options.json !== undefined) {
  writeFileSync(
    options.json,
    `${JSON.stringify({ at: new Date().toISOString(), machine, rows: report.rows }, null, 2)}\n`,
  );
}
if (options.svg !== undefined) {
  writeFileSync(
    options.svg,
    report.svg(PICTURE, `Acknowledged messages of 100 bytes a second, three servers on one machine`),
  );
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
