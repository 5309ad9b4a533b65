import t from 'tap';
import { type Cursor, decodeCursor, encodeCursor } from '../../../brokers/core/read/cursor.ts';
import { makeTag, type Origin } from '../../../brokers/core/log/record.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const NOT_A_CURSOR = { code: 'ERR', message: /is not a cursor; use one that POLL returned, earliest or latest$/ };

function cursorOf(brokers: number, seq = 1_234_567_890): Cursor {
  const origins = Array.from({ length: brokers }, (_, index) => origin(`10.0.0.${index + 1}:3000`, 0xffff0000 + index));
  return {
    instance: '00000000abcd', position: seq, vector: new Map(origins.map((name, index) => [name, seq + index])),
  };
}

t.test('round trip', async (t) => {
  const big = Number.MAX_SAFE_INTEGER;
  const cases: Cursor[] = [
    cursorOf(0),
    cursorOf(1, 0),
    cursorOf(5),
    cursorOf(200),
    ...[127, 128, 16383, 16384, 2 ** 31, 2 ** 32, 2 ** 35, 999_999_999_999_999, big].map((seq) => ({
      ...cursorOf(0),
      position: seq,
    })),
    { instance: 'ffffffffffff', position: big, vector: new Map([[origin('a.example.com:1', 2), big]]) },
  ];
  for (const cursor of cases) {
    const token = encodeCursor(cursor);
    t.match(token, /^[A-Za-z0-9_-]+$/);
    const { instance, position, vector } = decodeCursor(token);
    t.strictSame([instance, position, [...vector]], [cursor.instance, cursor.position, [...cursor.vector]]);
  }
});

t.test('the format is the one that other versions read', async (t) => {
  const cursor: Cursor = {
    instance: '0000000000ab',
    position: 300,
    vector: new Map([
      [origin('h:1', 0xab), 5],
      [origin('h:1', 0xcd), 7],
    ]),
  };
  t.equal(Buffer.from(encodeCursor(cursor), 'base64url').toString('hex'), [
    '02', '0000000000ab', 'ac02', '01', '03683a31', '02', '000000ab0000', '05', '000000cd0000', '07',
    checksum('020000000000abac020103683a3102000000ab000005000000cd000007'),
  ].join(''));
});

t.test('a cursor of five brokers is short enough to be passed by hand', async (t) => {
  t.ok(encodeCursor(cursorOf(5)).length < 300, `${encodeCursor(cursorOf(5)).length} characters`);
});

t.test('each further store of an address costs no more than its tag and its seq', async (t) => {
  const many = Array.from({ length: 1000 }, (_, index): [Origin, number] => [
    origin('broker-1.example.com:3000', index),
    1_000_000,
  ]);
  t.ok(encodeCursor({ ...cursorOf(0), vector: new Map(many) }).length < 1000 * (6 + 3) * 4 / 3 + 100);
  t.strictSame([...decodeCursor(encodeCursor({ ...cursorOf(0), vector: new Map(many) })).vector], many);
});

t.test('every mangled cursor is refused', async (t) => {
  const token = encodeCursor(cursorOf(3));
  const bytes = Buffer.from(token, 'base64url');
  const accepted: string[] = [];
  const attempt = (mangled: string): void => {
    try {
      decodeCursor(mangled);
      accepted.push(mangled);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR') throw error;
    }
  };
  for (let at = 0; at < bytes.length; at += 1) {
    for (let mask = 1; mask < 256; mask += 1) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= mask;
      attempt(changed.toString('base64url'));
    }
  }
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (let at = 0; at < token.length; at += 1) {
    for (const letter of alphabet) if (letter !== token[at]) attempt(token.slice(0, at) + letter + token.slice(at + 1));
    attempt(token.slice(0, at));
    attempt(token.slice(0, at) + token.slice(at + 1));
    attempt(token.slice(0, at) + 'A' + token.slice(at));
    if (at > 0 && token[at] !== token[at - 1]) {
      attempt(token.slice(0, at - 1) + token[at] + token[at - 1] + token.slice(at + 1));
    }
  }
  for (const after of ['A', 'AA', 'AAAA', '=', ' ', '\n']) attempt(token + after);
  t.strictSame(accepted, []);
});

t.test('what never was a cursor is refused', async (t) => {
  const cases = [
    '', 'A', 'AAAA', 'earliest', '0', '*', 'ü', `${encodeCursor(cursorOf(1))}=`, 'A'.repeat(1_048_577),
    'A'.repeat(10_000_000),
  ];
  for (const wrong of cases) t.throws(() => decodeCursor(wrong), NOT_A_CURSOR, wrong.slice(0, 20));
  t.throws(() => decodeCursor('A'.repeat(100_000)), { message: /^.{0,140}$/ }, 'an error quotes no more than a line');
});

