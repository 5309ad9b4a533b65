import t from 'tap';
import { Held } from '../../../brokers/core/mesh/held.ts';
import { origin } from '../../support/record.ts';

const [o, a, b, c, d] = [origin('o:1'), origin('a:1'), origin('b:1'), origin('c:1'), origin('d:1')];

function held(): Held {
  const core = new Held(3);
  for (const neighbour of [a, b]) core.linkUp(neighbour);
  return core;
}

t.test('what neighbours hold is told on, once, and only what is more', async (t) => {
  const core = held();
  t.equal(core.learn(o, c, 5), true);
  t.equal(core.learn(o, d, 3), true);
  t.strictSame(core.takeUntold(), [o]);
  t.strictSame(core.takeUntold(), []);
  t.strictSame(core.news(a, o), [[c, 5], [d, 3]]);
  t.strictSame(core.news(a, o), []);
  t.equal(core.learn(o, c, 4), false, 'less');
  t.equal(core.hasUntold(a), false);
  t.equal(core.learn(o, d, 4), true);
  t.strictSame(core.news(a, o), [[d, 4]]);
  t.equal(core.get(o, c), 5);
});

t.test('claims of one\'s own records end here', async (t) => {
  const core = held();
  core.learn(o, c, 5);
  t.equal(core.hasUntold(o), false);
  t.equal(core.hasUntold(a), true);
  core.learn(a, c, 5);
  t.equal(core.hasUntold(o), true);
});

t.test('a neighbour is not told what it said, nor of itself', async (t) => {
  const core = held();
  core.learn(o, a, 9);
  core.learn(o, c, 5);
  core.knows(a, o, [c, 5]);
  t.strictSame(core.news(a, o), []);
  t.strictSame(core.news(b, o), [[a, 9], [c, 5]]);
});

t.test('another parent is told everything', async (t) => {
  const core = held();
  core.learn(o, c, 5);
  core.news(a, o);
  core.takeUntold();
  core.rerouted(o);
  t.strictSame(core.takeUntold(), [o]);
  t.strictSame(core.news(b, o), [[c, 5]]);
  core.linkDown(a);
  t.strictSame(core.news(a, o), []);
  core.linkUp(a);
  t.strictSame(core.news(a, o), [[c, 5]], 'and so is one that comes back');
});

t.test('a claim is about one store and one origin', async (t) => {
  const core = held();
  const wiped = origin('c:1', 7);
  core.learn(o, c, 5);
  t.equal(core.get(o, wiped), 0, 'a wiped broker has another one, for which nobody vouches');
  t.equal(core.get(a, c), 0);
  core.learn(o, wiped, 2);
  t.strictSame([core.get(o, c), core.get(o, wiped)], [5, 2]);
});

t.test('made-up stores of one broker push out each other, and none of another broker', async (t) => {
  const core = new Held(1000);
  core.linkUp(a);
  core.learn(o, c, 5);
  for (let index = 1; index <= 2000; index += 1) {
    core.learn(o, origin('d:1', index), 9);
    core.knows(a, o, [origin('d:1', index), 9]);
  }
  t.equal(core.get(o, c), 5);
  t.strictSame([1, 1996, 1997, 2000].map((index) => core.get(o, origin('d:1', index))), [0, 0, 9, 9]);
  t.equal(core.learn(o, b, 1), true, 'there is room for others');
  core.knows(a, o, [origin('e:1'), 9]);
  core.learn(o, origin('e:1'), 9);
  const news = [[c, 5], [b, 1], [origin('e:1'), 9]];
  t.strictSame(core.news(a, o), news, 'nor is more remembered of what a neighbour knows');
});

t.test('no more than so many stores are kept of an origin', async (t) => {
  const core = held();
  for (const [index, holder] of [a, b, c, d].entries()) t.equal(core.learn(o, holder, 1), index < 3);
  t.equal(core.learn(o, a, 2), true, 'those that are there go on');
  t.equal(core.get(o, d), 0);
});
