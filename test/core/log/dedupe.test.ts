import t from 'tap';
import { Dedupe, type Fate, FULL_TOPICS, type Known } from '../../../brokers/core/log/dedupe.ts';
import { RumormillError } from '../../../brokers/core/error.ts';
import { RunningTime } from '../../../brokers/core/log/running-time.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const WINDOW_MS = 1000;
const FULL = new RumormillError('DISKFULL', 'no room');

/** A memory of ids, and the time in which it is asked, ms. */
class Memory {
  now = 0;
  readonly time = new RunningTime(undefined, () => this.now, () => 0);
  readonly dedupe: Dedupe;

  constructor(idsMax: number) {
    this.dedupe = new Dedupe(WINDOW_MS, idsMax, this.time, new SeededRandom().word);
  }

  claim(topic: string, id: string, now: number): boolean {
    this.now = now;
    return this.dedupe.claim(topic, id);
  }

  stored(topic: string, id: string, lamport: number, now: number): void {
    this.now = now;
    this.dedupe.stored(topic, id, this.known(lamport, now));
  }

  expire(now: number): void {
    this.now = now;
    this.dedupe.expire();
  }

  /** A message that was published at a time. */
  known(lamport: number, at: number): Known {
    return { origin: origin('h:1'), seq: lamport, lamport, seen: this.time.at(this.now - at) };
  }

  /** What `fate` told so far, as Lamport timestamps. */
  fates(topic: string, id: string): (number | RumormillError)[] {
    const told: (number | RumormillError)[] = [];
    this.dedupe.fate(topic, id, (fate: Fate) => told.push('error' in fate ? fate.error : fate.known.lamport));
    return told;
  }

  get forgotten(): number {
    return this.dedupe.forgotten.get(origin('h:1')) ?? 0;
  }
}

t.test('an id is claimed once in a topic', async (t) => {
  const memory = new Memory(10);
  t.equal(memory.claim('a', 'x', 0), true);
  t.equal(memory.claim('a', 'x', 1), false);
  t.equal(memory.claim('b', 'x', 1), true, 'another topic');
  t.equal(memory.claim('a', 'y', 1), true, 'another id');
});

t.test('who comes second learns what became of the first: later while it is pending, at once when it is stored', async (t) => {
  const memory = new Memory(10);
  memory.claim('a', 'x', 0);
  const [early, too] = [memory.fates('a', 'x'), memory.fates('a', 'x')];
  t.strictSame([early, too], [[], []]);
  memory.stored('a', 'x', 42, 5);
  t.strictSame([early, too], [[42], [42]]);
  t.strictSame(memory.fates('a', 'x'), [42]);
  memory.stored('a', 'x', 43, 6);
  t.strictSame(memory.fates('a', 'x'), [42], 'the first one counts');
  memory.dedupe.failed('a', 'x', FULL);
  t.equal(memory.claim('a', 'x', 7), false, 'what is stored does not fail');
});

t.test('a failure frees the id, and tells who waited', async (t) => {
  const memory = new Memory(10);
  memory.claim('a', 'x', 0);
  const told = memory.fates('a', 'x');
  memory.dedupe.failed('a', 'x', FULL);
  t.strictSame(told, [FULL]);
  t.equal(memory.claim('a', 'x', 1), true);
  memory.stored('a', 'x', 7, 2);
  t.strictSame(told.length, 1);
  memory.dedupe.failed('a', 'never claimed', FULL);
  memory.dedupe.failed('never used', 'x', FULL);
});

t.test('what another broker stored is known here, for as long as it is not older than the window', async (t) => {
  const memory = new Memory(10);
  memory.stored('a', 'x', 9, 0);
  t.equal(memory.claim('a', 'x', WINDOW_MS - 1), false);
  t.strictSame(memory.fates('a', 'x'), [9]);
  memory.now = 5000;
  memory.dedupe.stored('a', 'old', memory.known(10, 4001));
  memory.dedupe.stored('a', 'too old', memory.known(11, 4000));
  t.equal(memory.claim('a', 'old', 5000), false);
  t.equal(memory.claim('a', 'old', 5001), true);
  t.equal(memory.claim('a', 'too old', 5001), true);
  t.equal(memory.forgotten, 11);
});

t.test('the window: known for so long from when it was claimed, pending ones as long as it takes', async (t) => {
  const memory = new Memory(10);
  memory.claim('a', 'pending', 0);
  memory.claim('a', 'x', 0);
  memory.stored('a', 'x', 1, 500);
  t.equal(memory.claim('a', 'x', WINDOW_MS - 1), false);
  t.equal(memory.claim('a', 'x', WINDOW_MS), true, 'a new message');
  t.equal(memory.claim('a', 'pending', 100 * WINDOW_MS), false);
  memory.expire(100 * WINDOW_MS);
  t.equal(memory.claim('a', 'pending', 100 * WINDOW_MS), false);
  memory.stored('a', 'pending', 2, 100 * WINDOW_MS);
  memory.stored('a', 'x', 3, 100 * WINDOW_MS);
  memory.expire(101 * WINDOW_MS);
  t.equal(memory.claim('a', 'pending', 101 * WINDOW_MS), true);
});

