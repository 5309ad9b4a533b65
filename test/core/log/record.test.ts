import t from 'tap';
import { LAMPORT_MAX } from '../../../brokers/core/log/lamport.ts';
import {
  BATCH_MESSAGES_MAX,
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
  type RecordBatch,
  validateBatch,
} from '../../../brokers/core/log/record.ts';
import { parseAddress } from '../../../brokers/core/address.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
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

t.test('validateBatch lets a batch through that is right', async (t) => {
  const cases: Partial<RecordBatch>[] = [
    {},
    { meta: '', deps: '' },
    { meta: '{}', deps: '{}' },
    { meta: '{"keys":[null,null,null]}' },
    { time: 0, seq: 1, lamport: 1 },
    { lamport: LAMPORT_MAX - 2 },
    { lengths: '[0,0,0]', body: Buffer.alloc(0) },
    { lengths: '[]', body: Buffer.alloc(0), meta: '' },
    {
      count: BATCH_MESSAGES_MAX, lengths: JSON.stringify(new Array(BATCH_MESSAGES_MAX).fill(0)), body: Buffer.alloc(0),
      meta: '',
    },
  ];
  for (const changes of cases) {
    t.doesNotThrow(() => validateBatch(specimenBatch(changes)), JSON.stringify(changes).slice(0, 100));
  }
});

t.test('validateBatch refuses a batch with a wrong field, and names it', async (t) => {
  const digits = '0123456789ab';
  const cases: [changes: Record<string, unknown>, why: RegExp][] = [
    [{ origin: 'nobody' }, /"nobody" is not an origin/],
    [{ count: 0 }, /count 0 is not from 1 to 1000/],
    [{ count: -1 }, /count -1 is not/],
    [{ count: NaN }, /count NaN is not/],
    [{ count: 2.5 }, /lengths is not an array of one length a message/],
    [{ count: BATCH_MESSAGES_MAX + 1 }, /count 1001 is not/],
    [{ count: 2 }, /lengths is not an array of one length a message/],
    [{ seq: 0 }, /seq 0 is not/],
    [{ seq: NaN }, /seq NaN is not/],
    [{ seq: 1.5 }, /seq 1.5 is not/],
    [{ seq: 2 ** 53 }, /seq 9007199254740992 is not/],
    [{ time: -1 }, /time -1 is not/],
    [{ time: NaN }, /time NaN is not/],
    [{ lamport: 0 }, /Lamport timestamp 0 is out of range/],
    [{ lamport: NaN }, /Lamport timestamp NaN is out of range/],
    [{ lamport: 1.5 }, /Lamport timestamp 1.5 is out of range/],
    [{ lamport: LAMPORT_MAX - 1 }, /Lamport timestamp 9007199254740990 is out of range/],
    [{ lengths: '' }, /lengths is not JSON/],
    [{ lengths: '[3,0,5' }, /lengths is not JSON/],
    [{ lengths: 'null' }, /lengths is not an array of one length a message/],
    [{ lengths: '{"length":3}' }, /lengths is not an array/],
    [{ lengths: '[3,0]' }, /lengths is not an array/],
    [{ lengths: '[]', body: Buffer.alloc(0) }, /lengths is not an array/],
    [{ lengths: '[]', meta: '' }, /lengths do not add up to the body/],
    [{ lengths: '[3,0,5,0]' }, /lengths is not an array/],
    [{ lengths: '[3,-1,6]' }, /lengths is not an array/],
    [{ lengths: '[3,0.5,4.5]' }, /lengths is not an array/],
    [{ lengths: '[3,"0",5]' }, /lengths is not an array/],
    [{ lengths: '[3,null,5]' }, /lengths is not an array/],
    [{ lengths: '[3,0,4]' }, /lengths do not add up to the body/],
    [{ lengths: '[3,0,6]' }, /lengths do not add up to the body/],
    [{ lengths: '[3,0,9007199254740991]' }, /lengths do not add up to the body/],
    [{ body: Buffer.alloc(0) }, /lengths do not add up to the body/],
    [{ meta: '{' }, /meta is not JSON/],
    [{ meta: '[]' }, /meta is not a JSON object/],
    [{ meta: 'null' }, /meta is not a JSON object/],
    [{ meta: '7' }, /meta is not a JSON object/],
    [{ meta: '{"later":true}' }, /meta has a column "later", which is none/],
    [{ meta: `{"x":${'['.repeat(1500)}${']'.repeat(1500)}}` }, /meta has a column "x"/],
    [
      { meta: `{"keys":${'['.repeat(1500)}${']'.repeat(1500)},"keys":["a","b","c"]}` },
      /meta is not written as JSON.stringify does/,
    ],
    [{ meta: '{"keys": ["a","b","c"]}' }, /meta is not written as JSON.stringify does/],
    [{ meta: '{"keys":null}' }, /keys is not one key a message/],
    [{ meta: '{"keys":["a","b"]}' }, /keys is not one key a message/],
    [{ meta: '{"keys":["a","b",3]}' }, /keys is not one key a message/],
    [{ meta: '{"ids":["a","b","c","d"]}' }, /ids is not one id a message/],
    [{ meta: '{"ids":["a","b",{}]}' }, /ids is not one id a message/],
    [{ meta: '{"headers":[null,null]}' }, /headers is not one list a message/],
    [{ meta: '{"headers":[["a"],null,null]}' }, /headers is not one list a message/],
    [{ meta: '{"headers":[["a",1],null,null]}' }, /headers is not one list a message/],
    [{ meta: '{"headers":["ab",null,null]}' }, /headers is not one list a message/],
    [{ deps: '{' }, /deps is not JSON/],
    [{ deps: '[]' }, /deps is not a JSON object/],
    [{ deps: '{"__proto__":1}' }, /"__proto__" is not an origin/],
    [{ deps: `{"h:1/${digits}":"1"}` }, /deps of h:1\/0123456789ab is not a seq/],
    [{ deps: `{"h:1/${digits}":-1}` }, /is not a seq/],
    [{ deps: `{"h:1/${digits}":1.5}` }, /is not a seq/],
  ];
  for (const [changes, why] of cases) {
    t.throws(
      () => validateBatch(specimenBatch(changes as Partial<RecordBatch>)), { code: 'PROTOCOL', message: why },
      JSON.stringify(changes),
    );
  }
  t.throws(() => validateBatch(specimenBatch({ seq: 0 })), {
    message: /^record batch 10\.0\.0\.1:3000\/000000000000 0: /,
  });
});

t.test(`no mangled batch makes messagesOf fail once it was let through (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  let passed = 0;
  for (let round = 0; round < 3000; round += 1) {
    const field = random.pick(['lengths', 'meta', 'deps'] as const);
    const text = specimenBatch()[field];
    const at = random.integer(0, text.length - 1);
    const batch = specimenBatch({
      [field]: text.slice(0, at) + String.fromCharCode(random.integer(32, 126)) + text.slice(at + 1),
    });
    try {
      validateBatch(batch);
    } catch (error) {
      if ((error as { code?: string }).code !== 'PROTOCOL') throw error;
      continue;
    }
    passed += 1;
    const messages = messagesOf(batch);
    parseDeps(batch);
    if (Buffer.concat(messages.map(({ payload }) => payload)).compare(batch.body) !== 0) {
      t.fail('payloads are not the body');
    }
  }
  t.ok(passed > 300 && passed < 2700, `both outcomes happened: ${passed} of 3000 passed`);
});
