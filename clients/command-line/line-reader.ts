/**
 * Lines out of a stream of bytes, as bytes: what is not UTF-8 stays what it is. A line ends with LF or CR LF; the last
 * one may end with the stream.
 *
 * Memory is bounded: reading stops while the consumer works, and a line over the limit is an error, however long it
 * goes on.
 */
import { RumormillError } from '../../brokers/core/error.ts';

const [CR, LF] = [13, 10];

/** @throws RumormillError TOOBIG, with the line's number, for a line over `lineBytesMax` */
export async function* readLines(
  input: AsyncIterable<Buffer>,
  lineBytesMax: number,
): AsyncGenerator<Buffer[], void, undefined> {
  let begun: Buffer[] = []; // pieces of the line that has no end yet
  let begunBytes = 0;
  let count = 0;
  const check = (bytes: number): void => {
    if (bytes > lineBytesMax) {
      throw new RumormillError('TOOBIG', `line ${count + 1} of the input is longer than ${lineBytesMax} bytes`);
    }
  };
  for await (const chunk of input) {
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      check(begunBytes + end - start);
      const piece = chunk.subarray(start, end);
      lines.push(withoutCarriageReturn(begun.length === 0 ? piece : Buffer.concat([...begun, piece])));
      begun = [];
      begunBytes = 0;
      count += 1;
      start = end + 1;
    }
    if (start < chunk.length) {
      begun.push(chunk.subarray(start));
      begunBytes += chunk.length - start;
      check(begunBytes);
    }
    if (lines.length > 0) yield lines;
  }
  if (begunBytes > 0) yield [withoutCarriageReturn(Buffer.concat(begun))];
}

function withoutCarriageReturn(line: Buffer): Buffer {
  return line.at(-1) === CR ? line.subarray(0, -1) : line;
}
