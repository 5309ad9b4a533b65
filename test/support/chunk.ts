/**
 * Ways in which a network may cut a stream of bytes. Where a parser sees a chunk's border must change nothing.
 */
import { SeededRandom } from './random.ts';

const RANDOM_CUTS = 20;

/** The bytes whole, byte by byte, and cut at random; each way with a name for the test's title. */
export function chunkings(bytes: Buffer, random = new SeededRandom()): [string, Buffer[]][] {
  return [
    ['whole', [bytes]],
    ['byte by byte', cut(bytes, () => 1)],
    ...Array.from({ length: RANDOM_CUTS }, (_, index): [string, Buffer[]] => {
      const most = random.pick([2, 5, 30, 1000, 20_000]);
      return [`random cut ${index}`, cut(bytes, () => random.integer(1, most))];
    }),
  ];
}

/** The bytes in pieces of `length()` bytes each, every piece a copy of its own as a socket delivers it. */
export function cut(bytes: Buffer, length: () => number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + length();
    chunks.push(Buffer.from(bytes.subarray(at, end)));
    at = end;
  }
  return chunks;
}
