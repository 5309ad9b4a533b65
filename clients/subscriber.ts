#!/usr/bin/env node
/**
 * `subscriber <topic> [topic...]`: prints messages as they come, and goes on with another broker when its own dies.
 *
 * Standard output has the messages and nothing else; what happens to the connection goes to standard error. The cursor file is written
 * after the messages it covers were handed to the system, so a run that is killed repeats a batch at most and loses nothing.
 * Ctrl-C and SIGTERM end it with exit status 0, and so does a reader of its output that goes away.
 */
import { Argument, Command, Option } from 'commander';
import { type Client, connect, type Message } from './client.ts';
import { addBrokerFlags, type BrokerFlags, connectOptions, noteEvent, runMain, wholeNumber } from './command-line.ts';
import { CursorFile } from './cursor-file.ts';
import { LineWriter } from './line-writer.ts';
import { type LineFormat, messageLine } from './message-line.ts';

interface Flags extends BrokerFlags {
  readonly from: string;
  readonly count?: number;
  readonly json?: true;
  readonly raw?: true;
  readonly cursorFile?: string;
}

const EXAMPLES = `
A message is one line: [Lamport timestamp] topic (key): payload. With --json it is an object with id, topic, lamport, key, headers and
payload; a payload that is not UTF-8 comes as payloadBase64.

Examples:
  $ subscriber news                                what is published from now on
  $ subscriber --from earliest --count 10 news     the first ten that are kept, then exit
  $ subscriber --json news sport | jq .payload     two topics
  $ subscriber --cursor-file news.cursor news      goes on where the last run ended
  $ subscriber --brokers a:3000,b:3000 news        begins with the second broker where the first is down
`;

const program = new Command('subscriber')
  .description('Prints the messages of topics as they come.')
  .addArgument(new Argument('<topic...>', 'what to read').argParser<string[]>((topic, topics) => [...(topics ?? []), topic]))
  .option('--from <place>', 'latest, earliest, or a cursor', 'latest')
  .option('--count <n>', 'exit after n messages', wholeNumber(1))
  .addOption(new Option('--json', 'one JSON object a line').conflicts('raw'))
  .option('--raw', 'the payload only')
  .option('--cursor-file <path>', 'go on from the cursor in this file (from --from where there is none yet), and keep it up to date')
  .addHelpText('after', EXAMPLES);
addBrokerFlags(program).action((topics: string[]) => runMain('subscriber', () => main(topics, program.opts<Flags>())));
await program.parseAsync();

async function main(topics: readonly string[], flags: Flags): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
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
    await print(client, topics, from, flags, { output, file, signal: stop.signal });
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

async function print(client: Client, topics: readonly string[], place: string, flags: Flags, sinks: Sinks): Promise<void> {
  const { file, signal } = sinks;
  const from = file !== undefined && place === 'latest' ? (await client.poll(topics, { cursor: place, count: 1 })).cursor : place;
  if (from !== place) await file?.write(from); // a run that is killed before its first message has its place too
  const format: LineFormat = flags.json ? 'json' : flags.raw ? 'raw' : 'text';
  const limit = flags.count === undefined ? {} : { limit: flags.count };
  const subscription = client.subscribe(topics, { from, signal, ...limit });
  for await (const { cursor, messages } of subscription.batches()) {
    await printBatch(messages, format, sinks);
    if (signal.aborted) return; // nobody may have read it
    await file?.write(cursor);
  }
}

async function printBatch(messages: readonly Message[], format: LineFormat, { output, signal }: Sinks): Promise<void> {
  for (const message of messages) {
    output.line(messageLine(message, format));
    if (output.isBehind) await output.flushed();
    if (signal.aborted) return;
  }
  await output.flushed();
}

/** The promise's value, or undefined if the signal fires first. */
async function unlessStopped<T>(signal: AbortSignal, promise: Promise<T>): Promise<T | undefined> {
  const stopped = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true }));
  return Promise.race([promise, stopped]);
}
