import t from 'tap';
import { COUNTER_OPEN_MAX } from '../../brokers/core/counter.ts';
import { LAMPORT_MAX, LamportClock } from '../../brokers/core/lamport.ts';
import { SEED, SeededRandom } from '../support/random.ts';

t.test('IR1: each event has a later time than the one before', async (t) => {
  const clock = new LamportClock();
  t.equal(clock.time, 0);
  t.equal(clock.increment(), 1);
  t.equal(clock.increment(3), 2, 'the first of three');
  t.equal(clock.time, 4, 'the last of three');
  t.equal(clock.increment(), 5);
  t.equal(new LamportClock(41).increment(), 42, 'a clock goes on from where it was');
});

t.test('IR2: what happens after a receipt is later than what was received', async (t) => {
  const clock = new LamportClock(5);
  clock.witness(9);
  t.equal(clock.time, 9);
  t.equal(clock.increment(), 10);
  clock.witness(3);
  t.equal(clock.time, 10, 'never goes back');
});

t.test('refuses what is not a timestamp, and stays as it was', async (t) => {
  const clock = new LamportClock(5);
  for (const wrong of [-1, 1.5, NaN, Infinity, LAMPORT_MAX + 1, 2 ** 53]) {
    t.throws(() => clock.witness(wrong), { code: 'ERR', message: /^Lamport timestamp .* is not an integer from 0 to 999999999999999$/ });
  }
  t.equal(clock.time, 5);
  clock.witness(LAMPORT_MAX);
  t.equal(clock.time, LAMPORT_MAX);
});

t.test('a publisher moves the clock by so much at most, and by less in the upper half of what can be counted', async (t) => {
  const half = COUNTER_OPEN_MAX;
  const cases: [time: number, told: number, isRefused?: true][] = [
    [5, 3], [5, 1_000_005], [5, 1_000_006, true], [half - 1_000_000, half], [half - 1, half + 65_535], [half - 1, half + 65_536, true], [half + 9, half + 8], [half + 9, half + 80_000, true],
  ];
  for (const [time, told, isRefused = false] of cases) {
    const clock = new LamportClock(time);
    if (isRefused) t.throws(() => clock.witnessPublisher(told, 1_000_000), { code: 'ERR', message: /^LAMPORT \d+ is more than (1000000|65536) ahead of this broker's \d+$/ });
    else clock.witnessPublisher(told, 1_000_000);
    t.equal(clock.time, isRefused ? time : Math.max(time, told), `${time} ${told}`);
  }
});

t.test(`clock condition over random processes (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const clocks = Array.from({ length: 5 }, () => new LamportClock());
  let broken = 0;
  for (let step = 0; step < 10_000; step += 1) {
    const [sender, receiver] = [random.pick(clocks), random.pick(clocks)];
    const [sent, before] = [sender.increment(), receiver.time];
    receiver.witness(sent);
    const received = receiver.increment();
    if (received <= sent || received <= before) broken += 1;
  }
  t.equal(broken, 0, 'a -> b implies C(a) < C(b)');
});
