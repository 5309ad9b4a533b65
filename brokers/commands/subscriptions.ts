/**
 * SUBSCRIPTION CREATE, LIST, UPDATE, DELETE, and BIND, UNBIND, BINDINGS: what a subscription is, and which topics it is
 * bound to. The table of SUBSCRIPTION is here too; its GET, PENDING, CONSUMERS and FREE are in queue.ts.
 */
import type { Settings } from '../core/catalog/catalog-operation.ts';
import { notFound, topicNotFound } from '../core/catalog/catalog-error.ts';
import { RumormillError } from '../core/error.ts';
import type { Subscription } from '../core/catalog/subscription.ts';
import { EMPTY_VECTOR, type Vector } from '../core/log/version-vector.ts';
import type { Limits } from '../config.ts';
import type { Args } from '../wire/command-parser.ts';
import { OK, type Value } from '../wire/resp.ts';
import {
  type Caller, checkKey, checkName, checkOpenTopic, type HomeCommand, listed, OptionReader, patternArgument, subcommand,
  type Usage,
} from './command.ts';
import { describeSubscription, freeLeases, listConsumers, pendingLeases } from './queue.ts';
import type { Services } from './services.ts';

/** How options and settings are called in commands and in errors. */
const SETTINGS: Readonly<Record<string, keyof Settings>> = {
  VISIBILITY: 'visibilityMs',
  MAXDELIVERIES: 'maxDeliveries',
  DEADLETTER: 'deadLetter',
  BACKOFF: 'backoffMs',
  FROM: 'from',
};

interface Subcommand extends Usage {
  run: HomeCommand['run'];
}

async function create(args: Args, { broker }: Caller): Promise<Value> {
  const { metadata, config: { limits } } = broker;
  const name = checkSubscription(args.text(2), limits);
  const { transient, given } = readSettings(args, broker);
  const settings: Settings = {
    visibilityMs: limits.visibilityMsDefault, maxDeliveries: null, deadLetter: null, backoffMs: null, from: 'latest',
    ...given,
  };
  await metadata.change(() => {
    const existing = metadata.subscription(name);
    if (existing !== undefined) return checkSame(existing, settings, transient);
    if (metadata.subscriptionCount >= limits.subscriptionsMax) {
      throw new RumormillError('ERR', `there are ${limits.subscriptionsMax} subscriptions, the maximum`);
    }
    return { op: 'subscription.create', name, settings };
  }, transient);
  return OK;
}

/** @throws RumormillError EXISTS that names what is different */
function checkSame({ name, settings }: Subscription, wanted: Settings, transient: boolean): undefined {
  const option = Object.entries(SETTINGS).find(([, setting]) => settings[setting] !== wanted[setting]);
  if (settings.transient === transient && option === undefined) return;
  const what =
    option === undefined || settings.transient !== transient
      ? settings.transient
        ? 'TRANSIENT'
        : 'durable'
      : `${option[0]} ${settings[option[1]] ?? 'none'}`;
  throw new RumormillError('EXISTS', `subscription ${JSON.stringify(name)} has other settings: ${what}`);
}

async function update(args: Args, { broker }: Caller): Promise<Value> {
  const { metadata, config: { limits } } = broker;
  const name = checkSubscription(args.text(2), limits);
  const { transient, given } = readSettings(args, broker);
  if (transient) throw new RumormillError('ERR', 'a subscription cannot become TRANSIENT');
  await metadata.change(() => {
    const existing = metadata.subscription(name);
    if (existing === undefined) throw notFound(name);
    const isSame = Object.values(SETTINGS).every(
      (setting) => given[setting] === undefined || given[setting] === existing.settings[setting],
    );
    return isSame ? undefined : { op: 'subscription.update', name, settings: given };
  });
  return OK;
}

/** 0, and '' for DEADLETTER, take a setting away. */
function readSettings(args: Args, broker: Services): { transient: boolean; given: Partial<Settings> } {
  const { limits } = broker.config;
  let transient = false;
  const given: { -readonly [K in keyof Settings]?: Settings[K] } = {};
  const options = new OptionReader(args, 3);
  for (let name = options.next(); name !== undefined; name = options.next()) {
    if (name === 'TRANSIENT') transient = true;
    else if (name === 'VISIBILITY') given.visibilityMs = options.integer(1, limits.visibilityMsMax);
    else if (name === 'MAXDELIVERIES') given.maxDeliveries = options.integer(0, limits.maxDeliveriesMax) || null;
    else if (name === 'BACKOFF') given.backoffMs = options.integer(0, limits.backoffMsMax) || null;
    else if (name === 'FROM') given.from = options.text();
    else if (name === 'DEADLETTER') {
      const topic = options.text();
      given.deadLetter = topic === '' ? null : checkOpenTopic(topic, limits.topicBytesMax);
    } else options.unknown();
  }
  if (given.from !== undefined) given.from = readFrom(broker, given.from); // once, however often it is given
  return { transient, given };
}

function readFrom(broker: Services, text: string): string {
  const word = text.toLowerCase();
  if (word === 'latest' || word === 'earliest') return word;
  broker.readers.parseCursor(text);
  return text;
}

async function list(args: Args, { broker }: Caller): Promise<Value> {
  return listed(broker.metadata.subscriptionNames(), patternArgument(args, broker.config.limits.topicBytesMax), broker);
}

async function remove(args: Args, { broker }: Caller): Promise<Value> {
  const { metadata } = broker;
  const name = args.text(2);
  const isTransient = metadata.subscription(name)?.settings.transient === true;
  if (isTransient) metadata.forget(name);
  else await metadata.change(() => ({ op: 'subscription.delete', name }));
  return OK;
}

