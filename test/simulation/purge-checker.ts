/**
 * What of the promises about PURGE was broken in a run: what the home had, or the broker that was asked, when the
 * command was sent is not delivered after the answer, by nobody who has the record of it, and is no dead letter of that
 * home any more.
 */
import type { Address } from '../../brokers/core/address.ts';
import { originAddress } from '../../brokers/core/log/record.ts';
import type { Entry } from './ledger.ts';
import type { QueueFacts } from './queue-facts.ts';
import type { Purge, Queue } from './queue-history.ts';

const LATE_MS = 300; // by which a dead letter may be on its way

type Report = (kind: string, what: string) => void;

/** @returns how many messages were dropped, as the answers say */
export function checkPurges(facts: QueueFacts, violated: Report): number {
  let dropped = 0;
  for (const purge of facts.queues.purges) {
    if (typeof purge.outcome !== 'number') continue;
    dropped += purge.outcome;
    checkPurge(facts, violated, purge);
  }
  return dropped;
}

function checkPurge(facts: QueueFacts, violated: Report, purge: Purge): void {
  const queue = facts.queues.queues.find(({ name }) => name === purge.queue)!;
  const records = facts.floorsOf(purge);
  const shown = `PURGE of ${purge.queue} at ${purge.sentAt} by ${purge.broker}`;
  if (records.length === 0) {
    return violated('purge', `${shown}, answered at ${purge.endedAt}, with no record on any disk`);
  }
  const homes = [...new Set(records.map(({ entry }) => originAddress(entry.origin)))];
  const home = homes.length === 1 ? homes[0] : undefined;
  const isIn = (entry: Entry): boolean =>
    [purge.broker, home].some((broker) => broker !== undefined && wasOn(facts, entry, broker, purge.sentAt));
  const waited = facts.entries.filter(
    (entry) =>
      facts.isFor(queue, entry.topic, entry.key) &&
      home !== undefined &&
      (entry.heldBy.get(home) ?? Infinity) <= purge.endedAt,
  );
  if (home !== undefined && (purge.outcome as number) > waited.length) {
    violated('purge', `${shown} dropped ${purge.outcome} messages of ${waited.length}`);
  }
  for (const lease of facts.queues.leases) {
    if (lease.pull.queue !== queue.name || lease.pull.sentAt < purge.endedAt) continue;
    const broker = facts.homeOf(lease);
    const entry = facts.ledger.find(lease.id, lease.payload, broker, lease.pull.endedAt);
    if (entry === undefined || !isIn(entry) || facts.wasReplaced(broker, purge.sentAt, lease.pull.endedAt)) continue;
    const isKnown = records.every((record) => (record.entry.heldBy.get(broker) ?? Infinity) < lease.pull.sentAt);
    if (isKnown || facts.areConnected(records, purge.sentAt, lease.pull.endedAt)) {
      violated(
        'delivered after PURGE',
        `${lease.payload} of ${queue.name}, delivery ${lease.deliveries}, at ${lease.pull.endedAt} by ${broker}: ${shown}`,
      );
    }
  }
  if (home !== undefined) checkDead(facts, violated, queue, purge, home, isIn);
}

/** The home of a purge does not make dead letters of what it has dropped. */
function checkDead(
  facts: QueueFacts, violated: Report, queue: Queue, purge: Purge, home: Address, isIn: (entry: Entry) => boolean,
): void {
  for (const copy of facts.entries) {
    const at = copy.heldBy.get(home) ?? Infinity;
    if (
      copy.deadLetter?.subscription !== queue.name ||
      originAddress(copy.origin) !== home ||
      at < purge.endedAt + LATE_MS ||
      !facts.stays(queue, home, purge.sentAt, at)
    ) {
      continue;
    }
    const entry = facts.ledger.find(copy.deadLetter.id, copy.payload, home, at);
    if (entry !== undefined && isIn(entry)) {
      violated(
        'delivered after PURGE',
        `${copy.payload} of ${queue.name}, as a dead letter at ${at}, purged at ${purge.sentAt}`,
      );
    }
  }
}

/** Whether a broker had a message on its disk at some time, for certain. */
function wasOn(facts: QueueFacts, { heldBy }: Entry, broker: Address, at: number): boolean {
  const since = heldBy.get(broker) ?? Infinity;
  return since < at && !facts.wasReplaced(broker, since, at);
}
