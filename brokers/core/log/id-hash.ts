/**
 * A hash of 128 bits that nobody can aim at: HalfSipHash-2-4 with a random key, squeezed for four words.
 *
 * J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012; HalfSipHash is its
 * variant of 32-bit words. It is used instead of the text: two texts with one hash count as one.
 * With a million texts remembered and a million per second asked for, that takes 10^19 years on
 * average. The sender of texts does not see the key or any hash.
 */

/** Words of a hash. */
export const HASH_WORDS = 4;

/** @param random uniform in 0..2^32-1 */
export function makeIdHash(random: () => number): (space: number, text: string, into: Uint32Array) => void {
  const [key0, key1] = [random() | 0, random() | 0];
  const [begin2, begin3] = [0x6c796765 ^ key0, 0x74656462 ^ key1];

  /** Hashes a number and a text of UTF-16 code units. All in one loop. */
  return (space, text, into) => {
    const { length } = text;
    const words = (length >> 1) + 3; // the space, the text by two code units, what is left of it, its length
    let v0 = key0;
    let v1 = key1;
    let v2 = begin2;
    let v3 = begin3;
    for (let step = 0; step < words + HASH_WORDS; step += 1) {
      const at = 2 * (step - 1);
      let word = 0;
      if (step === 0) word = space;
      else if (at + 1 < length) word = text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16);
      else if (step === words - 2) word = at < length ? text.charCodeAt(at) : 0;
      else if (step === words - 1) word = length;
      if (step < words) v3 ^= word;
      else v2 ^= 0xff - (step - words);
      for (let rounds = step < words ? 2 : 4; rounds > 0; rounds -= 1) {
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
      if (step < words) v0 ^= word;
      else into[step - words] = v1 ^ v3;
    }
  };
}
