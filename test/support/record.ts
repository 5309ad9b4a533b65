/** Specimens of origins and record batches. */
import { parseAddress } from '../../brokers/core/address.ts';
import { CATALOG_TOPIC, encodeOperation, type Operation } from '../../brokers/core/catalog/catalog-operation.ts';
import {
  BATCH_MESSAGES_MAX, type Draft, makeOrigin, type Origin, placeBatch, type RecordBatch, type StoredBatch,
} from '../../brokers/core/log/record.ts';

/** An origin with a tag that follows from a number below 2^32: `origin('h:1', 0xab)` is `h:1/000000ab0000`. */
export function origin(address: string, tag = 0): Origin {
  let words = [tag, 0];
  return makeOrigin(parseAddress(address), () => {
    const [word = 0, ...rest] = words;
    words = rest;
    return word;
  });
}

/** A batch of three messages, "one", "" and "three", with every column filled; `changes` replaces fields. */
export function specimenBatch(changes: Partial<RecordBatch> = {}): RecordBatch {
  return {
    origin: origin('10.0.0.1:3000'),
    seq: 7,
    count: 3,
    lamport: 41,
    time: 1_700_000_000_000,
    topic: 'news',
    deps: JSON.stringify({ [origin('10.0.0.2:3000')]: 5 }),
    proof: '',
    lengths: '[3,0,5]',
    meta: JSON.stringify({
      keys: ['k', null, ''], headers: [['a', '1', 'a', '2'], null, []], ids: [null, 'id-1', null],
    }),
    body: Buffer.from('onethree'),
    ...changes,
  };
}

/** A draft with these payloads. */
export function draft(payloads: readonly string[], changes: Partial<Draft> = {}): Draft {
  const body = Buffer.from(payloads.join(''));
  const lengths = JSON.stringify(payloads.map((payload) => Buffer.byteLength(payload)));
  return { topic: 'news', count: payloads.length, time: 1_700_000_000_000, lengths, meta: '', body, ...changes };
}

/** What `localhost:3000` said of topics and subscriptions, as it is stored. */
export function catalogBatches(said: readonly Operation[]): StoredBatch[] {
  const batches: StoredBatch[] = [];
  for (let at = 0; at < said.length; at += BATCH_MESSAGES_MAX) {
    const bodies = said.slice(at, at + BATCH_MESSAGES_MAX).map((operation) => Buffer.from(encodeOperation(operation)));
    const batch = {
      origin: origin('localhost:3000'),
      seq: at + 1,
      count: bodies.length,
      lamport: at + 1,
      time: 0,
      topic: CATALOG_TOPIC,
      deps: '', proof: '',
      lengths: JSON.stringify(bodies.map(({ length }) => length)),
      meta: '',
      body: Buffer.concat(bodies),
    };
    batches.push(placeBatch(batch, batches.length + 1));
  }
  return batches;
}
