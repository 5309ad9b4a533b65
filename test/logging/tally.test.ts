import t from 'tap';
import type { LogFields } from '../../brokers/core/runtime.ts';
import { Tally } from '../../brokers/logging/tally.ts';
import { ManualClock } from '../support/manual-clock.ts';

t.test('the first is said at once, the rest once a minute with the number and the last fields', async (t) => {
  const clock = new ManualClock();
  const lines: [string, LogFields | undefined][] = [];
  const ignore = (): void => undefined;
  const tally = new Tally(clock, {
    debug: ignore, info: ignore, error: ignore, warn: (event, fields) => void lines.push([event, fields]),
  });
  for (let index = 1; index <= 1000; index += 1) tally.warn('refused', { client: index });
  tally.warn('closed', {});
  t.strictSame(lines.splice(0), [['refused', { client: 1, count: 1 }], ['closed', { count: 1 }]]);
  await clock.advance(59_999);
  tally.tick();
  t.strictSame(lines, []);
  await clock.advance(1);
  tally.tick();
  tally.tick();
  t.strictSame(lines.splice(0), [['refused', { client: 1000, count: 999 }]]);
  tally.warn('refused', { client: 0 });
  tally.close();
  t.strictSame(lines, [['refused', { client: 0, count: 1 }]], 'what was not said yet is said in the end');
});
