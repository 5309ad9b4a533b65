import t from 'tap';
import { Dedupe, type Fate, FULL_TOPICS, type Known } from '../../brokers/core/dedupe.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { SEED, SeededRandom } from '../support/random.ts';
import { origin } from '../support/record.ts';

const WINDOW_MS = 1000;
const FULL = new RumormillError('DISKFULL', 'no room');

const known = (lamport: number): Known => ({ origin: origin('h:1'), seq: lamport, lamport, time: 0 });

/** What `fate` told so far. */
function fates(dedupe: Dedupe, topic: string, id: string): Fate[] {
  const told: Fate[] = [];
  dedupe.fate(topic, id, (fate) => told.push(fate));
  return told;
}

t.test('an id is claimed once in a topic', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 10);
  t.equal(dedupe.claim('a', 'x', 0), true);
  t.equal(dedupe.claim('a', 'x', 1), false);
  t.equal(dedupe.claim('b', 'x', 1), true, 'another topic');
  t.equal(dedupe.claim('a', 'y', 1), true, 'another id');
});

t.test('who comes second learns what became of the first: later while it is pending, at once when it is stored', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 10);
  dedupe.claim('a', 'x', 0);
  const [early, too] = [fates(dedupe, 'a', 'x'), fates(dedupe, 'a', 'x')];
  t.strictSame([early, too], [[], []]);
  dedupe.stored('a', 'x', known(42), 5);
  t.strictSame([early, too], [[{ known: known(42) }], [{ known: known(42) }]]);
  t.strictSame(fates(dedupe, 'a', 'x'), [{ known: known(42) }]);
  dedupe.stored('a', 'x', known(43), 6);
  t.strictSame(fates(dedupe, 'a', 'x'), [{ known: known(42) }], 'the first one counts');
  dedupe.failed('a', 'x', FULL);
  t.equal(dedupe.claim('a', 'x', 7), false, 'what is stored does not fail');
});

t.test('a failure frees the id, and tells who waited', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 10);
  dedupe.claim('a', 'x', 0);
  const told = fates(dedupe, 'a', 'x');
  dedupe.failed('a', 'x', FULL);
  t.strictSame(told, [{ error: FULL }]);
  t.equal(dedupe.claim('a', 'x', 1), true);
  dedupe.stored('a', 'x', known(7), 2);
  t.strictSame(told.length, 1);
  dedupe.failed('a', 'never claimed', FULL);
  dedupe.failed('never used', 'x', FULL);
});

t.test('what another broker stored is known here', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 10);
  dedupe.stored('a', 'x', known(9), 0);
  t.equal(dedupe.claim('a', 'x', WINDOW_MS - 1), false);
  t.strictSame(fates(dedupe, 'a', 'x'), [{ known: known(9) }]);
});

t.test('the window: known for so long from when it was claimed, pending ones as long as it takes', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 10);
  dedupe.claim('a', 'pending', 0);
  dedupe.claim('a', 'x', 0);
  dedupe.stored('a', 'x', known(1), 500);
  t.equal(dedupe.claim('a', 'x', WINDOW_MS - 1), false);
  t.equal(dedupe.claim('a', 'x', WINDOW_MS), true, 'a new message');
  t.equal(dedupe.claim('a', 'pending', 100 * WINDOW_MS), false);
  dedupe.expire(100 * WINDOW_MS);
  t.equal(dedupe.claim('a', 'pending', 100 * WINDOW_MS), false);
  dedupe.stored('a', 'pending', known(2), 100 * WINDOW_MS);
  dedupe.stored('a', 'x', known(3), 100 * WINDOW_MS);
  dedupe.expire(101 * WINDOW_MS);
  t.equal(dedupe.claim('a', 'pending', 101 * WINDOW_MS), true);
});

t.test('no more than so many ids a topic: the oldest leave', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 3);
  for (const [index, id] of ['p', 'q', 'r', 's', 't'].entries()) {
    dedupe.claim('a', id, index);
    dedupe.stored('a', id, known(index), index);
  }
  t.strictSame(['s', 't', 'r'].map((id) => dedupe.claim('a', id, 5)), [false, false, false]);
  t.equal(dedupe.claim('a', 'q', 5), true);
  t.equal(dedupe.claim('b', 'p', 5), true, 'another topic has its own');
});

