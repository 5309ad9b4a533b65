#!/usr/bin/env node
/**
 * `publisher <topic> [message...]`: publishes each message, or each line of standard input; on a terminal it asks for
 * them, and for the topic if none was given.
 *
 * Standard output has one line per message, when it is acknowledged; everything else goes to standard error. The exit
 * status is 0 only if every message was acknowledged; otherwise it is 1, with an account of what was not. After the
 * first Ctrl-C no more messages are taken and the answers that are due are awaited; the second ends the process.
 */
import { onStop } from './command-line/signals.ts';
import { createInterface, type Interface } from 'node:readline';
import { Command, InvalidArgumentError, Option } from 'commander';
import { ACK_LEVELS } from '../brokers/core/ack-level.ts';
import { programName } from '../brokers/core/program-name.ts';
import { type Client, connect, type PublishOptions } from './client.ts';
import {
  addBrokerFlags, type BrokerFlags, connectOptions, note, noteEvent, number, runMain, wholeNumber,
} from './command-line/command-line.ts';
import { readLines } from './command-line/line-reader.ts';
import { LineWriter } from './command-line/line-writer.ts';
import { grouped, Progress } from './command-line/progress.ts';
import { PublishRun } from './command-line/publish-run.ts';

const LINE_BYTES_MAX = 16 * 1024 * 1024; // of standard input; brokers take 1 MiB unless told otherwise
const IDS_BYTES_MAX = 90; // an id may have 128, and the numbers follow
const RATE_MAX = 1_000_000;

interface Flags extends BrokerFlags {
  readonly key?: string;
  readonly header?: Record<string, string>;
  readonly acks?: NonNullable<PublishOptions['acks']>;
  readonly count: number;
  readonly rate?: number;
  readonly quiet?: true;
  readonly ids?: string;
  readonly fromLine: number;
}

const name = programName(process.argv[1]!);

const EXAMPLES = `
Each acknowledged message is printed as its id and its Lamport timestamp. The id is
<Lamport timestamp>@<broker that accepted it>.

Examples:
  $ ${name} news "hello" "and again"               two messages to localhost:3000
  $ ${name} --port 3001 news                       asks for messages, one per line
  $ tail -f app.log | ${name} --quiet logs         each line of standard input
  $ ${name} --brokers a:3000,b:3000 news "hello"   to b if a is down
  $ ${name} --acks quorum --key user-7 --header trace=4bf9 orders "paid"
  $ ${name} --count 100000 --rate 5000 --quiet load "x"
  $ ${name} news -- --dashes                       a message that begins with a dash
  $ ${name} --quiet --ids import-1 logs < app.log  a large file

If a run that reads standard input fails, it prints the --from-line to continue with.
`;

const program = new Command(name)
  .description('Publishes messages, or each line of standard input if no message is given.')
  .argument('[topic]', 'where to publish')
  .argument('[message...]', 'what to publish')
  .option('--key <key>', 'key of each message')
  .option('--header <name=value>', 'header of each message; may be repeated', addHeader)
  .addOption(
    new Option('--acks <level>', "when a message counts as acknowledged (default: the broker's)").choices(ACK_LEVELS),
  )
  .option('--count <n>', 'publish each message n times', wholeNumber(1), 1)
  .option('--rate <n>', 'at most n messages per second', number(0.001, RATE_MAX))
  .option('--quiet', 'print no line per message')
  .option(
    '--ids <name>',
    'the dedupe id of each message is <name>-<its number>: a repeated run with the same name publishes nothing twice',
    idsName,
  )
  .option('--from-line <n>', 'begin with this line of standard input', wholeNumber(1), 1)
  .addHelpText('after', EXAMPLES);
addBrokerFlags(program).action((topic: string | undefined, messages: string[]) =>
  runMain('publisher', () => main(topic, messages, program.opts<Flags>())));
await program.parseAsync();

async function main(topic: string | undefined, messages: readonly string[], flags: Flags): Promise<void> {
  const isAsking = messages.length === 0 && process.stdin.isTTY;
  if (flags.fromLine > 1 && (messages.length > 0 || isAsking)) {
    return program.error('error: --from-line is for standard input, from a file or a pipe');
  }
  if (topic === undefined && !isAsking) return program.error(`error: give a topic: ${name} <topic> [message...]`);
  const client = await connect({ ...connectOptions(flags), onEvent: noteEvent });
  try {
    if (isAsking) await ask(client, topic, flags);
    else await publishAll(client, topic!, messages, flags);
  } finally {
    await client.close();
  }
}

function runOf(client: Client, topic: string, flags: Flags, output: LineWriter): PublishRun {
  const publish: PublishOptions = {
    ...(flags.key !== undefined && { key: flags.key }),
    ...(flags.header !== undefined && { headers: flags.header }),
    ...(flags.acks !== undefined && { acks: flags.acks }),
  };
  const { count, rate, ids, quiet = false, fromLine: firstNumber } = flags;
  return new PublishRun(client, { topic, publish, count, rate, quiet, ids, firstNumber }, output);
}

