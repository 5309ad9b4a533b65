#!/usr/bin/env node
/**
 * `npm start`: runs every local row of globalState.csv as a process of its own in one terminal. Each line of output is
 * prefixed with its broker; Ctrl-C stops them all, SIGHUP makes them read the file again. A broker that ends by itself
 * is named, and the others go on.
 */
import { onHangUp, STOP_SIGNALS } from './io/signals.ts'; // before what takes long to load
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { Command } from 'commander';
import { type Address, splitAddress } from './core/address.ts';
import { messageOf, RumormillError } from './core/error.ts';
import { programName } from './core/program-name.ts';
import { readGlobalState } from './io/global-state.ts';
import { isOfMachine } from './io/hosts.ts';

const COLOURS = ['cyan', 'yellow', 'green', 'magenta', 'blue', 'red'] as const;

const program = new Command(programName(process.argv[1]!))
  .description(
    'Runs each row of globalState.csv that is an address of this machine as a broker. Other flags go to every broker.',
  )
  .option('--global-state <file>', "CSV file of the mesh's brokers", 'globalState.csv')
  .argument('[flags...]', 'flags for every broker, as in: npm start -- --log-level debug')
  .allowUnknownOption();

async function run(file: string, flags: readonly string[]): Promise<void> {
  const rows = await readGlobalState(file);
  const local: Address[] = [];
  for (const row of rows) if (await isLocal(row)) local.push(row);
  if (local.length === 0) throw new RumormillError('CONFIG', `${file} names no address of this machine`);
  const width = Math.max(...local.map((address) => address.length));
  const children = new Set(local.map((address, index) => start(address, file, flags, label(address, index, width))));
  const tell = (signal: NodeJS.Signals): void => {
    for (const child of children) child.kill(signal);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, () => tell('SIGTERM'));
  onHangUp(() => tell('SIGHUP'), () => tell('SIGTERM'));
  await Promise.all([...children].map(async (child) => {
    const code = await new Promise<number>((resolve) => child.once('exit', (status) => resolve(status ?? 1)));
    children.delete(child);
    if (code !== 0) process.exitCode = 1;
  }));
}

function label(address: Address, index: number, width: number): string {
  const text = `${address.padEnd(width)} |`;
  return process.stdout.isTTY ? styleText(COLOURS[index % COLOURS.length]!, text) : text;
}

/** In a process group of its own, so that a Ctrl-C in the terminal comes once, from us. */
function start(address: Address, file: string, flags: readonly string[], prefix: string): ChildProcess {
  const { host, port } = splitAddress(address);
  const script = fileURLToPath(new URL('./broker.js', import.meta.url));
  const args = [script, '--host', host, '--port', String(port), '--global-state', file, ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => process.stdout.write(`${prefix} ${line}\n`));
  }
  child.once('exit', (code, signal) =>
    process.stdout.write(`${prefix} ended ${signal === null ? `with status ${code}` : `by ${signal}`}\n`),
  );
  return child;
}

async function isLocal(address: Address): Promise<boolean> {
  try {
    return await isOfMachine(address);
  } catch (error) {
    process.stderr.write(`rumormill-cluster: ${address} left out: ${messageOf(error)}\n`);
    return false;
  }
}

// nobody reads any more; the brokers go on
for (const output of [process.stdout, process.stderr]) output.on('error', () => {});
try {
  const command = program.parse();
  await run(command.opts<{ globalState: string }>().globalState, command.args);
} catch (error) {
  process.stderr.write(`rumormill-cluster: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
