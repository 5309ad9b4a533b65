/** What the records of `$members` say, each for the broker that has signed it and for no other. */
import type { Log } from '../core/log/log.ts';
import { keyOf } from '../core/log/proof.ts';
import { messagesOf, type Origin, payloadText, type StoredBatch } from '../core/log/record.ts';
import type { Stamp } from '../core/log/stamp.ts';
import { type MembersSaying, parseSaying } from '../core/members/change.ts';
import type { BrokerId, Signatures } from '../core/mesh/identity.ts';
import type { Logger } from '../core/runtime.ts';

export interface SayingsRuntime {
  readonly log: Log;
  readonly logger: Logger;
  readonly signatures: Pick<Signatures, 'idOf'>;
}

/** All that is said in batches of `$members`, in order. What does not fit is logged, and is nothing that was said. */
export function* sayingsOf(
  runtime: SayingsRuntime, batches: readonly StoredBatch[],
): Generator<readonly [MembersSaying, Stamp]> {
  for (const batch of batches) {
    const { origin } = batch;
    const owner = ownerOf(runtime, origin);
    for (const message of messagesOf(batch)) {
      const { lamport } = message;
      const saying = parseSaying(payloadText(message));
      if (saying !== undefined && saying.id === owner) {
        yield [saying, { lamport, origin }];
        continue;
      }
      const reason = saying === undefined ? 'not understood' : `said for ${saying.id} by another broker`;
      runtime.logger.warn('members record ignored', { origin, record: lamport, reason });
    }
  }
}

/** Who has signed the records of an origin. */
function ownerOf({ log, signatures }: SayingsRuntime, origin: Origin): BrokerId | undefined {
  const head = log.head(origin);
  return head && signatures.idOf(keyOf(head.owner));
}
