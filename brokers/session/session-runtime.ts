/** What a session uses of the broker. */
import type { Connection, HomeCommand, Reply } from '../commands/command.ts';
import type { Services } from '../commands/services.ts';
import type { Budget } from '../core/budget.ts';
import type { RumormillError } from '../core/error.ts';
import type { Channel, Clock, Logger } from '../core/runtime.ts';
import type { Tally } from '../logging/tally.ts';
import type { Publisher } from '../log/publisher.ts';
import type { Args, CommandParser } from '../wire/command-parser.ts';

export interface SessionRuntime extends Services {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly budget: Budget;
  readonly tally: Tally;
  readonly publisher: Publisher;
  /** Whether so much waits to be written, or pushed, that publishers have to wait. */
  readonly isFull: boolean;
  /** Carries out a command of a subscription's at its home. */
  runAtHome(command: HomeCommand, args: Args, connection: Connection): Promise<Reply>;
  /** What a command that failed is answered with. A bug is thrown on. */
  errorReply(error: unknown): RumormillError;
  /** A connection turned out to be a peer's. */
  acceptPeer(channel: Channel, parser: CommandParser, args: Args): void;
}
