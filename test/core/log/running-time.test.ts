import t from 'tap';
import { goOn, RunningTime, type SavedTime } from '../../../brokers/core/log/running-time.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

/** A store's running time over several lives, and what really was the time. */
class Store {
  real = 0;
  wallOffsetMs = 0;
  saved: SavedTime | undefined;
  time!: RunningTime;

  start(): RunningTime {
    const begun = this.real;
    return (this.time = new RunningTime(
      this.saved, () => this.real - begun, () => 1e12 + this.real + this.wallOffsetMs,
    ));
  }

  stop(): void {
    this.saved = this.time.saved;
  }
}

t.test('time is counted while a broker runs, wherever its wall clock jumps', async (t) => {
  const store = new Store();
  const time = store.start();
  const then = time.now();
  store.real += 5000;
  store.wallOffsetMs = -1e12;
  t.equal(time.age(then), 5000);
  t.equal(time.between(time.now(), then), 5000);
  t.equal(time.at(2000), then + 3000);
  t.equal(time.age(time.at(70_000)), 70_000, 'older than this life');
  t.equal(time.age(time.now() + 10), 0, 'nothing is younger than new');
});

t.test('of the time between two lives the lesser counts of what the peers missed and what the wall clock says', async (t) => {
  for (const [missed, jump, counted] of [
    [[], 0, 0],
    [[60_000 + 300], 0, 60_000],
    [[90_000], 0, 60_000],
    [[60_300], 31_536_000_000, 60_000],
    [[60_300], -31_536_000_000, 0],
    [[100_000, 60_300], 1e9, 60_000],
    [[60_300, 100_000], 1e9, 60_000],
    [[60_300, 299], 0, 60_000],
  ] as const) {
    const store = new Store();
    const before = store.start().now();
    store.real += 1000;
    store.stop();
    store.real += 60_000;
    store.wallOffsetMs = jump;
    const time = store.start();
    store.real += 300;
    t.equal(time.age(before), 1300, 'nobody has told yet');
    for (const ms of missed) time.missed(ms);
    t.equal(time.age(before), 1300 + counted, `${missed.join()} and a jump of ${jump}`);
  }
});

t.test('a peer that lost this life for a while says nothing of the time before it', async (t) => {
  const store = new Store();
  store.start();
  store.stop();
  store.real += 60_000;
  const time = store.start();
  t.equal(time.missed(60_000), true);
  store.real += 3_600_000;
  t.equal(time.missed(5000), false);
  t.equal(time.age(time.end), 3_660_000);
});

t.test('what was stored after the last save still comes before the next life', async (t) => {
  const saved = { now: 100, wall: 1000, pauses: [] };
  t.strictSame(goOn(saved, 50), saved);
  t.strictSame(goOn(saved, 130), { now: 130, wall: 1030, pauses: [] });
});

t.test(`over many lives, points stand as they really stood (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const store = new Store();
  const points: [point: number, real: number][] = [];
  for (let life = 0; life < 60; life += 1) {
    const pause = random.integer(0, 100_000);
    store.real += life === 0 ? 0 : pause;
    const time = store.start();
    points.push([time.now(), store.real]);
    store.real += random.integer(0, 500);
    if (life > 0) time.missed(pause + Math.floor(store.real - points.at(-1)![1]));
    for (let count = 0; count < 20; count += 1) {
      store.real += random.integer(0, 10_000);
      const ageMs = random.integer(0, Math.min(store.real, 300_000));
      points.push([time.now(), store.real], [time.at(ageMs), store.real - ageMs]);
    }
    for (let count = 0; count < 200; count += 1) {
      const [[one, realOne], [two, realTwo]] = [random.pick(points), random.pick(points)];
      if (time.between(one, two) !== Math.abs(realOne - realTwo)) {
        t.fail(`${time.between(one, two)} in place of ${Math.abs(realOne - realTwo)}`);
      }
      const ms = random.integer(0, 200_000);
      if (realOne >= ms && time.between(time.before(one, ms), one) !== ms) t.fail(`${ms} before`);
      if (time.between(time.after(one, ms), one) !== ms) t.fail(`${ms} after`);
    }
    store.stop();
  }
  t.ok(points.length > 2000);
});
