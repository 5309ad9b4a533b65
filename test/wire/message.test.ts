import t from 'tap';
import { RumormillError } from '../../brokers/core/error.ts';
import { type Message, messagesOf } from '../../brokers/core/log/record.ts';
import { decodeMessage, decodeSlice, encodeMessage, encodeSlice, text } from '../../brokers/wire/message.ts';
import { type Reply, ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { encodeReply } from '../../brokers/wire/resp.ts';
import { specimenBatch } from '../support/record.ts';

const PLAIN: Message = {
  id: '41@h:1', topic: 'news', lamport: 41, key: null, headers: [], payload: Buffer.from('x'), dedupe: null,
};

t.test('the form that DESIGN gives it', async (t) => {
  t.strictSame(encodeMessage({ ...PLAIN, key: 'k', headers: ['a', '1'] }), [
    '41@h:1', 'news', 41, 'k', ['a', '1'], Buffer.from('x'),
  ]);
  t.strictSame(encodeMessage({ ...PLAIN, dedupe: { id: 'i', time: 7 } }), [
    '41@h:1', 'news', 41, null, [], Buffer.from('x'), 'i', 7,
  ]);
});

t.test('round trip over the wire', async (t) => {
  const messages: Message[] = [
    ...messagesOf(specimenBatch()),
    PLAIN,
    {
      ...PLAIN, topic: 'é\r\n', key: '', headers: ['', '', 'a', 'ü', 'a', 'b'], payload: Buffer.from([0, 255, 13, 10]),
    },
    { ...PLAIN, dedupe: { id: '', time: 1_700_000_000_000 } },
    { ...PLAIN, lamport: 999_999_999_999_999, payload: Buffer.alloc(0) },
  ];
  for (const message of messages) {
    const parser = new ReplyParser();
    parser.push(encodeReply(encodeMessage(message)));
    const decoded = decodeMessage(parser.next()!);
    t.strictSame({ ...decoded, payload: [...decoded.payload] }, { ...message, payload: [...message.payload] });
  }
});

t.test('what a later version adds behind is passed over', async (t) => {
  const reply = [...(encodeMessage(PLAIN) as Reply[]), null, null, 'later'];
  t.strictSame(decodeMessage(reply), PLAIN);
});

t.test('what is not a message is refused', async (t) => {
  const good = encodeMessage(PLAIN) as Reply[];
  const replace = (index: number, value: Reply): Reply => good.map((field, at) => (at === index ? value : field));
  const cases: Reply[] = [
    null,
    'text',
    7,
    Buffer.from('x'),
    [],
    good.slice(0, 5),
    new RumormillError('ERR', 'x'),
    replace(0, null),
    replace(0, 7),
    replace(1, null),
    replace(1, []),
    replace(2, '41'),
    replace(2, null),
    replace(3, 7),
    replace(3, []),
    replace(4, null),
    replace(4, 'a'),
    replace(4, ['a', null]),
    replace(4, ['a', 1]),
    replace(4, [['a', 'b']]),
    replace(5, null),
    replace(5, 'x'),
    [...good, 7, 7],
  ];
  for (const wrong of cases) {
    t.throws(
      () => decodeMessage(wrong), { code: 'PROTOCOL', message: /^reply is not a (message|string)$/ },
      JSON.stringify(wrong),
    );
  }
});

t.test('text', async (t) => {
  t.equal(text('a'), 'a');
  t.equal(text(Buffer.from('é')), 'é');
  for (const wrong of [undefined, null, 7, ['a'], new RumormillError('ERR', 'x')]) {
    t.throws(() => text(wrong), { code: 'PROTOCOL' });
  }
});

t.test('batches: every cut of one, with any of its messages left out, is decoded to the messages that are left', async (t) => {
  const batch = specimenBatch();
  const all = messagesOf(batch);
  for (let from = 0; from < 3; from += 1) {
    for (let to = from + 1; to <= 3; to += 1) {
      for (const skipped of [[], [from]]) {
        const parser = new ReplyParser();
        parser.push(encodeReply(encodeSlice({ batch, from, to, skipped })));
        const expected = all.slice(from, to).filter((_, index) => !skipped.includes(from + index));
        t.strictSame(plain(decodeSlice(parser.next()!)), plain(expected), `${from} to ${to} without ${skipped.join()}`);
      }
    }
  }
});

function plain(messages: readonly Message[]): unknown[] {
  return messages.map((message) => ({ ...message, payload: [...message.payload] }));
}

t.test('what is no batch is a PROTOCOL error', async (t) => {
  const good: Reply[] = ['h:1/000000000000', 'news', 41, 7, '[1]', '', Buffer.from('x'), []];
  t.equal(decodeSlice(good).length, 1);
  for (const [at, wrong] of [
    [0, 'nobody'], [1, 7], [2, 'x'], [3, null], [4, '['], [5, '{'], [6, 'x'], [7, 'x'],
  ] as const) {
    t.throws(() => decodeSlice(good.with(at, wrong)), { code: 'PROTOCOL' }, `element ${at}`);
  }
  t.throws(() => decodeSlice(good.slice(0, 7)), { code: 'PROTOCOL' });
  t.throws(() => decodeSlice('news'), { code: 'PROTOCOL' });
});
