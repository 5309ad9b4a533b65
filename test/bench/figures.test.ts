import t from 'tap';
import { Latencies, spreadOf } from './figures.ts';

t.test('a spread is the median, the least and the greatest', async (t) => {
  t.strictSame(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3 });
  t.strictSame(spreadOf([4, 1, 2, 10]), { median: 3, min: 1, max: 10 });
  t.strictSame(spreadOf([7]), { median: 7, min: 7, max: 7 });
  t.throws(() => spreadOf([]), /no values/);
});

t.test('percentiles count messages and not entries', async (t) => {
  const latencies = new Latencies();
  latencies.add(100);
  latencies.add(2, 990);
  latencies.add(50, 9);
  t.equal(latencies.count, 1000);
  t.strictSame(latencies.percentiles(0.5, 0.99, 0.991, 0.999, 1), [2, 2, 50, 50, 100]);
  t.strictSame(new Latencies().percentiles(0.5), [NaN]);
});

t.test('percentiles of single messages', async (t) => {
  const latencies = new Latencies();
  for (let ms = 100; ms >= 1; ms -= 1) latencies.add(ms);
  t.strictSame(latencies.percentiles(0.5, 0.99, 0.999), [50, 99, 100]);
});
