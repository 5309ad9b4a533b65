/**
 * A hash of 128 bits that nobody can aim at: HalfSipHash-2-4 with a random key, squeezed for four words.
 *
 * J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012; HalfSipHash is its
 * variant of 32-bit words. It stands in the place of the text: two texts with one hash count as one.
 * With a million texts remembered and a million a second asked for, that takes 10^19 years on the
 * average. Whoever sends texts does not see the key, nor any hash.
 */

/** Words of a hash. */
export const HASH_WORDS = 4;

/** @param random uniform in 0..2^32-1 */
export function makeIdHash(random: () => number): (space: number, text: string, into: Uint32Array) => void {
  const [key0, key1] = [random() | 0, random() | 0];

  /** Hashes a number and a text of UTF-16 code units. */
  return (space, text, into) => {
    let [v0, v1, v2, v3] = [key0, key1, 0x6c796765 ^ key0, 0x74656462 ^ key1];
    const rounds = (count: number): void => {
      for (let round = 0; round < count; round += 1) {
        v0 = (v0 + v1) | 0;
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
        v0 = (v0 << 16) | (v0 >>> 16);
        v2 = (v2 + v3) | 0;
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
        v0 = (v0 + v3) | 0;
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
        v2 = (v2 + v1) | 0;
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
        v2 = (v2 << 16) | (v2 >>> 16);
      }
    };
    const take = (word: number): void => {
      v3 ^= word;
      rounds(2);
      v0 ^= word;
    };
    const { length } = text;
    take(space);
    let index = 0;
    for (; index + 1 < length; index += 2) take(text.charCodeAt(index) | (text.charCodeAt(index + 1) << 16));
    take(index < length ? text.charCodeAt(index) : 0);
    take(length);
    for (let word = 0; word < HASH_WORDS; word += 1) {
      v2 ^= 0xff - word;
      rounds(4);
      into[word] = v1 ^ v3;
    }
  };
}
