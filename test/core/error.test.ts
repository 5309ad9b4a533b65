import t from 'tap';
import { assert, isUnresolved, messageOf, RumormillError } from '../../brokers/core/error.ts';

t.test('an error carries its code, its message and its cause', async (t) => {
  const cause = new Error('ENOSPC');
  const error = new RumormillError('DISKFULL', 'no room', { cause });
  t.ok(error instanceof Error);
  t.strictSame([error.name, error.code, error.message, error.cause], ['RumormillError', 'DISKFULL', 'no room', cause]);
  t.match(String(error.stack), /^RumormillError: no room\n/);
});

t.test('messageOf takes whatever was thrown', async (t) => {
  for (const [thrown, message] of [
    [new Error('e'), 'e'], ['text', 'text'], [undefined, 'undefined'], [7, '7'], [null, 'null'],
  ] as const) {
    t.equal(messageOf(thrown), message);
  }
});

t.test('whether a name could not be looked up at all', async (t) => {
  const failed = (code: string): RumormillError =>
    new RumormillError('UNREACHABLE', 'h:1', { cause: Object.assign(new Error(code), { code }) });
  t.ok(isUnresolved(failed('EAI_AGAIN')));
  t.notOk(isUnresolved(failed('ENOTFOUND')), 'a name that is not there');
  t.notOk(isUnresolved(new RumormillError('UNREACHABLE', 'h:1')));
});

t.test('assert fails as a bug, not as an operating fault', async (t) => {
  assert(true, 'nothing');
  try {
    assert(0, 'zero is false');
    t.fail('assert let it pass');
  } catch (error) {
    t.notOk(error instanceof RumormillError);
    t.equal(messageOf(error), 'bug: zero is false');
  }
});
