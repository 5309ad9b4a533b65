/**
 * What is said of topics, subscriptions and bindings: the operations that the records of `$catalog` carry as JSON, one
 * per record.
 *
 * They come from any broker of the mesh, so what does not fit is no operation. What fits must be the same on every
 * broker, whatever its limits are set to, or catalogs would differ; so the bounds here are constants, generous ones.
 */
import { isCount, isObject, parseJson } from '../json.ts';
import { type Origin, parseOrigin } from '../log/record.ts';
import { isReserved } from '../topic-name.ts';
import { type SubscriptionSettings, TOPIC_TYPES, type TopicType } from './subscription.ts';
import type { Vector } from '../log/version-vector.ts';

/** The topic of the records that carry operations. */
export const CATALOG_TOPIC = '$catalog';

const NAME_CHARACTERS_MAX = 65_536;

/** What can be set of a subscription; whether it is transient follows from the catalog that it is in. */
export type Settings = Omit<SubscriptionSettings, 'transient'>;

export type Operation =
  | { readonly op: 'topic.create'; readonly topic: string; readonly type: TopicType }
  | { readonly op: 'topic.rename'; readonly topic: string; readonly to: string }
  /** The names under which the topic's messages were stored, as far as known if it was deleted. */
  | { readonly op: 'topic.delete'; readonly topics: readonly string[] }
  | { readonly op: 'subscription.create'; readonly name: string; readonly settings: Settings }
  | { readonly op: 'subscription.update'; readonly name: string; readonly settings: Partial<Settings> }
  | { readonly op: 'subscription.delete'; readonly name: string }
  | {
      readonly op: 'bind';
      readonly name: string;
      readonly topic: string;
      readonly key: string | null;
      readonly start: Vector;
    }
  | { readonly op: 'unbind'; readonly name: string; readonly topic: string; readonly key: string | null };

export function encodeOperation(operation: Operation): string {
  return JSON.stringify(
    operation.op === 'bind' ? { ...operation, start: Object.fromEntries(operation.start) } : operation,
  );
}

/** The operation that a text from anywhere means, or undefined. */
export function parseOperation(text: string): Operation | undefined {
  const said = parseJson(text);
  if (!isObject(said)) return undefined;
  const { op, topic, to, type, topics, name, settings, key, start } = said;
  switch (op) {
    case 'topic.create':
      return isTopic(topic) && TOPIC_TYPES.includes(type as TopicType)
        ? { op, topic, type: type as TopicType }
        : undefined;
    case 'topic.rename':
      return isTopic(topic) && isTopic(to) ? { op, topic, to } : undefined;
    case 'topic.delete':
      return Array.isArray(topics) && topics.length > 0 && topics.every(isTopic) ? { op, topics } : undefined;
    case 'subscription.create': {
      const all = parseSettings(settings);
      return isName(name) && all !== undefined && SETTING_NAMES.every((each) => each in all)
        ? { op, name, settings: all as Settings }
        : undefined;
    }
    case 'subscription.update': {
      const changed = parseSettings(settings);
      return isName(name) && changed !== undefined ? { op, name, settings: changed } : undefined;
    }
    case 'subscription.delete':
      return isName(name) ? { op, name } : undefined;
    case 'bind': {
      const covered = parseVector(start);
      return isName(name) && isTopic(topic) && isKey(key) && covered !== undefined
        ? { op, name, topic, key, start: covered }
        : undefined;
    }
    case 'unbind':
      return isName(name) && isTopic(topic) && isKey(key) ? { op, name, topic, key } : undefined;
    default:
      return undefined;
  }
}

const SETTING_CHECKS: Readonly<Record<keyof Settings, (value: unknown) => boolean>> = {
  visibilityMs: isPositive,
  maxDeliveries: (value) => value === null || isPositive(value),
  deadLetter: (value) => value === null || isTopic(value),
  backoffMs: (value) => value === null || isPositive(value),
  from: (value) => typeof value === 'string' && value !== '',
};
const SETTING_NAMES = Object.keys(SETTING_CHECKS) as readonly (keyof Settings)[];

function parseSettings(value: unknown): Partial<Settings> | undefined {
  if (!isObject(value)) return undefined;
  const known = SETTING_NAMES.filter((name) => Object.hasOwn(value, name));
  if (!known.every((name) => SETTING_CHECKS[name](value[name]))) return undefined;
  return Object.fromEntries(known.map((name) => [name, value[name]]));
}

function parseVector(value: unknown): Vector | undefined {
  if (!isObject(value)) return undefined;
  const vector = new Map<Origin, number>();
  for (const [name, seq] of Object.entries(value)) {
    const origin = originOf(name);
    if (origin === undefined || !isCount(seq)) return undefined;
    vector.set(origin, seq);
  }
  return vector;
}

function originOf(text: string): Origin | undefined {
  try {
    return parseOrigin(text);
  } catch {
    return undefined; // why it is none does not matter: the operation does not fit
  }
}

function isPositive(value: unknown): boolean {
  return isCount(value) && value > 0;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= NAME_CHARACTERS_MAX;
}

function isTopic(value: unknown): value is string {
  return isName(value) && !isReserved(value);
}

function isKey(value: unknown): value is string | null {
  return value === null || (typeof value === 'string' && value.length <= NAME_CHARACTERS_MAX);
}
