/**
 * A log as it is after many lives of its brokers' stores: each took a name, published, and another one came after it.
 */
import { makeOrigin, type Origin, type StoredBatch } from '../../brokers/core/log/record.ts';
import type { Address } from '../../brokers/core/address.ts';
import { SeededRandom } from './random.ts';

const BATCH_MESSAGES = 100;
const PAYLOAD = 'x'.repeat(100);

export interface Names {
  readonly names: number;
  /** Of all names together. */
  readonly messages: number;
  /** Whose stores had them, in turn. */
  readonly addresses: readonly Address[];
  readonly topic: string;
}

/** The batches in position order, name after name; each name depends on the one before it. */
export function* namedBatches({ names, messages, addresses, topic }: Names): Generator<StoredBatch> {
  const random = new SeededRandom(names);
  let [position, lamport, before] = [1, 1, ''];
  for (let name = 0; name < names; name += 1) {
    const origin = makeOrigin(addresses[name % addresses.length]!, random.word);
    const share = Math.floor((messages * (name + 1)) / names) - Math.floor((messages * name) / names);
    for (let seq = 1; seq <= share; seq += BATCH_MESSAGES) {
      const count = Math.min(BATCH_MESSAGES, share - seq + 1);
      yield batch(origin, { position, seq, count, lamport, topic, deps: seq === 1 ? before : '' });
      position += 1;
      lamport += count;
    }
    if (share > 0) before = JSON.stringify({ [origin]: share });
  }
}

function batch(
  origin: Origin,
  fields: Pick<StoredBatch, 'position' | 'seq' | 'count' | 'lamport' | 'topic' | 'deps'>,
): StoredBatch {
  const lengths = JSON.stringify(Array<number>(fields.count).fill(PAYLOAD.length));
  const body = Buffer.from(PAYLOAD.repeat(fields.count));
  return { origin, ...fields, time: 1_700_000_000_000, lengths, meta: '', proof: '', repeats: '', body };
}