t.test('no more than so many ids a topic: the oldest leave', async (t) => {
  const memory = new Memory(3);
  for (const [index, id] of ['p', 'q', 'r', 's', 't'].entries()) {
    memory.claim('a', id, index);
    memory.stored('a', id, index + 1, index);
  }
  t.strictSame(['s', 't', 'r'].map((id) => memory.claim('a', id, 5)), [false, false, false]);
  t.equal(memory.claim('a', 'q', 5), true);
  t.equal(memory.claim('b', 'p', 5), true, 'another topic has its own');
});

t.test('ids of many topics are bounded together: the oldest leave, and may have been forgotten', async (t) => {
  const memory = new Memory(3);
  for (let index = 1; index <= 100; index += 1) memory.stored(`t${index}`, 'x', index, 0);
  t.equal(memory.dedupe.size, 3 * FULL_TOPICS);
  t.equal(memory.forgotten, 100 - 3 * FULL_TOPICS);
  t.equal(memory.dedupe.first('t70', 'x'), undefined);
  t.equal(memory.dedupe.first('t71', 'x')?.seq, 71);
  memory.expire(WINDOW_MS);
  t.equal(memory.dedupe.size, 0);
});

t.test(`ids are remembered as in a plain list (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const idsMax = 4;
  const memory = new Memory(idsMax);
  let list: { topic: string; id: string; since: number; lamport: number }[] = []; // the oldest first
  let [now, forgotten] = [0, 0];
  for (let lamport = 1; lamport <= 20_000; lamport += 1) {
    now += random.pick([0, 0, 1, 10, lamport % 1000 === 0 ? WINDOW_MS : 0]);
    const [topic, id] = [`t${random.integer(0, random.pick([1, 60]))}`, `i${random.integer(0, 20)}`];
    memory.expire(now);
    list = list.filter(({ since }) => now - since < WINDOW_MS);
    memory.stored(topic, id, lamport, now);
    if (!list.some((each) => each.topic === topic && each.id === id)) {
      list.push({ topic, id, since: now, lamport });
      const ofTopic = list.filter((each) => each.topic === topic);
      list = list.filter((each) => !ofTopic.slice(0, -idsMax).includes(each)).slice(-idsMax * FULL_TOPICS);
    }
    if (memory.dedupe.size !== list.length) {
      t.fail(`at ${lamport}: ${memory.dedupe.size} ids in place of ${list.length}`);
    }
    const one = random.pick(list);
    if (memory.dedupe.first(one.topic, one.id)?.lamport !== one.lamport) {
      t.fail(`at ${lamport}: ${one.topic} ${one.id} is not remembered`);
    }
    forgotten = Math.max(forgotten, memory.forgotten);
  }
  t.ok(forgotten > 10_000);
});

t.test('what was renewed is not the oldest', async (t) => {
  const memory = new Memory(2);
  memory.stored('a', 'x', 1, 0);
  memory.stored('a', 'y', 2, 900);
  memory.stored('a', 'x', 3, WINDOW_MS); // its first one is out of the window
  memory.stored('a', 'z', 4, WINDOW_MS);
  t.equal(memory.claim('a', 'x', WINDOW_MS + 1), false);
  t.strictSame(memory.fates('a', 'x'), [3]);
  t.equal(memory.claim('a', 'y', WINDOW_MS + 1), true);
});

t.test('to ask for an id that nobody claimed is a bug', async (t) => {
  t.throws(() => new Memory(2).fates('a', 'x'), /^bug: fate of an id/);
});

t.test('what is forgotten is covered by `forgotten`', async (t) => {
  const memory = new Memory(2);
  memory.stored('a', 'x', 1, 0);
  memory.stored('a', 'y', 2, 0);
  t.equal(memory.forgotten, 0);
  t.equal(memory.dedupe.first('a', 'x')?.seq, 1);
  memory.stored('a', 'z', 3, 10);
  t.equal(memory.forgotten, 1, 'too many');
  t.equal(memory.dedupe.first('a', 'x'), undefined);
  memory.claim('a', 'y', WINDOW_MS);
  t.equal(memory.forgotten, 2, 'claimed anew');
  memory.expire(WINDOW_MS + 10);
  t.equal(memory.forgotten, 3, 'out of the window');
  memory.stored('a', 'y', 4, WINDOW_MS + 10);
  memory.expire(3 * WINDOW_MS);
  t.equal(memory.forgotten, 4);
  memory.dedupe.forget(new Map([[origin('g:1'), 7]]));
  t.strictSame(memory.dedupe.forgotten, new Map([[origin('h:1'), 4], [origin('g:1'), 7]]));
});

t.test('an id takes less than 100 bytes however many there are, and none once it is forgotten', async (t) => {
  const memory = new Memory(40_000);
  const empty = 256 * 1024;
  for (let index = 0; index < 400_000; index += 1) {
    memory.stored(`topic ${index % 10}`, `0b8c9d7e-1111-4222-8333-${index}`, index + 1, 0);
    const { size, bytes } = memory.dedupe;
    if (bytes > 100 * size + empty) t.fail(`${bytes} bytes for ${size} ids`);
  }
  t.equal(memory.dedupe.size, 400_000);
  t.equal(memory.dedupe.first('topic 7', '0b8c9d7e-1111-4222-8333-123457')?.seq, 123_458);
  memory.expire(WINDOW_MS);
  t.equal(memory.dedupe.size, 0);
  t.ok(memory.dedupe.bytes < empty, `${memory.dedupe.bytes} bytes`);
});
