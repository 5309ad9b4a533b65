import t from 'tap';
import { type Args, ARGUMENT_BYTES, type CommandLimits, CommandParser } from '../../brokers/wire/command-parser.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { chunkings, cut } from '../support/chunk.ts';
import { countCopiedBytes } from '../support/copied.ts';
import { heapBytes } from '../support/memory.ts';
import { SEED, SeededRandom } from '../support/random.ts';

const LIMITS: CommandLimits = { bulkBytesMax: 1000, commandBytesMax: 2000 };

interface Outcome {
  /** Arguments as latin1 text: a character a byte. */
  readonly commands: string[][];
  readonly error?: string;
}

function parse(chunks: readonly Buffer[], limits = LIMITS): Outcome {
  const parser = new CommandParser(limits);
  const commands: string[][] = [];
  try {
    for (const chunk of chunks) {
      parser.push(chunk);
      for (let args = parser.next(); args !== undefined; args = parser.next()) commands.push(latin1(args));
    }
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return { commands, error: `${code} ${message}` };
  }
  return { commands };
}

function latin1(args: Args): string[] {
  return Array.from({ length: args.length }, (_, index) => args.bytes(index).toString('latin1'));
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const failure = (what: string): string => `PROTOCOL Protocol error: ${what}`;

const CASES: [title: string, stream: string, outcome: Outcome][] = [
  ['nothing', '', { commands: [] }],
  ['a command', '*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n', { commands: [['ECHO', 'hello']] }],
  ['an empty argument', '*2\r\n$4\r\nECHO\r\n$0\r\n\r\n', { commands: [['ECHO', '']] }],
  [
    'bytes that look like framing', '*2\r\n$4\r\nECHO\r\n$9\r\n\r\n$1\r\n*1\r\r\n',
    { commands: [['ECHO', '\r\n$1\r\n*1\r']] },
  ],
  ['bytes that are not UTF-8', '*1\r\n$3\r\n\x00\xff\xc3\r\n', { commands: [['\x00\xff\xc3']] }],
  [
    'a pipeline', '*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n*1\r\n$4\r\nQUIT\r\n',
    { commands: [['PING'], ['ECHO', 'x'], ['QUIT']] },
  ],
  [
    'empty commands between others', '*0\r\n*1\r\n$4\r\nPING\r\n*-1\r\n\r\n\n  \r\n*1\r\n$4\r\nQUIT\r\n',
    { commands: [['PING'], ['QUIT']] },
  ],
  ['lines that end in LF alone', '*1\n$4\nPING\r\n', { commands: [['PING']] }],
  ['half a command', '*2\r\n$4\r\nECHO\r\n$5\r\nhell', { commands: [] }],
  ['a length with leading zeros', '*01\r\n$004\r\nPING\r\n', { commands: [['PING']] }],
  [
    'as many arguments as may be', `*117\r\n${'$1\r\nx\r\n'.repeat(117)}`,
    { commands: [new Array<string>(117).fill('x')] },
  ],
  ['as many empty ones', `*125\r\n${'$0\r\n\r\n'.repeat(125)}`, { commands: [new Array<string>(125).fill('')] }],
  ['as long an argument as may be', `*1\r\n$1000\r\n${'x'.repeat(1000)}\r\n`, { commands: [['x'.repeat(1000)]] }],

  ['inline', 'PING\r\n', { commands: [['PING']] }],
  ['inline, LF alone', 'PING\nQUIT\n', { commands: [['PING'], ['QUIT']] }],
  ['inline, any white space', ' \t ECHO\t  hello \t\r\n', { commands: [['ECHO', 'hello']] }],
  [
    'inline beside arrays', 'ECHO a\r\n*1\r\n$4\r\nPING\r\nECHO b\r\n',
    { commands: [['ECHO', 'a'], ['PING'], ['ECHO', 'b']] },
  ],
  [
    'inline, double quotes', 'ECHO "a b" "" "\\n\\r\\t\\b\\a\\x41\\xfF\\"\\\\\\q"\r\n',
    { commands: [['ECHO', 'a b', '', '\n\r\t\b\x07A\xff"\\q']] },
  ],
  ['inline, a bad \\x', 'ECHO "\\xg1"\r\n', { commands: [['ECHO', 'xg1']] }],
  ['inline, single quotes', "ECHO 'a \"b' '' 'it\\'s' '\\n'\r\n", { commands: [['ECHO', 'a "b', '', "it's", '\\n']] }],
  ['inline, a quote within a word', 'ECHO it\'s a"b\r\n', { commands: [['ECHO', "it's", 'a"b']] }],
  ['inline, a CR within quotes', 'ECHO "a\rb\\\rc" x\r\n', { commands: [['ECHO', 'a\rb\rc', 'x']] }],
  // Every byte of UTF-8 text stays: 0xA0 is a no-break space in latin1, and the second byte of an `à`; 0x85 is a line
  // break there.
  [
    'inline, UTF-8', 'ECHO \xc3\xa0 d\xc3\xa9j\xc3\xa0 "\xc3\xa0" \xe2\x80\xa6\r\n',
    { commands: [['ECHO', '\xc3\xa0', 'd\xc3\xa9j\xc3\xa0', '\xc3\xa0', '\xe2\x80\xa6']] },
  ],
  [
    'inline, bytes that latin1 has for white space', 'ECHO \xa0a "b" \xa0 c\x85\r\n',
    { commands: [['ECHO', '\xa0a', 'b', '\xa0', 'c\x85']] },
  ],
  [
    'inline, an escaped quote at the end', 'ECHO "a\\"\r\n',
    { commands: [], error: failure('unbalanced quotes in request') },
  ],
  [
    'inline, an open double quote', 'PING\r\nECHO "a\r\n',
    { commands: [['PING']], error: failure('unbalanced quotes in request') },
  ],
  ['inline, an open single quote', "ECHO 'a b\r\n", { commands: [], error: failure('unbalanced quotes in request') }],
  [
    'inline, a word glued to a quote', 'ECHO "a"b\r\n',
    { commands: [], error: failure('unbalanced quotes in request') },
  ],
  [
    'inline, why a peer refuses', '-REFUSED it is a\'s "own"; d\xc3\xa0\r\nPING\r\n',
    { commands: [['-REFUSED it is a\'s "own"; d\xc3\xa0'], ['PING']] },
  ],
  ['inline, many words', `${'x '.repeat(5000)}\r\n`, { commands: [new Array<string>(5000).fill('x')] }],

  ['array length: nothing', '*\r\n', { commands: [], error: failure('invalid multibulk length') }],
  ['array length: text', 'PING\r\n*abc\r\n', { commands: [['PING']], error: failure('invalid multibulk length') }],
  ['array length: fraction', '*1.5\r\n', { commands: [], error: failure('invalid multibulk length') }],
  ['array length: one too many', '*126\r\n', { commands: [], error: failure('invalid multibulk length') }],
  ['array length: 2^31', '*2147483648\r\n', { commands: [], error: failure('invalid multibulk length') }],
  ['array length: 2^64', '*18446744073709551616\r\n', { commands: [], error: failure('invalid multibulk length') }],
  ['array length: endless', `*${'1'.repeat(40)}`, { commands: [], error: failure('invalid multibulk length') }],
  ['no $', '*1\r\n+PING\r\n', { commands: [], error: failure(`expected '$', got "+"`) }],
  ['no $ but CR', '*2\r\n$4\r\nPING\r\n\r\n', { commands: [], error: failure(`expected '$', got "\\r"`) }],
  ['bulk length: -1', '*1\r\n$-1\r\n', { commands: [], error: failure('invalid bulk length') }],
  ['bulk length: nothing', '*1\r\n$\r\n', { commands: [], error: failure('invalid bulk length') }],
  ['bulk length: text', '*1\r\n$4x\r\nPING\r\n', { commands: [], error: failure('invalid bulk length') }],
  ['bulk length: one too many', '*1\r\n$1001\r\n', { commands: [], error: failure('invalid bulk length') }],
  ['bulk length: 512 MiB', '*1\r\n$536870912\r\n', { commands: [], error: failure('invalid bulk length') }],
  ['bulk length: endless', `*1\r\n$${'1'.repeat(40)}`, { commands: [], error: failure('invalid bulk length') }],
  ['a bulk longer than it said', '*1\r\n$3\r\nPING\r\n', { commands: [], error: failure('bulk string is not followed by CR LF') }],
  ['a bulk shorter than it said', '*2\r\n$5\r\nPING\r\n$1\r\nx\r\n', { commands: [], error: failure('bulk string is not followed by CR LF') }],
  ['a bulk followed by LF alone', '*2\r\n$4\r\nPING\n$1\r\nx\r\n', { commands: [], error: failure('bulk string is not followed by CR LF') }],
  ['a bulk followed by CR alone', '*2\r\n$4\r\nPING\r$1\r\nx\r\n', { commands: [], error: failure('bulk string is not followed by CR LF') }],
  [
    'a command too big as a whole',
    `*2\r\n$1000\r\n${'x'.repeat(1000)}\r\n$969\r\n`,
    { commands: [], error: failure('too big command') },
  ],
  [
    'arguments too many with their bytes', `*118\r\n${'$1\r\nx\r\n'.repeat(118)}`,
    { commands: [], error: failure('too big command') },
  ],
];

for (const [title, stream, outcome] of CASES) {
  t.test(title, async (t) => {
    const results = chunkings(bytes(stream)).map(([name, chunks]) => ({ name, ...parse(chunks) }));
    t.strictSame(results[0], { name: 'whole', ...outcome });
    const others = results.filter(
      (result) => JSON.stringify({ ...result, name: 'whole' }) !== JSON.stringify(results[0]),
    );
    t.strictSame(others, [], 'however it is cut');
  });
}

t.test('64 KiB of garbage without a line end', async (t) => {
  const garbage = Buffer.alloc(70_000, 'x');
  const outcome = { commands: [], error: failure('too big inline request') };
  t.strictSame(parse([garbage]), outcome);
  t.strictSame(parse(cut(garbage, () => 1000)), outcome);
  t.strictSame(parse([garbage.subarray(0, 65_536)]), { commands: [] }, 'up to there it may still become a line');
  t.strictSame(parse([garbage.subarray(0, 65_536), bytes('\r\n')]), { commands: [['x'.repeat(65_536)]] });
});

t.test('no inline line takes long: with quadratic time this file would run into its limit', async (t) => {
  const repeated = (text: string): string => text.repeat(65_000 / text.length);
  const lines = [' ', '"', "'", '\\', '"a" ', '\\"', '\t\r ', '" '].map(repeated);
  for (const line of [...lines, ...lines.map((each) => `"${each}`), ...lines.map((each) => `${each}x`)]) {
    const { commands, error } = parse([bytes(`${line}\r\n`)]);
    t.ok(commands.length <= 1 && (error === undefined || commands.length === 0), JSON.stringify(line.slice(0, 12)));
  }
});

t.test(`random pipelines (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const commands = Array.from({ length: 40 }, () =>
    Array.from({ length: random.integer(1, 6) }, () => random.bytes(random.pick([0, 1, 10, 300]))));
  const stream = Buffer.concat(commands.map(encodeCommand));
  const expected = commands.map((args) => args.map((arg) => arg.toString('latin1')));
  for (const [name, chunks] of chunkings(stream, random)) t.strictSame(parse(chunks), { commands: expected }, name);
});

t.test(`a mangled stream gives commands or a PROTOCOL error, the same however it is cut (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  let [errors, different] = [0, 0];
  for (let round = 0; round < 500; round += 1) {
    const stream = Buffer.concat(
      Array.from({ length: 3 }, () => encodeCommand(['PUBLISH', 'topic', random.bytes(random.integer(0, 20))])),
    );
    for (let flips = random.integer(1, 3); flips > 0; flips -= 1) {
      stream[random.integer(0, stream.length - 1)] = random.pick([...bytes('*$\r\n019- "x')]);
    }
    const whole = parse([stream]);
    if (whole.error !== undefined) errors += 1;
    if (whole.error?.startsWith('PROTOCOL ') === false) t.fail(whole.error);
    if (JSON.stringify(parse(cut(stream, () => random.integer(1, 9)))) !== JSON.stringify(whole)) different += 1;
  }
  t.equal(different, 0);
  t.ok(errors > 50 && errors < 450, `both outcomes happened: ${errors} of 500 were errors`);
});

t.test('arguments as text, bytes and numbers', async (t) => {
  const parser = new CommandParser(LIMITS);
  parser.push(encodeCommand(['POLL', 'café', Buffer.from([0xff, 0x41]), '-12', '1.5', '']));
  const args = parser.next()!;
  t.equal(args.length, 6);
  t.equal(args.text(1), 'café');
  t.equal(args.byteLength(1), 5);
  t.equal(args.word(2), '\ufffdA');
  t.throws(() => args.text(2), { code: 'PROTOCOL', message: 'argument 2 of POLL is not UTF-8: "\ufffdA"' });
  t.strictSame(args.bytes(2), Buffer.from([0xff, 0x41]));
  t.strictSame([args.integer(3), args.integer(4), args.integer(5)], [-12, NaN, NaN]);
  t.strictSame(args.texts(3), ['-12', '1.5', '']);
  t.strictSame(args.texts(6), []);
  t.equal(args.texts(3)[0], '-12');
  t.throws(() => args.texts(), { code: 'PROTOCOL' });
  t.equal(parser.next(), undefined);
  t.equal(parser.bufferedBytes, 0);
});

t.test('limits can be widened between commands', async (t) => {
  const parser = new CommandParser(LIMITS);
  parser.push(encodeCommand(['PEER', 'x']));
  t.equal(parser.next()?.text(0), 'PEER');
  parser.setLimits({ bulkBytesMax: 5000, commandBytesMax: 5007 + 2 * ARGUMENT_BYTES });
  parser.push(encodeCommand(['RECORDS', Buffer.alloc(5000)]));
  t.equal(parser.next()?.byteLength(1), 5000);
  parser.push(encodeCommand(['RECORDS!', Buffer.alloc(5000)]));
  t.throws(() => parser.next(), { code: 'PROTOCOL', message: 'Protocol error: too big command' });
});

t.test('an idle connection does not hold what its last command came in', async (t) => {
  const parser = new CommandParser({ bulkBytesMax: 2 ** 24, commandBytesMax: 2 ** 24 });
  for (const chunk of cut(encodeCommand(['PUBLISH', 'topic', Buffer.alloc(2 ** 20)]), () => 65_536)) parser.push(chunk);
  const args = parser.next()!;
  t.equal(args.byteLength(2), 2 ** 20);
  t.equal(parser.next(), undefined);
  t.equal(args.buffer.length, 0);
  t.equal(parser.bufferedBytes, 0);
});

t.test('memory is spent for what came, not for what was announced', async (t) => {
  const wide: CommandLimits = { bulkBytesMax: 2 ** 29, commandBytesMax: 2 ** 30 };
  const parsers = Array.from({ length: 100 }, () => new CommandParser(wide));
  const announcement = bytes('*1000000\r\n$536870912\r\n');
  const before = heapBytes();
  for (const parser of parsers) parser.push(Buffer.from(announcement));
  const complete = parsers.filter((parser) => parser.next() !== undefined);
  const spent = heapBytes() - before;
  t.ok(spent < 2_000_000, `${spent} bytes for 100 announcements of 512 MiB`);
  t.equal(complete.length, 0);
  t.equal(parsers[0]!.bufferedBytes, announcement.length);
});

t.test('what comes in many chunks is copied a bounded number of times', async (t) => {
  const wide: CommandLimits = { bulkBytesMax: 2 ** 24, commandBytesMax: 2 ** 25 };
  const mebibyte = Buffer.alloc(2 ** 20, 'x');
  const shapes: [name: string, command: Buffer, times: number][] = [
    ['one large argument', encodeCommand(['PUBLISH', 'topic', mebibyte]), 1.01],
    ['two large arguments', encodeCommand(['PUBLISH', mebibyte, mebibyte]), 5],
    ['many small arguments', encodeCommand(['POLL', ...new Array<string>(9000).fill('x'.repeat(110))]), 5],
  ];
  for (const [name, command, times] of shapes) {
    for (const size of [100, 1460, 65_536]) {
      const chunks = cut(command, () => size);
      const copied = countCopiedBytes(() => t.equal(parse(chunks, wide).commands.length, 1));
      const gathered = size < 512 ? 1 : 0; // short chunks are copied once more
      t.ok(
        copied <= command.length * (times + gathered),
        `${name} in chunks of ${size}: ${copied} of ${command.length} bytes copied`,
      );
    }
  }
});

t.test('100,000 arguments are one command, hold little, and leave nothing when the next one begins', async (t) => {
  const parser = new CommandParser({ bulkBytesMax: 2 ** 23, commandBytesMax: 2 ** 24 });
  const names = Array.from({ length: 100_000 }, (_, index) => `topic-${index}`);
  for (const chunk of cut(encodeCommand(['SUBSCRIBE', ...names]), () => 65_536)) {
    parser.push(chunk);
    if (parser.heldBytes > 8_000_000) t.fail(`${parser.heldBytes} bytes are held`);
  }
  const args = parser.next()!;
  t.equal(args.length, 100_001);
  t.equal(args.text(100_000), 'topic-99999');
  t.equal(parser.next(), undefined);
  t.equal(parser.heldBytes, 0);
});
