import t from 'tap';
import {
  batchBytes,
  compareRecords,
  cutBatch,
  joinDrafts,
  lastLamport,
  lastSeq,
  makeOrigin,
  messagesOf,
  originAddress,
  parseDeps,
  parseLengths,
  parseMeta,
  parseOrigin,
} from '../../../brokers/core/log/record.ts';
import { parseAddress } from '../../../brokers/core/address.ts';
import { SeededRandom } from '../../support/random.ts';
import { origin, specimenBatch } from '../../support/record.ts';

t.test('an origin is an address and twelve hexadecimal digits', async (t) => {
  const words = [0x0000abcd, 0xffffffff];
  const made = makeOrigin(parseAddress('[::1]:3000'), () => words.shift()!);
  t.equal(made, '[::1]:3000/0000abcdffff');
  t.equal(parseOrigin(made), made);
  t.equal(originAddress(made), '[::1]:3000');
  t.not(
    makeOrigin(parseAddress('h:1'), new SeededRandom(1).word),
    makeOrigin(parseAddress('h:1'), new SeededRandom(2).word),
  );
});

t.test('what is not an origin is refused', async (t) => {
  const digits = '0123456789ab';
  const cases = [
    '',
    digits,
    `/${digits}`,
    'h:1',
    'h:1/',
    'h:1/0123456789a',
    'h:1/0123456789abc',
    'h:1/0123456789AB',
    'h:1/0123456789ag',
    `h:1/${digits}\n`,
    ` h:1/${digits}`,
    `h:1/x/${digits}`,
    `h/${digits}`,
    `h:0/${digits}`,
    `H:1/${digits}`,
    `h:01/${digits}`,
    `010.0.0.1:1/${digits}`,
    `[0::1]:1/${digits}`,
    `${'a'.repeat(300)}:1/${digits}`,
  ];
  for (const wrong of cases) {
    t.throws(() => parseOrigin(wrong), { code: 'PROTOCOL', message: /is not an origin$/ }, JSON.stringify(wrong));
  }
  t.throws(() => parseOrigin('x'.repeat(100_000)), { message: /^.{0,120}$/ }, 'an error quotes no more than a line');
});

t.test('first and last', async (t) => {
  t.equal(lastSeq(specimenBatch()), 9);
  t.equal(lastLamport(specimenBatch()), 43);
  t.equal(lastSeq(specimenBatch({ count: 1 })), 7);
});

t.test('columns', async (t) => {
  const batch = specimenBatch();
  t.strictSame(parseLengths(batch), [3, 0, 5]);
  t.strictSame(parseMeta(batch).keys, ['k', null, '']);
  t.strictSame(parseMeta(specimenBatch({ meta: '' })), {});
  t.strictSame(parseDeps(batch), [['10.0.0.2:3000/000000000000', 5]]);
  t.strictSame(parseDeps(specimenBatch({ deps: '' })), []);
  t.equal(batchBytes(batch) - batchBytes({ ...batch, body: Buffer.alloc(0) }), 8);
});

t.test('records are ordered by Lamport timestamp, then broker, then incarnation', async (t) => {
  const ordered = [
    { lamport: 1, origin: origin('z:9') },
    { lamport: 2, origin: origin('10.0.0.9:3000') },
    { lamport: 2, origin: origin('10.0.0.10:3000', 1) },
    { lamport: 2, origin: origin('10.0.0.10:3000', 2) },
    { lamport: 2, origin: origin('h:999') },
    { lamport: 2, origin: origin('h:3000') },
    { lamport: 10, origin: origin('10.0.0.9:3000') },
  ];
  t.strictSame([...ordered].reverse().sort(compareRecords), ordered);
  t.equal(compareRecords(ordered[3]!, { ...ordered[3]! }), 0);
});

t.test('cutBatch and joinDrafts undo each other', async (t) => {
  const batch = specimenBatch();
  t.equal(cutBatch(batch, 0, 3), batch, 'whole, it is the same');
  for (const at of [1, 2]) {
    const parts = [cutBatch(batch, 0, at), cutBatch(batch, at, 3)];
    t.strictSame(
      parts.map(({ seq, lamport, count }) => [seq, lamport, count]),
      [
        [7, 41, at],
        [7 + at, 41 + at, 3 - at],
      ],
    );
    const { topic, count, time, lengths, meta, body } = batch;
    const joined = joinDrafts(parts);
    t.strictSame(
      { ...joined, meta: parseMeta(joined) },
      { topic, count, time, lengths, meta: parseMeta({ ...batch, meta }), body },
    );
  }
  const bare = specimenBatch({ meta: '' });
  t.equal(cutBatch(bare, 1, 3).meta, '');
  t.equal(joinDrafts([bare, bare]).meta, '');
});

t.test('messagesOf', async (t) => {
  const all = messagesOf(specimenBatch());
  t.strictSame(
    all.map(({ payload, ...rest }) => ({ ...rest, payload: payload.toString() })),
    [
      {
        id: '41@10.0.0.1:3000', topic: 'news', lamport: 41, key: 'k', headers: ['a', '1', 'a', '2'], payload: 'one',
        dedupe: null,
      },
      {
        id: '42@10.0.0.1:3000', topic: 'news', lamport: 42, key: null, headers: [], payload: '',
        dedupe: { id: 'id-1', time: 1_700_000_000_000 },
      },
      { id: '43@10.0.0.1:3000', topic: 'news', lamport: 43, key: '', headers: [], payload: 'three', dedupe: null },
    ],
  );
  for (let from = 0; from <= 3; from += 1) {
    for (let to = from; to <= 3; to += 1) {
      t.strictSame(messagesOf(specimenBatch(), from, to), all.slice(from, to), `from ${from} to ${to}`);
    }
  }
  t.strictSame(messagesOf(specimenBatch(), 1), all.slice(1));
  t.strictSame(
    messagesOf(specimenBatch({ lengths: '[]', meta: '', body: Buffer.alloc(0) })), [], 'a covered batch has none',
  );
  const batch = specimenBatch({ meta: '' });
  t.strictSame(messagesOf(batch).map(({ key, headers }) => [key, headers]), [[null, []], [null, []], [null, []]]);
  t.equal(messagesOf(batch)[2]!.payload.buffer, batch.body.buffer, 'a payload is a view, not a copy');
});
