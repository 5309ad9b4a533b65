import t from 'tap';
import { makeConfig } from '../../brokers/config.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { systemSignatures } from '../../brokers/io/identity.ts';
import { Link } from '../../brokers/mesh/link.ts';
import { CommandParser } from '../../brokers/wire/command-parser.ts';
import { encodePeerMessage } from '../../brokers/wire/peer-codec.ts';
import type { PeerMessage } from '../../brokers/wire/peer-message.ts';
import { hello } from '../support/peer.ts';
import { specimenBatch } from '../support/record.ts';
import { VirtualChannel } from '../support/virtual-channel.ts';

t.test('a link that is closed keeps nothing of what the peer goes on sending', (t) => {
  const { limits } = makeConfig();
  const parser = new CommandParser(limits);
  const closed: (string | undefined)[] = [];
  const events = {
    handshake: () => undefined, accepted: () => undefined, heard: () => undefined, drained: () => undefined,
    message: () => t.fail('nothing comes any more'), closed: (_: Link, reason?: string) => void closed.push(reason),
  };
  const link = new Link(new VirtualChannel('peer'), parser, limits, () => 0, events);
  link.agree();
  link.data(Buffer.from('*2\r\n$5\r\nBATCH\r\n$100000\r\nxxx'));
  t.ok(parser.heldBytes > 20, 'half a message');
  link.close('refused');
  t.equal(parser.heldBytes, 0, 'is not kept either');
  for (let chunk = 0; chunk < 10; chunk += 1) link.data(Buffer.alloc(1000, 'x'));
  t.equal(parser.bufferedBytes, 0);
  t.strictSame(closed, ['refused']);
  t.end();
});


/**
 * Two ends of one connection, introduced to each other, on a clock that the test moves; what they were told, as words.
 */
function pair(limits = makeConfig().limits) {
  const clock = { now: 0 };
  const heard: string[][] = [[], []];
  const bytes = [0, 0];
  const channels = VirtualChannel.pair('left', 'right');
  const links = channels.map(
    (channel, side) =>
      new Link(channel, undefined, limits, () => clock.now, {
        handshake(each, peer) {
          if (peer.type !== 'PEER') throw new Error('nobody proves anything here');
          each.agree();
          each.introduce({ ...peer, id: systemSignatures.idOf(peer.key) });
        },
        accepted: () => undefined,
        heard: () => void (bytes[side]! += 1),
        message: (_, message) =>
          void heard[side]!.push(
            'reply' in message
              ? `ANSWER ${message.id}`
              : 'batch' in message
                ? `RECORDS ${message.batch.seq}`
                : message.type,
          ),
        drained: () => undefined,
        closed: (_, reason) => void heard[side]!.push(`closed: ${reason}`),
      }),
  ) as [Link, Link];
  for (const [side, link] of links.entries()) {
    link.send(hello({ address: parseAddress(`h${side}:1`) }));
  }
  const flow = (): void => {
    while (channels.some((channel) => channel.deliver()));
  };
  flow();
  return { clock, links, channels, heard: heard as [string[], string[]], bytes, flow };
}

const SLOW = { ...makeConfig().limits, pathWindowBytesStart: 8192 };
const frame = (seq: number, bytes: number) =>
  encodePeerMessage({
    type: 'RECORDS', ageMs: 0,
    batch: specimenBatch({ seq, count: 1, lengths: `[${bytes}]`, meta: '', body: Buffer.alloc(bytes, seq) }),
  });

t.test('a large message goes in parts, with short ones between them; of its own kind everything keeps its order', (t) => {
  const { clock, links: [left, right], channels: [channel, back], heard: [, heard], bytes } = pair(SLOW);
  left.sendRecords(frame(1, 100_000));
  t.notOk(left.isRoomy, 'nothing more of the kind is taken');
  left.answer(7, Buffer.alloc(50_000, 'x'));
  left.answer(8, Buffer.from('+OK\r\n'));
  t.ok(left.isClogged);
  left.send({ type: 'ELECTION', term: 1, lamport: 1 });
  left.send({ type: 'FORGET', id: 1 });
  const onTheWay = channel.onTheWay.reduce((sum, { length }) => sum + length, 0);
  t.ok(onTheWay < 2 * SLOW.pathWindowBytesStart, `${onTheWay} bytes under way`);
  for (let rounds = 0; rounds < 1000 && heard.length < 5; rounds += 1) {
    clock.now += 100;
    channel.deliver();
    right.tick();
    while (back.deliver());
  }
  t.strictSame(heard, ['ELECTION', 'FORGET', 'ANSWER 7', 'ANSWER 8', 'RECORDS 1']);
  t.ok(bytes[1]! > 10, 'what is no whole message yet is heard of as well');
  t.ok(left.isRoomy && !left.isClogged);
  t.end();
});

