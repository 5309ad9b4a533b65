import t from 'tap';
import { type Parties, proofText, sameBytes } from '../../../brokers/core/mesh/identity.ts';

const shown = (fill: number) => ({ key: Buffer.alloc(32, fill), nonce: Buffer.alloc(32, fill + 1) });
const PARTIES: Parties = { version: 5, mesh: 'default', dialler: shown(10), answerer: shown(20) };

t.test('what is signed says all that a proof is about, and nothing else says the same', async (t) => {
  const { dialler, answerer } = PARTIES;
  const other = Buffer.alloc(32, 99);
  const texts = [
    proofText('dialler', PARTIES),
    proofText('answerer', PARTIES),
    proofText('dialler', { ...PARTIES, version: 6 }),
    proofText('dialler', { ...PARTIES, mesh: 'another' }),
    proofText('dialler', { ...PARTIES, dialler: answerer, answerer: dialler }),
    proofText('dialler', { ...PARTIES, dialler: { ...dialler, key: other } }),
    proofText('dialler', { ...PARTIES, dialler: { ...dialler, nonce: other } }),
    proofText('dialler', { ...PARTIES, answerer: { ...answerer, key: other } }),
    proofText('dialler', { ...PARTIES, answerer: { ...answerer, nonce: other } }),
  ].map(String);
  t.equal(new Set(texts).size, texts.length);
  t.match(texts[0], /^Rumormill, proof of a broker's key, peer protocol 5\nsigned by the dialler\n/);
  t.equal(String(proofText('dialler', { ...PARTIES })), texts[0]);
});

t.test('bytes are the same or not', async (t) => {
  t.ok(sameBytes(Buffer.from('abc'), new Uint8Array([97, 98, 99])));
  t.notOk(sameBytes(Buffer.from('abc'), Buffer.from('abd')));
  t.notOk(sameBytes(Buffer.from('abc'), Buffer.from('abcd')));
});