async function bind(args: Args, { broker }: Caller): Promise<Value> {
  const { metadata, topics, config: { limits } } = broker;
  const { name, topic, key } = readBinding(args, limits);
  await metadata.change(async () => {
    const found = await topics.find(topic);
    const subscription = metadata.subscription(name);
    if (subscription === undefined) throw notFound(name);
    if (found === undefined) throw topicNotFound(topic);
    checkKeyFits(found, key);
    if (subscription.bindings.some((binding) => binding.topic === found.name && binding.key === key)) return undefined;
    if (subscription.bindings.length >= limits.bindingsMax) {
      throw new RumormillError(
        'ERR',
        `subscription ${JSON.stringify(name)} has ${limits.bindingsMax} bindings, the maximum`,
      );
    }
    if (metadata.allBindings >= limits.allBindingsMax) {
      throw new RumormillError('ERR', `there are ${limits.allBindingsMax} bindings, the maximum`);
    }
    return { op: 'bind', name, topic, key, start: startOf(broker, subscription.settings.from) };
  });
  return OK;
}

/** @throws RumormillError ERR if a binding to this topic must not, or must, have a key */
function checkKeyFits({ name, type }: { name: string; type: string }, key: string | null): void {
  const topic = `topic ${JSON.stringify(name)} is ${type}`;
  if (type === 'fanout' && key !== null) {
    throw new RumormillError('ERR', `${topic}: a binding to it cannot have a KEY`);
  }
  if (type === 'direct' && key === null) {
    throw new RumormillError('ERR', `${topic}: a binding to it needs a KEY`);
  }
}

/** What a binding that is made now does not bring. */
function startOf(broker: Services, from: string): Vector {
  if (from === 'earliest') return EMPTY_VECTOR;
  return from === 'latest' ? broker.vector() : broker.readers.parseRead(from);
}

async function unbind(args: Args, { broker }: Caller): Promise<Value> {
  const { name, topic, key } = readBinding(args, broker.config.limits);
  await broker.metadata.change(() => ({ op: 'unbind', name, topic, key }));
  return OK;
}

function readBinding(args: Args, limits: Limits): { name: string; topic: string; key: string | null } {
  const name = checkSubscription(args.text(1), limits);
  const topic = checkOpenTopic(args.text(2), limits.topicBytesMax);
  let key: string | null = null;
  const options = new OptionReader(args, 3);
  for (let option = options.next(); option !== undefined; option = options.next()) {
    if (option === 'KEY') key = checkKey(options.text(), limits.keyBytesMax);
    else options.unknown();
  }
  return { name, topic, key };
}

async function bindings(args: Args, { broker }: Caller): Promise<Value> {
  const { metadata, turns } = broker;
  const name = args.length > 1 ? args.text(1) : undefined;
  const subscription = name === undefined ? undefined : metadata.subscription(name);
  if (name !== undefined && subscription === undefined) throw notFound(name);
  return turns.run(bindingRows(subscription === undefined ? metadata.subscriptions() : [subscription]));
}

function* bindingRows(subscriptions: Iterable<Subscription>): Generator<number, Value> {
  const rows: Value[] = [];
  for (const { name, bindings: all } of subscriptions) {
    for (const { topic, key } of all) rows.push([name, topic, key]);
    yield 1 + all.length;
  }
  return rows;
}

function checkSubscription(name: string, limits: Limits): string {
  return checkName('subscription', name, limits.topicBytesMax);
}

const SETTINGS_USAGE =
  '[VISIBILITY ms] [MAXDELIVERIES n] [DEADLETTER topic] [BACKOFF ms] [FROM latest|earliest|cursor]';

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  CREATE: { min: 3, usage: `CREATE name [TRANSIENT] ${SETTINGS_USAGE}`, run: create },
  LIST: { min: 2, max: 3, usage: 'LIST [pattern]', run: list },
  UPDATE: { min: 4, usage: `UPDATE name ${SETTINGS_USAGE}`, run: update },
  DELETE: { min: 3, max: 3, usage: 'DELETE name', run: remove },
  GET: { min: 3, max: 3, usage: 'GET name', run: describeSubscription },
  CONSUMERS: { min: 3, max: 5, usage: 'CONSUMERS name [COUNT n]', run: listConsumers },
  FREE: { min: 3, max: 5, usage: 'FREE name [CONSUMER consumer]', run: freeLeases },
  PENDING: { min: 3, max: 5, usage: 'PENDING name [COUNT n]', run: pendingLeases },
};

export const subscriptionCommands: Readonly<Record<string, HomeCommand>> = {
  SUBSCRIPTION: {
    min: 2,
    usage: Object.values(SUBCOMMANDS)
      .map(({ usage }) => usage)
      .join(' | '),
    subject: (args) => (args.length > 2 && args.word(1).toUpperCase() !== 'LIST' ? args.text(2) : undefined),
    run: (args, caller) => subcommand(args, SUBCOMMANDS).run(args, caller),
  },
  BIND: {
    min: 3, max: 5, usage: 'name topic [KEY key]', subject: (args) => args.text(1), isAboutMessages: true, run: bind,
  },
  UNBIND: { min: 3, max: 5, usage: 'name topic [KEY key]', subject: (args) => args.text(1), run: unbind },
  BINDINGS: {
    min: 1, max: 2, usage: '[name]', subject: (args) => (args.length > 1 ? args.text(1) : undefined), run: bindings,
  },
};
