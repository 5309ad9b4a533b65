import t from 'tap';
import { Glob } from '../../../brokers/core/read/glob.ts';
import { PubSub } from '../../../brokers/core/read/pub-sub.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

/** Each pattern that matches, with each of its subscribers. */
function matching(pubSub: PubSub<string>, channel: string): string[] {
  const { value } = last(pubSub.matching(channel));
  return value
    .flatMap(({ text, subscribers }) => [...subscribers.keys()].map((subscriber) => `${text} ${subscriber}`))
    .sort();
}

/** What the generator returns, and how much work it counted. */
function last<T>(steps: Generator<number, T>): { value: T; work: number } {
  let work = 0;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return { value: step.value, work };
    work += step.value;
  }
}

t.test('who gets what', async (t) => {
  const pubSub = new PubSub<string>();
  t.equal(pubSub.isEmpty, true);
  pubSub.subscribe('news', 'ann');
  pubSub.subscribe('news', 'bob');
  pubSub.subscribe('news', 'ann');
  pubSub.psubscribe('n*', 'ann');
  pubSub.psubscribe('*s', 'ann');
  pubSub.psubscribe('x*', 'bob');
  t.strictSame([...pubSub.subscribers('news').keys()], ['ann', 'bob']);
  t.strictSame([...pubSub.subscribers('new').keys()], []);
  t.strictSame(matching(pubSub, 'news'), ['*s ann', 'n* ann'], 'once for each pattern');
  t.strictSame([pubSub.countSubscribers('news'), pubSub.countSubscribers('new'), pubSub.patternCount], [2, 0, 3]);
  pubSub.subscribe('sport', 'bob');
  t.strictSame([...pubSub.channels()], ['news', 'sport']);
});

t.test('who has left gets nothing, and nothing is kept of them', async (t) => {
  const pubSub = new PubSub<string>();
  pubSub.subscribe('news', 'ann');
  pubSub.psubscribe('n*', 'ann');
  pubSub.unsubscribe('news', 'bob');
  pubSub.punsubscribe('m*', 'ann');
  t.equal(pubSub.isEmpty, false);
  pubSub.unsubscribe('news', 'ann');
  t.strictSame([...pubSub.subscribers('news')], []);
  t.strictSame([...pubSub.channels()], []);
  pubSub.punsubscribe('n*', 'ann');
  t.strictSame(matching(pubSub, 'news'), []);
  t.equal(pubSub.patternCount, 0);
  t.equal(pubSub.isEmpty, true);
});

t.test('each has the position at which it subscribed first', async (t) => {
  let position = 5;
  const pubSub = new PubSub<string>(() => position);
  pubSub.subscribe('news', 'ann');
  pubSub.psubscribe('n*', 'ann');
  position = 7;
  for (const subscriber of ['ann', 'bob']) {
    pubSub.subscribe('news', subscriber);
    pubSub.psubscribe('n*', subscriber);
  }
  t.strictSame([...pubSub.subscribers('news')], [['ann', 5], ['bob', 7]]);
  t.strictSame([...last(pubSub.matching('news')).value[0]!.subscribers], [['ann', 5], ['bob', 7]]);
});

t.test('only patterns that may match are tried, and those once a channel', async (t) => {
  const pubSub = new PubSub<string>();
  for (let user = 0; user < 10_000; user += 1) pubSub.psubscribe(`user:${user}:*`, 'ann');
  const once = last(pubSub.matching('user:77:inbox'));
  t.strictSame(once.value.map(({ text }) => text), ['user:77:*']);
  t.ok(once.work < 100, `of those that begin otherwise none: ${once.work}`);
  for (let each = 0; each < 100; each += 1) pubSub.psubscribe(`*${each}`, 'bob');
  t.ok(last(pubSub.matching('user:77:inbox')).work >= 100, 'those that are new');
  t.ok(last(pubSub.matching('user:77:inbox')).work < 10, 'which is remembered');
});

t.test(`what is remembered is what is true, whoever comes and goes meanwhile (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const pubSub = new PubSub<string>();
  const there = new Map<string, Set<string>>();
  const names = Array.from({ length: 1500 }, (_, index) => `${index % 7}${index}`);
  let running: { steps: Generator<number, unknown>; channel: string }[] = [];
  for (let step = 0; step < 20_000; step += 1) {
    const text =
      random.pick(['*', '?*', '', '1', '2']) +
      random.pick(['1', '22', '[1-3]*', '*4', '5*6', `${random.integer(0, 500)}*`]);
    const subscriber = random.pick(['ann', 'bob']);
    const subscribers = there.get(text) ?? new Set();
    if (random.integer(0, 1) === 0) {
      pubSub.psubscribe(text, subscriber);
      there.set(text, subscribers.add(subscriber));
    } else {
      pubSub.punsubscribe(text, subscriber);
      subscribers.delete(subscriber);
    }
    const channel = random.pick(names.slice(0, step % 2 === 0 ? 20 : 1500));
    if (random.integer(0, 2) === 0) running.push({ steps: pubSub.matching(channel), channel });
    running = running.filter(({ steps }) => steps.next().done !== true); // some are under way while patterns change
    if (step % 50 !== 0) continue;
    const expected = [...there]
      .flatMap(([pattern, all]) =>
        new Glob(pattern).matches(channel) ? [...all].map((each) => `${pattern} ${each}`) : [],
      )
      .sort();
    t.strictSame(matching(pubSub, channel), expected) || t.bailout(`${channel} at step ${step}`);
  }
});
