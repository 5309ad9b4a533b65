#!/usr/bin/env node
/**
 * Command line of one broker: flags and signals. Exit status 0 after SIGINT or SIGTERM, 1 with one line if it cannot
 * run, 3 with one line if it was put out of its mesh.
 */
import { onHangUp, STOP_SIGNALS } from './io/signals.ts'; // before what takes long to load
import { setFlagsFromString } from 'node:v8';
import { Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULT_LIMITS } from './config.ts';
import { ACK_LEVELS, type AckLevel } from './core/ack-level.ts';
import { messageOf, RumormillError } from './core/error.ts';
import { programName } from './core/program-name.ts';
import type { LogLevel } from './core/runtime.ts';
import { mendStoredClock, openBroker } from './embed.ts';
import type { Broker } from './host.ts';
import { LOG_LEVELS, type LogFormat, makeLogger } from './io/logger.ts';

const [FAILED, PUT_OUT] = [1, 3]; // exit statuses
const EXIT_MS = 4500; // a shutdown that takes longer is cut off

/**
 * How much the heap may grow over what lives, before a full collection. By itself V8 allows little if little lives,
 * and counts the buffers of sockets and batches. So a broker under load collects a dozen times per second. With this
 * it carries 7 to 15% more messages.
 */
const HEAP_GROWING_PERCENT = 300;

const name = programName(process.argv[1]!);

const EXAMPLES = `
Examples:
  $ ${name}                                     localhost:3000, peers from globalState.csv
  $ ${name} --port 3001                         a second broker on this machine
  $ ${name} --host 203.0.113.7 --bind 0.0.0.0   a cloud VM: others use its public address
  $ ${name} join 10.0.0.1:3000 --host 10.0.0.4  a new machine, which was invited
  $ ${name} --data-dir /var/lib/rumormill --log-format json
`;

interface Flags {
  readonly host: string;
  readonly port: string;
  readonly bind?: string;
  readonly globalState: string;
  readonly dataDir: string;
  readonly mesh: string;
  readonly acks: AckLevel;
  readonly fanout?: string;
  readonly ackTimeout: number; // s
  readonly dialTimeout: number; // s
  readonly dedupeWindow: number; // s
  readonly dedupeIds: number;
  readonly batchSize: number;
  readonly messagesBuffer: number;
  readonly waitTime: number; // ms
  readonly mendClock?: boolean;
  readonly rejoin?: boolean;
  readonly memory?: number; // bytes
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1.');
  return Number(text);
}

function milliseconds(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of milliseconds from 0.');
  return Number(text);
}

function bytes(text: string): number {
  const [, number, unit = ''] = /^([1-9]\d{0,14})([kmg]?)$/i.exec(text) ?? [];
  if (number === undefined) {
    throw new InvalidArgumentError('It must be a number of bytes, or of KiB, MiB or GiB if it ends with k, m or g.');
  }
  return Number(number) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit.toLowerCase());
}

function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text) || value === 0) {
    throw new InvalidArgumentError('It must be a number of seconds, above 0.');
  }
  return value;
}

