/**
 * Commands about a subscription's messages, carried out at its home: PULL, ACK, NACK, EXTEND, PURGE, and SUBSCRIPTION
 * GET, PENDING, CONSUMERS and FREE.
 */
import type { Limits } from '../config.ts';
import { Flat, type Value } from '../wire/resp.ts';
import type { Args } from '../wire/command-parser.ts';
import { encodeMessage } from '../wire/message.ts';
import { type Caller, type HomeCommand, integerArgument, OptionReader } from './command.ts';

const subject = (args: Args): string => args.text(1);

async function pull(args: Args, { broker, consumer, waitedMs, cancellation }: Caller): Promise<Value> {
  const { pollCountDefault, pollCountMax, blockMsMax, nameBytesMax } = broker.config.limits;
  const name = args.text(1);
  let [by, count, blockMs] = [consumer, pollCountDefault, 0];
  const options = new OptionReader(args, 2);
  for (let option = options.next(); option !== undefined; option = options.next()) {
    if (option === 'CONSUMER') by = options.name('consumer name', nameBytesMax);
    else if (option === 'COUNT') count = options.integer(1, pollCountMax);
    else if (option === 'BLOCK') blockMs = options.integer(0, blockMsMax);
    else options.unknown();
  }
  const deliveries = await broker.queues.pull(
    name, { consumer: by, count, blockMs: Math.max(0, blockMs - waitedMs) }, cancellation,
  );
  return deliveries.map(({ token, deliveries: number, message }) => [token, number, encodeMessage(message)]);
}

function ack(args: Args, { broker }: Caller): Promise<Value> {
  return broker.queues.acknowledge(args.text(1), args.texts(2));
}

/** DELAY counts as an option only if it is the last word but one: no token looks like it. */
function nack(args: Args, { broker }: Caller): Promise<Value> {
  const tokens = args.texts(2);
  let delayMs: number | undefined;
  if (tokens.length > 2 && tokens.at(-2)!.toUpperCase() === 'DELAY') {
    delayMs = integerArgument(args, args.length - 1, 'DELAY', 0, broker.config.limits.delayMsMax);
    tokens.splice(-2);
  }
  return broker.queues.negativeAcknowledge(args.text(1), tokens, delayMs);
}

function extend(args: Args, { broker }: Caller): Promise<Value> {
  const ms = integerArgument(args, 2, 'EXTEND', 1, broker.config.limits.visibilityMsMax);
  return broker.queues.extend(args.text(1), args.texts(3), ms);
}

function purge(args: Args, { broker }: Caller): Promise<Value> {
  return broker.queues.purge(args.text(1));
}

/** SUBSCRIPTION GET name */
export async function describeSubscription(args: Args, { broker }: Caller): Promise<Value> {
  const { subscription, ...status } = await broker.queues.describe(args.text(2));
  const { name, settings, bindings } = subscription;
  const values: Record<string, Value> = {
    name,
    transient: settings.transient ? 1 : 0,
    visibility_ms: settings.visibilityMs,
    max_deliveries: settings.maxDeliveries,
    dead_letter: settings.deadLetter,
    backoff_ms: settings.backoffMs,
    from: settings.from,
    bindings: bindings.length,
    backlog: status.backlog,
    in_flight: status.inFlight,
    delayed: status.delayed,
    dead_lettered: status.deadLettered,
    redelivered: status.redelivered,
    consumers: status.consumers,
    max_in_flight: broker.config.limits.consumerLeasesMax,
    limit: status.limit,
    home: broker.config.address,
    rival_records: status.rivalRecords,
  };
  return new Flat(Object.entries(values).flat());
}

/** SUBSCRIPTION PENDING name [COUNT n] */
export function pendingLeases(args: Args, { broker }: Caller): Value {
  const pending = broker.queues.pending(args.text(2), readCount(args, broker.config.limits));
  return pending.map(({ id, consumer, deliveries, remainingMs, state }) => [
    id ?? null, consumer, deliveries, remainingMs, state,
  ]);
}

/** SUBSCRIPTION CONSUMERS name [COUNT n] */
export function listConsumers(args: Args, { broker }: Caller): Value {
  const consumers = broker.queues.consumers(args.text(2), readCount(args, broker.config.limits));
  return consumers.map(({ consumer, inFlight, idleMs }) => [consumer, inFlight, idleMs ?? null]);
}

/** SUBSCRIPTION FREE name [CONSUMER consumer] */
export function freeLeases(args: Args, { broker }: Caller): Promise<Value> {
  let consumer: string | undefined;
  const options = new OptionReader(args, 3);
  for (let option = options.next(); option !== undefined; option = options.next()) {
    if (option === 'CONSUMER') consumer = options.text();
    else options.unknown();
  }
  return broker.queues.free(args.text(2), consumer);
}

/** [COUNT n] behind a subscription's name. */
function readCount(args: Args, { pollCountDefault, pollCountMax }: Limits): number {
  let count = pollCountDefault;
  const options = new OptionReader(args, 3);
  for (let option = options.next(); option !== undefined; option = options.next()) {
    if (option === 'COUNT') count = options.integer(1, pollCountMax);
    else options.unknown();
  }
  return count;
}

export const queueCommands: Readonly<Record<string, HomeCommand>> = {
  PULL: { min: 2, usage: 'name [CONSUMER consumer] [COUNT n] [BLOCK ms]', subject, waits: true, run: pull },
  ACK: { min: 3, usage: 'name token [token ...]', subject, isOnce: true, run: ack },
  NACK: { min: 3, usage: 'name token [token ...] [DELAY ms]', subject, isOnce: true, run: nack },
  EXTEND: { min: 4, usage: 'name ms token [token ...]', subject, run: extend },
  PURGE: { min: 2, max: 2, usage: 'name', subject, isAboutMessages: true, isOnce: true, run: purge },
};
