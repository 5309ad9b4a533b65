import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import t from 'tap';
import { encodeCursor } from '../../../brokers/core/read/cursor.ts';
import { parseOrigin } from '../../../brokers/core/log/record.ts';
import { BACKOFF_MAX_MS, BACKOFF_MIN_MS, backoffMs } from '../../../clients/library/backoff.ts';
import { CursorFile } from '../../../clients/command-line/cursor-file.ts';
import { readLines } from '../../../clients/command-line/line-reader.ts';
import { LineWriter } from '../../../clients/command-line/line-writer.ts';
import { settingsOf } from '../../../clients/library/connect-options.ts';
import { toMessage } from '../../../clients/library/message.ts';
import { REPEAT_IDS_MAX, REPEAT_WINDOW_MS, Repeats } from '../../../clients/library/repeats.ts';

t.test('backoff: none at first, then doubling to its greatest, half of it random', async (t) => {
  t.equal(backoffMs(0, () => 0.5), 0);
  t.strictSame(
    [1, 2, 3].map((round) => backoffMs(round, () => 0)),
    [0.5, 1, 2].map((factor) => factor * BACKOFF_MIN_MS),
  );
  t.equal(backoffMs(1000, () => 0), BACKOFF_MAX_MS / 2);
  t.ok(backoffMs(1000, () => 0.999999) <= BACKOFF_MAX_MS);
});

t.test('options: defaults, each address once and in canonical form', async (t) => {
  t.match(settingsOf({ brokers: 'LOCALHOST:3000, [::0:1]:3000,localhost:3000' }), {
    brokers: ['localhost:3000', '[::1]:3000'],
    timeoutMs: 10_000,
  });
  for (const brokers of [undefined, 5, {}, [5]]) {
    t.throws(
      () => settingsOf({ brokers } as never), { code: 'CONFIG', message: /^brokers must be/ },
      'as JavaScript may say it',
    );
  }
  t.throws(() => settingsOf(undefined as never), { code: 'CONFIG', message: /^options are missing/ });
  for (const timeoutMs of [0, 1.5, NaN, 2 ** 31]) {
    t.throws(() => settingsOf({ brokers: 'a:1', timeoutMs }), { code: 'CONFIG', message: /timeoutMs/ });
  }
});

t.test('repeats: an id that comes with another message is one, unless it was used again later; the newest ids are kept', async (t) => {
  const repeats = new Repeats();
  type Message = ReturnType<typeof toMessage>;
  const published = (id: string | null, broker: string, topic = 'news', time = 0): Message =>
    toMessage({
      id: `1@${broker}`, topic, lamport: 1, key: null, headers: [], payload: Buffer.alloc(0),
      dedupe: id === null ? null : { id, time },
    });
  const kept = (...messages: Message[]): number => repeats.without(messages).length;
  t.equal(kept(published('x', 'a:1'), published('x', 'b:1')), 1);
  t.equal(kept(published('x', 'a:1')), 1, 'the very same message is whatever its cursor says');
  t.equal(kept(published('x', 'b:1', 'sport')), 1, 'ids are a topic\'s own');
  t.equal(kept(published(null, 'a:1'), published(null, 'b:1')), 2);
  t.equal(kept(published('x', 'b:1', 'news', REPEAT_WINDOW_MS)), 0);
  t.equal(kept(published('x', 'b:1', 'news', REPEAT_WINDOW_MS + 1)), 1, 'used again');
  t.equal(kept(published('x', 'c:1', 'news', REPEAT_WINDOW_MS + 1)), 0);
  for (let each = 1; each < REPEAT_IDS_MAX; each += 1) repeats.without([published(`${each}`, 'a:1')]);
  t.equal(kept(published('x', 'c:1', 'news', REPEAT_WINDOW_MS + 1)), 0, 'the oldest is still known');
  t.equal(kept(published('one more', 'a:1'), published('x', 'd:1', 'news', REPEAT_WINDOW_MS + 1)), 2);
  t.ok(repeats.size <= REPEAT_IDS_MAX);
});