/** Publishes the messages, or if there are none, the lines of standard input. */
async function publishAll(client: Client, topic: string, messages: readonly string[], flags: Flags): Promise<void> {
  const total = messages.length * flags.count; // 0: as many as there are lines
  const progress = new Progress((elapsedMs) => {
    const of = total > 0 ? ` of ${grouped(total)}` : '';
    const rate = grouped((run.acknowledged * 1000) / elapsedMs);
    const rest = `${grouped(run.inFlight)} on their way, ${grouped(run.failed)} failed`;
    return `${grouped(run.acknowledged)}${of} acknowledged, ${rate}/s, ${rest}`;
  });
  // if nobody reads the lines, publish all the same
  const output = new LineWriter(process.stdout, () => {}, progress.clear);
  const run = runOf(client, topic, flags, output);
  const interrupt = (): void => {
    if (run.inFlight > 0) note(`interrupted; waiting for ${grouped(run.inFlight)} answers (again to give up)`);
    run.stop('interrupted');
  };
  onStop(interrupt);
  try {
    if (messages.length > 0) for (const message of messages) await run.publish(message);
    else await publishLines(run, flags.fromLine);
    await run.idle();
    await output.flushed();
  } finally {
    progress.stop();
  }
  if (flags.count > 1) note(`${grouped(run.acknowledged)} acknowledged in ${(progress.elapsedMs / 1000).toFixed(1)} s, `
    + `${grouped((run.acknowledged * 1000) / progress.elapsedMs)} per second`);
  account(run, total, flags);
}

async function publishLines(run: PublishRun, fromLine: number): Promise<void> {
  let passedOver = 1;
  run.stopped.addEventListener('abort', () => process.stdin.destroy(), { once: true });
  try {
    for await (const lines of readLines(process.stdin, LINE_BYTES_MAX)) {
      for (const line of lines) {
        if (passedOver < fromLine) passedOver += 1;
        else await run.publish(line);
      }
    }
  } catch (error) {
    if (!run.stopped.aborted) {
      await run.idle(); // what was read before the fault is on its way
      throw error;
    }
  }
}

/** Says what was not acknowledged, and lets the process exit with 1 if there is anything to say. */
function account(run: PublishRun, total: number, { ids }: Flags): void {
  if (run.failed > 0) {
    const failures = run.takeFailures();
    note(`publisher: not acknowledged: ${grouped(run.failed)} of ${grouped(run.handed)} messages`);
    for (const failure of failures) note(`  ${failure}`);
    if (run.failed > failures.length) note(`  and ${grouped(run.failed - failures.length)} more`);
    note(`publisher: numbers of the messages that were not acknowledged: ${run.missing}`);
  }
  if (run.stopped.aborted) {
    const of = total > 0 ? ` of ${grouped(total)}` : '';
    const counts = `${grouped(run.handed)}${of} messages, of which ${grouped(run.acknowledged)} were acknowledged`;
    note(`publisher: ${run.stopped.reason}; stopped after ${counts}`);
  }
  if (run.failed > 0 || run.stopped.aborted) process.exitCode = 1;
  if (total === 0 && process.exitCode === 1) {
    const name = ids === undefined ? '' : ` --ids ${ids}`;
    const doubled = ids === undefined ? '; some messages may come twice (use --ids from the first run on)' : '';
    const line = run.missing.first ?? run.number;
    note(`publisher: to continue, repeat the command with --from-line ${line}${name}${doubled}`);
  }
}

/** Asks for messages on a terminal, and for the topic if none was given, until Ctrl-D or Ctrl-C. */
async function ask(client: Client, topic: string | undefined, flags: Flags): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: true });
  lines.on('SIGINT', () => lines.close());
  onStop(() => lines.close());
  process.stdin.on('error', () => lines.close()); // the terminal is gone
  process.on('SIGCONT', () => setImmediate(() => resume(lines)));
  const output = new LineWriter(process.stdout, () => lines.close());
  let run = topic === undefined ? undefined : runOf(client, topic, flags, output);
  lines.setPrompt(run === undefined ? 'topic: ' : '> ');
  lines.prompt();
  for await (const line of lines) {
    if (run === undefined && line.trim() !== '') {
      run = runOf(client, line.trim(), flags, output);
      lines.setPrompt('> ');
    } else if (run !== undefined && line !== '') {
      await run.publish(line);
      await run.idle();
      await output.flushed();
      for (const failure of run.takeFailures()) note(`not acknowledged: ${failure}`);
      if (run.failed > 0) process.exitCode = 1;
      if (run.stopped.aborted) break;
    }
    lines.prompt();
  }
  lines.close();
  process.stderr.write('\n');
}

/** After Ctrl-Z and `fg`: the shell had the terminal, and readline has stopped reading. */
function resume(lines: Interface): void {
  process.stdin.setRawMode(true);
  lines.prompt(true);
}

function idsName(text: string): string {
  if (text === '' || Buffer.byteLength(text) > IDS_BYTES_MAX) {
    throw new InvalidArgumentError(`It must have 1 to ${IDS_BYTES_MAX} bytes.`);
  }
  return text;
}

function addHeader(text: string, headers: Record<string, string> = {}): Record<string, string> {
  const equals = text.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError('It must be name=value.');
  return { ...headers, [text.slice(0, equals)]: text.slice(equals + 1) };
}
