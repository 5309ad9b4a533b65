import t from 'tap';
import { Quorum } from '../../brokers/core/quorum.ts';

const TIMEOUT_MS = 5000;

/** A quorum and what became of each waiter, by its name. */
function bench(...seqs: number[]): { quorum: Quorum; fates: string[]; wait: (name: string, level: 'quorum' | 'all', seq: number, now?: number) => void } {
  const quorum = new Quorum(TIMEOUT_MS);
  quorum.update(seqs);
  const fates: string[] = [];
  return { quorum, fates, wait: (name, level, seq, now = 0) => quorum.wait(level, seq, now, (error) => fates.push(error ? `${name} ${error.code}` : name)) };
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
    const { fates, wait } = bench(...seqs);
    wait('quorum', 'quorum', reached);
    wait('quorum + 1', 'quorum', reached + 1);
    wait('all', 'all', all);
    wait('all + 1', 'all', all + 1);
    t.strictSame(fates, ['quorum', 'all'], seqs.join(' '));
  }
});

t.test('whether anybody waits', async (t) => {
  const { wait, quorum } = bench(1, 0, 0);
  t.equal(quorum.isAwaited, false);
  wait('one', 'quorum', 1);
  t.equal(quorum.isAwaited, true);
  quorum.update([1, 1, 0]);
  t.equal(quorum.isAwaited, false);
  wait('all', 'all', 1);
  t.equal(quorum.isAwaited, true);
});

t.test('before anything is known nothing is reached', async (t) => {
  const { fates, wait, quorum } = bench();
  wait('one', 'quorum', 1);
  t.strictSame(fates, []);
  quorum.update([1]);
  t.strictSame(fates, ['one']);
});

t.test('waiters are answered in their order as the others catch up, each once', async (t) => {
  const { fates, wait, quorum } = bench(0, 0, 0);
  for (const seq of [1, 2, 3]) {
    wait(`q${seq}`, 'quorum', seq);
    wait(`a${seq}`, 'all', seq);
  }
  quorum.update([3, 2, 0]);
  t.strictSame(fates.splice(0), ['q1', 'q2']);
  quorum.update([3, 2, 1]);
  t.strictSame(fates.splice(0), ['a1']);
  quorum.update([3, 3, 3]);
  t.strictSame(fates.splice(0), ['q3', 'a2', 'a3']);
  quorum.update([9, 9, 9]);
  quorum.expire(1e9);
  t.strictSame(fates, []);
});

t.test('the brokers that count may change', async (t) => {
  const { fates, wait, quorum } = bench(5, 5, 0, 0, 0);
  wait('five', 'quorum', 5);
  quorum.update([5, 5, 0]);
  t.strictSame(fates, ['five'], 'a majority of three');
});

t.test('a timeout says how far it has come, and that the message may still be delivered', async (t) => {
  const quorum = new Quorum(TIMEOUT_MS);
  quorum.update([4, 4, 3]);
  const errors: string[] = [];
  quorum.wait('all', 4, 1000, (error) => errors.push(`${error?.code} ${error?.message}`));
  quorum.wait('all', 5, 1001, (error) => errors.push(`${error?.code} ${error?.message}`));
  quorum.expire(1000 + TIMEOUT_MS - 1);
  t.strictSame(errors, []);
  quorum.expire(1000 + TIMEOUT_MS);
  t.strictSame(errors.splice(0), ['NOQUORUM stored on 2 of 3 brokers after 5000 ms; it may still be delivered']);
  quorum.update([5, 5, 5]);
  t.strictSame(errors, ['undefined undefined'], 'the other one had its time yet');
});

t.test('a shutdown answers everybody', async (t) => {
  const { fates, wait, quorum } = bench(1, 0, 0);
  wait('one', 'quorum', 1);
  wait('two', 'all', 1);
  quorum.abandon(0);
  quorum.abandon(0);
  t.strictSame(fates, ['one NOQUORUM', 'two NOQUORUM']);
});

t.test('an answer may bring the next wait', async (t) => {
  const quorum = new Quorum(TIMEOUT_MS);
  quorum.update([0, 0, 0]);
  const order: number[] = [];
  quorum.wait('quorum', 1, 0, () => {
    order.push(1);
    quorum.wait('quorum', 2, 0, () => order.push(2));
    quorum.wait('quorum', 3, 0, () => order.push(3));
  });
  quorum.update([2, 2, 0]);
  t.strictSame(order, [1, 2]);
  quorum.update([3, 3, 0]);
  t.strictSame(order, [1, 2, 3]);
});
