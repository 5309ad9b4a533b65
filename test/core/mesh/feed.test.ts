import t from 'tap';
import { Feed } from '../../../brokers/core/mesh/feed.ts';
import { batchBytes, type Origin, type StoredBatch } from '../../../brokers/core/log/record.ts';
import { origin, specimenBatch } from '../../support/record.ts';
import { history } from '../../support/signed.ts';

const [a, b] = [origin('a:1'), origin('b:1')];

function stored(position: number, from: Origin, seq: number, count = 1): StoredBatch {
  return { ...specimenBatch({ origin: from, seq, count }), position, repeats: '' };
}

const BYTES = batchBytes(specimenBatch());

t.test('only grafted origins, beyond what the neighbour has, each once', async (t) => {
  const feed = new Feed(0, 1e6);
  feed.graft([[a, 3]], 0);
  const cases: [batch: StoredBatch, sent: boolean, what: string][] = [
    [stored(1, a, 1, 3), false, 'has it'],
    [stored(2, b, 1), false, 'never asked for'],
    [stored(3, a, 4, 2), true, 'new'],
    [stored(3, a, 4, 2), false, 'sent already'],
    [stored(4, a, 6), true, 'the next'],
  ];
  for (const [batch, sent, what] of cases) t.equal(feed.pass(batch), sent, what);
  t.equal(feed.position, 4);
});

t.test('a graft goes back to where the origin is missing, and sends nothing else again', async (t) => {
  const feed = new Feed(0, 1e6);
  feed.graft([[a, 0]], 0);
  for (let position = 1; position <= 4; position += 1) {
    feed.pass(stored(position, position % 2 === 0 ? b : a, Math.ceil(position / 2)));
  }
  feed.graft([[b, 1]], 2);
  t.equal(feed.position, 2);
  t.strictSame([stored(3, a, 2), stored(4, b, 2)].map((batch) => feed.pass(batch)), [false, true]);
  feed.graft([[b, 9]], 50);
  t.equal(feed.position, 4, 'never forward');
});

t.test('the window: closed when that much flies, opened by acknowledgements', async (t) => {
  const feed = new Feed(0, 2 * BYTES);
  feed.graft([[a, 0]], 0);
  feed.graft([[b, 0]], 0);
  feed.pass(stored(1, a, 1, 5));
  t.equal(feed.open, true);
  feed.pass(stored(2, b, 1));
  t.equal(feed.open, false);
  t.equal(feed.flyingBytes, 2 * BYTES);
  feed.acknowledged(a, 4);
  t.equal(feed.open, false, 'part of a batch is none');
  feed.acknowledged(a, 5);
  t.equal(feed.flyingBytes, BYTES);
  t.equal(feed.open, true);
  feed.acknowledged(a, 5);
  feed.acknowledged(origin('z:1'), 5);
  t.equal(feed.flyingBytes, BYTES, 'each batch once');
});

t.test('a group that has begun is sent to its end, whatever the window', async (t) => {
  const feed = new Feed(0, 1);
  feed.graft([[a, 0]], 0);
  const { groups: [group] } = history([['one', 'two']]);
  const [one, two] = group!.map((batch, index) => ({ ...batch, position: index + 1, repeats: '' }));
  feed.graft([[one!.origin, 0]], 0);
  feed.pass(one!);
  t.equal(feed.open, true);
  feed.pass(two!);
  t.equal(feed.open, false);
  feed.graft([[one!.origin, 0]], 0);
  feed.pass(one!);
  feed.graft([[a, 0]], 0);
  t.equal(feed.open, true, 'nothing flies up to here');
});

t.test('what the neighbour got elsewhere is not sent', async (t) => {
  const feed = new Feed(0, 1e6);
  feed.graft([[a, 0]], 0);
  feed.acknowledged(a, 2);
  t.strictSame(
    [stored(1, a, 1), stored(2, a, 2), stored(3, a, 3)].map((batch) => feed.pass(batch)),
    [false, false, true],
  );
});

t.test('a prune, or another graft, gives back what flies', async (t) => {
  const feed = new Feed(0, 1e6);
  feed.graft([[a, 0]], 0);
  feed.pass(stored(1, a, 1));
  feed.graft([[a, 0]], 0);
  t.equal(feed.flyingBytes, 0);
  t.equal(feed.position, 0);
  t.equal(feed.pass(stored(1, a, 1)), true, 'asked for again');
  feed.prune(a);
  t.equal(feed.flyingBytes, 0);
  t.equal(feed.pass(stored(2, a, 2)), false);
  feed.prune(a);
  feed.acknowledged(a, 2);
  t.equal(feed.flyingBytes, 0);
});

t.test('what flies from beyond the place to which a graft went back counts when the feed comes past it again', async (t) => {
  const feed = new Feed(0, 2 * BYTES);
  feed.graft([[a, 0]], 0);
  for (const batch of [stored(1, b, 1), stored(2, a, 1), stored(3, a, 2)]) feed.pass(batch);
  t.equal(feed.open, false);
  feed.graft([[b, 0]], 0);
  t.strictSame(
    [feed.position, feed.flyingBytes, feed.open], [0, 0, true], 'the window is free for what is missing before',
  );
  t.equal(feed.pass(stored(1, b, 1)), true);
  t.equal(feed.pass(stored(2, a, 1)), false, 'sent once');
  t.strictSame([feed.flyingBytes, feed.open], [2 * BYTES, false]);
  feed.acknowledged(a, 2);
  t.strictSame([feed.flyingBytes, feed.open], [BYTES, true], 'what had not been counted is not taken off');
  feed.pass(stored(3, a, 2));
  t.equal(feed.flyingBytes, BYTES, 'acknowledged meanwhile');
  feed.acknowledged(b, 1);
  t.equal(feed.flyingBytes, 0);
});
