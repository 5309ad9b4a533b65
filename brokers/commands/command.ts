/**
 * What a command is, and what it sees of the connection that it came on.
 *
 * A command takes its arguments and returns its reply, or a promise of it. The connection waits for that before it
 * begins the next command (only the replies of PUBLISH may be outstanding together). `undefined` if it has sent its
 * replies itself.
 */
import type { Cancellation } from '../core/cancellation.ts';
import { hasControlCharacters, isReserved, RESERVED_PREFIX } from '../core/topic-name.ts';
import { RumormillError } from '../core/error.ts';
import { Glob } from '../core/read/glob.ts';
import { sortSteps } from '../core/sorting.ts';
import type { Pushed } from '../wire/pushed.ts';
import type { Args } from '../wire/command-parser.ts';
import type { RespVersion, Value } from '../wire/resp.ts';
import type { Services } from './services.ts';

/** Whoever makes a call, on a connection with this broker or with another one that passes the call on. */
export interface Caller {
  readonly broker: Services;
  readonly cancellation: Cancellation;
  /** What the client calls itself, or `client-<id>@<broker>`. */
  readonly consumer: string;
  /** For how long the call has been on its way, ms; to be taken off what it may wait. */
  readonly waitedMs: number;
}

/** A client's connection, as its commands see it. */
export interface Connection extends Caller {
  readonly id: number;
  name: string;
  version: RespVersion;
  /** Made when first asked for; `listening` tells how many both hold without making them. */
  readonly channels: Set<string>;
  readonly patterns: Set<string>;
  readonly listening: number;
  /** It has said all that it will. */
  readonly isOver: boolean;
  /** Sends a reply, or something unasked. */
  send(value: Value): void;
  /** Sends several of them together. */
  sendAll(values: readonly Value[]): void;
  /** Sends what is pushed to others as well. */
  push(pushed: Pushed): void;
  /**
   * Counts memory that commands keep for it beside that, or keep no longer if it is below 0. `unsubscribeAll` ends
   * it.
   */
  keep(bytes: number): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Hands the connection over to the mesh: it is a peer's. */
  becomePeer(args: Args): void;
  unsubscribeAll(): void;
}

export type Reply = Value | undefined;

/** How a command is used. */
export interface Usage {
  /** How many arguments, the name included; `max` undefined for any number. */
  readonly min: number;
  readonly max?: number;
  /** As in the table of commands. */
  readonly usage: string;
}

/** A command that the broker which gets it carries out. */
export interface LocalCommand extends Usage {
  readonly subject?: undefined;
  run(args: Args, connection: Connection): Reply | Promise<Reply>;
}

/**
 * A command that is passed on to the home of the subscription that it is about. It is written as if this broker were
 * the home.
 */
export interface HomeCommand extends Usage {
  /** The name of the subscription; undefined if this call is about none and can be carried out anywhere. */
  subject(args: Args): string | undefined;
  /**
   * Whether the home has to have every message that is stored where the command came in, and not only what is said of
   * topics and subscriptions there.
   */
  readonly isAboutMessages?: boolean;
  /**
   * It may wait for long, so it is given up when its client has gone or sends no more. Others are carried out all the
   * same.
   */
  readonly waits?: true;
  /** Its answer, which is short, says what it has done: the home gives that to a copy of it too. */
  readonly isOnce?: true;
  run(args: Args, caller: Caller): Reply | Promise<Reply>;
}

export type Command = LocalCommand | HomeCommand;

/** Commands by their names, in upper case. */
export type CommandTable = Readonly<Record<string, Command>>;

/** @throws RumormillError ERR for a wrong number of arguments, with the usage */
export function checkArity(command: Usage, name: string, args: Args): void {
  if (args.length >= command.min && args.length <= (command.max ?? Infinity)) return;
  throw new RumormillError('ERR', `wrong number of arguments for ${name}; usage: ${name} ${command.usage}`);
}

/**
 * The subcommand that the second argument names; `min`, `max` and `usage` of each count and show it too.
 * @throws RumormillError ERR if there is none, or for a wrong number of arguments
 */
export function subcommand<T extends Usage>(args: Args, subcommands: Readonly<Record<string, T>>): T {
  const [name, what] = [args.word(0).toUpperCase(), args.word(1).toUpperCase()];
  const found = Object.hasOwn(subcommands, what) ? subcommands[what] : undefined;
  if (found === undefined) {
    throw new RumormillError(
      'ERR',
      `unknown subcommand ${name} ${shown(args.word(1))}; ${Object.keys(subcommands).join(', ')}`,
    );
  }
  checkArity(found, name, args);
  return found;
}

const OPTIONS_MAX = 100; // of one command, those that are given several times each time
const MATCH_WORK = 2; // a name tried, in µs

/** Reads options behind the fixed arguments: words in any order, each with what follows it. */
export class OptionReader {
  readonly #args: Args;
  #at: number;
  #name = '';
  #count = 0;