t.test('ids of many topics are bounded together: the oldest leave, and may have been forgotten', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 3);
  for (let index = 1; index <= 100; index += 1) dedupe.stored(`t${index}`, 'x', known(index), 0);
  t.equal(dedupe.size, 3 * FULL_TOPICS);
  t.equal(dedupe.forgotten.get(origin('h:1')), 100 - 3 * FULL_TOPICS);
  t.equal(dedupe.first('t70', 'x'), undefined);
  t.equal(dedupe.first('t71', 'x')?.seq, 71);
  dedupe.expire(WINDOW_MS);
  t.equal(dedupe.size, 0);
});

t.test(`ids are remembered as in a plain list (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const idsMax = 4;
  const dedupe = new Dedupe(WINDOW_MS, idsMax);
  let list: { topic: string; id: string; since: number; lamport: number }[] = []; // the oldest first
  let [now, forgotten] = [0, 0];
  for (let lamport = 1; lamport <= 20_000; lamport += 1) {
    now += random.pick([0, 0, 1, 10, lamport % 1000 === 0 ? WINDOW_MS : 0]);
    const [topic, id] = [`t${random.integer(0, random.pick([1, 60]))}`, `i${random.integer(0, 20)}`];
    dedupe.expire(now);
    list = list.filter(({ since }) => now - since < WINDOW_MS);
    dedupe.stored(topic, id, known(lamport), now);
    if (!list.some((each) => each.topic === topic && each.id === id)) {
      list.push({ topic, id, since: now, lamport });
      const ofTopic = list.filter((each) => each.topic === topic);
      list = list.filter((each) => !ofTopic.slice(0, -idsMax).includes(each)).slice(-idsMax * FULL_TOPICS);
    }
    if (dedupe.size !== list.length) t.fail(`at ${lamport}: ${dedupe.size} ids in place of ${list.length}`);
    const one = random.pick(list);
    if (dedupe.first(one.topic, one.id)?.lamport !== one.lamport) t.fail(`at ${lamport}: ${one.topic} ${one.id} is not remembered`);
    forgotten = Math.max(forgotten, dedupe.forgotten.get(origin('h:1')) ?? 0);
  }
  t.ok(forgotten > 10_000);
});

t.test('what was renewed is not the oldest', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 2);
  dedupe.stored('a', 'x', known(1), 0);
  dedupe.stored('a', 'y', known(2), 900);
  dedupe.stored('a', 'x', known(3), WINDOW_MS); // its first one is out of the window
  dedupe.stored('a', 'z', known(4), WINDOW_MS);
  t.equal(dedupe.claim('a', 'x', WINDOW_MS + 1), false);
  t.strictSame(fates(dedupe, 'a', 'x'), [{ known: known(3) }]);
  t.equal(dedupe.claim('a', 'y', WINDOW_MS + 1), true);
});

t.test('to ask for an id that nobody claimed is a bug', async (t) => {
  t.throws(() => fates(new Dedupe(WINDOW_MS, 2), 'a', 'x'), /^bug: fate of an id/);
});

t.test('what is forgotten is covered by `forgotten`', async (t) => {
  const dedupe = new Dedupe(WINDOW_MS, 2);
  const forgotten = (): number => dedupe.forgotten.get(origin('h:1')) ?? 0;
  dedupe.stored('a', 'x', known(1), 0);
  dedupe.stored('a', 'y', known(2), 0);
  t.equal(forgotten(), 0);
  t.equal(dedupe.first('a', 'x')?.seq, 1);
  dedupe.stored('a', 'z', known(3), 10);
  t.equal(forgotten(), 1, 'too many');
  t.equal(dedupe.first('a', 'x'), undefined);
  dedupe.claim('a', 'y', WINDOW_MS);
  t.equal(forgotten(), 2, 'claimed anew');
  dedupe.expire(WINDOW_MS + 10);
  t.equal(forgotten(), 3, 'out of the window');
  dedupe.stored('a', 'y', known(4), WINDOW_MS + 10);
  dedupe.expire(3 * WINDOW_MS);
  t.equal(forgotten(), 4);
  dedupe.forget(new Map([[origin('g:1'), 7]]));
  t.strictSame(dedupe.forgotten, new Map([[origin('h:1'), 4], [origin('g:1'), 7]]));
});
