import t from 'tap';
import { RumormillError } from '../../brokers/core/error.ts';
import {
  encodeCommand, encodeCommandParts, encodeIntegers, encodeReply, encodeSteps, Flat, isLong, Lazy, OK, Push, Simple,
  type Value,
} from '../../brokers/wire/resp.ts';
import { SEED, SeededRandom } from '../support/random.ts';

t.test('replies, in RESP2 and RESP3', async (t) => {
  const cases: [title: string, value: Value, resp2: string, resp3?: string][] = [
    ['nil', null, '$-1\r\n', '_\r\n'],
    ['integer', 42, ':42\r\n'],
    ['negative integer', -1, ':-1\r\n'],
    ['the greatest timestamp', 9_007_199_254_740_991, ':9007199254740991\r\n'],
    ['string', 'hello', '$5\r\nhello\r\n'],
    ['empty string', '', '$0\r\n\r\n'],
    ['a length in bytes, not characters', 'é€😀', `$9\r\n${Buffer.from('é€😀').toString('latin1')}\r\n`],
    ['a lone surrogate', '\ud83d', '$3\r\n\xef\xbf\xbd\r\n'],
    ['string with line breaks', 'a\r\nb', '$4\r\na\r\nb\r\n'],
    ['bytes', Buffer.from([0, 255, 13, 10]), '$4\r\n\x00\xff\r\n\r\n'],
    ['bytes that are no Buffer', new Uint8Array([65, 66]), '$2\r\nAB\r\n'],
    ['simple', OK, '+OK\r\n'],
    ['another simple', new Simple('PONG'), '+PONG\r\n'],
    ['error', new RumormillError('NOQUORUM', 'it may still be delivered'), '-NOQUORUM it may still be delivered\r\n'],
    ['PROTOCOL is ERR for clients', new RumormillError('PROTOCOL', 'Protocol error: x'), '-ERR Protocol error: x\r\n'],
    ['error of many lines', new RumormillError('ERR', 'a\r\nb\n\r\rc\n'), '-ERR a b c \r\n'],
    ['array', ['a', 1, null], '*3\r\n$1\r\na\r\n:1\r\n$-1\r\n', '*3\r\n$1\r\na\r\n:1\r\n_\r\n'],
    ['empty array', [], '*0\r\n'],
    ['nested array', [[1, []], OK], '*2\r\n*2\r\n:1\r\n*0\r\n+OK\r\n'],
    [
      'map', new Flat(['a', 1, 'b', null]), '*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n$-1\r\n',
      '%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n_\r\n',
    ],
    ['empty map', new Flat([]), '*0\r\n', '%0\r\n'],
    [
      'push', new Push(['message', 'a', Buffer.from('x')]), '*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n',
      '>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n',
    ],
    ['map in an array', [new Flat(['a', 1])], '*1\r\n*2\r\n$1\r\na\r\n:1\r\n', '*1\r\n%1\r\n$1\r\na\r\n:1\r\n'],
  ];
  for (const [title, value, resp2, resp3 = resp2] of cases) {
    t.equal(encodeReply(value).toString('latin1'), resp2, `${title}, RESP2`);
    t.equal(encodeReply(value, 3).toString('latin1'), resp3, `${title}, RESP3`);
  }
});

t.test(`an error is always one line (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const draw = (): string =>
    Array.from({ length: random.integer(0, 20) }, () =>
      random.pick(['\r', '\n', '\r\n', 'a', '€', ' ', '\0', '\u2028']),
    ).join('');
  let broken = 0;
  for (let round = 0; round < 1000; round += 1) {
    const line = encodeReply(new RumormillError(random.pick(['ERR', 'A\r\nB', '']), draw())).toString();
    if (!/^-[^\r\n]*\r\n$/.test(line)) broken += 1;
  }
  t.equal(broken, 0);
});

t.test('commands are arrays of bulk strings', async (t) => {
  const cases: [args: (string | number | Uint8Array)[], bytes: string][] = [
    [['PING'], '*1\r\n$4\r\nPING\r\n'],
    [
      ['GRAFT', 'é', 12, Buffer.from([255]), ''],
      '*5\r\n$5\r\nGRAFT\r\n$2\r\n\xc3\xa9\r\n$2\r\n12\r\n$1\r\n\xff\r\n$0\r\n\r\n',
    ],
  ];
  for (const [args, bytes] of cases) t.equal(encodeCommand(args).toString('latin1'), bytes);
});

t.test('encodeIntegers', async (t) => {
  t.equal(encodeIntegers(9, 3).toString(), ':9\r\n:10\r\n:11\r\n');
  t.equal(encodeIntegers(5, 1).toString(), ':5\r\n');
  t.equal(encodeIntegers(5, 0).length, 0);
  t.equal(encodeIntegers(9_007_199_254_740_990, 2).toString(), ':9007199254740990\r\n:9007199254740991\r\n');
});

t.test('a command in parts is the same bytes; what is long is not copied', async (t) => {
  for (const bytes of [0, 10, 4000, 5000, 100_000]) {
    const args = ['RECORDS', 7, Buffer.alloc(bytes, 'x'), 'news', Buffer.alloc(bytes, 'y')] as const;
    const parts = encodeCommandParts(args);
    t.strictSame(Buffer.concat(parts), encodeCommand(args), `${bytes} bytes`);
    if (bytes >= 4096) t.ok(parts.includes(args[2]) && parts.includes(args[4]), 'as they are');
    else if (bytes < 1000) t.equal(parts.length, 1, 'one part');
  }
});

t.test('written in steps a reply is the same', async (t) => {
  const many = Array.from({ length: 20_000 }, (_, index) => [`${index}`, index, Buffer.alloc(index % 7, 65), null]);
  const cases: Value[] = [
    null,
    'a',
    [],
    many,
    ['cursor', many],
    new Flat(many.flat()),
    new Push(many.flat()),
    ['cursor', ['a', 1]],
    [[many, many], new Flat(many.flat())],
    new RumormillError('ERR', 'x'),
  ];
  for (const value of cases) {
    for (const version of [2, 3] as const) {
      const steps = encodeSteps(value, version);
      let count = 0;
      let step = steps.next();
      for (; step.done !== true; step = steps.next()) count += step.value;
      const expected = encodeReply(value, version);
      t.ok(Buffer.concat(step.value).equals(expected), `${expected.length} bytes, RESP${version}`);
      if (isLong(value)) t.ok(count >= 20_000, `${count} values were counted`);
      else t.equal(step.value.length, 1);
    }
  }
  t.equal(encodeReply(['cursor', new Lazy(3, 'abc')]).toString(), encodeReply(['cursor', ['a', 'b', 'c']]).toString());
});
