import t from 'tap';
import { HASH_WORDS, makeIdHash } from '../../../brokers/core/log/id-hash.ts';
import { SeededRandom } from '../../support/random.ts';

t.test('every code unit, the length, the space and the key change the hash, in all of its words', async (t) => {
  const random = new SeededRandom();
  const [hash, other] = [makeIdHash(random.word), makeIdHash(random.word)];
  const of = (each: typeof hash, space: number, text: string): number[] => {
    const words = new Uint32Array(HASH_WORDS);
    each(space, text, words);
    return [...words];
  };
  const texts = [
    '', '\0', '\0\0', '\0\0\0', 'a', 'b', 'ab', 'ba', 'aba', 'abaa', 'a\0', 'ä', '\u{1f600}', '\u0100', 'x'.repeat(128),
    'x'.repeat(127),
  ];
  const hashes = [...texts.map((text) => of(hash, 7, text)), of(hash, 8, 'ab'), of(other, 7, 'ab')];
  for (let word = 0; word < HASH_WORDS; word += 1) {
    t.equal(new Set(hashes.map((each) => each[word])).size, hashes.length, `word ${word}`);
  }
  t.strictSame(of(hash, 7, 'ab'), of(hash, 7, 'ab'));
});

t.test('a bit that differs changes half of all bits', async (t) => {
  const hash = makeIdHash(new SeededRandom().word);
  const [one, two] = [new Uint32Array(HASH_WORDS), new Uint32Array(HASH_WORDS)];
  let changed = 0;
  for (let index = 0; index < 1000; index += 1) {
    hash(0, `id ${index}`, one);
    hash(0, `id ${String.fromCharCode(index.toString().charCodeAt(0) ^ 1)}${index.toString().slice(1)}`, two);
    for (let word = 0; word < HASH_WORDS; word += 1) {
      for (let bits = one[word]! ^ two[word]!; bits !== 0; bits &= bits - 1) changed += 1;
    }
  }
  t.ok(Math.abs(changed / 1000 - 16 * HASH_WORDS) < 2, `${changed / 1000} of ${32 * HASH_WORDS}`);
});
