/** Every command by its name. */
import type { CommandTable } from './command.ts';
import { connectionCommands } from './connection.ts';
import { meshCommands } from './mesh.ts';
import { pubSubCommands } from './pub-sub.ts';
import { queueCommands } from './queue.ts';
import { readCommands } from './read.ts';
import { subscriptionCommands } from './subscriptions.ts';
import { topicCommands } from './topics.ts';

const PUBLISH_USAGE =
  'topic payload [KEY key] [HEADER name value]... [ID dedupe-id] [ACKS none|local|quorum|all] [LAMPORT n]';

/** PUBLISH is in it for COMMAND only: a session hands it to its batcher. */
export const commands: CommandTable = {
  PUBLISH: { min: 3, usage: PUBLISH_USAGE, run: () => undefined },
  ...readCommands, ...pubSubCommands, ...topicCommands, ...subscriptionCommands, ...queueCommands, ...meshCommands,
  ...connectionCommands(() => commands),
};