  constructor(args: Args, from: number) {
    this.#args = args;
    this.#at = from;
  }

  /** The next option in upper case, or undefined at the end. @throws RumormillError ERR if they are too many */
  next(): string | undefined {
    if (this.#at >= this.#args.length) return undefined;
    if ((this.#count += 1) > OPTIONS_MAX) {
      throw new RumormillError('ERR', `more than ${OPTIONS_MAX} options of ${this.#args.word(0).toUpperCase()}`);
    }
    this.#name = this.#args.word(this.#at++).toUpperCase();
    return this.#name;
  }

  /** The next argument as text. @throws RumormillError ERR if it is missing or not UTF-8 */
  text(): string {
    return this.#args.text(this.#take());
  }

  /** The next argument as an integer, bounds inclusive. @throws RumormillError ERR */
  integer(min: number, max: number): number {
    return integerArgument(this.#args, this.#take(), this.#name, min, max);
  }

  /** @throws RumormillError ERR always: the option is none of this command's */
  unknown(): never {
    throw new RumormillError('ERR', `unknown option ${shown(this.#name)} of ${this.#args.word(0).toUpperCase()}`);
  }

  /** The next argument as a name of something. @throws RumormillError ERR if it is missing, TOOBIG */
  name(what: string, bytesMax: number): string {
    return boundedName(what, this.#args, this.#take(), bytesMax);
  }

  #take(): number {
    if (this.#at >= this.#args.length) throw new RumormillError('ERR', `option ${shown(this.#name)} needs a value`);
    return this.#at++;
  }
}

/** @throws RumormillError ERR that names the argument and the range */
export function integerArgument(args: Args, index: number, name: string, min: number, max: number): number {
  const value = args.integer(index);
  if (value >= min && value <= max) return value;
  throw new RumormillError('ERR', `${name} ${shown(args.word(index))} is not an integer from ${min} to ${max}`);
}

/** @throws RumormillError ERR or TOOBIG if the text cannot be a topic's name */
export function checkTopic(topic: string, bytesMax: number): string {
  return checkName('topic', topic, bytesMax);
}

/**
 * A topic that clients may publish to, subscribe to, rename, delete or bind. @throws RumormillError ERR or TOOBIG if
 * the text is no name of one
 */
export function checkOpenTopic(topic: string, bytesMax: number): string {
  if (isReserved(topic)) {
    throw new RumormillError(
      'ERR',
      `topic name ${shown(topic)} is reserved: names that begin with ${RESERVED_PREFIX} belong to the brokers`,
    );
  }
  return checkTopic(topic, bytesMax);
}

/** @throws RumormillError ERR or TOOBIG if the text cannot be the name of a `what` */
export function checkName(what: string, name: string, bytesMax: number): string {
  if (name === '') throw new RumormillError('ERR', `${what} name is empty`);
  if (Buffer.byteLength(name) > bytesMax) throw new RumormillError('TOOBIG', `${what} name is over ${bytesMax} bytes`);
  if (hasControlCharacters(name)) {
    throw new RumormillError('ERR', `${what} name ${shown(name)} has control characters`);
  }
  return name;
}

/** What somebody calls itself. @throws RumormillError TOOBIG */
export function boundedName(what: string, args: Args, index: number, bytesMax: number): string {
  const bytes = args.byteLength(index);
  if (bytes > bytesMax) throw new RumormillError('TOOBIG', `${what} of ${bytes} bytes is over ${bytesMax}`);
  return args.text(index);
}

/** A glob pattern for names. @throws RumormillError TOOBIG if it is longer than a name may be */
export function checkPattern(pattern: string, bytesMax: number): string {
  if (Buffer.byteLength(pattern) > bytesMax) throw new RumormillError('TOOBIG', `pattern is over ${bytesMax} bytes`);
  return pattern;
}

/** @throws RumormillError TOOBIG if the text cannot be the key of a message or binding */
export function checkKey(key: string, bytesMax: number): string {
  if (Buffer.byteLength(key) > bytesMax) throw new RumormillError('TOOBIG', `key is over ${bytesMax} bytes`);
  return key;
}

/** The pattern behind LIST; without one, all. @throws RumormillError TOOBIG if it is longer than a name may be */
export function patternArgument(args: Args, bytesMax: number): Glob {
  return new Glob(args.length > 2 ? checkPattern(args.text(2), bytesMax) : '*');
}

/** Those of some names that a pattern matches, sorted, in turns. */
export function listed(
  names: Iterable<string>, pattern: Glob, { turns }: Pick<Services, 'turns'>,
): Promise<readonly string[]> {
  return turns.run(listSteps(names, pattern));
}

function* listSteps(names: Iterable<string>, pattern: Glob): Generator<number, readonly string[]> {
  const found: string[] = [];
  for (const name of names) {
    if (pattern.matches(name)) found.push(name);
    yield MATCH_WORK;
  }
  return yield* sortSteps(found);
}

/** Text from a client as an error may show it: quoted and cut. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}...` : text);
}