t.test('the window follows what the path carries: wide where bytes arrive at once, half a second of it where they are slow', (t) => {
  const wide = pair();
  for (let seq = 1; seq <= 200; seq += 1) {
    if (wide.links[0].isRoomy) wide.links[0].sendRecords(frame(seq, 60_000));
    wide.clock.now += 0.1;
    if (seq % 4 === 0) wide.flow();
  }
  t.ok(wide.links[0].windowBytes >= 200_000, `${wide.links[0].windowBytes} bytes`);

  const slow = pair();
  const [left, right] = slow.links;
  const way: number[] = [];
  let longest = 0;
  for (let seq = 1; slow.clock.now < 30_000; ) {
    if (left.isRoomy) left.sendRecords(frame((seq += 1), 20_000));
    const room = 62.5 * 50; // 500 kbit/s, in 50 ms
    for (let left = room + (way.pop() ?? 0); ; ) {
      const next = slow.channels[0].onTheWay[0]?.length ?? Infinity;
      if (next > left) {
        way.push(Math.min(left, 70_000));
        break;
      }
      slow.channels[0].deliver();
      left -= next;
    }
    slow.clock.now += 50;
    right.tick();
    while (slow.channels[1].deliver());
    if (slow.clock.now > 5000) {
      longest = Math.max(
        longest,
        slow.channels[0].onTheWay.reduce((sum, { length }) => sum + length, 0),
      );
    }
  }
  t.ok(longest < 62_500, `${longest} bytes wait, less than a second of the path`);
  t.ok(slow.heard[1].length > 60, `and it is busy: ${slow.heard[1].length} of 93 records came`);
  t.end();
});

t.test('parts and reports that cannot be are refused', (t) => {
  const part = (lane: number, left: number, text: string) => ({
    type: 'PART' as const, lane, left, bytes: Buffer.from(text),
  });
  const bye = '*1\r\n$3\r\nBYE\r\n';
  const cases: [what: string, messages: PeerMessage[], reply: RegExp | undefined][] = [
    ['a message in two parts', [part(2, bye.length - 4, bye.slice(0, 4)), part(2, 0, bye.slice(4))], undefined],
    ['no such lane', [part(9, 0, bye)], /not in its place/],
    ['bytes are missing', [part(2, 8, bye.slice(0, 4)), part(2, 0, bye.slice(4))], /not in its place/],
    ['empty', [part(2, 0, '')], /not in its place/],
    ['too large', [part(2, 2 ** 40, bye)], /not in its place/],
    ['no whole message', [part(2, 0, bye.slice(0, 5))], /no message/],
    ['more than a message', [part(2, 0, `${bye}x`)], /no message/],
    [
      'a part of parts', [part(2, 0, `*4\r\n$4\r\nPART\r\n$1\r\n2\r\n$1\r\n0\r\n$${bye.length}\r\n${bye}\r\n`)],
      /no message/,
    ],
    ['bytes that were not sent', [{ type: 'GOT', bytes: 1, heldMs: 0 }], /not sent/],
  ];
  for (const [what, messages, reason] of cases) {
    const { links: [left], heard: [, heard], flow } = pair();
    for (const message of messages) left.sendRaw(...encodePeerMessage(message));
    flow();
    if (reason === undefined) t.strictSame(heard, ['BYE'], what);
    else t.match(heard, [reason], what);
  }
  t.end();
});

t.test('who closes in order says all that waits', (t) => {
  const { links: [left], heard: [, heard], flow } = pair(SLOW);
  left.sendRecords(frame(1, 100_000));
  left.answer(1, Buffer.alloc(20_000, 'x'));
  left.send({ type: 'BYE' });
  left.close(undefined);
  flow();
  t.strictSame(heard, ['BYE', 'ANSWER 1', 'RECORDS 1']);
  t.end();
});

t.test('a peer that owes a report is silent until something comes', (t) => {
  const { clock, links: [left, right], flow } = pair();
  flow();
  right.tick();
  flow();
  t.equal(left.silentMs((clock.now += 5000)), 0, 'it owes nothing');
  left.send({ type: 'FORGET', id: 1 });
  t.equal(left.silentMs((clock.now += 300)), 300);
  flow();
  right.tick();
  flow();
  t.equal(left.silentMs((clock.now += 300)), 0);
  left.send({ type: 'FORGET', id: 2 });
  clock.now += 400;
  right.send({ type: 'FORGET', id: 3 });
  flow();
  t.equal(left.silentMs((clock.now += 50)), 50, 'any sign of life counts');
  t.end();
});
