import t from 'tap';
import type { LogFields } from '../../brokers/core/runtime.ts';
import { Traffic } from '../../brokers/logging/traffic.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { draft, origin } from '../support/record.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';

t.test('a transaction that takes long is told once, and again when it is over', async (t) => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const note =
    (level: string) =>
    (message: string, fields?: LogFields): void =>
      void lines.push(`${level} ${message.split(':')[0]} ${String(fields?.['waited_ms'])}`);
  const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  const traffic = new Traffic(clock, logger, () => origin('a:1'));
  /** Ticks until then; the last one finds a transaction that has run since. */
  const tickAt = async (now: number, since: number | undefined, before = since): Promise<void> => {
    while (clock.now() < now) {
      await clock.advance(Math.min(100, now - clock.now()));
      traffic.tick(clock.now() < now ? before : since);
    }
  };
  await tickAt(0, undefined);
  await tickAt(1500, undefined);
  await tickAt(3000, 1500);
  await tickAt(4000, undefined);
  t.strictSame(lines, [], 'not of one that is shorter, nor of none');
  await tickAt(5000, undefined);
  await tickAt(6000, 5000);
  await tickAt(7000, 5000);
  await tickAt(8000, 5000);
  t.strictSame(lines.splice(0), ['warn messages wait to be written 2000']);
  await tickAt(9000, 8500, 5000);
  t.strictSame(lines.splice(0), ['info messages wait no longer 4000'], 'the next one runs already');
  await tickAt(9500, undefined);
  t.strictSame(lines, []);
  await tickAt(9600, 9550, undefined);
  await clock.advance(60_000);
  traffic.tick(9550);
  traffic.tick(undefined);
  t.strictSame(lines, [], 'not of one during which the process stood still');
});

t.test('a broker whose store takes long says so', async (t) => {
  const virtual = await VirtualBroker.start();
  const { clock, store, warnings } = virtual;
  const release = store.hold();
  virtual.connect().send('PUBLISH a 1');
  await clock.advance(1500);
  t.strictSame(warnings, []);
  await clock.advance(1000);
  t.match(warnings, [/^messages wait to be written/]);
  release();
  await clock.settle();
});

t.test('what is counted and not told yet is told when the broker stops, and no timer is left', async (t) => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const note = (message: string, fields?: LogFields): void =>
    void lines.push(`${message} ${String(fields?.['messages'] ?? 1)}`);
  const traffic = new Traffic(clock, { debug: note, info: note, warn: note, error: note }, () => origin('a:1'));
  const batch = {
    ...draft(['x', 'y']), origin: origin('a:1'), seq: 1, lamport: 1, deps: '', proof: '', position: 1, repeats: '',
  };
  traffic.committed(Array.from({ length: 25 }, () => batch));
  t.equal(lines.splice(0).length, 20);
  traffic.close();
  t.strictSame(lines.splice(0), ['messages published 10']);
  await clock.advance(2000);
  traffic.close();
  t.strictSame(lines, []);
});
