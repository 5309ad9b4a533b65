import t from 'tap';
import { DEFAULT_LIMITS, type Limits, recordLimits } from '../../../brokers/config.ts';
import { validateBatch } from '../../../brokers/core/log/batch-check.ts';
import { LAMPORT_MAX } from '../../../brokers/core/log/lamport.ts';
import {
  BATCH_MESSAGES_MAX, type BatchMeta, messagesOf, parseDeps, type RecordBatch,
} from '../../../brokers/core/log/record.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { specimenBatch } from '../../support/record.ts';

const MIB = 1024 * 1024;

function check(batch: RecordBatch, changes: Partial<Limits> = {}): void {
  validateBatch(batch, recordLimits({ ...DEFAULT_LIMITS, ...changes }));
}

function meta(columns: BatchMeta): string {
  return JSON.stringify(columns);
}

function headersOf(count: number): string[] {
  return new Array<string>(2 * count).fill('x');
}

t.test('a batch that is right passes', async (t) => {
  const cases: Partial<RecordBatch>[] = [
    {},
    { meta: '', deps: '' },
    { meta: '{}', deps: '{}' },
    { meta: '{"keys":[null,null,null]}' },
    { time: 0, seq: 1, lamport: 1 },
    { lamport: LAMPORT_MAX - 2 },
    { lengths: '[0,0,0]', body: Buffer.alloc(0) },
    { lengths: '[]', body: Buffer.alloc(0), meta: '' },
    { topic: 'é'.repeat(127) },
    { lengths: `[${MIB},0,0]`, body: Buffer.alloc(MIB) },
    { topic: '$acks', lengths: `[${MIB + 1},0,0]`, body: Buffer.alloc(MIB + 1) },
    { meta: meta({ keys: ['k'.repeat(1024), 'é'.repeat(512), null] }) },
    { meta: meta({ ids: ['i'.repeat(128), null, null] }) },
    { meta: meta({ headers: [headersOf(64 + 16 * 4), null, []] }) },
    {
      count: BATCH_MESSAGES_MAX, lengths: JSON.stringify(new Array(BATCH_MESSAGES_MAX).fill(0)), body: Buffer.alloc(0),
      meta: '',
    },
  ];
  for (const changes of cases) {
    t.doesNotThrow(() => check(specimenBatch(changes)), JSON.stringify(changes).slice(0, 100));
  }
});

t.test('a batch with a wrong field is refused, and the error names the field', async (t) => {
  const digits = '0123456789ab';
  const cases: [changes: Record<string, unknown>, why: RegExp][] = [
    [{ origin: 'nobody' }, /"nobody" is not an origin/],
    [{ count: 0 }, /count 0 is not from 1 to 1000/],
    [{ count: -1 }, /count -1 is not/],
    [{ count: NaN }, /count NaN is not/],
    [{ count: 2.5 }, /lengths is not an array of one length per message/],
    [{ count: BATCH_MESSAGES_MAX + 1 }, /count 1001 is not/],
    [{ count: 2 }, /lengths is not an array of one length per message/],
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
    [{ lengths: 'null' }, /lengths is not an array of one length per message/],
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
    [{ lengths: '[3,0,9007199254740991]' }, /a payload of 9007199254740991 bytes is too large/],
    [{ topic: '$acks', lengths: '[3,0,9007199254740991]' }, /lengths do not add up to the body/],
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
    [{ meta: '{"keys":null}' }, /keys is not one key of at most 1024 bytes per message/],
    [{ meta: '{"keys":["a","b"]}' }, /keys is not one key of at most 1024 bytes per message/],
    [{ meta: '{"keys":["a","b",3]}' }, /keys is not one key of at most 1024 bytes per message/],
    [{ meta: '{"ids":["a","b","c","d"]}' }, /ids is not one id of at most 128 bytes per message/],
    [{ meta: '{"ids":["a","b",{}]}' }, /ids is not one id of at most 128 bytes per message/],
    [{ meta: '{"headers":[null,null]}' }, /headers is not one list per message, within the limits/],
    [{ meta: '{"headers":[["a"],null,null]}' }, /headers is not one list per message, within the limits/],
    [{ meta: '{"headers":[["a",1],null,null]}' }, /headers is not one list per message, within the limits/],
    [{ meta: '{"headers":["ab",null,null]}' }, /headers is not one list per message, within the limits/],
    [{ topic: '' }, /topic is empty/],
    [{ topic: 'é'.repeat(128) }, /topic is over 255 bytes/],
    [{ topic: 'a\nb' }, /topic has control characters/],
    [{ topic: 'a\u0085b' }, /topic has control characters/],
    [{ topic: '$\x7f' }, /topic has control characters/],
    [{ lengths: `[${MIB + 1},0,0]`, body: Buffer.alloc(MIB + 1) }, /a payload of 1048577 bytes is too large/],
    [{ meta: meta({ keys: ['k'.repeat(1025), null, null] }) }, /keys is not one key of at most 1024 bytes/],
    [{ meta: meta({ keys: [null, null, 'é'.repeat(513)] }) }, /keys is not one key of at most 1024 bytes/],
    [{ meta: meta({ ids: [null, 'i'.repeat(129), null] }) }, /ids is not one id of at most 128 bytes/],
    [{ meta: meta({ headers: [headersOf(64 + 16 * 4 + 1), null, null] }) }, /headers is not one list/],
    [{ meta: meta({ headers: [['h', 'v'.repeat(40_000)], null, null] }) }, /headers is not one list/],
    [{ deps: '{' }, /deps is not JSON/],
    [{ deps: '[]' }, /deps is not a JSON object/],
    [{ deps: '{"__proto__":1}' }, /"__proto__" is not an origin/],
    [{ deps: `{"h:1/${digits}":"1"}` }, /deps of h:1\/0123456789ab is not a seq/],
    [{ deps: `{"h:1/${digits}":-1}` }, /is not a seq/],
    [{ deps: `{"h:1/${digits}":1.5}` }, /is not a seq/],
  ];
  for (const [changes, why] of cases) {
    t.throws(
      () => check(specimenBatch(changes as Partial<RecordBatch>)), { code: 'PROTOCOL', message: why },
      JSON.stringify(changes).slice(0, 100),
    );
  }
  t.throws(() => check(specimenBatch({ seq: 0 })), {
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
      check(batch);
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

t.test('a broker takes what its own publishers may send, and what the publishers of others may send by default', async (t) => {
  const long = specimenBatch({ topic: 'x'.repeat(300) });
  t.throws(() => check(long), { code: 'PROTOCOL' });
  t.doesNotThrow(() => check(long, { topicBytesMax: 300 }), 'its own limit is higher');
  const usual = specimenBatch({ topic: 'x'.repeat(255) });
  t.doesNotThrow(() => check(usual, { topicBytesMax: 10 }), 'its own limit is lower');
});
