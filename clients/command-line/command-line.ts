/**
 * What the command lines of the clients share: the flags that say where the brokers are, checks of what was typed, and
 * how a run ends.
 *
 * A mistake in the flags and a fault while running both end with one clear sentence on standard error and exit status
 * 1. A stack trace means a bug, and nothing else prints one.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { makeAddress } from '../../brokers/core/address.ts';
import { messageOf, RumormillError } from '../../brokers/core/error.ts';
import { brokerAddresses, type ClientEvent } from '../library/connect-options.ts';
import { CLEAR_LINE } from './progress.ts';

/** The flags that every client has. */
export interface BrokerFlags {
  readonly host: string;
  readonly port: string;
  readonly brokers?: string[];
  /** Seconds. */
  readonly timeout: number;
}

const TIMEOUT_S_MAX = 2_000_000; // what a timer of Node takes, about 23 days

/** Adds the flags that say where the brokers are. */
export function addBrokerFlags(program: Command): Command {
  return program
    .option('--host <host>', 'host of the broker to begin with', checked(checkHost), 'localhost')
    .option('--port <port>', 'its port', checked(checkPort), '3000')
    .addOption(
      program
        .createOption('--brokers <a:1,b:2>', 'several brokers to begin with, in place of --host and --port')
        .argParser(checked(brokerAddresses))
        .conflicts(['host', 'port']),
    )
    .option(
      '--timeout <seconds>', 'how long to look for a broker, and to wait for its answer', number(0.001, TIMEOUT_S_MAX),
      10,
    )
    .showHelpAfterError('(--help shows every flag, with examples)');
}

/** What `connect` takes, out of the flags. */
export function connectOptions(flags: BrokerFlags): { brokers: readonly string[]; timeoutMs: number } {
  return {
    brokers: flags.brokers ?? [makeAddress(flags.host, flags.port)],
    timeoutMs: Math.ceil(flags.timeout * 1000),
  };
}

/** An argument parser for whole numbers in a range, both ends inclusive. */
export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`It must be a whole number ${range}.`);
    return value;
  };
}

/** An argument parser for what has to be something. */
export function notEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.');
  return text;
}

/** An argument parser for numbers in a range, both ends inclusive, with or without a fraction. */
export function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,12}(\.\d{1,6})?$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
    return value;
  };
}

/** Lets a command line report the RumormillError of a check as it reports its own. */
function checked<T>(check: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return check(text);
    } catch (error) {
      if (error instanceof RumormillError) throw new InvalidArgumentError(`${messageOf(error)}.`);
      throw error;
    }
  };
}

function checkHost(text: string): string {
  makeAddress(text, 1);
  return text;
}

function checkPort(text: string): string {
  makeAddress('localhost', text);
  return text;
}

/**
 * A line on standard error, where it never mixes with what is piped on. On a terminal it replaces a live
 * line.
 */
export function note(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? CLEAR_LINE : ''}${text}\n`);
}

/** Says on standard error that a broker was lost, and which one goes on. */
export function noteEvent(event: ClientEvent): void {
  switch (event.type) {
    case 'lost':
      return note(`lost ${event.broker} (${event.reason}); looking for another broker`);
    case 'failover':
      return note(event.from === event.broker ? `${event.broker} is back; going on` : `going on with ${event.broker}`);
  }
}

/**
 * Runs a command line: an operating fault is one line on standard error and exit status 1. What else was set in
 * `process.exitCode` stays.
 */
export async function runMain(name: string, main: () => Promise<void>): Promise<void> {
  process.stderr.on('error', () => {}); // nobody reads the notes any more; there is nowhere else to say so
  try {
    await main();
  } catch (error) {
    if (!isOperatingFault(error)) throw error;
    note(`${name}: ${PREFIXES[(error as { code?: string }).code ?? ''] ?? ''}${messageOf(error)}`);
    process.exitCode = 1;
  }
}

/** Of errors whose message is a name. */
const PREFIXES: Readonly<Record<string, string>> = { NOTFOUND: 'not found: ', EXISTS: 'there is already: ' };

/** A RumormillError, or an error of the system (a file that cannot be opened), as opposed to a bug. */
function isOperatingFault(error: unknown): boolean {
  return error instanceof RumormillError || (error instanceof Error && 'syscall' in error);
}
