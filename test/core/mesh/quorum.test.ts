import t from 'tap';
import { Quorum } from '../../../brokers/core/mesh/quorum.ts';
import type { Origin } from '../../../brokers/core/log/record.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const TIMEOUT_MS = 5000;

const [own, other] = [origin('a:1'), origin('b:1')];

/** A quorum whose seqs the test sets, and what became of each waiter, by its name. */
class Bench {
  readonly fates: string[] = [];
  readonly #seqs = new Map<Origin, readonly number[]>();
  readonly quorum = new Quorum(TIMEOUT_MS, (from) => [this.#seqs.get(from) ?? []]);

  constructor(...seqs: number[]) {
    this.#seqs.set(own, seqs);
  }

  update(seqs: readonly number[], from = own): void {
    this.#seqs.set(from, seqs);
    this.quorum.update();
  }

  readonly wait = (name: string, level: 'quorum' | 'all', seq: number, now = 0, from = own): void => {
    this.quorum.wait(level, from, seq, now, (error) =>
      this.fates.push(error ? `${name} ${error.code} ${error.message}` : name),
    );
  };
}

t.test('a majority of the brokers, and all of them', async (t) => {
  const cases: [seqs: number[], quorum: number, all: number][] = [
    [[7], 7, 7],
    [[7, 0], 0, 0], // two of two
    [[7, 3], 3, 3],
    [[7, 0, 0], 0, 0],
    [[7, 0, 5], 5, 0], // two of three
    [[7, 4, 5], 5, 4],
    [[7, 6, 0, 0], 0, 0],
    [[7, 6, 5, 0], 5, 0], // three of four
    [[9, 1, 8, 2, 3], 3, 1], // three of five
    [[1, 9, 9, 9, 9], 9, 1], // our own seq need not be the highest
  ];
  for (const [seqs, reached, all] of cases) {
    const { fates, wait } = new Bench(...seqs);
    wait('quorum', 'quorum', reached);
    wait('quorum + 1', 'quorum', reached + 1);
    wait('all', 'all', all);
    wait('all + 1', 'all', all + 1);
    t.strictSame(fates, ['quorum', 'all'], seqs.join(' '));
  }
});

t.test('before anything is known nothing is reached', async (t) => {
  const bench = new Bench();
  const { fates, wait } = bench;
  wait('one', 'quorum', 1);
  t.strictSame(fates, []);
  bench.update([1]);
  t.strictSame(fates, ['one']);
});

t.test('waiters are answered in their order as the others catch up, each once', async (t) => {
  const bench = new Bench(0, 0, 0);
  const { fates, wait } = bench;
  for (const seq of [1, 2, 3]) {
    wait(`q${seq}`, 'quorum', seq);
    wait(`a${seq}`, 'all', seq);
  }
  bench.update([3, 2, 0]);
  t.strictSame(fates.splice(0), ['q1', 'q2']);
  bench.update([3, 2, 1]);
  t.strictSame(fates.splice(0), ['a1']);
  bench.update([3, 3, 3]);
  t.strictSame(fates.splice(0), ['q3', 'a2', 'a3']);
  bench.update([9, 9, 9]);
  bench.quorum.expire(1e9);
  t.strictSame(fates, []);
});

t.test('the brokers that count may change', async (t) => {
  const bench = new Bench(5, 5, 0, 0, 0);
  const { fates, wait } = bench;
  wait('five', 'quorum', 5);
  bench.update([5, 5, 0]);
  t.strictSame(fates, ['five'], 'a majority of three');
});

t.test('a timeout says how far it has come, and that the message may still be delivered', async (t) => {
  const bench = new Bench(4, 4, 3);
  const { fates, wait } = bench;
  wait('one', 'all', 4, 1000);
  wait('two', 'all', 5, 1001);
  bench.quorum.expire(1000 + TIMEOUT_MS - 1);
  t.strictSame(fates, []);
  bench.quorum.expire(1000 + TIMEOUT_MS);
  t.strictSame(fates.splice(0), ['one NOQUORUM stored on 2 of 3 brokers after 5000 ms; it may still be delivered']);
  bench.update([5, 5, 5]);
  t.strictSame(fates, ['two'], 'the other one had its time yet');
});

t.test('an older record, and one of another origin, may be waited for beside the newest', async (t) => {
  const bench = new Bench(3, 0, 0);
  const { fates, wait } = bench;
  wait('three', 'quorum', 3);
  wait('two', 'quorum', 2);
  wait("the other's", 'quorum', 7, 0, other);
  bench.update([3, 2, 0]);
  t.strictSame(fates.splice(0), ['two']);
  bench.update([9, 7, 0], other);
  t.strictSame(fates.splice(0), ["the other's"]);
  wait('again', 'all', 7, 10, other);
  bench.quorum.expire(TIMEOUT_MS);
  t.strictSame(fates.splice(0), ['three NOQUORUM stored on 1 of 3 brokers after 5000 ms; it may still be delivered']);
  bench.update([3, 3, 0]);
  bench.quorum.expire(TIMEOUT_MS + 10);
  t.strictSame(fates, ['again NOQUORUM stored on 2 of 3 brokers after 5000 ms; it may still be delivered']);
});

t.test(`each is answered once, and just when enough have it or its time is up (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const seqs = [0, 0, 0, 0];
  const quorum = new Quorum(50, () => [seqs]);
  let [answered, wrong] = [0, 0];
  for (let now = 0; now < 5000; now += 1) {
    const seq = random.integer(1, 1 + Math.max(...seqs));
    const level = random.pick(['quorum', 'all'] as const);
    let isAnswered = false;
    quorum.wait(level, own, seq, now, (error) => {
      const enough = seqs.filter((each) => each >= seq).length >= (level === 'all' ? 4 : 3);
      if (isAnswered || (error === undefined) !== enough) wrong += 1;
      isAnswered = true;
      answered += 1;
    });
    seqs[random.integer(0, 3)]! += random.integer(0, 2);
    quorum.update();
    quorum.expire(now);
  }
  quorum.abandon(5000);
  t.equal(wrong, 0);
  t.equal(answered, 5000);
});

t.test('a shutdown answers everybody', async (t) => {
  const bench = new Bench(1, 0, 0);
  const { fates, wait } = bench;
  wait('one', 'quorum', 1);
  wait('two', 'all', 1);
  bench.quorum.abandon(0);
  bench.quorum.abandon(0);
  t.match(fates, [/^one NOQUORUM/, /^two NOQUORUM/]);
});

t.test('an answer may bring the next wait', async (t) => {
  const bench = new Bench(0, 0, 0);
  const order: number[] = [];
  bench.quorum.wait('quorum', own, 1, 0, () => {
    order.push(1);
    bench.quorum.wait('quorum', own, 2, 0, () => order.push(2));
    bench.quorum.wait('quorum', own, 3, 0, () => order.push(3));
  });
  bench.update([2, 2, 0]);
  t.strictSame(order, [1, 2]);
  bench.update([3, 3, 0]);
  t.strictSame(order, [1, 2, 3]);
});

t.test('while the membership changes, those before and those after have to have it', async (t) => {
  let groups: readonly (readonly number[])[] = [[9, 9, 0], [9, 9, 0, 0]];
  const quorum = new Quorum(50, () => groups);
  const fates: string[] = [];
  quorum.wait('quorum', own, 9, 0, (error) => fates.push(error?.message ?? 'done'));
  quorum.wait('quorum', own, 9, 40, (error) => fates.push(error?.message ?? 'done'));
  quorum.expire(50);
  t.strictSame(fates, [
    'stored on 2 of 3 brokers, and of the members after the change that is under way on 2 of 4 brokers after 50 ms; '
    + 'it may still be delivered',
  ]);
  groups = [[9, 9, 0], [9, 9, 0, 9]];
  quorum.update();
  t.strictSame(fates.slice(1), ['done']);
});
