import t from 'tap';
import { encodeSlice } from '../../brokers/wire/message.ts';
import { encodeReply, type Value } from '../../brokers/wire/resp.ts';
import { draft, origin } from '../support/record.ts';
import { BatchCounter } from './batch-counter.ts';

t.test('the messages of batches, without those to leave out, wherever a chunk ends', async (t) => {
  const batch = { ...draft(['a', 'bb', '', 'dddd']), origin: origin('a:1'), seq: 1, lamport: 1, deps: '', proof: '' };
  const replies: Value[] = [
    ['c1', [encodeSlice({ batch, from: 0, to: 4, skipped: [] }), encodeSlice({ batch, from: 1, to: 4, skipped: [2] })]],
    ['c2', []],
    ['c3', [encodeSlice({ batch, from: 3, to: 4, skipped: [] })]],
  ];
  const bytes = Buffer.concat(replies.map((reply) => encodeReply(reply)));
  for (let size = 1; size <= bytes.length; size += 1) {
    const counter = new BatchCounter();
    for (let at = 0; at < bytes.length; at += size) counter.take(Buffer.from(bytes.subarray(at, at + size)));
    t.strictSame([counter.replies, counter.messages, counter.cursor], [3, 7, 'c3'], `in chunks of ${size}`);
  }
});

t.test('what is no reply to POLL is an error', async (t) => {
  t.throws(() => new BatchCounter().take(Buffer.from('-ERR no\r\n')), /answers no/);
  t.throws(() => new BatchCounter().take(Buffer.from(':1\r\n')), /no batches/);
  t.throws(() => new BatchCounter().take(Buffer.from('*2\r\n$1\r\nc\r\n*1\r\n*1\r\n:1\r\n')), /no batch/);
});
