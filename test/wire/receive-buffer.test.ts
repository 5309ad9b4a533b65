import t from 'tap';
import { parseInteger, ReceiveBuffer } from '../../brokers/wire/receive-buffer.ts';
import { chunkings } from '../support/chunk.ts';
import { countCopiedBytes } from '../support/copied.ts';
import { heapBytes } from '../support/memory.ts';
import { SEED, SeededRandom } from '../support/random.ts';

t.test('parseInteger', async (t) => {
  const cases: [text: string, value: number][] = [
    ['0', 0],
    ['7', 7],
    ['-7', -7],
    ['007', 7],
    ['1234567890', 1234567890],
    ['999999999999999', 999999999999999],
    ['-999999999999999', -999999999999999],
    ['1000000000000000', 1e15],
    ['9007199254740991', 9007199254740991],
    ['-9007199254740991', -9007199254740991],
    ['9007199254740992', NaN],
    ['9007199254740993', NaN],
    ['9999999999999999', NaN],
    ['', NaN],
    ['-', NaN],
    ['+1', NaN],
    [' 1', NaN],
    ['1 ', NaN],
    ['1.5', NaN],
    ['1e3', NaN],
    ['0x1', NaN],
    ['--1', NaN],
    ['1-', NaN],
    ['10000000000000000', NaN],
    ['00000000000000001', NaN],
    ['99999999999999999999', NaN],
    ['/', NaN],
    [':', NaN],
    ['ü', NaN],
  ];
  for (const [text, value] of cases) {
    const bytes = Buffer.from(`x${text}7`); // a border that is not kept to would change the number
    t.strictSame(parseInteger(bytes, 1, bytes.length - 1), value, JSON.stringify(text));
  }
});

t.test('a chunk is read where it lies', async (t) => {
  const input = new ReceiveBuffer();
  const chunk = Buffer.from('abcdef');
  input.push(chunk);
  t.equal(input.has(6), true);
  t.equal(input.has(7), false);
  t.equal(input.bytes, chunk);
  t.equal(input.length, 6);
  input.at = 2;
  t.equal(input.has(4), true);
  t.equal(input.has(5), false);
  input.release();
  t.equal(input.length, 4);
});

t.test('lines', async (t) => {
  const cases: [bytes: string, bytesMax: number, line: string | -1 | -2, rest: string][] = [
    ['abc\r\nd', 10, 'abc', 'd'],
    ['abc\nd', 10, 'abc', 'd'],
    ['\r\nd', 10, '', 'd'],
    ['\nd', 10, '', 'd'],
    ['a\rb\r\n', 10, 'a\rb', ''],
    ['abc\r\r\n', 10, 'abc\r', ''],
    ['abc', 10, -1, 'abc'],
    ['abc\r', 10, -1, 'abc\r'],
    ['', 10, -1, ''],
    ['abc\r\nd', 3, 'abc', 'd'],
    ['abc\r', 3, -1, 'abc\r'],
    ['abcde', 3, -2, 'abcde'],
    ['abcde\r\n', 3, -2, 'abcde\r\n'],
  ];
  for (const [bytes, bytesMax, expected, rest] of cases) {
    const input = new ReceiveBuffer();
    input.push(Buffer.from(bytes));
    const end = input.line(bytesMax);
    t.equal(
      end < 0 ? end : input.bytes.toString('latin1', input.base, end), expected, JSON.stringify([bytes, bytesMax]),
    );
    t.equal(input.bytes.toString('latin1', input.at), rest, 'the rest');
  }
});

