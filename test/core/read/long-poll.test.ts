import t from 'tap';
import { LongPoll, type Waiter } from '../../../brokers/core/read/long-poll.ts';
import { heapBytes } from '../../support/memory.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

const waiter = (deadline: number, ...topics: string[]): Waiter => ({ deadline, topics });

t.test('a waiter is woken by each of its topics, and stays until it is removed', async (t) => {
  const poll = new LongPoll();
  const [ab, b] = [waiter(10, 'a', 'b'), waiter(20, 'b')];
  poll.add(ab);
  poll.add(b);
  t.equal(poll.size, 2);
  t.strictSame([...poll.woken(['a'])], [ab]);
  t.strictSame([...poll.woken(['b', 'a'])], [ab, b], 'each once, in the order in which they came');
  t.strictSame([...poll.woken(['b'])], [ab, b], 'woken again');
  t.strictSame([...poll.woken(['c'])], []);
  t.equal(poll.remove(ab), true);
  t.equal(poll.remove(ab), false, 'leaves once');
  t.strictSame([...poll.woken(['a', 'b'])], [b]);
  t.strictSame([...poll.all()], [b]);
});

t.test('who is woken can be removed while the others are gone through', async (t) => {
  const poll = new LongPoll();
  for (let index = 0; index < 10; index += 1) poll.add(waiter(index, 'a'));
  let seen = 0;
  for (const woken of poll.woken(['a'])) {
    seen += 1;
    poll.remove(woken);
    poll.add(waiter(100, 'a'));
  }
  t.equal(seen, 10, 'those who came meanwhile are not among the woken');
  t.equal(poll.size, 10);
});

t.test('expiry: at the deadline, earliest first, each once', async (t) => {
  const poll = new LongPoll();
  const waiters = [5, 3, 9, 3, 7].map((deadline) => waiter(deadline, 'a'));
  for (const each of waiters) poll.add(each);
  t.strictSame(poll.expire(2), []);
  t.strictSame(poll.expire(6).map(({ deadline }) => deadline), [3, 3, 5]);
  t.equal(poll.remove(waiters[0]!), false, 'who expired has left');
  t.strictSame([...poll.woken(['a'])], [waiters[2], waiters[4]]);
  t.strictSame(poll.expire(9), [waiters[4], waiters[2]]);
  t.strictSame([poll.size, poll.expire(Infinity).length], [0, 0]);
});

t.test('a cancelled waiter does not expire', async (t) => {
  const poll = new LongPoll();
  const [first, second] = [waiter(1, 'a'), waiter(2, 'a')];
  poll.add(first);
  poll.add(second);
  poll.remove(first);
  t.strictSame(poll.expire(5), [second]);
});

t.test('waiters that were cancelled do not stay in the heap', async (t) => {
  let reads = 0;
  class Counted implements Waiter {
    readonly topics = ['a'];
    readonly #deadline: number;
    constructor(deadline: number) {
      this.#deadline = deadline;
    }
    get deadline(): number {
      reads += 1;
      return this.#deadline;
    }
  }
  const poll = new LongPoll<Counted>();
  const last = new Counted(1_000_000);
  poll.add(last);
  for (let round = 0; round < 100; round += 1) {
    const cancelled = Array.from({ length: 1000 }, (_, index) => new Counted(round * 1000 + index));
    for (const each of cancelled) poll.add(each);
    for (const each of cancelled) poll.remove(each);
  }
  t.ok(reads < 100_000 * 60, `adding and cancelling 100,000 takes ${reads} reads of a deadline: about log n each`);
  reads = 0;
  t.strictSame(poll.expire(1_000_000), [last]);
  t.ok(reads < 1000, `the heap is searched through for one waiter with ${reads} reads of a deadline`);
});

t.test('a topic for which nobody waits any more takes no memory', async (t) => {
  const poll = new LongPoll();
  const before = heapBytes();
  for (let index = 0; index < 100_000; index += 1) {
    const brief = waiter(index, `topic ${index}`);
    poll.add(brief);
    poll.remove(brief);
  }
  const kept = heapBytes() - before;
  t.ok(kept < 2_000_000, `${kept} bytes kept of 100,000 topics`);
  t.equal(poll.size, 0);
});

t.test(`does what a plain list does (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const poll = new LongPoll();
  let list: Waiter[] = [];
  const gone: Waiter[] = [];
  const topics = ['a', 'b', 'c', 'd', 'e'];
  const ids = new Map<Waiter, number>();
  const sorted = (waiters: Iterable<Waiter>): number[] =>
    [...waiters].map((each) => ids.get(each)!).sort((x, y) => x - y);
  let now = 0;
  const counts = { add: 0, remove: 0, expired: 0, woken: 0 };
  for (let step = 0; step < 20_000; step += 1) {
    // Periods of growth and of shrinking, so that the heap is rebuilt many times.
    const growing = Math.floor(step / 1000) % 2 === 0;
    const action = random.pick(
      growing
        ? ['add', 'add', 'add', 'remove', 'expire', 'woken']
        : ['add', 'remove', 'remove', 'remove', 'gone', 'woken'],
    );
    if (action === 'add') {
      const added = waiter(now + random.integer(0, 500), ...topics.filter(() => random.integer(0, 1) === 1));
      ids.set(added, step);
      list.push(added);
      poll.add(added);
      counts.add += 1;
    } else if (action === 'remove' && list.length > 0) {
      const [removed] = list.splice(random.integer(0, list.length - 1), 1);
      if (!poll.remove(removed!)) t.fail(`step ${step}: remove did not find it`);
      gone.push(removed!);
      counts.remove += 1;
    } else if (action === 'gone' && gone.length > 0) {
      if (poll.remove(random.pick(gone))) t.fail(`step ${step}: left twice`);
    } else if (action === 'expire') {
      now += random.integer(0, 5);
      const due = list.filter(({ deadline }) => deadline <= now);
      list = list.filter(({ deadline }) => deadline > now);
      const expired = poll.expire(now);
      const deadlines = expired.map(({ deadline }) => deadline);
      if (String(sorted(expired)) !== String(sorted(due))) t.fail(`step ${step}: others expired`);
      if (String(deadlines) !== String([...deadlines].sort((x, y) => x - y))) {
        t.fail(`step ${step}: not earliest first`);
      }
      gone.push(...expired);
      counts.expired += expired.length;
    } else if (action === 'woken') {
      const published = topics.filter(() => random.integer(0, 2) === 0);
      const expected = list.filter((each) => [...each.topics].some((topic) => published.includes(topic)));
      if (String(sorted(poll.woken(published))) !== String(sorted(expected))) t.fail(`step ${step}: others woken`);
      counts.woken += expected.length;
    }
    if (poll.size !== list.length) t.fail(`step ${step}: size ${poll.size}, not ${list.length}`);
  }
  t.ok(Object.values(counts).every((count) => count > 1000), `everything happened often: ${JSON.stringify(counts)}`);
});
