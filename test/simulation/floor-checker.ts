/**
 * Floors of acknowledgement records: "all of a binding is done up to here". The first floor that covers a message is
 * written when its home knows that the message is done, or by a PURGE; any other would lose it, though nobody may
 * notice before the next home reads on from there.
 */
import { originAddress } from '../../brokers/core/log/record.ts';
import { type Entry, nameOf } from './ledger.ts';
import type { QueueFacts } from './queue-facts.ts';
import type { Queue } from './queue-history.ts';
import type { AckRecord } from './queue-records.ts';

export function checkFloors(facts: QueueFacts, queue: Queue, violated: (kind: string, what: string) => void): void {
  const records = facts.records.get(queue.name) ?? [];
  const floors = records.filter(({ hasFloors }) => hasFloors).sort((a, b) => a.writtenAt - b.writtenAt);
  const listing = new Map<string, AckRecord[]>();
  for (const record of records) {
    for (const name of record.listed()) listing.set(name, [...(listing.get(name) ?? []), record]);
  }
  for (const message of facts.entries) {
    if (!facts.isFor(queue, message.topic, message.key) || isExcused(facts, message)) continue;
    const floor = floors.find((record) => record.covers(message));
    if (floor === undefined) continue;
    const home = originAddress(floor.entry.origin);
    const isDone =
      listing
        .get(nameOf(message.origin, message.seq))
        ?.some(({ entry }) => (entry.heldBy.get(home) ?? Infinity) <= floor.writtenAt) ?? false;
    if (
      isDone ||
      facts.wasReplaced(home, 0, floor.writtenAt) ||
      facts.mayPurge(queue, floor.writtenAt, floor.writtenAt)
    ) {
      continue;
    }
    violated(
      'floor',
      `${message.payload} (${nameOf(message.origin, message.seq)}) of ${queue.name} is not done, and ${home} says at ${floor.writtenAt} that all is up to there`,
    );
  }
}

/**
 * Of copies of a dedupe id one is done; what a topic held that was deleted is nobody's; and who did not know the name
 * of a topic may pass over what is under it.
 */
function isExcused(facts: QueueFacts, message: Entry): boolean {
  return (
    message.dedupeId !== null ||
    facts.isInDeletion(message) ||
    facts.isAheadOfName(message) ||
    facts.ledger.givenAgain.has(nameOf(message.origin, message.seq))
  );
}
