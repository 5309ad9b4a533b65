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
