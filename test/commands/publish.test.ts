import t from 'tap';
import { PublishBatcher, type SealedBatch } from '../../brokers/commands/publish.ts';
import { DEFAULT_LIMITS, type Limits } from '../../brokers/config.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { validateBatch } from '../../brokers/core/log/batch-check.ts';
import { BATCH_MESSAGES_MAX, messagesOf, parseMeta } from '../../brokers/core/log/record.ts';
import { CommandParser } from '../../brokers/wire/command-parser.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { countCopiedBytes } from '../support/copied.ts';
import { origin } from '../support/record.ts';

type Arg = string | number | Uint8Array;

/** A batcher, and everything that it did, in order, as text: `news local one two`, `- ERR ...`, `repeat news x`. */
class Bench {
  readonly done: string[] = [];
  readonly batches: SealedBatch[] = [];
  readonly known = new Set<string>();
  /** What becomes of the ids of a batch where it is refused at once. */
  refusing = false;
  readonly #batcher: PublishBatcher;
  readonly #parser = new CommandParser(DEFAULT_LIMITS);

  constructor(limits: Partial<Limits> = {}) {
    this.#batcher = new PublishBatcher({ ...DEFAULT_LIMITS, ...limits }, 'local', {
      publish: (batch) => this.#publish(batch),
      refuse: ({ code, message }) => this.done.push(`- ${code} ${message}`),
      claimId: (topic, id) => {
        if (this.known.has(`${topic} ${id}`)) return false;
        this.known.add(`${topic} ${id}`);
        return true;
      },
      repeat: (topic, id) => {
        if (!this.known.has(`${topic} ${id}`)) throw new Error(`${id} is not known`);
        this.done.push(`repeat ${topic} ${id}`);
      },
      witness: (lamport) => {
        if (lamport > 1000) throw new RumormillError('ERR', 'absurd');
      },
      wallTime: () => 1234,
      room: (bytes) => Buffer.alloc(bytes),
    });
  }

  /** Commands that arrive together; the word PUBLISH is left out. */
  take(...commands: readonly (readonly Arg[])[]): string[] {
    for (const args of commands) this.receive(encodeCommand(['PUBLISH', ...args]));
    return this.seal();
  }

  /** Bytes that arrive in one piece and begin with a whole PUBLISH. */
  receive(...bytes: readonly Uint8Array[]): void {
    this.#parser.push(Buffer.concat(bytes));
    this.#batcher.add(this.#parser.next()!);
  }

  seal(): string[] {
    this.#batcher.seal();
    return this.done.splice(0);
  }

  #publish(sealed: SealedBatch): void {
    const { draft, acks } = sealed;
    const batch = { ...draft, origin: origin('a:1'), seq: 1, lamport: 1, deps: '', proof: '' };
    validateBatch(batch, DEFAULT_LIMITS); // what peers would refuse must not leave
    this.batches.push(sealed);
    if (this.refusing) for (const id of parseMeta(draft).ids ?? []) this.known.delete(`${draft.topic} ${id}`);
    this.done.push([draft.topic, acks, ...messagesOf(batch).map(({ payload }) => String(payload))].join(' '));
  }
}

t.test('what arrives together for one topic with one level is one batch, in order', async (t) => {
  const bench = new Bench();
  t.strictSame(
    bench.take(
      ['a', '1'], ['a', '2'], ['b', '3'], ['b', '4', 'ACKS', 'local'], ['b', '5', 'acks', 'QUORUM'], ['a', '6'],
      ['a', '7'],
    ),
    ['a local 1 2', 'b local 3 4', 'b quorum 5', 'a local 6 7'],
  );
  t.strictSame(bench.take(['a', '8']), ['a local 8']);
  t.strictSame(bench.take(), [], 'nothing to seal');
});

t.test('payloads are bytes, copied out of what was received', async (t) => {
  const bench = new Bench();
  const bytes = Buffer.from([0, 255, 13, 10, 128]);
  bench.take(['a', bytes], ['a', ''], ['a', bytes]);
  const { draft } = bench.batches[0]!;
  t.strictSame(Buffer.from(draft.body), Buffer.concat([bytes, bytes]));
  t.strictSame([draft.lengths, draft.meta, draft.count, draft.time], ['[5,0,5]', '', 3, 1234]);
});

t.test('a long payload alone is not copied, unless that would keep much else in memory', async (t) => {
  const long = 'x'.repeat(20_000);
  for (const [payloads, copied] of [[[long], 0], [[long, 'y'], 20_001], [['x'.repeat(10_000)], 10_000]] as const) {
    const bench = new Bench();
    for (const payload of payloads) bench.receive(encodeCommand(['PUBLISH', 'news', payload]));
    t.equal(countCopiedBytes(() => bench.seal()), copied);
    t.equal(String(bench.batches[0]!.draft.body), payloads.join(''));
  }
  const bench = new Bench();
  bench.receive(encodeCommand(['PUBLISH', 'news', long]), encodeCommand(['PING', 'z'.repeat(30_000)]));
  t.equal(countCopiedBytes(() => bench.seal()), 20_000, 'most of what it came with is something else');
});

t.test('keys, headers and ids stand in columns, only where there are any', async (t) => {
  const bench = new Bench();
  bench.take(
    ['a', '1'], ['a', '2', 'KEY', 'k'], ['a', '3', 'header', 'x', '1', 'HEADER', 'x', '2', 'id', 'i'],
    ['a', '4', 'KEY', ''],
  );
  bench.take(['a', '5', 'ID', 'j', 'LAMPORT', 7]);
  bench.take(['a', '6', 'LAMPORT', 7]);
  t.strictSame(bench.batches.map(({ draft }) => parseMeta(draft)), [
    { keys: [null, 'k', null, ''], headers: [null, null, ['x', '1', 'x', '2'], null], ids: [null, null, 'i', null] },
    { ids: ['j'] },
    {},
  ]);
});

