/**
 * What was put off is not delivered before its time, whichever broker is the home by then, as far as it had the record
 * of it and did not know better; and a NACK is answered when that record is on disk.
 *
 * Wall clocks count across restarts: how far they have been apart is how much too early it may be.
 */
import type { Violation } from './checker.ts';
import type { QueueFacts } from './queue-facts.ts';
import type { Lease, Queue, Settlement } from './queue-history.ts';

const ROUND_MS = 2; // times in records are whole milliseconds

/** @returns how many deliveries came from a record of another process that had put the message off */
export function checkPutOff(
  facts: QueueFacts, queue: Queue, leases: readonly Lease[], violated: (kind: Violation['kind'], what: string) => void,
): number {
  let count = 0;
  for (const lease of leases) {
    for (const nack of facts.settlements.get(lease) ?? []) {
      if (nack.kind !== 'nack' || nack.outcome !== nack.leases.length || nack.ms === null) continue;
      if (nack.ms > 0) checkWritten(facts, queue, lease, nack, violated);
      for (const next of leases) {
        if (
          next !== lease &&
          next.pull.sentAt >= nack.endedAt &&
          checkNext(facts, lease, nack, next, leases, violated)
        ) {
          count += 1;
        }
      }
    }
  }
  return count;
}

/** All is calm, so there was room for the record. */
function checkWritten(
  facts: QueueFacts, queue: Queue, lease: Lease, nack: Settlement, violated: (kind: string, what: string) => void,
): void {
  const home = facts.homeOf(lease);
  const message = facts.ledger.find(lease.id, lease.payload, home, lease.pull.endedAt);
  if (
    message === undefined ||
    nack.ms! <= nack.endedAt - nack.sentAt ||
    facts.isGone(queue, nack.endedAt) ||
    !facts.inCalm(nack.sentAt, nack.endedAt)
  ) {
    return;
  }
  const isLast = facts
    .valuesOf(queue, 'maxDeliveries', home, nack.sentAt, nack.endedAt)
    .some((max) => max !== null && lease.deliveries >= max);
  if (isLast || facts.mayPurge(queue, nack.sentAt, nack.endedAt)) return;
  if (!facts.recordsOf(queue.name, nack).some((record) => record.wait(message) !== undefined)) {
    violated(
      'put off',
      `${lease.payload} of ${queue.name} for ${nack.ms} ms at ${nack.endedAt}, with no record on any disk`,
    );
  }
}

/** Whether a delivery was made by a process that knew from a record only that the message was put off. */
function checkNext(
  facts: QueueFacts,
  lease: Lease,
  nack: Settlement,
  next: Lease,
  leases: readonly Lease[],
  violated: (kind: string, what: string) => void,
): boolean {
  const broker = facts.homeOf(next);
  const message = facts.ledger.find(lease.id, lease.payload, broker, lease.pull.endedAt);
  if (message === undefined || facts.isSameProcess(lease, next) || facts.wasReplaced(broker, 0, next.pull.endedAt))
    return false;
  const known = (facts.records.get(lease.pull.queue) ?? []).filter(
    ({ entry: { heldBy } }) => (heldBy.get(broker) ?? Infinity) < next.pull.sentAt,
  );
  const putOff = known.find((record) => {
    const wait = record.wait(message);
    return wait?.attempts === lease.deliveries && record.writtenAt >= nack.sentAt && record.writtenAt <= nack.endedAt;
  });
  if (putOff === undefined || known.some((record) => record.attempts(message) > lease.deliveries)) return false;
  const heldAt = putOff.entry.heldBy.get(broker)!;
  const wasLeased = leases.some(
    (other) => other !== lease && facts.isSameProcess(other, next) && other.pull.sentAt <= heldAt,
  ); // it knew of a delivery of its own
  const unseen = facts.queues.pulls.some(
    ({ queue, outcome, sentAt }) =>
      queue === lease.pull.queue &&
      typeof outcome !== 'number' &&
      sentAt >= lease.pull.sentAt &&
      sentAt <= next.pull.sentAt,
  );
  if (wasLeased || unseen) return false;
  const dueAt = nack.sentAt + nack.ms! - facts.wallSpread(next.pull.endedAt) - ROUND_MS;
  if (next.pull.endedAt < dueAt) {
    violated(
      'too early',
      `${next.payload} of ${next.pull.queue} by ${broker} at ${next.pull.endedAt}, and put off until ${dueAt}`,
    );
  }
  return true;
}