t.test('what has a right checksum and nothing else right is refused', async (t) => {
  const head = '020000000000ab';
  const cases: [hex: string, what: string][] = [
    ['01', 'nothing'],
    [head, 'no position'],
    [`${head}05`, 'no count'],
    [`${head}05ffffffffffff7f`, 'as many entries as there are numbers'],
    [`${head}0501`, 'an address that is not there'],
    [`${head}050103683a31`, 'no number of stores'],
    [`${head}050103683a3101`, 'a store that is not there'],
    [`${head}050103683a3101000000ab0000`, 'a store without seq'],
    [`${head}050103683a3102000000ab000005`, 'one store of two'],
    [`${head}0500ff`, 'something behind'],
    [`${head}ffffffffffffffff7f00`, 'a position of nine bytes'],
    [`${head}ffffffffffffff7f00`, 'a position beyond 2^53'],
    [`${head}0501ffffffff0f683a3101000000ab000005`, 'an address of 4 GiB'],
    [`${head}05010368203101000000ab000005`, 'an address with a space'],
    [`${head}050103ff3a3101000000ab000005`, 'an address that is not UTF-8'],
    [`${head}050103483a3101000000ab000005`, 'an address in upper case'],
  ];
  t.doesNotThrow(() => decodeCursor(token(`${head}0500`)), 'the case that the others differ from');
  for (const [hex, what] of cases) t.throws(() => decodeCursor(token(hex)), NOT_A_CURSOR, what);
  t.throws(() => decodeCursor(token('01000000')), {
    code: 'ERR',
    message: 'cursor of format 1, this broker reads formats 2 and 3',
  });
});

t.test('a cursor names hardly more stores than there are', async (t) => {
  const stores = (addresses: number, each: number): Cursor => ({
    instance: '0000000000ab',
    position: 5,
    vector: new Map(
      Array.from({ length: addresses * each }, (_, index) => [origin(`h${index % addresses}:1`, index), index + 1]),
    ),
  });
  for (const cursor of [stores(10, 800), stores(1000, 8), stores(1, 8192)]) {
    t.strictSame(decodeCursor(encodeCursor(cursor), 0), cursor, 'a broker that knows nothing yet takes it');
  }
  for (const cursor of [stores(1, 8200), stores(1001, 1), stores(10, 5000)]) {
    t.throws(() => decodeCursor(encodeCursor(cursor), 0), {
      code: 'ERR',
      message: /^this cursor names far more stores than this broker has heard of/,
    });
    t.strictSame(decodeCursor(encodeCursor(cursor), 50_000), cursor, 'one that knows as many does');
    t.strictSame(decodeCursor(encodeCursor(cursor)), cursor, 'and so do clients');
  }
});

t.test('what a vector becomes is kept, so that many who share a long one encode it once', async (t) => {
  let read = 0;
  const vector = new Map(Array.from({ length: 100 }, (_, index) => [origin('h:1', index), index]));
  const counted = Object.assign(vector, {
    [Symbol.iterator]: () => ((read += 1), Map.prototype[Symbol.iterator].call(vector)),
  });
  const [one, two] = [1, 2].map((position) => encodeCursor({ instance: '0000000000ab', position, vector: counted }));
  t.equal(read, 1);
  t.strictSame([decodeCursor(one!).position, decodeCursor(two!).position], [1, 2]);
});

t.test(`random bytes are refused (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  let refused = 0;
  for (let round = 0; round < 2000; round += 1) {
    try {
      decodeCursor(random.bytes(random.integer(1, 80)).toString('base64url'));
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR') refused += 1;
    }
  }
  t.equal(refused, 2000);
});

t.test(`round trip of random cursors (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  let broken = 0;
  for (let round = 0; round < 200; round += 1) {
    const entries = Array.from({ length: random.integer(0, 8) }, (): [Origin, number] => [
      origin(`h${random.integer(1, 99)}:${random.integer(1, 65535)}`, random.word()),
      random.word() * random.integer(1, 2 ** 20),
    ]);
    const cursor: Cursor = { instance: makeTag(random.word), position: random.word(), vector: new Map(entries) };
    const read = decodeCursor(encodeCursor(cursor));
    if (JSON.stringify([...read.vector]) !== JSON.stringify([...cursor.vector]) || read.position !== cursor.position) {
      broken += 1;
    }
  }
  t.equal(broken, 0);
});

/**
 * FNV-1a, 32 bits, little-endian: written anew from its definition, since a test should not borrow it from what it
 * tests.
 */
function checksum(hex: string): string {
  let hash = 2166136261n;
  for (const byte of Buffer.from(hex, 'hex')) hash = ((hash ^ BigInt(byte)) * 16777619n) & 0xffffffffn;
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(Number(hash));
  return sum.toString('hex');
}

function token(hex: string): string {
  return Buffer.from(hex + checksum(hex), 'hex').toString('base64url');
}
