import t from 'tap';
import { COUNTER_SENSE_MAX } from '../../../brokers/core/counter.ts';
import { LAMPORT_MAX, LamportClock, type LamportLimits } from '../../../brokers/core/log/lamport.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

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
    t.throws(() => clock.witness(wrong), {
      code: 'ERR',
      message: /^Lamport timestamp .* is not an integer from 0 to 9007199254740991$/,
    });
  }
  t.equal(clock.time, 5);
  clock.witness(LAMPORT_MAX);
  t.equal(clock.time, LAMPORT_MAX);
});

const LIMITS: LamportLimits = {
  lamportPerSecondMax: 1000,
  lamportSavedMax: 50_000,
  lamportSavedFirst: 500,
  lamportPeersPerSecondMax: 100_000,
  lamportPeersAheadMax: 1_000_000,
  lamportToldPerSecondMax: 1000,
  lamportToldSavedMax: 10_000,
};

t.test('publishers move the clock by so much a second, however often they ask, fresh or not', async (t) => {
  for (const begin of [0, 7, 5_000_000]) {
    let now = 0;
    const clock = new LamportClock(begin, LIMITS, () => now);
    t.throws(() => clock.witnessPublisher(begin + 501), {
      code: 'ERR',
      message: `LAMPORT ${begin + 501} is 501 ahead of this broker's ${begin}, which follows publishers by 1000 a second, 500 now; nothing was stored`,
    });
    t.equal(clock.time, begin);
    for (; now < 100_000; now += 10) { // each asks for as much as there is, and a thousand times for more
      for (let step = 1; step <= 1024; step *= 2) {
        try {
          clock.witnessPublisher(clock.time + step);
        } catch {
          break; // as much as there was
        }
      }
    }
    t.ok(clock.time <= begin + 500 + 100 * 1000, `${clock.time - begin} in 100 s`);
    t.ok(clock.time > begin + 90_000, 'and not much less');
    clock.witnessPublisher(begin);
  }
});

t.test('what publishers do not use is saved for those who come from a busier side of a partition, up to a limit', async (t) => {
  let now = 0;
  const clock = new LamportClock(10, LIMITS, () => now);
  now = 20_000;
  clock.witnessPublisher(10 + 20_000);
  now = 1e12;
  t.throws(() => clock.witnessPublisher(clock.time + 50_001), { code: 'ERR' });
  clock.witnessPublisher(clock.time + 50_000);
});

t.test('after a partition of a year the side that is behind follows what the other has counted', async (t) => {
  let now = 0;
  const clock = new LamportClock(1000, LIMITS, () => now);
  const year = 365 * 24 * 3600;
  t.throws(() => clock.witnessPeer(1000 + year * 90_000), {
    code: 'PROTOCOL',
    message: /^Lamport timestamp \d+ is above 1001000, and 1000 is known here$/,
  });
  now = year * 1000;
  clock.witnessPeer(1000 + year * 90_000);
  t.equal(clock.increment(), 1001 + year * 90_000);
  t.throws(() => clock.witnessPeer(COUNTER_SENSE_MAX + 1), { code: 'PROTOCOL' }, 'and nothing beyond sense');
});

t.test('what one peer says of its clock takes this one far less than a record', async (t) => {
  let now = 0;
  const clock = new LamportClock(0, LIMITS, () => now);
  for (let message = 0; message < 1000; message += 1) clock.told('liar', 999_999);
  t.equal(clock.time, 10_000);
  t.throws(() => clock.told('liar', 1_000_001), { code: 'PROTOCOL' });
  now = 1000;
  clock.told('liar', 999_999);
  t.equal(clock.time, 11_000);
  clock.witnessPeer(999_999);
  t.equal(clock.time, 999_999);
});

t.test('most peers are believed, also in what time alone does not explain', async (t) => {
  const clock = new LamportClock(0, LIMITS, () => 0);
  for (const peer of ['a', 'b', 'liar']) clock.told(peer, 1_000_000);
  t.equal(clock.time, 1_000_000);
  t.throws(() => clock.told('liar', 1_000_001), { code: 'PROTOCOL' });
  clock.parted('liar');
  t.throws(() => clock.witnessPeer(1_000_001), { code: 'PROTOCOL' });
});

t.test('who is new follows what the mesh says, and measures from there', async (t) => {
  const clock = new LamportClock(0, LIMITS);
  t.equal(clock.mayWitness(2 ** 45), false);
  clock.follow(2 ** 45);
  t.equal(clock.mayWitness(2 ** 45 + 1_000_000), true);
  t.equal(clock.mayWitness(2 ** 45 + 1_000_001), false);
});

t.test('at the end of all timestamps nothing overflows: what would be recorded is refused, and other events share the last one', async (t) => {
  const clock = new LamportClock(LAMPORT_MAX - 5);
  t.equal(clock.room, 5);
  t.throws(() => clock.increment(6), {
    code: 'ERR',
    message: 'the Lamport clock has come to its end, 9007199254740991; nothing was stored: see broker --mend-clock',
  });
  t.equal(clock.increment(5), LAMPORT_MAX - 4);
  t.throws(() => clock.increment(), { code: 'ERR' });
  t.equal(clock.tick(), LAMPORT_MAX);
  t.equal(clock.time, LAMPORT_MAX);
  t.equal(new LamportClock(2 ** 60).time, LAMPORT_MAX);
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
