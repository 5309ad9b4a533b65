/** What commands about topics, subscriptions and bindings are told is wrong. */
import { RumormillError } from '../error.ts';

/** A topic under the name that it has now. */
interface Named {
  readonly name: string;
}

export function notFound(name: string): RumormillError {
  return new RumormillError('NOTFOUND', `subscription ${JSON.stringify(name)}`);
}

export function topicNotFound(name: string): RumormillError {
  return new RumormillError('NOTFOUND', `topic ${JSON.stringify(name)}`);
}

export function noBinding(name: string, topic: string, key: string | null): RumormillError {
  const which = key === null ? 'without a key' : `with key ${JSON.stringify(key)}`;
  const binding = `binding of subscription ${JSON.stringify(name)} to topic ${JSON.stringify(topic)}`;
  return new RumormillError('NOTFOUND', `${binding} ${which}`);
}

/** The name is already that of another topic. */
export function topicExists(name: string, topic: Named | undefined): RumormillError {
  if (topic !== undefined && topic.name !== name) return formerName(name, topic);
  return new RumormillError('EXISTS', `topic ${JSON.stringify(name)}`);
}

export function formerName(name: string, topic: Named): RumormillError {
  return new RumormillError(
    'EXISTS',
    `${JSON.stringify(name)} is a former name of topic ${JSON.stringify(topic.name)}`,
  );
}

export function cycle(name: string, deadLetter: string): RumormillError {
  const letters = `dead letters of subscription ${JSON.stringify(name)} would come back to it`;
  return new RumormillError(
    'ERR',
    `${letters}: topic ${JSON.stringify(deadLetter)} leads to a topic that it is bound to`,
  );
}
