/** TOPIC: what a topic is made of and how it is described. */
import { RumormillError } from '../../brokers/core/error.ts';
import { TOPIC_TYPES, type TopicType } from '../../brokers/core/catalog/subscription.ts';
import type { Args } from './ask.ts';
import { Fields } from './fields.ts';
import type { Answer } from './request.ts';

export type { TopicType } from '../../brokers/core/catalog/subscription.ts';

export interface TopicOptions {
  /**
   * `fanout` (the default): messages go to every bound subscription. `direct`: to those bound with the message's key.
   */
  readonly type?: TopicType;
}

/** A topic, as the broker that was asked sees it. */
export interface TopicInfo {
  readonly topic: string;
  readonly type: TopicType;
  /** How many the broker that was asked holds, and the bytes of their payloads. */
  readonly messages: number;
  readonly bytes: number;
  readonly bindings: number;
  /** The newest message's Lamport timestamp; 0 if there is none. */
  readonly lamport: number;
}

export function createTopicArgs(topic: string, { type }: TopicOptions): Args {
  return ['TOPIC', 'CREATE', topic, ...(type === undefined ? [] : ['TYPE', type])];
}

/** @throws RumormillError PROTOCOL */
export function decodeTopic(reply: Answer): TopicInfo {
  const fields = new Fields(reply, 'TOPIC GET');
  const type = TOPIC_TYPES.find((each) => each === fields.text('type'));
  if (type === undefined) {
    throw new RumormillError('PROTOCOL', `TOPIC GET answered a type ${JSON.stringify(fields.text('type'))}`);
  }
  return {
    topic: fields.text('topic'),
    type,
    messages: fields.number('messages'),
    bytes: fields.number('bytes'),
    bindings: fields.number('bindings'),
    lamport: fields.numberOrNull('lamport') ?? 0,
  };
}
