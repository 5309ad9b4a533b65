import t from 'tap';
import { Said } from '../../brokers/logging/said.ts';
import { ManualClock } from '../support/manual-clock.ts';

t.test('what is said once is said once; what is said now and then comes again after ten minutes', async (t) => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = (event: string, fields?: object): void => void lines.push(`${event} ${JSON.stringify(fields)}`);
  const said = new Said({ debug: log, info: log, warn: log, error: log }, clock);
  const say = (): void => {
    said.once('info', 'once', { peer: 'a' });
    said.nowAndThen('warn', 'again', { peer: 'a' });
  };
  for (let minutes = 0; minutes < 10; minutes += 1) {
    say();
    await clock.advance(60_000);
  }
  t.strictSame(lines.splice(0), ['once {"peer":"a"}', 'again {"peer":"a"}']);
  say();
  t.strictSame(lines.splice(0), ['again {"peer":"a"}']);
  said.once('info', 'once', { peer: 'b' });
  t.strictSame(lines, ['once {"peer":"b"}'], 'of somebody else');
});
