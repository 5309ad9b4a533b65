import t from 'tap';
import { LOOK_WORK, Turns } from '../../brokers/core/turns.ts';
import { ManualClock } from '../support/manual-clock.ts';

const TURN_MS = 10;

/** A clock on which each look at it takes a millisecond. */
class BusyClock extends ManualClock {
  looks = 0;

  override now(): number {
    return (this.looks += 1);
  }
}

function* steps(count: number, each: (step: number) => void, work = LOOK_WORK): Generator<number, string> {
  for (let step = 0; step < count; step += 1) {
    each(step);
    yield work;
  }
  return 'done';
}

/** How many steps each round of the event loop carried out until there was nothing left. */
async function perRound(clock: ManualClock, counted: () => number): Promise<number[]> {
  const rounds: number[] = [];
  for (let before = -1; counted() > before; rounds.push(counted() - before)) {
    before = counted();
    await clock.round();
  }
  return rounds;
}

t.test('long work is done in turns, and all of it', async (t) => {
  const clock = new BusyClock();
  const done: number[] = [];
  const result = new Turns(clock, TURN_MS).run(steps(100, (step) => void done.push(step)));
  t.ok(done.length >= 1 && done.length <= TURN_MS + 1, `it begins at once: ${done.length}`);
  const rounds = await perRound(clock, () => done.length);
  t.ok(Math.max(...rounds) <= TURN_MS + 1, `at most a turn a round: ${rounds.join(' ')}`);
  t.equal(await result, 'done');
  t.strictSame(done, Array.from({ length: 100 }, (_, step) => step));
});

t.test('while there is little to do nobody looks at the clock, and nothing is put off', async (t) => {
  const clock = new BusyClock();
  const turns = new Turns(clock, TURN_MS);
  for (let work = 0; work < LOOK_WORK - 1; work += 1) t.equal(turns.isOver(1), false) || t.bailout('over');
  t.equal(clock.looks, 0);
  t.equal(turns.isOver(1), false);
  t.equal(clock.looks, 1);
});

t.test('all share a turn, and have theirs one after another', async (t) => {
  const clock = new BusyClock();
  const turns = new Turns(clock, TURN_MS);
  const done: string[] = [];
  const all = ['a', 'b', 'c'].map((name) => turns.run(steps(30, () => void done.push(name))));
  const rounds = await perRound(clock, () => done.length);
  t.ok(Math.max(...rounds) <= TURN_MS + 1, rounds.join(' '));
  t.strictSame(await Promise.all(all), ['done', 'done', 'done']);
  t.ok(done.indexOf('c') < done.lastIndexOf('a'), 'nobody waits until another is through');
});

t.test('a turn that is over is over for everybody until the round ends', async (t) => {
  const clock = new BusyClock();
  const turns = new Turns(clock, TURN_MS);
  while (!turns.isOver(LOOK_WORK));
  let ran = false;
  turns.later(() => (ran = true));
  const result = turns.run(steps(1, () => t.equal(ran, true, 'behind what waits')));
  t.equal(turns.isOver(1), true);
  t.equal(ran, false);
  await clock.settle();
  t.strictSame([ran, await result, turns.isOver(1)], [true, 'done', false]);
});

t.test('what a step throws is the result', async (t) => {
  const clock = new ManualClock();
  const result = new Turns(clock, TURN_MS).run(steps(3, (step) => {
    if (step === 2) throw new Error('third');
  }));
  await t.rejects(result, { message: 'third' });
});
