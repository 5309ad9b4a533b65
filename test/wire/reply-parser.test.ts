import t from 'tap';
import { RumormillError } from '../../brokers/core/error.ts';
import { type Reply, ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { encodeReply, type Value } from '../../brokers/wire/resp.ts';
import { chunkings, cut } from '../support/chunk.ts';
import { countCopiedBytes } from '../support/copied.ts';
import { heapBytes } from '../support/memory.ts';
import { SEED, SeededRandom } from '../support/random.ts';

/** Replies in a form that shows their types: bytes as `bytes:...`, an error as `error:code:message`. */
type Shown = string | number | null | Shown[];

function show(reply: Reply): Shown {
  if (Array.isArray(reply)) return reply.map(show);
  if (Buffer.isBuffer(reply)) return `bytes:${reply.toString('latin1')}`;
  if (reply instanceof RumormillError) return `error:${reply.code}:${reply.message}`;
  return reply;
}

function parse(chunks: readonly Buffer[]): Shown[] {
  const parser = new ReplyParser();
  const replies: Reply[] = [];
  let last: Shown[] = [];
  try {
    for (const chunk of chunks) {
      parser.push(chunk);
      for (let reply = parser.next(); reply !== undefined; reply = parser.next()) replies.push(reply);
    }
  } catch (error) {
    const { code, message } = error as RumormillError;
    last = [`thrown:${code}:${message}`];
  }
  return [...replies.map(show), ...last]; // shown last: views of what was read stay what they were
}

const failure = (what: string): string => `thrown:PROTOCOL:reply is not RESP: ${what}`;

const CASES: [title: string, stream: string, replies: Shown[]][] = [
  ['nothing', '', []],
  ['simple string', '+OK\r\n+\r\n', ['OK', '']],
  ['simple string in UTF-8', Buffer.from('+café\r\n').toString('latin1'), ['café']],
  ['integers', ':0\r\n:-1\r\n:999999999999999\r\n', [0, -1, 999999999999999]],
  ['bulk strings', '$5\r\nhello\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n', ['bytes:hello', 'bytes:', 'bytes:\r\n\r\n']],
  ['bytes that are not UTF-8', '$3\r\n\x00\xff\xc3\r\n', ['bytes:\x00\xff\xc3']],
  ['nil', '$-1\r\n*-1\r\n', [null, null]],
  ['errors', '-ERR unknown command\r\n-NOQUORUM\r\n', ['error:ERR:unknown command', 'error:NOQUORUM:NOQUORUM']],
  ['array', '*2\r\n$1\r\na\r\n:1\r\n', [['bytes:a', 1]]],
  ['empty arrays', '*0\r\n*1\r\n*0\r\n', [[], [[]]]],
  [
    'nested arrays', '*3\r\n*2\r\n:1\r\n*1\r\n$-1\r\n+x\r\n*2\r\n*0\r\n-E f\r\n:9\r\n',
    [[[1, [null]], 'x', [[], 'error:E:f']], 9],
  ],
  ['as deep as may be', `${'*1\r\n'.repeat(32)}:7\r\n`, [nest(7, 32)]],
  ['half an array', '+OK\r\n*2\r\n:1\r\n', ['OK']],
  ['half a bulk string', '$5\r\nhell', []],
  ['too deep', '*1\r\n'.repeat(33), [failure('arrays nested too deep')]],
  ['unknown type', '+OK\r\n%1\r\n', ['OK', failure('unknown type "%"')]],
  ['no number', ':\r\n', [failure('length or integer "" is out of range')]],
  [
    'a number that is not exact', ':9999999999999999\r\n',
    [failure('length or integer "9999999999999999" is out of range')],
  ],
  ['a fraction', ':1.5\r\n', [failure('length or integer "1.5" is out of range')]],
  ['bulk length: -2', '$-2\r\n', [failure('length or integer "-2" is out of range')]],
  ['bulk length: beyond 512 MiB', '$536870913\r\n', [failure('length or integer "536870913" is out of range')]],
  ['array length: -2', '*-2\r\n', [failure('length or integer "-2" is out of range')]],
  ['array length: 2^31', '*2147483648\r\n', [failure('length or integer "2147483648" is out of range')]],
  ['a bulk followed by CR alone', '$2\r\nab\r+\r\n', [failure('bulk string is not followed by CR LF')]],
  ['a bulk longer than it said', '$3\r\nhello\r\n', [failure('bulk string is not followed by CR LF')]],
];

function nest(value: Shown, depth: number): Shown {
  return depth === 0 ? value : [nest(value, depth - 1)];
}

for (const [title, stream, replies] of CASES) {
  t.test(title, async (t) => {
    for (const [name, chunks] of chunkings(Buffer.from(stream, 'latin1'))) t.strictSame(parse(chunks), replies, name);
  });
}

t.test('a line without an end', async (t) => {
  t.strictSame(parse([Buffer.alloc(70_000, '+')]), [failure('line too long')]);
  t.strictSame(parse(cut(Buffer.alloc(70_000, '+'), () => 1000)), [failure('line too long')]);
});

t.test(`what encodeReply writes is read back (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const draw = (depth: number): Value => random.pick<() => Value>([
    () => random.integer(-1_000_000, 1_000_000),
    () => random.bytes(random.pick([0, 1, 20, 400])),
    () => null,
    () => new RumormillError('ERR', `no ${random.word()}`),
    () => Array.from({ length: depth > 3 ? 0 : random.integer(0, 4) }, () => draw(depth + 1)),
  ])();
  const values = Array.from({ length: 50 }, () => draw(0));
  const stream = Buffer.concat(values.map((value) => encodeReply(value)));
  for (const [name, chunks] of chunkings(stream, random)) {
    t.strictSame(
      parse(chunks), values.map((value) => show(value as Reply)), name,
    );
  }
});

t.test('a long array that comes in many chunks is parsed once', async (t) => {
  const stream = encodeReply(new Array<string>(20_000).fill('x'.repeat(50)));
  for (const size of [100, 1460, 65_536]) {
    const chunks = cut(stream, () => size);
    let replies: Shown[] = [];
    const copied = countCopiedBytes(() => {
      replies = parse(chunks);
    });
    t.equal((replies[0] as Shown[]).length, 20_000);
    t.ok(copied < 3 * stream.length, `chunks of ${size}: ${copied} of ${stream.length} bytes copied`);
  }
});

t.test('memory is not spent for an announced length', async (t) => {
  const parsers = Array.from({ length: 100 }, () => new ReplyParser());
  const before = heapBytes();
  for (const parser of parsers) parser.push(Buffer.from('*16777216\r\n$536870912\r\n'));
  const complete = parsers.filter((parser) => parser.next() !== undefined);
  const spent = heapBytes() - before;
  // the parsers are in use until here, and so is what they hold
  t.strictSame([parsers.length, complete.length], [100, 0]);
  t.ok(spent < 2_000_000, `${spent} bytes for 100 announcements`);
});