t.test('limits begin the next batch', async (t) => {
  const many = new Bench();
  many.take(...Array.from({ length: BATCH_MESSAGES_MAX + 1 }, (_, index) => ['a', index]));
  t.strictSame(many.batches.map(({ draft }) => draft.count), [BATCH_MESSAGES_MAX, 1]);
  const big = new Bench({ batchBytesMax: 10 });
  t.strictSame(big.take(['a', 'x'.repeat(10)], ['a', 'x'], ['a', 'y'.repeat(9)], ['a', 'z'], ['a', 'w'.repeat(11)]), [
    `a local ${'x'.repeat(10)}`, `a local x ${'y'.repeat(9)}`, 'a local z', `a local ${'w'.repeat(11)}`,
  ]);
  const wide = new Bench({ batchBytesMax: 100 });
  wide.take(...Array.from({ length: 4 }, (_, index) => ['a', index, 'KEY', 'k'.repeat(40)]));
  t.strictSame(wide.batches.map(({ draft }) => draft.count), [2, 2], 'what stands beside the payloads counts');
});

t.test('what is wrong is answered in its place, and the rest is published', async (t) => {
  const cases: [args: Arg[], error: RegExp][] = [
    [['a'], /^- ERR wrong number of arguments for PUBLISH/],
    [['', 'x'], /^- ERR topic name is empty$/],
    [['a\n', 'x'], /^- ERR topic name "a\\n" has control characters$/],
    [[Buffer.from([0xff]), 'x'], /^- PROTOCOL argument 1 of PUBLISH is not UTF-8: "\ufffd"$/],
    [['t'.repeat(256), 'x'], /^- TOOBIG topic name is over 255 bytes$/],
    [
      ['a', Buffer.alloc(DEFAULT_LIMITS.payloadBytesMax + 1)],
      /^- TOOBIG payload of 1048577 bytes is over 1048576; nothing was stored$/,
    ],
    [['a', 'x', 'KEY'], /^- ERR option "KEY" needs a value$/],
    [['a', 'x', 'HEADER', 'n'], /^- ERR option "HEADER" needs a value$/],
    [['a', 'x', 'TTL', '5'], /^- ERR unknown option "TTL" of PUBLISH$/],
    [['a', 'x', 'ACKS', 'most'], /^- ERR ACKS "most" is not none, local, quorum or all$/],
    [['a', 'x', 'LAMPORT', '-1'], /^- ERR LAMPORT "-1" is not an integer from 0 to 9007199254740991$/],
    [['a', 'x', 'LAMPORT', 'now'], /^- ERR LAMPORT "now" is not an integer/],
    [['a', 'x', 'LAMPORT', 2000, 'ID', 'free'], /^- ERR absurd$/],
    [['a', 'x', 'KEY', 'k'.repeat(1025)], /^- TOOBIG key is over 1024 bytes; nothing was stored$/],
    [['a', 'x', 'KEY', Buffer.from([0x80])], /^- PROTOCOL argument 4 of PUBLISH is not UTF-8/],
    [['a', 'x', 'ID', 'i'.repeat(129)], /^- TOOBIG dedupe id is over 128 bytes; nothing was stored$/],
    [['a', 'x', 'HEADER', 'n', 'v'.repeat(8193)], /^- TOOBIG header value is over 8192 bytes; nothing was stored$/],
    [
      ['a', 'x', 'HEADER', 'n', 'v'.repeat(8192)],
      /^- TOOBIG headers are more than 64 or over 8192 bytes; nothing was stored$/,
    ],
    [
      ['a', 'x', ...Array.from({ length: 65 }, () => ['HEADER', 'n', 'v']).flat()],
      /^- TOOBIG headers are more than 64/,
    ],
  ];
  for (const [args, error] of cases) {
    const bench = new Bench();
    const done = bench.take(['a', '1'], args, ['a', '2']);
    t.match(done, ['a local 1', error, 'a local 2'], String(error));
    t.equal(done.length, 3);
    t.equal(bench.known.size, 0, 'no id is claimed by what is refused');
  }
});

t.test('a topic that is wrong does not spoil the one before', async (t) => {
  t.strictSame(
    new Bench().take(['a', '1'], ['\n', '2'], ['a', '3'], ['b', '4']).map((text) => text.slice(0, 9)),
    ['a local 1', '- ERR top', 'a local 3', 'b local 4'],
  );
});

t.test('an id that is known is not published again, and answered in its place', async (t) => {
  const bench = new Bench();
  t.strictSame(
    bench.take(['a', '1', 'ID', 'x'], ['a', '2'], ['a', '3', 'ID', 'x'], ['a', '4'], ['b', '5', 'ID', 'x']),
    ['a local 1 2', 'repeat a x', 'a local 4', 'b local 5'],
  );
  t.strictSame(bench.take(['a', '6', 'ID', 'x']), ['repeat a x']);
});

t.test('an id whose message is refused at once is free for the next one', async (t) => {
  const bench = new Bench();
  bench.refusing = true;
  t.strictSame(bench.take(['a', '1', 'ID', 'x'], ['a', '2', 'ID', 'x']), ['a local 1', 'a local 2']);
});