t.test(`random elements come out as they went in, however they were cut (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const elements = Array.from({ length: 60 }, () => random.bytes(random.pick([0, 1, 3, 40, 700, 9000])));
  const stream = Buffer.concat(elements.flatMap((element) => [Buffer.from(`${element.length}\r\n`), element]));
  for (const [name, chunks] of chunkings(stream, random)) {
    const input = new ReceiveBuffer();
    const read: Buffer[] = [];
    let length = -1;
    for (const chunk of chunks) {
      input.push(chunk);
      for (;;) {
        if (length < 0) {
          const start = input.at - input.base;
          const end = input.line(20);
          if (end < 0) break;
          length = parseInteger(input.bytes, input.base + start, end);
        }
        if (!input.has(length)) break;
        read.push(input.bytes.subarray(input.at, input.at + length));
        input.at += length;
        length = -1;
        if (random.integer(0, 2) === 0) input.release(); // an element may be released at once, or with others later
      }
    }
    t.strictSame(read, elements, name); // compared last: views of what was read stay what they were
    input.release();
    t.equal(input.length, 0, `${name}: nothing is left`);
  }
});

t.test('an element over many chunks is joined once', async (t) => {
  const copied = countCopiedBytes(() => {
    const input = new ReceiveBuffer();
    for (let index = 0; index < 1024; index += 1) {
      input.push(Buffer.alloc(1024, index & 255));
      t.equal(input.has(1024 * 1024), index === 1023) || t.bailout();
    }
  });
  t.equal(copied, 1024 * 1024);
});

t.test('many elements over many chunks, none released, are copied a few times and not once a chunk', async (t) => {
  const chunk = Buffer.from(`${'x'.repeat(1000)}\r\n`);
  const total = 2000 * chunk.length;
  const copied = countCopiedBytes(() => {
    const input = new ReceiveBuffer();
    for (let index = 0; index < 2000; index += 1) {
      input.push(chunk.subarray(0, 500));
      if (input.line(2000) !== -1) t.fail('half a line');
      input.push(chunk.subarray(500));
      if (input.line(2000) < 0) t.fail('a line');
    }
    t.equal(input.length, total);
    t.equal(input.bytes.compare(Buffer.concat(new Array<Buffer>(2000).fill(chunk))), 0);
  });
  t.ok(copied < 6 * total, `${total} bytes, ${copied} copied`); // the test's own Buffer.concat is one time of it
});

for (const [size, most] of [[100, 0.1], [4000, 0.2], [65_536, 1.1], [150_000, 1.1]] as const) {
  t.test(`elements of ${size} bytes, one behind another in chunks of 64 KiB, are copied ${most} times at most`, async (t) => {
    const elements = Array.from({ length: Math.ceil(2_000_000 / size) }, (_, index) =>
      Buffer.concat([Buffer.from(`${size}\r\n`), Buffer.alloc(size, index)]),
    );
    const stream = Buffer.concat(elements);
    const copied = countCopiedBytes(() => {
      const input = new ReceiveBuffer();
      let read = 0;
      let length = -1;
      for (let offset = 0; offset < stream.length; offset += 65_536) {
        input.push(stream.subarray(offset, offset + 65_536));
        for (;;) {
          if (length < 0) {
            if (input.line(20) < 0) break;
            length = size;
          }
          if (!input.has(length)) break;
          if (input.bytes[input.at] !== (read & 255) || input.bytes[input.at + length - 1] !== (read & 255)) {
            t.fail(`element ${read}`);
          }
          input.at += length;
          read += 1;
          length = -1;
          input.release();
        }
      }
      t.equal(read, elements.length);
    });
    t.ok(copied < most * stream.length, `${(copied / stream.length).toFixed(3)} times`);
  });
}

t.test('what is read and released is not held', async (t) => {
  const input = new ReceiveBuffer();
  input.push(Buffer.alloc(1_000_000));
  input.at = 1_000_000;
  input.release();
  t.equal(input.bytes.length, 0);
  t.strictSame([input.at, input.base, input.length], [0, 0, 0]);
});

t.test('what comes a byte at a time takes little more than its bytes, and is counted', async (t) => {
  const bytes = 1_000_000;
  const input = new ReceiveBuffer();
  const before = heapBytes();
  for (let index = 0; index < bytes; index += 1) input.push(Buffer.from([index & 255]));
  const spent = heapBytes() - before;
  t.equal(input.length, bytes);
  t.ok(spent < 1.3 * bytes, `${spent} bytes for ${bytes}`);
  t.ok(input.heldBytes >= bytes && input.heldBytes < 1.2 * bytes, `${input.heldBytes} held`);
  t.equal(input.has(bytes), true);
  t.equal(input.bytes.every((byte, index) => byte === (index & 255)), true);
  input.at = bytes;
  input.release();
  t.equal(input.heldBytes, 0);
});
