/**
 * SUBSCRIBE, UNSUBSCRIBE, PSUBSCRIBE, PUNSUBSCRIBE, PUBSUB: as Redis has them. What is published on any broker is
 * pushed to the subscribers of every broker, from when they subscribed on; a client too slow for it is disconnected.
 */
import { RumormillError } from '../core/error.ts';
import { slicesOf } from '../core/turns.ts';
import type { Args } from '../wire/command-parser.ts';
import { Push, type Value } from '../wire/resp.ts';
import {
  checkOpenTopic, checkPattern, type Command, type Connection, listed, patternArgument, shown,
} from './command.ts';

const SUBSCRIPTION_BYTES = 250; // about what one takes beside its name

function subscribe(args: Args, connection: Connection): Promise<undefined> {
  const { broker: { readers: { pubSub } }, channels } = connection;
  return join(args, connection, channels, checkOpenTopic, (channel) => {
    keep(connection, channels, channel);
    pubSub.subscribe(channel, connection);
    return confirmation(connection, 'subscribe', channel);
  });
}

function psubscribe(args: Args, connection: Connection): Promise<undefined> {
  const { broker: { readers: { pubSub } }, patterns } = connection;
  return join(args, connection, patterns, checkPattern, (pattern) => {
    keep(connection, patterns, pattern);
    pubSub.psubscribe(pattern, connection);
    return confirmation(connection, 'psubscribe', pattern);
  });
}

/** All names are good, or none of them is subscribed to. */
function join(
  args: Args,
  connection: Connection,
  known: ReadonlySet<string>,
  check: (name: string, bytesMax: number) => string,
  act: (name: string) => Push,
): Promise<undefined> {
  const {
    turns,
    config: { limits },
  } = connection.broker;
  const names = named(args, connection);
  return turns.run(
    (function* (): Generator<number, undefined> {
      yield* slicesOf(names, (slice) => slice.forEach((name) => check(name, limits.topicBytesMax)));
      checkRoom(connection, known, names);
      yield* confirmSteps(names, connection, act);
    })(),
  );
}

/** What is pushed meanwhile comes after the confirmation of its own name. Ends with the connection. */
function confirmSteps(
  names: readonly string[], connection: Connection, act: (name: string) => Push,
): Generator<number, void> {
  return slicesOf(names, (slice) => {
    if (!connection.isOver) connection.sendAll(slice.map(act));
  });
}

/**
 * @throws RumormillError ERR if a connection would have too many channels and patterns; then it keeps those that it
 * had
 */
function checkRoom(
  {
    listening,
    broker: {
      config: { limits },
    },
  }: Connection,
  known: ReadonlySet<string>,
  names: readonly string[],
): void {
  const count = listening + new Set(names.filter((name) => !known.has(name))).size;
  if (count > limits.channelsMax) {
    throw new RumormillError(
      'ERR',
      `${count} channels and patterns are over ${limits.channelsMax}, the limit of a connection`,
    );
  }
}

async function unsubscribe(args: Args, connection: Connection): Promise<undefined> {
  const channels = args.length > 1 ? named(args, connection) : [...connection.channels];
  await connection.broker.turns.run(confirmSteps(channels, connection, (channel) => {
    if (connection.channels.delete(channel)) connection.keep(-SUBSCRIPTION_BYTES - channel.length);
    connection.broker.readers.pubSub.unsubscribe(channel, connection);
    return confirmation(connection, 'unsubscribe', channel);
  }));
  if (channels.length === 0) connection.send(confirmation(connection, 'unsubscribe', null));
}

async function punsubscribe(args: Args, connection: Connection): Promise<undefined> {
  const patterns = args.length > 1 ? named(args, connection) : [...connection.patterns];
  await connection.broker.turns.run(confirmSteps(patterns, connection, (pattern) => {
    if (connection.patterns.delete(pattern)) connection.keep(-SUBSCRIPTION_BYTES - pattern.length);
    connection.broker.readers.pubSub.punsubscribe(pattern, connection);
    return confirmation(connection, 'punsubscribe', pattern);
  }));
  if (patterns.length === 0) connection.send(confirmation(connection, 'punsubscribe', null));
}

/** The names behind the command's. @throws RumormillError ERR for more than a connection may have subscribed to */
function named(args: Args, { broker: { config: { limits } } }: Connection): string[] {
  const count = args.length - 1;
  if (count <= limits.channelsMax) return args.texts(1);
  throw new RumormillError('ERR', `${count} names are over ${limits.channelsMax}, the limit of a command`);
}

function keep(connection: Connection, names: Set<string>, name: string): void {
  if (!names.has(name)) connection.keep(SUBSCRIPTION_BYTES + name.length);
  names.add(name);
}

function confirmation(connection: Connection, kind: string, name: string | null): Push {
  return new Push([kind, name, connection.listening]);
}

function pubsub(args: Args, connection: Connection): Value | Promise<Value> {
  const { readers: { pubSub }, config: { limits } } = connection.broker;
  const what = args.word(1).toUpperCase();
  if (what === 'CHANNELS' && args.length <= 3) {
    return listed(pubSub.channels(), patternArgument(args, limits.topicBytesMax), connection.broker);
  }
  if (what === 'NUMSUB') {
    return named(args, connection)
      .slice(1)
      .flatMap((channel) => [channel, pubSub.countSubscribers(channel)]);
  }
  if (what === 'NUMPAT' && args.length === 2) return pubSub.patternCount;
  const usage = 'CHANNELS [pattern], NUMSUB [topic ...], NUMPAT';
  const fault = `unknown subcommand or wrong number of arguments: PUBSUB ${shown(args.word(1))}; ${usage}`;
  throw new RumormillError('ERR', fault);
}

export const pubSubCommands: Readonly<Record<string, Command>> = {
  SUBSCRIBE: { min: 2, usage: 'topic [topic ...]', run: subscribe },
  UNSUBSCRIBE: { min: 1, usage: '[topic ...]', run: unsubscribe },
  PSUBSCRIBE: { min: 2, usage: 'pattern [pattern ...]', run: psubscribe },
  PUNSUBSCRIBE: { min: 1, usage: '[pattern ...]', run: punsubscribe },
  PUBSUB: { min: 2, usage: 'CHANNELS [pattern] | NUMSUB [topic ...] | NUMPAT', run: pubsub },
};

/** What a RESP2 connection may still say once it has subscribed, as in Redis. */
export const SUBSCRIBED_COMMANDS: ReadonlySet<string> = new Set([
  'SUBSCRIBE', 'UNSUBSCRIBE', 'PSUBSCRIBE', 'PUNSUBSCRIBE', 'PING', 'QUIT', 'RESET',
]);
