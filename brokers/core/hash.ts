/** Hashes of 32 bits, uniform in 0..2^32-1: for checks and for spreading, none of them against an enemy. */

const [FNV_BASIS, FNV_PRIME] = [0x811c9dc5, 0x01000193];

/**
 * Fowler, Noll, Vo: FNV-1a, of the bytes before `end`. http://www.isthe.com/chongo/tech/comp/fnv/
 * @param seed the hash of what comes before them
 */
export function fnv1a(bytes: Uint8Array, seed = FNV_BASIS, end = bytes.length): number {
  let hash = seed;
  for (let index = 0; index < end; index += 1) hash = Math.imul(hash ^ bytes[index]!, FNV_PRIME);
  return hash >>> 0;
}

/** The same over the UTF-16 code units of a text. */
export function fnv1aText(text: string, seed = FNV_BASIS): number {
  let hash = seed;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), FNV_PRIME);
  return hash >>> 0;
}

/** FNV-1a of a text's UTF-16 code units, mixed, so that texts which differ little are spread all the same. */
export function hashText(text: string): number {
  return mix(fnv1aText(text));
}

/** The finalizer of MurmurHash3. */
export function mix(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