const program = new Command(name)
  .description('Runs one broker of a Rumormill mesh.')
  .option('--host <host>', 'address that peers and clients use', 'localhost')
  .option('--port <port>', 'port, 1 to 65535', '3000')
  .option('--bind <host>', 'address to listen on, if that is not --host')
  .option('--global-state <file>', "CSV file of the mesh's brokers", 'globalState.csv')
  .option('--data-dir <folder>', 'the log is <folder>/<host>-<port>/broker.db', 'data')
  .option('--mesh <name>', 'brokers of different meshes refuse each other', 'default')
  .addOption(
    new Option('--acks <level>', 'when a publish without ACKS is acknowledged')
      .choices(ACK_LEVELS)
      .default('local'),
  )
  .option('--fanout <n>', 'how many links to keep with other brokers; the same on all brokers (default: one with each)')
  .option(
    '--ack-timeout <s>', 'how long a publish waits for the brokers that it needs', seconds,
    DEFAULT_LIMITS.ackTimeoutMs / 1000,
  )
  .option(
    '--dial-timeout <s>', 'how long a connection to another broker may take, and then its handshake', seconds,
    DEFAULT_LIMITS.dialTimeoutMs / 1000,
  )
  .option('--dedupe-window <s>', 'how long a dedupe id is remembered', seconds, DEFAULT_LIMITS.dedupeWindowMs / 1000)
  .option('--dedupe-ids <n>', 'how many dedupe ids are remembered per topic', wholeNumber, DEFAULT_LIMITS.dedupeIdsMax)
  .option(
    '--batch-size <n>', 'maximum number of messages in one transaction', wholeNumber,
    DEFAULT_LIMITS.transactionMessagesMax,
  )
  .option(
    '--messages-buffer <n>',
    'maximum number of messages that are accepted and not yet on disk; then publishers wait', wholeNumber,
    DEFAULT_LIMITS.pendingMessagesMax,
  )
  .option('--wait-time <ms>', 'how long the first batch waits for others', milliseconds, DEFAULT_LIMITS.batchWaitMs)
  .option(
    '--memory <bytes>',
    'memory for clients, peers and caches together, for example 512m (default: a quarter of the machine or container)',
    bytes,
  )
  .addOption(new Option('--log-level <level>').choices(LOG_LEVELS).default('info'))
  .addOption(new Option('--log-format <format>').choices(['text', 'json']).default('text'))
  .option(
    '--mend-clock',
    'set back a Lamport clock and a term that are far too high, and exit; do it for every broker while all are stopped',
  )
  .option('--rejoin', 'become a member anew if the mesh has put this broker out')
  .addHelpText('after', EXAMPLES)
  .allowExcessArguments(false)
  .action(() => run(program.opts<Flags>()));
program
  .command('join <brokers>')
  .description('joins a mesh by way of some members, host:port,host:port')
  .action((brokers: string) => run(program.opts<Flags>(), brokers.split(',').map((each) => each.trim())));

async function run(flags: Flags, members?: readonly string[]): Promise<void> {
  if (flags.mendClock === true) {
    process.stdout.write(`${await mendStoredClock(flags)}\n`);
    return;
  }
  const logger = makeLogger(flags.logLevel, flags.logFormat, (line) => process.stderr.write(line));
  let broker: Broker | undefined;
  let isStopping = false;
  const stop = (signal: string): void => {
    isStopping = true;
    logger.info('stopping', { signal });
    setTimeout(() => process.exit(FAILED), EXIT_MS).unref();
    void broker?.stop();
  };
  for (const signal of STOP_SIGNALS) process.on(signal, stop); // one that comes during the start is not lost
  const opened = await openBroker({
    ...flags,
    brokers: members ?? flags.globalState,
    joins: members !== undefined,
    rejoins: flags.rejoin === true,
    logger,
    limits: {
      ackTimeoutMs: Math.round(flags.ackTimeout * 1000), dialTimeoutMs: Math.round(flags.dialTimeout * 1000),
      dedupeWindowMs: Math.round(flags.dedupeWindow * 1000), dedupeIdsMax: flags.dedupeIds,
      transactionMessagesMax: flags.batchSize, pendingMessagesMax: flags.messagesBuffer, batchWaitMs: flags.waitTime,
      ...(flags.memory === undefined ? {} : { memoryBytes: flags.memory }),
    },
  });
  broker = opened.broker;
  if (isStopping) void broker.stop();
  onHangUp(opened.reread, () => stop('SIGHUP'));
  try {
    await broker.stopped;
  } catch (error) {
    setTimeout(() => process.exit(FAILED), EXIT_MS).unref();
    await broker.stop(); // its files are closed
    throw error;
  }
}

process.stderr.on('error', () => {}); // nobody reads the log any more; the mesh goes on
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
try {
  await program.parseAsync();
  process.exit(0); // whatever a client still keeps open
} catch (error) {
  process.stderr.write(`rumormill-broker: ${messageOf(error)}\n`);
  process.exit(error instanceof RumormillError && error.code === 'OUT' ? PUT_OUT : FAILED);
}