async function linesOf(chunks: readonly Buffer[], max = 100): Promise<string[]> {
  const found: string[] = [];
  async function* input(): AsyncGenerator<Buffer> {
    yield* chunks;
  }
  for await (const lines of readLines(input(), max)) found.push(...lines.map((line) => line.toString('latin1')));
  return found;
}

t.test('lines: the same whole and byte by byte, with any ending, bytes untouched', async (t) => {
  const input = Buffer.from('one\r\ntwo\n\n\xff\xfe\rthree\nlast', 'latin1');
  const expected = ['one', 'two', '', '\xff\xfe\rthree', 'last'];
  t.strictSame(await linesOf([input]), expected);
  t.strictSame(await linesOf(Array.from(input, (byte) => Buffer.of(byte))), expected);
  t.strictSame(await linesOf([]), []);
  t.strictSame(await linesOf([Buffer.from('x\n')]), ['x']);
});

t.test('lines: one over the limit is an error that names it, with or without its end', async (t) => {
  t.strictSame(await linesOf([Buffer.from('12345\n')], 5), ['12345']);
  await t.rejects(linesOf([Buffer.from('a\n123456\n')], 5), { code: 'TOOBIG', message: /^line 2 of the input/ });
  await t.rejects(linesOf([Buffer.from('123'), Buffer.from('456')], 5), {
    code: 'TOOBIG',
    message: /^line 1 of the input/,
  });
});

t.test('line writer: lines of one turn in one write; a reader that is gone is told once', async (t) => {
  const writes: string[] = [];
  let failure: (Error & { code?: string }) | null = null;
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      writes.push(chunk.toString());
      done(failure);
    },
  });
  let closed = 0;
  const writer = new LineWriter(stream, () => (closed += 1));
  writer.line('a');
  writer.line(Buffer.from('b'));
  await writer.flushed();
  t.strictSame(writes, ['a\nb\n']);
  failure = Object.assign(new Error('gone'), { code: 'EPIPE' });
  writer.line('c');
  await writer.flushed();
  writer.line('d');
  await writer.flushed();
  t.strictSame([closed, writes.length, writer.isBehind], [1, 2, false]);
});

t.test('line writer: a disk that is full is an error', async (t) => {
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  const writer = new LineWriter(new Writable({ write: (_chunk, _encoding, done) => done(full) }), () => undefined);
  writer.line('x');
  await writer.flushed().catch(() => undefined); // the stream may tell of it a moment later
  await t.rejects(writer.flushed(), { code: 'ENOSPC' });
});

t.test('cursor file: absent, empty, junk, and whole again after each write', async (t) => {
  const folder = t.testdir({ empty: '\n', junk: 'junk', folder: { inside: '' } });
  const origin = parseOrigin('a:1/0123456789ab');
  const [one, two] = [1, 2].map((seq) =>
    encodeCursor({ vector: new Map([[origin, seq]]), instance: '000000000001', position: seq }),
  ) as [string, string];
  const file = new CursorFile(join(folder, 'cursor'));
  t.equal(await file.read(), undefined);
  t.equal(await new CursorFile(join(folder, 'empty')).read(), undefined);
  await t.rejects(new CursorFile(join(folder, 'junk')).read(), { code: 'CONFIG', message: /holds no cursor/ });
  await file.write(one);
  t.equal(await file.read(), one);
  await file.write(two);
  t.equal(await file.read(), two);
  await t.rejects(new CursorFile(join(folder, 'folder')).write(one), { code: 'CONFIG', message: /cannot be written/ });
  t.strictSame(
    readdirSync(folder).sort(), ['cursor', 'empty', 'folder', 'junk'],
    'no temporary file is left, not even by a write that failed',
  );
  t.equal(readFileSync(join(folder, 'cursor'), 'utf8'), `${two}\n`);
});
