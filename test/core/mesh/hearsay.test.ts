import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import { type Beat, Hearsay } from '../../../brokers/core/mesh/hearsay.ts';
import type { Origin } from '../../../brokers/core/log/record.ts';
import { origin } from '../../support/record.ts';

const [self, a, b, c] = ['self:1', 'a:1', 'b:1', 'c:1'].map(parseAddress) as [Address, Address, Address, Address];
const store = (address: Address, tag = 0): Origin => origin(address, tag);
const ALL = (): boolean => true;

function hearsay(...neighbours: readonly Address[]): Hearsay {
  const core = new Hearsay(() => store(self), 3);
  for (const neighbour of neighbours) core.linkUp(neighbour);
  return core;
}

t.test('a neighbour is told of everybody once, and then of what is news', async (t) => {
  const core = hearsay(a, b);
  t.strictSame(core.news(a, ALL), [[store(self), 1]]);
  t.strictSame(core.news(a, ALL), []);
  t.strictSame(core.learn(a, [[store(a), 7], [store(c), 3]]), [a, c]);
  t.strictSame(core.news(a, ALL), [], 'not of what it told us');
  t.strictSame(core.news(b, ALL), [[store(self), 1], [store(a), 7], [store(c), 3]]);
  t.strictSame(core.learn(b, [[store(c), 3], [store(a), 6]]), [], 'as high, or lower, is no news');
  core.beat();
  t.strictSame(core.learn(b, [[store(c), 4]]), [c]);
  t.strictSame(core.news(a, ALL), [[store(self), 3], [store(c), 4]]);
  core.linkDown(a);
  t.strictSame(core.news(a, ALL), []);
  core.linkUp(a);
  t.equal(core.news(a, ALL).length, 3, 'a new link begins anew');
});

t.test('what is not worth telling is told once it is', async (t) => {
  const core = hearsay(a, b);
  core.learn(a, [[store(c), 3]]);
  t.strictSame(core.news(b, (address) => address !== c), [[store(self), 1]]);
  t.strictSame(core.news(b, ALL), [[store(c), 3]]);
});

t.test('a broker that comes back goes on above what the mesh remembers of it', async (t) => {
  const cases: [remembered: Beat, beat: number, what: string][] = [
    [[store(self), 1], 1, 'our own beat'],
    [[store(self), 9], 11, 'a former process'],
    [[store(self), 10], 11, 'a former process that stopped'],
    [[store(self, 5), 1], 3, 'a former store'],
    [[store(self, 5), 9], 11, 'a former store that lived longer'],
  ];
  for (const [remembered, beat, what] of cases) {
    const core = hearsay(a);
    t.strictSame(core.learn(a, [remembered]), [], what);
    t.equal(core.origin(self), store(self), what);
    t.strictSame(core.news(a, ALL), beat === 1 ? [] : [[store(self), beat]], what);
  }
});

t.test('the store with the highest beat is the one that an address runs', async (t) => {
  const core = hearsay(a, b);
  core.learn(a, [[store(c, 1), 9]]);
  t.equal(core.origin(c), store(c, 1));
  core.learn(b, [[store(c, 2), 10]]);
  core.learn(a, [[store(c, 1), 9]]);
  t.equal(core.origin(c), store(c, 2), 'an old one that comes late changes nothing');
  t.equal(core.origin(b), undefined);
});

t.test('two stores with one beat: the same one wins everywhere, and the broker that lives hears of the other', async (t) => {
  for (const order of [[1, 2], [2, 1]]) {
    const core = hearsay(a, b);
    for (const tag of order) core.learn(a, [[store(c, tag), 9]]);
    t.equal(core.origin(c), store(c, 2));
  }
  const core = hearsay(c);
  core.learn(c, [[store(c, 1), 9]]);
  core.linkUp(a);
  core.learn(a, [[store(c, 2), 9]]);
  t.ok(core.news(c, ALL).some(([told]) => told === store(c, 2)), 'so that it goes on above that');
});

t.test('a broker or a store that is new is worth telling at once, a beat is not', async (t) => {
  const core = hearsay(a);
  t.equal(core.takeNews(), true, 'this one');
  t.equal(core.takeNews(), false);
  core.learn(a, [[store(c, 1), 9]]);
  t.equal(core.takeNews(), true);
  core.learn(a, [[store(c, 1), 11]]);
  core.beat();
  t.equal(core.takeNews(), false);
  core.learn(a, [[store(c, 2), 13]]);
  t.equal(core.takeNews(), true);
});

t.test('a broker that stops says so, all pass it on, and nobody holds it for gone once it is back', async (t) => {
  const leaver = hearsay(a);
  leaver.learn(a, [[store(self), 8]]);
  leaver.leave();
  t.strictSame(leaver.news(a, ALL), [[store(self), 10]], 'its last beat is even');
  const core = hearsay(a, b);
  t.equal(core.isGone(c), false, 'nothing is known of it');
  core.learn(a, [[store(c), 9]]);
  core.takeNews();
  t.strictSame(core.learn(a, [[store(c), 10]]), [c]);
  t.ok(core.isGone(c));
  t.equal(core.takeNews(), true);
  t.strictSame(core.learn(a, [[store(c), 9]]), [], 'an older beat that comes late says nothing');
  t.strictSame(core.news(b, ALL).at(-1), [store(c), 10]);
  core.learn(b, [[store(c), 11]]);
  t.notOk(core.isGone(c));
  t.equal(core.takeNews(), true, 'a return is news');
});

t.test('a broker that is held for gone says at once that it lives', async (t) => {
  const core = hearsay(a, b);
  core.news(a, ALL);
  core.takeNews();
  core.learn(b, [[store(self), 4]]);
  t.equal(core.takeNews(), true);
  t.strictSame(core.news(a, ALL), [[store(self), 5]]);
  t.strictSame(core.news(b, ALL), [[store(self), 5]]);
});

t.test('no more than so many are remembered, and who is forgotten may come again', async (t) => {
  const core = hearsay(a);
  const others = ['d:1', 'e:1'].map(parseAddress);
  t.equal(core.learn(a, [a, b, c, ...others].map((address): Beat => [store(address), 1])).length, 3);
  core.forget(a);
  t.strictSame(core.learn(a, [[store(others[0]!), 1]]), others.slice(0, 1));
});
