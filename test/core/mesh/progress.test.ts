import t from 'tap';
import { batchBytes, type StoredBatch } from '../../../brokers/core/log/record.ts';
import { Progress } from '../../../brokers/core/mesh/progress.ts';
import { origin, specimenBatch } from '../../support/record.ts';

const [a, b] = [origin('a:1'), origin('b:1')];
const BYTES = batchBytes(specimenBatch());

function stored(position: number, seq: number): StoredBatch {
  return { ...specimenBatch({ origin: a, seq, count: 1 }), position, repeats: '' };
}

t.test('nothing is told before the greeting, and each seq once after it', async (t) => {
  const progress = new Progress(0, 1e6);
  t.strictSame(progress.news([[a, 5]]), []);
  t.notOk(progress.knows(a), 'what was not told does not count as told');
  progress.greet();
  t.strictSame(progress.news([[a, 5], [b, 1]]), [[a, 5], [b, 1]]);
  t.strictSame(progress.news([[a, 5], [b, 2]]), [[b, 2]]);
  t.strictSame(progress.news([[a, 4]]), [], 'never backwards');
  t.ok(progress.knows(a));
});

t.test('a record that is sent tells of itself, but does not count as held', async (t) => {
  const progress = new Progress(0, 1e6);
  progress.greet();
  t.equal(progress.pass(stored(1, 1)), false, 'nobody has grafted it');
  t.notOk(progress.knows(a));
  progress.feed.graft([[a, 0]], 0);
  t.equal(progress.pass(stored(1, 1)), true);
  t.strictSame(progress.news([[a, 1]]), []);
  t.equal(progress.has.get(a), 0);
  t.equal(progress.feed.flyingBytes, BYTES);
});

t.test('what the neighbour has is not under way to it', async (t) => {
  const progress = new Progress(0, 1e6);
  progress.feed.graft([[a, 0]], 0);
  for (const seq of [1, 2, 3]) progress.pass(stored(seq, seq));
  t.equal(progress.learn(a, 2), true);
  t.equal(progress.feed.flyingBytes, BYTES);
  t.equal(progress.learn(a, 2), false, 'it is no news twice');
  t.equal(progress.learn(a, 1), false);
  t.equal(progress.has.get(a), 2, 'and only grows');
});
