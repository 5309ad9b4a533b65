import t from 'tap';
import { Gathering, type End } from '../../../brokers/core/log/gathering.ts';
import type { Group } from '../../../brokers/core/log/hold-back.ts';
import { lastSeq, type RecordBatch } from '../../../brokers/core/log/record.ts';
import { systemSignatures } from '../../../brokers/io/identity.ts';
import { origin, specimenBatch } from '../../support/record.ts';
import { history } from '../../support/signed.ts';

const { groups, head } = history([['one'], ['two', 'three'], ['four']]);
const [[one], [two, three], [four]] = groups as [[RecordBatch], [RecordBatch, RecordBatch], [RecordBatch]];
const unsigned = specimenBatch({ origin: origin('10.0.0.9:1'), seq: 1, deps: '' });

/** A gathering, and how far what went on from it has come. */
class Bench {
  end: End = { next: 1, head: undefined };
  readonly gathering: Gathering;

  constructor(bytesMax = 1e6) {
    this.gathering = new Gathering(() => this.end, systemSignatures, bytesMax);
  }

  /** The seqs of the group that it makes whole, or what else became of it. */
  offer(batch: RecordBatch): string {
    const group: Group | string = this.gathering.offer(batch);
    if (typeof group === 'string') return group;
    this.end = { next: lastSeq(group.batches.at(-1)!) + 1, head: group.head };
    return group.batches.map(({ seq }) => seq).join();
  }
}

t.test('a group goes on once it is whole', async (t) => {
  const bench = new Bench();
  t.strictSame([one, two, three, four].map((batch) => bench.offer(batch)), ['1', 'gathered', '2,3', '4']);
  t.strictSame(bench.end.head, head);
  t.equal(bench.gathering.bytes, 0);
});

t.test('what is here is a duplicate, and what leaves a hole is dropped', async (t) => {
  const bench = new Bench();
  t.equal(bench.offer(two), 'dropped');
  t.equal(bench.offer(one), '1');
  t.equal(bench.offer(one), 'duplicate');
  t.equal(bench.offer(three), 'dropped');
  t.equal(bench.offer(two), 'gathered');
  t.equal(bench.offer(two), 'duplicate');
  t.equal(bench.offer(four), 'dropped');
  bench.gathering.drop(two.origin);
  t.equal(bench.gathering.bytes, 0);
  t.equal(bench.offer(three), 'dropped', 'what it follows on was let go');
});

t.test('what waits is bounded, in all and of one group', async (t) => {
  const bench = new Bench(300);
  t.equal(bench.offer(one), '1');
  t.equal(bench.offer(two), 'gathered');
  bench.gathering.clear();
  t.equal(bench.gathering.bytes, 0);
  t.equal(new Bench(100).offer({ ...two, seq: 1 }), 'dropped');
  const large = { ...two, body: Buffer.alloc(262_144) };
  t.throws(() => bench.offer(large), { code: 'PROTOCOL', message: /^record 2 of .* should have been signed$/ });
});

t.test('a record without a proof goes on alone, but not behind records that have one', async (t) => {
  const bench = new Bench();
  t.equal(bench.offer(unsigned), '1');
  t.equal(bench.offer({ ...unsigned, seq: 4 }), '4');
  const signed = new Bench();
  t.equal(signed.offer(one), '1');
  t.throws(() => signed.offer({ ...two, proof: '' }), { code: 'PROTOCOL', message: /has no proof/ });
});

t.test('an origin with two histories is named, and what another peer sent meanwhile is not sent by this one', async (t) => {
  const bench = new Bench();
  const other = history([['uno'], ['two', 'three']]);
  t.equal(bench.offer(one), '1');
  for (const batch of other.groups[1]!.slice(0, -1)) t.equal(bench.offer(batch), 'gathered');
  t.equal(bench.offer(other.groups[1]!.at(-1)!), 'forked');
  t.equal(bench.offer(two), 'gathered');
  bench.end = { next: 4, head: { ...bench.end.head!, running: parts(four)[0]! } }; // which came from elsewhere
  t.equal(bench.offer(three), 'duplicate');
  t.equal(bench.gathering.bytes, 0, 'what had begun is let go');
  t.equal(bench.offer(four), '4');
});

function parts({ proof }: RecordBatch): string[] {
  return proof.split(' ');
}
