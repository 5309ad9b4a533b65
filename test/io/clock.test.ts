import t from 'tap';
import { systemClock } from '../../brokers/io/clock.ts';

t.test('a clock that stands before 1970 counts as 1970: peers take no batch from before', (t) => {
  const { now } = Date;
  t.teardown(() => (Date.now = now));
  Date.now = () => -5000;
  t.equal(systemClock.wallTime(), 0);
  Date.now = () => 5000;
  t.equal(systemClock.wallTime(), 5000);
  t.end();
});
