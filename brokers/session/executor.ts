/** Carries out the commands of one connection, one at a time, and makes the bytes of its answers. */
import { checkArity, type Command, type Connection } from '../commands/command.ts';
import { SUBSCRIBED_COMMANDS } from '../commands/pub-sub.ts';
import { commands } from '../commands/table.ts';
import { RumormillError } from '../core/error.ts';
import { type Args, argsBytes } from '../wire/command-parser.ts';
import { encodeReply, encodeSteps, isLong, type Value } from '../wire/resp.ts';
import type { SessionRuntime } from './session-runtime.ts';

const COMMAND_WORK = 20; // about, µs; what takes much longer counts it as it goes (core/turns.ts)

/** The connection whose commands these are. */
export interface Answered extends Connection {
  readonly broker: SessionRuntime;
  /** A command that took time is done; these bytes are its answer. */
  answer(chunks: readonly Uint8Array[]): void;
  /** It is no client: closes. */
  dropProbe(name: string): void;
  /** `heldBytes` has changed. */
  charge(): void;
}

export class Executor {
  readonly #connection: Answered;
  #isBusy = false;
  #heldBytes = 0;

  constructor(connection: Answered) {
    this.#connection = connection;
  }

  /** A command is being carried out. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Of that command, and of as much of its answer as has been made. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Whether a connection that has subscribed may do this: with RESP2 it could not tell replies from pushed messages.
   */
  isAllowed(name: string): boolean {
    const { version, listening } = this.#connection;
    return version === 3 || listening === 0 || SUBSCRIBED_COMMANDS.has(name);
  }

  /** @param name in upper case */
  run(name: string, args: Args): void {
    const { broker } = this.#connection;
    broker.turns.isOver(COMMAND_WORK);
    try {
      const command = this.#lookup(name, args);
      this.#heldBytes = argsBytes(args);
      const reply =
        command.subject === undefined
          ? command.run(args, this.#connection)
          : broker.runAtHome(command, args, this.#connection);
      if (reply instanceof Promise) return this.#await(reply);
      this.#heldBytes = 0;
      if (reply !== undefined) this.#connection.send(reply);
    } catch (error) {
      this.#heldBytes = 0;
      this.#connection.send(broker.errorReply(error));
    }
  }

  /** @throws RumormillError ERR for an unknown command or a wrong number of arguments */
  #lookup(name: string, args: Args): Command {
    if (name === 'POST' || name === 'HOST:') this.#dropProbe(name);
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) {
      throw new RumormillError(
        'ERR', `unknown command ${JSON.stringify(args.word(0).slice(0, 64))}; COMMAND DOCS lists what there is`,
      );
    }
    if (!this.isAllowed(name)) {
      const allowed = [...SUBSCRIBED_COMMANDS].join(', ');
      throw new RumormillError('ERR', `${name} cannot be used by a connection that has subscribed, but for ${allowed}`);
    }
    checkArity(command, name, args);
    return command;
  }

  /** A browser, or an HTTP request smuggled through one: nothing it says is to be carried out. */
  #dropProbe(name: string): never {
    this.#connection.dropProbe(name);
    throw new RumormillError('ERR', 'this is not an HTTP server');
  }

  #await(reply: Promise<Value | undefined>): void {
    const { broker } = this.#connection;
    this.#isBusy = true;
    void reply.then((value) => this.#encode(value))
      .catch((error: unknown) => [encodeReply(broker.errorReply(error), this.#connection.version)])
      .then((chunks) => {
        this.#isBusy = false;
        this.#heldBytes = 0;
        this.#connection.answer(chunks);
      });
  }

  /**
   * What was read is decoded as it is written, so a damaged batch is found here. A long answer is
   * made in turns, and sent when all of it is there: nothing gets between, and an error replaces it.
   */
  #encode(value: Value | undefined): readonly Uint8Array[] | Promise<readonly Uint8Array[]> {
    const { broker, version, isOver } = this.#connection;
    if (value === undefined || isOver) return [];
    if (!isLong(value)) return [encodeReply(value, version)];
    const grown = (bytes: number): void => {
      this.#heldBytes += bytes;
      this.#connection.charge();
    };
    return broker.turns.run(encodeSteps(value, version, grown));
  }
}
