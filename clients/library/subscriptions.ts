/**
 * SUBSCRIPTION, BIND and BINDINGS: what subscriptions are made of and how they, their bindings and their leases are
 * described.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import { text } from '../../brokers/wire/message.ts';
import { type Args, arrayOf } from './ask.ts';
import { Fields } from './fields.ts';
import type { Answer } from './request.ts';

/** What may be changed later too; null takes a setting away. */
export interface SubscriptionChanges {
  /** How long a message that was pulled is leased to its consumer, ms, from 1 on. Default 30,000. */
  readonly visibilityMs?: number;
  /**
   * A message that was delivered so often and not acknowledged goes to `deadLetter`, without which this is refused.
   * Default: no limit.
   */
  readonly maxDeliveries?: number | null;
  /** The topic for messages that were delivered `maxDeliveries` times. */
  readonly deadLetter?: string | null;
  /**
   * How long a message waits after its first delivery failed, ms; doubles with each delivery, up to a limit. Default:
   * not at all.
   */
  readonly backoffMs?: number | null;
  /**
   * Where bindings that are made from now on begin: `latest` (the default: what is published once they are there),
   * `earliest`, or a cursor.
   */
  readonly from?: string;
}

export interface SubscriptionOptions extends SubscriptionChanges {
  /** In the memory of its home, gone with its last consumer. Default false: durable. */
  readonly transient?: boolean;
}

/**
 * A subscription, as its home sees it. Everything but the backlog is counted since this broker became its
 * home.
 */
export interface SubscriptionInfo {
  readonly name: string;
  readonly transient: boolean;
  readonly visibilityMs: number;
  /** null for no limit. */
  readonly maxDeliveries: number | null;
  readonly deadLetter: string | null;
  /** null for none. */
  readonly backoffMs: number | null;
  readonly from: string;
  readonly bindings: number;
  /** Messages that a PULL could bring: not delivered yet, or ready again. */
  readonly backlog: number;
  /** Messages leased now. */
  readonly inFlight: number;
  /** Messages that wait for their delay or backoff to end. */
  readonly delayed: number;
  readonly deadLettered: number;
  readonly redelivered: number;
  readonly consumers: number;
  /** Which limit holds messages back now, for people; null if none does. */
  readonly limit: string | null;
  /** The broker that does the subscription's work. */
  readonly home: string;
  /**
   * Acknowledgement records of another home that came while this broker was the home: more than 0 after a partition.
   */
  readonly rivalRecords: number;
}

/** A message that is leased or delayed. */
export interface PendingInfo {
  /** null if its home does not know it any more. */
  readonly id: string | null;
  readonly consumer: string;
  readonly deliveries: number;
  /** Until the lease, or the delay, ends. */
  readonly msLeft: number;
  readonly state: string; // leased | delayed
}

export interface ConsumerInfo {
  readonly consumer: string;
  /** Messages that it holds. */
  readonly inFlight: number;
  /** Since it pulled, ms; 0 while it waits, null if its home does not know. */
  readonly idleMs: number | null;
}

export interface BindingInfo {
  readonly subscription: string;
  readonly topic: string;
  /** null on a fanout topic. */
  readonly key: string | null;
}

export interface BindOptions {
  /** Only messages with this key; for direct topics, which need one. */
  readonly key?: string;
}

export function createSubscriptionArgs(name: string, options: SubscriptionOptions): Args {
  return ['SUBSCRIPTION', 'CREATE', name, ...(options.transient === true ? ['TRANSIENT'] : []), ...changes(options)];
}

export function updateSubscriptionArgs(name: string, options: SubscriptionChanges): Args {
  return ['SUBSCRIPTION', 'UPDATE', name, ...changes(options)];
}

export function bindArgs(verb: 'BIND' | 'UNBIND', name: string, topic: string, { key }: BindOptions): Args {
  return [verb, name, topic, ...(key === undefined ? [] : ['KEY', key])];
}

function changes({
  visibilityMs, maxDeliveries, deadLetter, backoffMs, from,
}: SubscriptionChanges): (string | number)[] {
  const none = (value: number | null | undefined): number | undefined => (value === null ? 0 : value);
  const options = {
    VISIBILITY: visibilityMs,
    MAXDELIVERIES: none(maxDeliveries),
    DEADLETTER: deadLetter === null ? '' : deadLetter,
    BACKOFF: none(backoffMs),
    FROM: from,
  };
  return Object.entries(options).flatMap(([word, value]) => (value === undefined ? [] : [word, value]));
}

/** @throws RumormillError PROTOCOL */
export function decodeSubscription(reply: Answer): SubscriptionInfo {
  const fields = new Fields(reply, 'SUBSCRIPTION GET');
  return {
    name: fields.text('name'),
    transient: fields.number('transient') === 1,
    visibilityMs: fields.number('visibility_ms'),
    maxDeliveries: fields.numberOrNull('max_deliveries'),
    deadLetter: fields.textOrNull('dead_letter'),
    backoffMs: fields.numberOrNull('backoff_ms'),
    from: fields.text('from'),
    bindings: fields.number('bindings'),
    backlog: fields.number('backlog'),
    inFlight: fields.number('in_flight'),
    delayed: fields.number('delayed'),
    deadLettered: fields.number('dead_lettered'),
    redelivered: fields.number('redelivered'),
    consumers: fields.number('consumers'),
    limit: fields.text('limit') || null,
    home: fields.text('home'),
    rivalRecords: fields.number('rival_records'),
  };
}

/** @throws RumormillError PROTOCOL */
export function decodePending(row: Answer): PendingInfo {
  const [id, consumer, deliveries, msLeft, state] = arrayOf(row, 'SUBSCRIPTION PENDING');
  if (typeof deliveries !== 'number' || typeof msLeft !== 'number') {
    throw new RumormillError('PROTOCOL', 'SUBSCRIPTION PENDING answered a row that is none');
  }
  return { id: id === null ? null : text(id), consumer: text(consumer), deliveries, msLeft, state: text(state) };
}

/** @throws RumormillError PROTOCOL */
export function decodeConsumer(row: Answer): ConsumerInfo {
  const [consumer, inFlight, idleMs = null] = arrayOf(row, 'SUBSCRIPTION CONSUMERS');
  if (typeof inFlight !== 'number' || (typeof idleMs !== 'number' && idleMs !== null)) {
    throw new RumormillError('PROTOCOL', 'SUBSCRIPTION CONSUMERS answered a row that is none');
  }
  return { consumer: text(consumer), inFlight, idleMs };
}

/** @throws RumormillError PROTOCOL */
export function decodeBinding(row: Answer): BindingInfo {
  const [subscription, topic, key = null] = arrayOf(row, 'BINDINGS');
  return { subscription: text(subscription), topic: text(topic), key: key === null ? null : text(key) };
}
