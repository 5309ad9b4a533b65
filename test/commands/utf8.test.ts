/**
 * Names, keys, headers, ids and consumers are UTF-8, all of it: U+FFFD is a character like any other, and bytes that
 * are no text are never taken for it.
 */
import t from 'tap';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { VirtualBroker, type VirtualClient } from '../support/virtual-broker.ts';

type Arg = string | Uint8Array;

async function bench(): Promise<(...args: Arg[]) => Promise<unknown>> {
  const client: VirtualClient = (await VirtualBroker.start()).connect();
  return async (...args) => {
    client.sendBytes(encodeCommand(args));
    return (await client.replies())[0];
  };
}

const NO_TEXT = Buffer.from([0xff]);
const BOM = '\ufeff';

t.test('names with U+FFFD mean what they say', async (t) => {
  const ask = await bench();
  const name = 'a\ufffd';
  t.equal(await ask('TOPIC', 'CREATE', name, 'TYPE', 'direct'), 'OK');
  t.equal(await ask('SUBSCRIPTION', 'CREATE', name), 'OK');
  t.equal(await ask('BIND', name, name, 'KEY', '\ufffd'), 'OK');
  t.type(await ask('PUBLISH', name, 'x', 'KEY', '\ufffd', 'HEADER', '\ufffd', 'v\ufffd', 'ID', '\ufffd'), 'number');
  t.match(await ask('LATEST', name), [String, name, Number, '\ufffd', ['\ufffd', 'v\ufffd'], 'x', '\ufffd']);
  t.match(await ask('PULL', name, 'CONSUMER', '\ufffd'), [[String, 1, [String, name]]]);
  t.match(await ask('SUBSCRIPTION', 'PENDING', name), [[String, '\ufffd', 1]]);
  t.strictSame(await ask('TOPIC', 'LIST', '*\ufffd'), [name]);
  t.match(await ask('SUBSCRIBE', name), ['subscribe', name, 1]);
});

t.test('bytes that are not UTF-8 are refused, and do not mean the name with U+FFFD', async (t) => {
  const ask = await bench();
  for (const what of ['TOPIC', 'SUBSCRIPTION']) t.equal(await ask(what, 'CREATE', '\ufffd'), 'OK');
  const commands: Arg[][] = [
    ['PUBLISH', NO_TEXT, 'x'],
    ['PUBLISH', 'a', 'x', 'KEY', NO_TEXT],
    ['PUBLISH', 'a', 'x', 'ID', NO_TEXT],
    ['PUBLISH', 'a', 'x', 'HEADER', 'n', NO_TEXT],
    ['PUBLISH', 'a', 'x', 'HEADER', NO_TEXT, 'v'],
    ['POLL', NO_TEXT],
    ['LATEST', NO_TEXT],
    ['RANGE', NO_TEXT],
    ['TOPIC', 'GET', NO_TEXT],
    ['TOPIC', 'LIST', NO_TEXT],
    ['TOPIC', 'RENAME', 'a', NO_TEXT],
    ['TOPIC', 'DELETE', NO_TEXT],
    ['SUBSCRIBE', NO_TEXT],
    ['UNSUBSCRIBE', NO_TEXT],
    ['PSUBSCRIBE', NO_TEXT],
    ['PUNSUBSCRIBE', NO_TEXT],
    ['PUBSUB', 'CHANNELS', NO_TEXT],
    ['PUBSUB', 'NUMSUB', NO_TEXT],
    ['PULL', NO_TEXT],
    ['PULL', '\ufffd', 'CONSUMER', NO_TEXT],
    ['ACK', NO_TEXT, 'x'],
    ['PURGE', NO_TEXT],
    ['BIND', NO_TEXT, 'a'],
    ['BIND', '\ufffd', NO_TEXT],
    ['BIND', '\ufffd', '\ufffd', 'KEY', NO_TEXT],
    ['BINDINGS', NO_TEXT],
    ['SUBSCRIPTION', 'GET', NO_TEXT],
    ['SUBSCRIPTION', 'DELETE', NO_TEXT],
    ['SUBSCRIPTION', 'UPDATE', '\ufffd', 'DEADLETTER', NO_TEXT],
  ];
  for (const command of commands) {
    t.match(await ask(...command), /^-ERR argument \d+ of [A-Z]+ is not UTF-8: "\ufffd"$/, command.join(' '));
  }
  t.match(await ask(NO_TEXT), /^-ERR unknown command/);
  t.match(await ask('PUBLISH', 'a', 'x', NO_TEXT), /^-ERR unknown option/);
  t.strictSame(await ask('TOPIC', 'LIST'), ['\ufffd']);
});

t.test('a byte order mark is part of a name, and of everything else', async (t) => {
  const ask = await bench();
  await ask('PUBLISH', `${BOM}a`, `${BOM}x`, 'KEY', `${BOM}k`);
  t.match(await ask('LATEST', `${BOM}a`), [String, `${BOM}a`, Number, `${BOM}k`, [], `${BOM}x`]);
  t.equal(await ask('LATEST', 'a'), null);
});
