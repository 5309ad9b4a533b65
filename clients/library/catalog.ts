/**
 * Commands about topics, subscriptions, bindings and members, one method for each. `Client` has the same methods, and
 * says there what they promise.
 */
import type { Args, Asker } from './ask.ts';
import { checkOptions } from './call-options.ts';
import {
  bindArgs, type BindingInfo, type BindOptions, type ConsumerInfo, createSubscriptionArgs, decodeBinding,
  decodeConsumer, decodePending, decodeSubscription, type PendingInfo, type SubscriptionChanges, type SubscriptionInfo,
  type SubscriptionOptions, updateSubscriptionArgs,
} from './subscriptions.ts';
import { decodeMember, type ForgetOptions, forgetArgs, type MemberInfo } from './members.ts';
import { createTopicArgs, decodeTopic, type TopicInfo, type TopicOptions } from './topics.ts';

/** How many rows of a listing are wanted. */
export interface ListOptions {
  /** 1 to 10,000; default 100. */
  readonly count?: number;
}

export interface FreeOptions {
  /** Only what this consumer holds; default: what all of them hold. */
  readonly consumer?: string;
}

export class Catalog {
  readonly #asker: Asker;

  constructor(asker: Asker) {
    this.#asker = asker;
  }

  async createTopic(topic: string, options: TopicOptions): Promise<void> {
    await this.#asker.ask(createTopicArgs(topic, checkOptions('createTopic', options)));
  }

  async topic(topic: string): Promise<TopicInfo> {
    return decodeTopic(await this.#asker.ask(['TOPIC', 'GET', topic]));
  }

  async topics(pattern: string | undefined): Promise<string[]> {
    return this.#asker.names(['TOPIC', 'LIST', ...optional(pattern)]);
  }

  async renameTopic(topic: string, newName: string): Promise<void> {
    await this.#asker.ask(['TOPIC', 'RENAME', topic, newName]);
  }

  async deleteTopic(topic: string): Promise<void> {
    await this.#asker.ask(['TOPIC', 'DELETE', topic], { doneBy: 'NOTFOUND' });
  }

  async createSubscription(name: string, options: SubscriptionOptions): Promise<void> {
    await this.#asker.ask(createSubscriptionArgs(name, checkOptions('createSubscription', options)));
  }

  async subscription(name: string): Promise<SubscriptionInfo> {
    return decodeSubscription(await this.#asker.ask(['SUBSCRIPTION', 'GET', name]));
  }

  async subscriptions(pattern: string | undefined): Promise<string[]> {
    return this.#asker.names(['SUBSCRIPTION', 'LIST', ...optional(pattern)]);
  }

  async updateSubscription(name: string, changes: SubscriptionChanges): Promise<void> {
    await this.#asker.ask(updateSubscriptionArgs(name, checkOptions('updateSubscription', changes)));
  }

  async deleteSubscription(name: string): Promise<void> {
    await this.#asker.ask(['SUBSCRIPTION', 'DELETE', name], { doneBy: 'NOTFOUND' });
  }

  async consumers(name: string, options: ListOptions): Promise<ConsumerInfo[]> {
    const count = countArgs(checkOptions('consumers', options));
    return (await this.#asker.list(['SUBSCRIPTION', 'CONSUMERS', name, ...count])).map(decodeConsumer);
  }

  async pending(name: string, options: ListOptions): Promise<PendingInfo[]> {
    const count = countArgs(checkOptions('pending', options));
    return (await this.#asker.list(['SUBSCRIPTION', 'PENDING', name, ...count])).map(decodePending);
  }

  async free(name: string, options: FreeOptions): Promise<number> {
    const { consumer } = checkOptions('free', options);
    return this.#asker.count(['SUBSCRIPTION', 'FREE', name, ...(consumer === undefined ? [] : ['CONSUMER', consumer])]);
  }

  async purge(name: string): Promise<number> {
    return this.#asker.count(['PURGE', name]);
  }

  async bind(name: string, topic: string, options: BindOptions): Promise<void> {
    await this.#asker.ask(bindArgs('BIND', name, topic, checkOptions('bind', options)));
  }

  async unbind(name: string, topic: string, options: BindOptions): Promise<void> {
    await this.#asker.ask(bindArgs('UNBIND', name, topic, checkOptions('unbind', options)), { doneBy: 'NOTFOUND' });
  }

  async members(): Promise<MemberInfo[]> {
    return (await this.#asker.list(['MESH', 'MEMBERS'])).map(decodeMember);
  }

  async invite(address: string): Promise<void> {
    await this.#asker.ask(['MESH', 'INVITE', address]);
  }

  async leave(broker: string): Promise<void> {
    await this.#asker.ask(['MESH', 'LEAVE', broker], { doneBy: 'NOTFOUND' });
  }

  async forget(broker: string, options: ForgetOptions): Promise<void> {
    await this.#asker.ask(forgetArgs(broker, checkOptions('forget', options)), { doneBy: 'NOTFOUND' });
  }

  async bindings(name: string | undefined): Promise<BindingInfo[]> {
    return (await this.#asker.list(['BINDINGS', ...optional(name)])).map(decodeBinding);
  }
}

function optional(argument: string | undefined): string[] {
  return argument === undefined ? [] : [argument];
}

function countArgs({ count }: ListOptions): Args {
  return count === undefined ? [] : ['COUNT', count];
}
