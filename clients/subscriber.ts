#!/usr/bin/env node
/**
 * `subscriber <topic> [topic...]`: prints messages as they come, and goes on with another broker
 * when its own dies.
 *
 * Standard output has the messages and nothing else; what happens to the connection goes to
 * standard error. The cursor file is written after the messages it covers were handed to the
 * system, so a run that is killed repeats a batch at most and loses nothing. Ctrl-C and SIGTERM end
 * it with exit status 0, and so does a reader of its output that goes away. With `--group-id` it
 * shares the messages with others: clients/command-line/group.ts.
 */
import { onStop } from './command-line/signals.ts';
import { hostname } from 'node:os';
import { Argument, Command, Option } from 'commander';
import { programName } from '../brokers/core/program-name.ts';
import { type Client, connect, type Message } from './client.ts';
import {
  addBrokerFlags, type BrokerFlags, connectOptions, noteEvent, notEmpty, runMain, wholeNumber,
} from './command-line/command-line.ts';
import { CursorFile } from './command-line/cursor-file.ts';
import { printGroup } from './command-line/group.ts';
import { LineWriter } from './command-line/line-writer.ts';
import { type LineFormat, messageLine } from './command-line/message-line.ts';

interface Flags extends BrokerFlags {
  readonly from: string;
  readonly count?: number;
  readonly json?: true;
  readonly raw?: true;
  readonly cursorFile?: string;
  readonly groupId?: string;
  readonly consumerId?: string;
  readonly key?: string;
  readonly ack: boolean;
}

const name = programName(process.argv[1]!);

const EXAMPLES = `
A message is one line: [Lamport timestamp] topic (key): payload. With --json it is an object
with id, topic, lamport, key, headers and payload, or payloadBase64 if it is not UTF-8.

With --group-id the messages come through the subscription of that name. If it does not exist,
it is created; then it is bound to the topics. Topics that do not exist are created too, as
direct topics if there is a --key. Each message goes to one of the subscribers with the same
--group-id, and is acknowledged when it is printed. If a subscriber is killed before that, the
message is delivered again to another one.

Examples:
  $ ${name} news                                what is published from now on
  $ ${name} --from earliest --count 10 news     the first ten that are kept, then exit
  $ ${name} --json news sport | jq .payload     two topics
  $ ${name} --cursor-file news.cursor news      goes on where the last run ended
  $ ${name} --brokers a:3000,b:3000 news        begins with b if a is down
  $ ${name} --group-id g1 orders                several of them share the work
  $ ${name} --group-id g1 --from earliest orders   begins with what is kept
  $ ${name} --group-id north --key north parcels   only messages with this key
  $ ${name} --from earliest --count 5 orders    looks at messages and takes none

To look at messages, leave --group-id out. With --group-id and --no-ack, messages are delivered,
and each delivery counts if the subscription has a limit of deliveries: after the last one, the
message is a dead letter.
To see what consumers hold: ${name.replace('subscriber', 'admin')} subscriptions pending g1
`;

const program = new Command(name)
  .description('Prints the messages of topics as they come.')
  .addArgument(
    new Argument('<topic...>', 'what to read').argParser<string[]>((topic, topics) => [...(topics ?? []), topic]),
  )
  .option('--from <place>', 'latest, earliest, or a cursor; with --group-id, where a new group begins', 'latest')
  .option('--count <n>', 'exit after n messages', wholeNumber(1))
  .addOption(new Option('--json', 'one JSON object per line').conflicts('raw'))
  .option('--raw', 'the payload only')
  .option(
    '--cursor-file <path>',
    'go on from the cursor in this file (if there is none yet, from --from), and keep it up to date',
    notEmpty,
  )
  .addOption(
    new Option(
      '--group-id <name>',
      'consume through this subscription, and share the messages with all subscribers that use it',
    ).conflicts('cursorFile'),
  )
  .option(
    '--consumer-id <name>',
    "with --group-id: name of this consumer (default: the host's name and the process id)",
  )
  .option('--key <key>', 'with --group-id: bind direct topics with this key')
  .option(
    '--no-ack',
    'with --group-id: acknowledge nothing; messages come again when their leases end or this subscriber ends, ' +
      'and each delivery counts as a failed one',
  )
  .addHelpText('after', EXAMPLES);
