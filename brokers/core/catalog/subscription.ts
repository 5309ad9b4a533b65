/**
 * Subscriptions and bindings as values: what metadata records (catalog.ts) add up to, and what a subscription's home
 * works with.
 */
import type { Message } from '../log/record.ts';
import type { Stamp } from '../log/stamp.ts';
import type { Vector } from '../log/version-vector.ts';

/** `fanout`: to every bound subscription. `direct`: to bindings whose key is the message's key. */
export type TopicType = 'fanout' | 'direct';
export const TOPIC_TYPES: readonly TopicType[] = ['fanout', 'direct'];

export interface SubscriptionSettings {
  /** In the memory of its home, gone with its last consumer. */
  readonly transient: boolean;
  readonly visibilityMs: number;
  /** After so many deliveries without an acknowledgement a message goes to `deadLetter`; null for no limit. */
  readonly maxDeliveries: number | null;
  readonly deadLetter: string | null;
  /** Before the second delivery of a message that was not acknowledged; doubles with each; null for at once. */
  readonly backoffMs: number | null;
  /** Where a binding begins: `latest` (what is published once it is there), `earliest`, or a cursor. */
  readonly from: string;
}

/**
 * One BIND: under which record's name, and what was stored before its begin. Brokers that bind the same before they
 * hear of each other each have one.
 */
export interface BindingStart {
  readonly id: string; // stampText
  readonly start: Vector; // what it covers is not for this binding
}

export interface Binding {
  readonly topic: string; // its name now
  // the names under which its messages are stored: its name now, and those that it had
  readonly storedTopics: readonly string[];
  readonly key: string | null; // null on a fanout topic
  // at least one; a message is for the binding if one of them does not cover it
  readonly starts: readonly BindingStart[];
}

export interface Subscription {
  readonly name: string;
  /** The record that began this life of the name; what was said of an earlier life is void. */
  readonly since: Stamp;
  readonly settings: SubscriptionSettings;
  readonly bindings: readonly Binding[];
}

/** Whether a message stored under this topic has the key that the binding wants. */
export function matches(binding: Binding, storedTopic: string, message: Pick<Message, 'key'>): boolean {
  return binding.storedTopics.includes(storedTopic) && (binding.key === null || binding.key === message.key);
}
