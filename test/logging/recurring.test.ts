import t from 'tap';
import type { LogFields } from '../../brokers/core/runtime.ts';
import { Recurring } from '../../brokers/logging/recurring.ts';
import { ManualClock } from '../support/manual-clock.ts';

t.test('what happens again and again is written a few times, then summed up at growing distances, and begins anew when it was quiet', async (t) => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const info = (event: string, fields: LogFields = {}): void =>
    void lines.push(`${event} ${String(fields['what'] ?? '')}`.trim());
  const none = (): void => undefined;
  const recurring = new Recurring({ debug: none, info, warn: none, error: none }, clock);
  const pass = async (seconds: number): Promise<string[]> => {
    for (let second = 0; second < seconds; second += 1) {
      recurring.say('peer b:1', 'peer connected', {});
      recurring.say('peer b:1', 'peer lost', {});
      await clock.advance(1000);
      recurring.tick();
    }
    return lines.splice(0);
  };
  t.strictSame((await pass(4)).length, 8, 'as they come');
  recurring.say('peer c:1', 'peer lost', {});
  t.strictSame(lines.splice(0), ['peer lost'], 'each subject for itself');
  t.strictSame(await pass(10), ['again and again peer connected 6 times, peer lost 6 times']);
  t.strictSame((await pass(600)).length, 4, 'after 20, 40, 80 and 160 s');
  for (let second = 0; second < 1500; second += 1) {
    await clock.advance(1000);
    recurring.tick();
  }
  t.strictSame(lines.splice(0).length, 1, 'the last ones are counted too');
  recurring.say('peer b:1', 'peer lost', {});
  t.strictSame(lines.splice(0), ['peer lost']);
});
