/**
 * What of the promises about topics, subscriptions and bindings was broken in a run: all brokers know the same, and
 * what they were told.
 */
import type { Address } from '../../brokers/core/address.ts';
import type { QueueFacts } from './queue-facts.ts';
import type { Act, Catalog, Queue, Settings } from './queue-history.ts';

type Report = (kind: string, what: string) => void;

/** What SUBSCRIPTION UPDATE is told, and which setting that is. */
const SETTINGS: Readonly<Record<string, keyof Settings>> = {
  VISIBILITY: 'visibilityMs', MAXDELIVERIES: 'maxDeliveries', DEADLETTER: 'deadLetter', BACKOFF: 'backoffMs',
};

/** All brokers know the same, and what they were told. */
export function checkCatalogs(facts: QueueFacts, violated: Report): void {
  const { catalogs, acts } = facts.queues;
  const [first, ...others] = catalogs;
  if (first === undefined) return;
  for (const other of others) {
    for (const what of ['topics', 'subscriptions', 'bindings', 'settings'] as const) {
      if (String(first[what]) !== String(other[what])) {
        violated(
          'catalog',
          `${what} of ${first.broker} are ${String(first[what])}, of ${other.broker} ${String(other[what])}`,
        );
      }
    }
  }
  for (const each of [...catalogs, ...facts.queues.opinions]) {
    for (const queue of facts.queues.queues) checkSettings(facts, violated, each, queue);
  }
  for (const act of acts) if (act.outcome === 'OK' && act.args[1] === 'UPDATE') checkUpdate(facts, violated, act);
  for (const catalog of catalogs) {
    for (const { args: [noun, verb, name, to], outcome } of acts) {
      if (outcome !== 'OK' || !facts.isKept(noun!, verb!, name!)) continue;
      const isDeleted =
        noun === 'SUBSCRIPTION' &&
        acts.some(({ args }) => args[1] === 'DELETE' && args[0] === noun && args[2] === name);
      const isChanged =
        noun === 'TOPIC' &&
        verb === 'CREATE' &&
        acts.some(({ args }) => args[0] === noun && args[1] !== verb && args[2] === name);
      const has = (names: readonly string[]): boolean =>
        names.includes(JSON.stringify(noun === 'TOPIC' && verb === 'RENAME' ? to : name));
      if (noun === 'SUBSCRIPTION' && verb === 'CREATE' && !isDeleted && !has(catalog.subscriptions)) {
        violated('catalog', `${catalog.broker} has no subscription ${name}`);
      }
      if (noun === 'SUBSCRIPTION' && verb === 'DELETE' && has(catalog.subscriptions)) {
        violated('catalog', `${catalog.broker} has subscription ${name}, which was deleted`);
      }
      if (noun === 'TOPIC' && verb !== 'DELETE' && !isChanged && !has(catalog.topics)) {
        violated('catalog', `${catalog.broker} has no topic ${name} ${verb === 'RENAME' ? to : ''}`);
      }
    }
    for (const [topic, found] of catalog.messages) checkMessages(facts, violated, catalog.broker, topic, found);
  }
}

/** Reading a topic gives what is stored under all its names and was not deleted, under its newest name. */
function checkMessages(
  facts: QueueFacts, violated: Report, broker: Address, topic: string, found: readonly string[],
): void {
  const name = facts.canonical(topic);
  const expected = facts.entries.filter(
    (entry) => facts.canonical(entry.topic) === name && entry.isOn.size > 0 && !facts.isDeleted(entry),
  );
  const got = new Set(found.map((line) => line.slice(line.indexOf(' ') + 1)));
  // of two copies of one dedupe id one is shown
  const payloads = new Set([...got].map((line) => line.slice(line.indexOf(' ') + 1)));
  const missing = expected.map(({ payload }) => payload).filter((payload) => !payloads.has(payload));
  const may = new Set(expected.map(({ id, payload }) => `${id} ${payload}`));
  const more = [...got].filter((line) => !may.has(line));
  if (missing.length > 0) violated('topic', `${broker} does not show ${missing.slice(0, 3).join(', ')} of ${topic}`);
  if (more.length > 0) {
    violated('topic', `${broker} shows ${more.slice(0, 3).join(', ')} of ${topic}, which was deleted`);
  }
  const renamed = facts.queues.acts.find(
    ({ args, outcome }) => args[1] === 'RENAME' && args[2] === name && outcome === 'OK',
  );
  if (renamed === undefined || !facts.isKept('TOPIC', 'RENAME', name)) return;
  const under = new Set(found.map((line) => line.slice(0, line.indexOf(' '))));
  if (under.size > 0 && String([...under]) !== renamed.args[3]) {
    violated('topic', `${broker} shows messages of ${topic} under ${[...under].join()}`);
  }
}

/** An UPDATE is answered when it is on the disk of some broker, which may have left since, if it says anything new. */
function checkUpdate(facts: QueueFacts, violated: Report, { args, sentAt, endedAt }: Act): void {
  const queue = facts.queues.queues.find(({ name }) => name === args[2])!;
  for (let at = 3; at < args.length; at += 2) {
    const setting = SETTINGS[args[at]!]!;
    const wanted = valueOf(args[at + 1]!);
    const disks = [...new Set(facts.history.disks.map(({ disk }) => disk))];
    const isHeld = disks.some((broker) =>
      facts.valuesOf(queue, setting, broker, sentAt, endedAt).includes(wanted),
    );
    if (!isHeld) violated('update', `${args.slice(1).join(' ')}, answered at ${endedAt}, is on no disk`);
  }
}

/** What the home says of a subscription, whoever is asked, is what all were told last. */
function checkSettings(
  facts: QueueFacts, violated: Report, { broker, settings }: Pick<Catalog, 'broker' | 'settings'>, queue: Queue,
): void {
  const line = settings.find((each) => each.startsWith(`${queue.name} `));
  if (line === undefined) return;
  const { visibilityMs, maxDeliveries, deadLetter, backoffMs } = facts.finalSettings(queue);
  const expected = JSON.stringify([visibilityMs, maxDeliveries, deadLetter, backoffMs]);
  if (line.split(' ')[1] !== expected) violated('update', `settings of ${line} at ${broker}, not ${expected}`);
}

/** '0' and '' take a setting away. */
function valueOf(text: string): number | string | null {
  if (text === '' || text === '0') return null;
  return /^\d+$/.test(text) ? Number(text) : text;
}
