import t from 'tap';
import { decodeToken, encodeToken, lifeOf, originTag } from '../../../brokers/core/queue/lease-token.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const LIFE = lifeOf({ name: 'billing', since: { lamport: 7, origin: origin('h:1') } });
const TOKEN = { instance: '0123456789ab', lease: 41, tag: originTag(origin('h:1', 0xab)), seq: 300 };

t.test('a token says what it was made of, in some thirty characters', async (t) => {
  for (const [lease, seq] of [[1, 1], [127, 128], [16_384, 2_097_151], [2 ** 40, Number.MAX_SAFE_INTEGER]] as const) {
    t.strictSame(decodeToken(LIFE, encodeToken(LIFE, { ...TOKEN, lease, seq })), { ...TOKEN, lease, seq });
  }
  const text = encodeToken(LIFE, { ...TOKEN, lease: 1_000_000, seq: 50_000_000 });
  t.ok(text.length < 35, text);
  t.match(text, /^[\w-]+$/);
});

t.test('one of another subscription, or of an earlier life of this one, is none', async (t) => {
  const text = encodeToken(LIFE, TOKEN);
  t.equal(decodeToken(lifeOf({ name: 'billinh', since: { lamport: 7, origin: origin('h:1') } }), text), undefined);
  t.equal(decodeToken(lifeOf({ name: 'billing', since: { lamport: 8, origin: origin('h:1') } }), text), undefined);
  t.equal(decodeToken(lifeOf({ name: 'billing', since: { lamport: 7, origin: origin('h:2') } }), text), undefined);
});

t.test(`a mangled one is none (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const text = encodeToken(LIFE, TOKEN);
  const bad = [
    '', 'x', '\u{1f4a5}', text.slice(1), text.slice(0, -1), `${text}A`, ` ${text}`, `${text}=`, text.repeat(100),
  ];
  for (let at = 0; at < text.length; at += 1) {
    bad.push(`${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`);
  }
  for (let round = 0; round < 200; round += 1) bad.push(random.bytes(random.integer(0, 60)).toString('base64url'));
  t.strictSame(bad.filter((each) => decodeToken(LIFE, each) !== undefined), []);
});
