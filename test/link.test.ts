import t from 'tap';
import { makeConfig } from '../brokers/config.ts';
import { Link } from '../brokers/link.ts';
import { CommandParser } from '../brokers/wire/command-parser.ts';
import { VirtualChannel } from './support/virtual-channel.ts';

t.test('a link that is closed keeps nothing of what the peer goes on sending', (t) => {
  const { limits } = makeConfig();
  const parser = new CommandParser(limits);
  const closed: (string | undefined)[] = [];
  const events = { introduced: () => undefined, message: () => t.fail('nothing comes any more'), drained: () => undefined, closed: (_: Link, reason?: string) => void closed.push(reason) };
  const link = new Link(new VirtualChannel('peer'), parser, limits, 0, events);
  link.close('refused');
  for (let chunk = 0; chunk < 10; chunk += 1) link.data(Buffer.alloc(1000, 'x'));
  t.equal(parser.bufferedBytes, 0);
  t.strictSame(closed, ['refused']);
  t.end();
});

t.test('answers wait for room behind what is unsent, in order, and hold up nothing else', (t) => {
  const { limits } = makeConfig();
  const channel = new VirtualChannel('peer');
  const events = { introduced: () => undefined, message: () => undefined, drained: () => undefined, closed: () => undefined };
  const link = new Link(channel, undefined, limits, 0, events);
  const sent = (): string[] => {
    const words = Buffer.concat(channel.onTheWay.splice(0)).toString().match(/ANSWER\r\n.*?\r\n.*?\r\n|GRAFT|BYE/gs) ?? [];
    return words.map((word) => (word.startsWith('ANSWER') ? `ANSWER ${word.split('\r\n')[2]}` : word));
  };
  link.answer(1, Buffer.from('+OK\r\n'));
  t.strictSame(sent(), ['ANSWER 1'], 'at once where there is room');
  t.notOk(link.isClogged);

  channel.bufferedBytes = limits.linkAnswerBytes;
  for (const id of [2, 3, 4]) link.answer(id, Buffer.from('+OK\r\n'));
  link.send({ type: 'BYE' });
  t.strictSame(sent(), ['BYE']);
  t.ok(link.isClogged);

  const write = channel.write.bind(channel);
  channel.bufferedBytes = limits.linkAnswerBytes - 1;
  channel.write = (bytes) => {
    channel.bufferedBytes = limits.linkAnswerBytes; // the first one fills it again
    write(bytes);
  };
  channel.handler.drain();
  t.strictSame(sent(), ['ANSWER 2']);
  channel.bufferedBytes = 0;
  channel.handler.data(Buffer.alloc(0));
  t.strictSame(sent(), ['ANSWER 3'], 'when the peer is heard, too: while records flow, a channel may never drain');
  link.close(undefined);
  t.strictSame(sent(), ['ANSWER 4'], 'who closes in order says all that he knows');
  t.notOk(link.isClogged);
  t.end();
});
