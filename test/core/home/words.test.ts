import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import { type ViewName, type Word, Words } from '../../../brokers/core/home/words.ts';
import { origin } from '../../support/record.ts';

const [self, a, b, c] = ['self:1', 'a:1', 'b:1', 'c:1'].map(parseAddress) as [Address, Address, Address, Address];
const [x, y] = [origin('x:1', 1), origin('y:1', 1)];

function view(number: number, coordinator = c, term = 1): ViewName {
  return { coordinator, term, number };
}

function word(number: number, members: readonly Address[], isFar: boolean, stored: Word['stored'] = []): Word {
  return { view: view(number), members, stored, isFar };
}

t.test('a neighbour is told the own word, and of others those that are far-reaching, each once', async (t) => {
  const core = new Words(self);
  core.learn(word(1, [self], false, [[x, 3]]));
  t.strictSame(core.news(view(1), a), word(1, [self], false, [[x, 3]]));
  t.equal(core.news(view(1), a), undefined);
  core.learn(word(1, [a], false, [[x, 2], [y, 7]]), a);
  t.equal(core.news(view(1), a), undefined);
  t.strictSame(core.news(view(1), b), word(1, [self], false, [[x, 3], [y, 7]]), 'a has a link with b');
  core.learn(word(1, [a, c], true), a);
  t.strictSame(core.news(view(1), b)?.members, [a, c], 'together');
  t.equal(core.news(view(1), b), undefined);
  t.equal(core.news(view(2), b), undefined, 'nobody has spoken of that view');
});

t.test('what a neighbour has told it is not told, nor its own word; on a new link all is told again', async (t) => {
  const core = new Words(self);
  core.learn(word(1, [c], true), a);
  core.learn(word(1, [c, b], true), b);
  t.strictSame(core.news(view(1), a)?.members, [b]);
  t.equal(core.news(view(1), b), undefined);
  core.linkUp(a);
  t.strictSame(core.news(view(1), a)?.members, [c, b]);
});

t.test('the own word is told again once it is to be told on', async (t) => {
  const core = new Words(self);
  core.learn(word(1, [self], false, [[x, 3]]));
  core.news(view(1), a);
  core.learn(word(1, [self], true));
  t.strictSame(core.news(view(1), a), word(1, [self], true, [[x, 3]]));
});

t.test('a word counts for its view and earlier ones of its coordinator', async (t) => {
  const core = new Words(self);
  core.learn(word(2, [a], false, [[x, 3]]), a);
  core.learn(word(1, [b], false, [[y, 9]]), b);
  t.ok(core.has(a, view(1)));
  t.ok(core.has(a, view(2)));
  t.notOk(core.has(a, view(3)));
  t.notOk(core.has(a, view(1, b)), 'not for those of another coordinator');
  t.notOk(core.has(b, view(2)));
  t.ok(core.isCovered(view(2), new Map([[x, 3]])), 'what was said before does not matter any more');
  t.notOk(core.isCovered(view(2), new Map([[x, 2]])));
  t.notOk(core.isCovered(view(1), new Map([[x, 3]])));
  t.ok(core.isCovered(view(1), new Map([[x, 3], [y, 9]])));
});

t.test('a neighbour that speaks of many views, or of many members, pushes out nothing that others said', async (t) => {
  const core = new Words(self);
  core.learn(word(1, [b], true), b);
  core.learn(word(2, [a], true), a); // it is the first to speak of it
  core.learn(word(2, [b], true), b);
  for (let number = 3; number < 100; number += 1) core.learn(word(number, [a], true), a);
  t.ok(core.has(b, view(1)));
  t.ok(core.has(b, view(2)));
  const made = Array.from({ length: 100_000 }, (_, index) => parseAddress(`made.up:${(index % 60_000) + 1}`));
  for (let part = 0; part < 3; part += 1) {
    core.learn(word(2, made.map((name) => parseAddress(`${part}.${name}`)), true), a);
  }
  core.learn(word(2, [c], true), b);
  const named = core.news(view(2), self)!.members;
  t.ok(named.length < 70_000, `${named.length}`);
  t.ok(named.includes(c));
});

t.test('words on the newest views are remembered, and no more than so many', async (t) => {
  const core = new Words(self);
  for (let number = 1; number <= 9; number += 1) core.learn({ ...word(number, [a], true), view: view(1, c, number) });
  core.learn({ ...word(1, [b], true), view: view(1, a, 1) });
  t.notOk(core.has(b, view(1)));
  core.learn({ ...word(1, [b], true), view: view(1, c, 1) });
  t.ok(core.has(b, view(1)));
  t.ok(core.has(a, view(1, c, 9)));
});
