import t from 'tap';
import { parseAddress } from '../../../brokers/core/address.ts';
import { Ages } from '../../../brokers/core/log/ages.ts';
import { origin } from '../../support/record.ts';

const HERE = parseAddress('h:1');
const THERE = parseAddress('h:2');
const [OURS, THEIRS] = [origin('h:1', 1), origin('h:2', 2)];
const [HOUR, YEAR] = [3_600_000, 365 * 24 * 3_600_000];

/** A process: `ahead` is how far its wall clock is ahead of the true time, which passes for all. */
function processOf(address: typeof HERE, time: { true: number }, ahead: number) {
  const startedAt = time.true;
  const machine = { ahead };
  const clock = { now: () => time.true - startedAt, wallTime: () => Math.max(0, time.true + machine.ahead) };
  return { machine, clock, ages: new Ages(clock, address) };
}

t.test('processes that have met know how old what the other writes is, wherever their wall clocks stand and jump to', async (t) => {
  for (const [here, there] of [[0, 0], [YEAR, 0], [-YEAR, 0], [0, YEAR], [0, -YEAR], [300_000, -300_000]] as const) {
    const time = { true: 2 * YEAR };
    const [one, two] = [processOf(HERE, time, here), processOf(THERE, time, there)];
    time.true += 500;
    one.ages.met(THERE, two.ages.processTime);
    time.true += HOUR;
    two.machine.ahead -= 2 * HOUR;
    const written = two.ages.written();
    time.true += 1000;
    one.machine.ahead += 3 * HOUR;
    const age = one.clock.now() - one.ages.writtenAt(written, THEIRS);
    t.ok(age >= 0 && age <= 1000, `${age} ms, ${here} and ${there} ms ahead`);
  }
});

t.test('where clocks agree, what was written long ago is that old, across restarts too', async (t) => {
  const time = { true: YEAR };
  const before = processOf(HERE, time, 50);
  time.true += HOUR;
  const written = before.ages.written();
  time.true += HOUR;
  const after = processOf(HERE, time, 50);
  for (const from of [OURS, THEIRS]) t.equal(after.clock.now() - after.ages.writtenAt(written, from), HOUR);
  after.ages.met(THERE, processOf(THERE, time, 0).ages.processTime);
  t.ok(Math.abs(after.clock.now() - after.ages.writtenAt(before.ages.written(), THEIRS) - 0) <= 50);
});

t.test('nothing was written later than now', async (t) => {
  const time = { true: YEAR };
  const { ages, clock } = processOf(HERE, time, 0);
  time.true += 70;
  for (const from of [OURS, THEIRS]) t.equal(ages.writtenAt({ wall: 2 * YEAR, steady: 2 * YEAR }, from), clock.now());
});
