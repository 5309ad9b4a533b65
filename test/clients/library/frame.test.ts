import t from 'tap';
import { frameOf } from '../../../clients/library/frame.ts';

t.test('a command is its arguments in UTF-8, whatever they say', async (t) => {
  const frame = frameOf(['PUBLISH', '\ufffd\ufeff\u{1f600}', Buffer.from([0xff]), 5]);
  t.strictSame(
    frame,
    Buffer.concat([
      Buffer.from('*4\r\n$7\r\nPUBLISH\r\n$10\r\n\ufffd\ufeff\u{1f600}\r\n$1\r\n'), Buffer.from([0xff]),
      Buffer.from('\r\n$1\r\n5\r\n'),
    ]),
  );
});

t.test('half of a surrogate pair is refused, since it would become another text', async (t) => {
  for (const half of ['\ud83d', '\ude00', 'a\ude00\ud83d', `${'x'.repeat(100)}\ud83d`]) {
    t.throws(() => frameOf(['PUBLISH', 'a', 'x', 'KEY', half]), { code: 'ERR', message: /half of a surrogate pair/ });
  }
});
