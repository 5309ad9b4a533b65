/** The TOPIC commands. Any broker answers them, from its own catalog and store. */
import { topicExists, topicNotFound } from '../core/catalog/catalog-error.ts';
import { RumormillError } from '../core/error.ts';
import { TOPIC_TYPES, type TopicType } from '../core/catalog/subscription.ts';
import type { Args } from '../wire/command-parser.ts';
import { Flat, OK, type Value } from '../wire/resp.ts';
import {
  type Caller, checkOpenTopic, checkTopic, listed, type LocalCommand, OptionReader, patternArgument, shown, subcommand,
  type Usage,
} from './command.ts';

interface Subcommand extends Usage {
  run(args: Args, caller: Caller): Promise<Value>;
}

async function create(args: Args, { broker }: Caller): Promise<Value> {
  const name = topicArgument(args, 2, broker.config.limits.topicBytesMax);
  const type = readType(args);
  const { metadata, topics } = broker;
  await metadata.change(async () => {
    const existing = await topics.find(name);
    const topic = metadata.topic(name);
    if (existing !== undefined && existing.name === name && existing.type !== type) {
      throw new RumormillError('EXISTS', `topic ${JSON.stringify(name)} is ${existing.type}`);
    }
    return topic?.name === name && topic.type === type ? undefined : { op: 'topic.create', topic: name, type };
  });
  return OK;
}

function readType(args: Args): TopicType {
  let type: TopicType | undefined = 'fanout';
  const options = new OptionReader(args, 3);
  for (let name = options.next(); name !== undefined; name = options.next()) {
    if (name !== 'TYPE') options.unknown();
    const text = options.text();
    type = TOPIC_TYPES.find((each) => each === text.toLowerCase());
    if (type === undefined) throw new RumormillError('ERR', `TYPE ${shown(text)} is not ${TOPIC_TYPES.join(' or ')}`);
  }
  return type;
}

async function get(args: Args, { broker }: Caller): Promise<Value> {
  const name = checkTopic(args.text(2), broker.config.limits.topicBytesMax);
  const description = await broker.topics.describe(name);
  if (description === undefined) throw topicNotFound(name);
  return new Flat(Object.entries(description).flat());
}

async function list(args: Args, { broker }: Caller): Promise<Value> {
  return listed(await broker.topics.names(), patternArgument(args, broker.config.limits.topicBytesMax), broker);
}

async function rename(args: Args, { broker }: Caller): Promise<Value> {
  const { topicBytesMax, topicNamesMax } = broker.config.limits;
  const [from, to] = [topicArgument(args, 2, topicBytesMax), topicArgument(args, 3, topicBytesMax)];
  const { metadata, topics } = broker;
  await metadata.change(async () => {
    const topic = await topics.find(from);
    if (topic === undefined) throw topicNotFound(from);
    if (topic.name === to) return undefined;
    const own = metadata.storedTopics(from);
    const isOwn = own.includes(to);
    if (!isOwn && own.length >= topicNamesMax) {
      throw new RumormillError(
        'ERR',
        `topic ${JSON.stringify(topic.name)} has had ${own.length} names, the maximum`,
      );
    }
    if (!isOwn && (await topics.exists(to))) throw topicExists(to, metadata.topic(to));
    return { op: 'topic.rename', topic: from, to };
  });
  return OK;
}

async function remove(args: Args, { broker }: Caller): Promise<Value> {
  const name = topicArgument(args, 2, broker.config.limits.topicBytesMax);
  await broker.metadata.change(async () => {
    if (!(await broker.topics.exists(name))) throw topicNotFound(name);
    return { op: 'topic.delete', topics: broker.metadata.storedTopics(name) };
  });
  return OK;
}

function topicArgument(args: Args, index: number, bytesMax: number): string {
  return checkOpenTopic(args.text(index), bytesMax);
}

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  CREATE: { min: 3, usage: 'CREATE topic [TYPE fanout|direct]', run: create },
  GET: { min: 3, max: 3, usage: 'GET topic', run: get },
  LIST: { min: 2, max: 3, usage: 'LIST [pattern]', run: list },
  RENAME: { min: 4, max: 4, usage: 'RENAME topic new', run: rename },
  DELETE: { min: 3, max: 3, usage: 'DELETE topic', run: remove },
};

export const topicCommands: Readonly<Record<string, LocalCommand>> = {
  TOPIC: {
    min: 2,
    usage: Object.values(SUBCOMMANDS).map(({ usage }) => usage).join(' | '),
    run: (args, connection) => subcommand(args, SUBCOMMANDS).run(args, connection),
  },
};
