import t from 'tap';
import { Dedupe, type Known, type Fate } from '../../brokers/core/dedupe.ts';
import { RumormillError } from '../../brokers/core/error.ts';
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