addBrokerFlags(program).action((topics: string[]) => runMain('subscriber', () => main(topics, program.opts<Flags>())));
await program.parseAsync();

async function main(topics: readonly string[], flags: Flags): Promise<void> {
  const [stray] = flags.groupId === undefined ? groupFlags(flags) : [];
  if (stray !== undefined) return program.error(`error: option '${stray}' needs '--group-id <name>'`);
  const stop = new AbortController();
  onStop(() => stop.abort());
  const output = new LineWriter(process.stdout, () => stop.abort());
  const file = flags.cursorFile === undefined ? undefined : new CursorFile(flags.cursorFile);
  const from = (await file?.read()) ?? flags.from;
  const client = await unlessStopped(stop.signal, connect({
    ...connectOptions(flags),
    onEvent: (event) => {
      if (event.purpose === 'poll' && !stop.signal.aborted) noteEvent(event);
    },
  }));
  if (client === undefined) return process.exit(0); // it was still looking for a broker
  try {
    const sinks = { output, file, signal: stop.signal };
    if (flags.groupId === undefined) await print(client, topics, from, flags, sinks);
    else await consume(client, topics, flags.groupId, flags, sinks);
    await output.flushed();
  } finally {
    await client.close();
  }
}

interface Sinks {
  readonly output: LineWriter;
  readonly file: CursorFile | undefined;
  readonly signal: AbortSignal;
}

async function print(
  client: Client, topics: readonly string[], place: string, flags: Flags, sinks: Sinks,
): Promise<void> {
  const { file, signal } = sinks;
  const from =
    file !== undefined && place === 'latest' ? (await client.poll(topics, { cursor: place, count: 1 })).cursor : place;
  if (from !== place) await file?.write(from); // a run that is killed before its first message has its place too
  const format = formatOf(flags);
  const limit = flags.count === undefined ? {} : { limit: flags.count };
  const reader = client.subscribe(topics, { from, signal, ...limit });
  for await (const { cursor, messages } of reader.batches()) {
    if (!(await printBatch(messages, format, sinks))) return;
    await file?.write(cursor); // at the end of a run too: what was printed is not printed by the next
  }
}

async function consume(
  client: Client, topics: readonly string[], group: string, flags: Flags, { output, signal }: Sinks,
): Promise<void> {
  const {
    consumerId = `${hostname()}-${process.pid}`,
    key,
    from,
    ack: isAcknowledging,
    count: limit = Infinity,
  } = flags;
  const format = formatOf(flags);
  await printGroup(
    client,
    { group, consumer: consumerId, topics, from, key, isAcknowledging, limit, signal },
    async (messages) => {
      for (const message of messages) {
        output.line(messageLine(message, format));
        if (output.isBehind) await output.flushed();
      }
      await output.flushed();
      return !output.isClosed;
    },
  );
}

function groupFlags({ consumerId, key, ack }: Flags): string[] {
  return [
    ...(consumerId === undefined ? [] : ['--consumer-id']), ...(key === undefined ? [] : ['--key']),
    ...(ack ? [] : ['--no-ack']),
  ];
}

function formatOf({ json, raw }: Flags): LineFormat {
  return json ? 'json' : raw ? 'raw' : 'text';
}

/** Whether all of it was handed to the system, and somebody reads. */
async function printBatch(
  messages: readonly Message[], format: LineFormat, { output, signal }: Sinks,
): Promise<boolean> {
  for (const message of messages) {
    if (signal.aborted) return false;
    output.line(messageLine(message, format));
    if (output.isBehind) await output.flushed();
  }
  await output.flushed();
  return !output.isClosed;
}

/** The promise's value, or undefined if the signal fires first. */
async function unlessStopped<T>(signal: AbortSignal, promise: Promise<T>): Promise<T | undefined> {
  const stopped = new Promise<undefined>((resolve) =>
    signal.addEventListener('abort', () => resolve(undefined), { once: true }),
  );
  return Promise.race([promise, stopped]);
}
