/** Reading commands: POLL, LATEST, RANGE. */
import type { Cursor } from '../core/read/cursor.ts';
import { encodeCursor } from '../core/read/cursor.ts';
import { RumormillError } from '../core/error.ts';
import { LAMPORT_MAX } from '../core/log/lamport.ts';
import { messagesOfSlice, type ReadResult, type Slice } from '../core/read/reader.ts';
import type { Args } from '../wire/command-parser.ts';
import { encodeMessage, encodeSlice } from '../wire/message.ts';
import { Lazy, type Value } from '../wire/resp.ts';
import { checkTopic, type Command, type Connection, OptionReader, shown } from './command.ts';
import type { Services } from './services.ts';

const POLL_OPTIONS = new Set(['CURSOR', 'COUNT', 'BLOCK', 'FORMAT']);

/**
 * The options come behind the topics, so the topics end at the first word that is an option. A topic that has an
 * option's name can be read if it comes first.
 */
function poll(args: Args, { broker, cancellation }: Connection): Promise<Value> {
  const { pollCountDefault, pollCountMax, pollTopicsMax, blockMsMax, topicBytesMax } = broker.config.limits;
  const topics = new Set<string>();
  let at = 1;
  do {
    if (at > pollTopicsMax) throw new RumormillError('ERR', `more than ${pollTopicsMax} topics in one POLL`);
    topics.add(checkTopic(args.text(at++), topicBytesMax));
  } while (at < args.length && !POLL_OPTIONS.has(args.word(at).toUpperCase()));
  let cursorText = 'latest';
  let count = pollCountDefault;
  let blockMs = 0;
  let inBatches = false;
  const options = new OptionReader(args, at);
  for (let name = options.next(); name !== undefined; name = options.next()) {
    if (name === 'CURSOR') cursorText = options.text();
    else if (name === 'COUNT') count = options.integer(1, pollCountMax);
    else if (name === 'BLOCK') blockMs = options.integer(0, blockMsMax);
    else if (name === 'FORMAT') inBatches = parseFormat(options.text()) === 'batches';
    else options.unknown();
  }
  args.release();
  const cursor = parseCursor(broker, cursorText); // once, however often it is given
  return broker.readers
    .poll({ topics: [...topics], cursor, count, blockMs }, cancellation)
    .then(inBatches ? encodeBatches : encodeMessages);
}

function encodeBatches({ cursor, slices }: ReadResult): Value {
  return [encodeCursor(cursor), new Lazy(slices.length, mapped(slices, encodeSlice))];
}

function encodeMessages({ cursor, slices }: ReadResult): Value {
  const count = slices.reduce((sum, { from, to, skipped }) => sum + to - from - skipped.length, 0);
  return [encodeCursor(cursor), new Lazy(count, messageValues(slices))];
}

function* messageValues(slices: readonly Slice[]): Iterable<Value> {
  for (const slice of slices) yield* mapped(messagesOfSlice(slice), encodeMessage);
}

function* mapped<T>(all: readonly T[], encode: (one: T) => Value): Iterable<Value> {
  for (const one of all) yield encode(one);
}

function parseFormat(text: string): 'messages' | 'batches' {
  const word = text.toLowerCase();
  if (word === 'messages' || word === 'batches') return word;
  throw new RumormillError('ERR', `FORMAT ${shown(text)} is not messages or batches`);
}

const CURSOR_CHARACTERS_PER_US = 20; // reading it, and making the next one

function parseCursor(broker: Services, text: string): Cursor {
  broker.turns.isOver(text.length / CURSOR_CHARACTERS_PER_US);
  const word = text.toLowerCase();
  if (word === 'latest') return broker.readers.latestCursor();
  return word === 'earliest' ? broker.readers.earliestCursor() : broker.readers.parseCursor(text);
}

async function latest(args: Args, { broker }: Connection): Promise<ReturnType<typeof encodeMessage> | null> {
  const topic = checkTopic(args.text(1), broker.config.limits.topicBytesMax);
  const [message] = await broker.readers.range({ topic, from: 0, to: LAMPORT_MAX, reverse: true }, 1);
  return message === undefined ? null : encodeMessage(message);
}

async function range(args: Args, { broker }: Connection): Promise<Value> {
  const { topicBytesMax, pollCountDefault, pollCountMax } = broker.config.limits;
  const topic = checkTopic(args.text(1), topicBytesMax);
  let [from, to, count, reverse] = [0, LAMPORT_MAX, pollCountDefault, false];
  const options = new OptionReader(args, 2);
  for (let name = options.next(); name !== undefined; name = options.next()) {
    if (name === 'FROM') from = options.integer(0, LAMPORT_MAX);
    else if (name === 'TO') to = options.integer(0, LAMPORT_MAX);
    else if (name === 'COUNT') count = options.integer(1, pollCountMax);
    else if (name === 'REV') reverse = true;
    else options.unknown();
  }
  const messages = await broker.readers.range({ topic, from, to, reverse }, count);
  return new Lazy(messages.length, mapped(messages, encodeMessage));
}

export const readCommands: Readonly<Record<string, Command>> = {
  POLL: {
    min: 2, usage: 'topic [topic ...] [CURSOR cursor|earliest|latest] [COUNT n] [BLOCK ms] [FORMAT messages|batches]',
    run: poll,
  },
  LATEST: { min: 2, max: 2, usage: 'topic', run: latest },
  RANGE: { min: 2, usage: 'topic [FROM lamport] [TO lamport] [COUNT n] [REV]', run: range },
};
