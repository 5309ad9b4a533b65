import t from 'tap';
import { type AckCounter, LeaseReader, NatsCounter, RespCounter } from './replies.ts';

/** Acknowledgements of a text that comes in chunks of `size` bytes. */
function count(counter: AckCounter, text: string, size: number): number {
  const bytes = Buffer.from(text, 'latin1');
  let acks = 0;
  for (let at = 0; at < bytes.length; at += size) acks += counter.take(Buffer.from(bytes.subarray(at, at + size)));
  return acks;
}

t.test('integer replies are counted wherever a chunk ends', async (t) => {
  const text = ':1\r\n:22\r\n$15\r\n1700000000-1234\r\n:333\r\n$-1\r\n+OK\r\n$3\r\n:1\r\r\n:4\r\n';
  for (let size = 1; size <= text.length; size += 1) {
    const counter = new RespCounter();
    t.equal(count(counter, text, size), 4, `in chunks of ${size}`);
    t.equal(counter.replies, 8);
  }
});

t.test('replies to POLL give their messages and the cursor of the last', async (t) => {
  const message = '*6\r\n$3\r\n1@a\r\n$1\r\nt\r\n:1\r\n$-1\r\n*2\r\n$1\r\nn\r\n$1\r\nv\r\n$5\r\n*9\r\n:\r\n';
  const text = `*2\r\n$2\r\nc1\r\n*2\r\n${message}${message}*2\r\n$2\r\nc2\r\n*0\r\n*2\r\n$2\r\nc3\r\n*1\r\n${message}`;
  for (let size = 1; size <= text.length; size += 1) {
    const counter = new RespCounter();
    t.equal(count(counter, text, size), 0, 'integers in arrays are no acknowledgements');
    t.strictSame([counter.replies, counter.messages, counter.cursor], [3, 3, 'c3'], `in chunks of ${size}`);
  }
});

t.test('replies to PULL give their tokens, those to ACK how many were good', async (t) => {
  const message = '*6\r\n$3\r\n1@a\r\n$1\r\nt\r\n:1\r\n$-1\r\n*2\r\n$1\r\nn\r\n$1\r\nv\r\n$5\r\n*9\r\n:\r\n';
  const lease = (token: string): string => `*3\r\n$2\r\n${token}\r\n:7\r\n${message}`;
  const text = `*2\r\n${lease('t1')}${lease('t2')}:5\r\n*0\r\n*1\r\n${lease('t3')}:6\r\n`;
  for (let size = 1; size <= text.length; size += 1) {
    const reader = new LeaseReader();
    t.equal(count(reader, text, size), 11, `in chunks of ${size}`);
    t.strictSame([reader.replies, reader.tokens.map(String)], [5, ['$2\r\nt1\r\n', '$2\r\nt2\r\n', '$2\r\nt3\r\n']]);
  }
});

t.test('an error reply is an error', async (t) => {
  for (const size of [1, 3, 100]) {
    t.throws(() => count(new RespCounter(), ':1\r\n-NOQUORUM too few\r\n', size), /NOQUORUM too few/);
  }
});

t.test('PubAcks are counted wherever a chunk ends', async (t) => {
  const ack = '{"stream":"BENCH", "seq":17}';
  const text = `INFO {"a":1}\r\nMSG _INBOX.0 1 ${ack.length}\r\n${ack}\r\nPING\r\nMSG _INBOX.0 1 ${ack.length}\r\n${ack}\r\n`;
  for (let size = 1; size <= text.length; size += 1) {
    let pongs = 0;
    t.equal(count(new NatsCounter(() => (pongs += 1)), text, size), 2, `in chunks of ${size}`);
    t.equal(pongs, 1);
  }
});

t.test('a publish that JetStream refuses is an error', async (t) => {
  const refusal = '{"error":{"code":503},"stream":"BENCH","seq":0}';
  for (const size of [1, 7, 100]) {
    t.throws(() => count(new NatsCounter(() => {}), `MSG i 1 ${refusal.length}\r\n${refusal}\r\n`, size), /503/);
  }
  t.throws(() => count(new NatsCounter(() => {}), "-ERR 'Slow Consumer'\r\n", 4), /Slow Consumer/);
});
