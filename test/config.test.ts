import t from 'tap';
import { makeConfig } from '../brokers/config.ts';

t.test('what a limit must not be above is named; a buffer may be smaller than a transaction, and bounds it', (t) => {
  t.equal(makeConfig({ limits: { pendingMessagesMax: 1 } }).limits.pendingMessagesMax, 1);
  t.throws(() => makeConfig({ limits: { tickMs: 2000 } }), {
    code: 'CONFIG',
    message: 'tickMs 2000 is above beatMs 1000',
  });
  t.throws(() => makeConfig({ limits: { pendingMessagesMax: 0 } }), {
    code: 'CONFIG',
    message: 'pendingMessagesMax 0 is not an integer from 1',
  });
  t.end();
});
