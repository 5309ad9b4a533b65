/** Operations on topics and subscriptions, as tests say them, and all that a catalog makes of them. */
import type { Catalog } from '../../brokers/core/catalog/catalog.ts';
import type { Operation, Settings } from '../../brokers/core/catalog/catalog-operation.ts';
import type { Origin } from '../../brokers/core/log/record.ts';
import type { Subscription } from '../../brokers/core/catalog/subscription.ts';
import type { SeededRandom } from './random.ts';
import { origin } from './record.ts';

export const SETTINGS: Settings = {
  visibilityMs: 30_000, maxDeliveries: null, deadLetter: null, backoffMs: null, from: 'latest',
};

export const create = (name: string, settings: Partial<Settings> = {}): Operation => ({
  op: 'subscription.create', name, settings: { ...SETTINGS, ...settings },
});
export const update = (name: string, settings: Partial<Settings>): Operation => ({
  op: 'subscription.update', name, settings,
});
export const remove = (name: string): Operation => ({ op: 'subscription.delete', name });
export const bind = (
  name: string, topic: string, key: string | null = null, start: ReadonlyMap<Origin, number> = new Map(),
): Operation => ({ op: 'bind', name, topic, key, start });
export const unbind = (name: string, topic: string, key: string | null = null): Operation => ({
  op: 'unbind', name, topic, key,
});
export const topic = (name: string, type: 'fanout' | 'direct' = 'fanout'): Operation => ({
  op: 'topic.create', topic: name, type,
});
export const rename = (name: string, to: string): Operation => ({ op: 'topic.rename', topic: name, to });
export const drop = (...topics: string[]): Operation => ({ op: 'topic.delete', topics });

/** Everything that a catalog says, in an order that does not hang on how it came about. */
export function everything(catalog: Pick<Catalog, 'isPlain' | 'topics' | 'buried' | 'subscriptions'>): unknown {
  const text = (value: Subscription): string =>
    JSON.stringify(value, (_, each: unknown) => (each instanceof Map ? [...each] : each));
  return {
    isPlain: catalog.isPlain,
    topics: [...catalog.topics()]
      .map(({ name, names, type, bindingCount }) => JSON.stringify([name, names, type, bindingCount]))
      .sort(),
    dead: [...catalog.buried()].map(([name, stamp]) => JSON.stringify([name, stamp])).sort(),
    subscriptions: [...catalog.subscriptions()].map(text).sort(),
  };
}

/** One of those that there are, about one of a few things, so that many are about the same. */
export function randomOperation(random: SeededRandom): Operation {
  const name = (): string => random.pick(['s', 't', 'u']);
  const topicName = (): string => random.pick(['a', 'b', 'c', 'd']);
  const key = (): string | null => random.pick([null, 'k', 'l']);
  const settings = (): Partial<Settings> =>
    random.pick([
      { visibilityMs: random.integer(1, 9) }, { deadLetter: topicName(), maxDeliveries: 2 }, { deadLetter: null },
      { maxDeliveries: null },
    ]);
  const kinds: readonly (() => Operation)[] = [
    () => topic(topicName(), random.pick(['fanout', 'direct'])),
    () => rename(topicName(), topicName()),
    () => (random.integer(0, 2) === 0 ? drop(topicName(), topicName()) : topic(topicName())),
    () => create(name(), settings()),
    () => update(name(), settings()),
    () => (random.integer(0, 2) === 0 ? remove(name()) : create(name())),
    () => bind(name(), topicName(), key(), new Map([[origin('a:1'), random.integer(0, 99)]])),
    () => bind(name(), topicName(), key()),
    () => unbind(name(), topicName(), key()),
  ];
  return random.pick(kinds)();
}
