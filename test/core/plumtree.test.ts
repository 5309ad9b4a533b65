import t from 'tap';
import { Plumtree, type PlumtreeEffect } from '../../brokers/core/plumtree.ts';
import type { Origin } from '../../brokers/core/record.ts';
import { origin } from '../support/record.ts';

const [self, a, b, c, d] = [origin('self:1'), origin('a:1'), origin('b:1'), origin('c:1'), origin('d:1')];
const STALL_MS = 1000;

/** A tree whose accepted seqs the test sets, and effects as text: `b<c 5` grafts c's records after 5 at b, `b|c` prunes c there. */
class Bench {
  readonly accepted = new Map<Origin, number>();
  readonly tree = new Plumtree(() => self, (from) => this.accepted.get(from) ?? 0, { stallMs: STALL_MS });

  constructor(...neighbours: readonly Origin[]) {
    for (const neighbour of neighbours) this.tree.linkUp(neighbour);
  }

  accept(from: Origin, seq: number, now: number): void {
    this.accepted.set(from, seq);
    this.tree.progressed(from, now);
  }
}

function text(effects: readonly PlumtreeEffect[]): string[] {
  return effects.map((effect) => effect.type === 'graft' ? `${effect.to[0]}<${effect.origin[0]} ${effect.after}` : `${effect.to[0]}|${effect.origin[0]}`);
}

t.test('a link that comes up: the neighbour\'s own records come from itself, from where we stand', async (t) => {
  const { tree, accepted } = new Bench();
  accepted.set(a, 7);
  t.strictSame(text(tree.linkUp(a)), ['a<a 7']);
  t.equal(tree.parent(a), a);
});

t.test('a link that comes up takes the neighbour\'s own records over from whoever relayed them', async (t) => {
  const { tree } = new Bench(b);
  t.strictSame(text(tree.announced(b, [[a, 5]], 0)), ['b<a 0']);
  t.strictSame(text(tree.linkUp(a)), ['b|a', 'a<a 0'], 'the new one is grafted, the old one pruned');
});

t.test('the first who announces more is grafted, and only that one', async (t) => {
  const { tree, accepted } = new Bench(a, b);
  accepted.set(c, 5);
  const cases: [from: Origin, seq: number, expected: string[], what: string][] = [
    [a, 5, [], 'what is here already'],
    [a, 6, ['a<c 5'], 'more'],
    [b, 9, [], 'it has a parent'],
    [a, 8, [], 'more of it from the parent'],
    [b, 2, [], 'less than before'],
  ];
  for (const [from, seq, expected, what] of cases) t.strictSame(text(tree.announced(from, [[c, seq]], 0)), expected, what);
  t.equal(tree.parent(c), a);
});

t.test('our own records are never asked for, and who has no link is not listened to', async (t) => {
  const { tree } = new Bench(a);
  t.strictSame(tree.announced(a, [[self, 9]], 0), []);
  t.strictSame(tree.announced(b, [[c, 9]], 0), []);
  t.strictSame(tree.tick(10 * STALL_MS), []);
});

t.test('a link that goes down: whoever is farthest ahead is asked at once', async (t) => {
  const bench = new Bench(a, b, d);
  bench.tree.announced(a, [[c, 9]], 0);
  bench.tree.announced(b, [[c, 7]], 0);
  bench.tree.announced(d, [[c, 8]], 0);
  bench.accept(c, 3, 0);
  t.strictSame(text(bench.tree.linkDown(a)), ['d<c 3']);
  bench.accept(c, 8, 0);
  t.strictSame(text(bench.tree.linkDown(d)), [], 'nobody is ahead');
  t.equal(bench.tree.parent(c), undefined);
  t.strictSame(text(bench.tree.announced(b, [[c, 9]], 0)), ['b<c 8'], 'until somebody is');
});

t.test('without progress for stallMs another one is asked, with progress nobody', async (t) => {
  const bench = new Bench(a, b);
  bench.tree.announced(a, [[c, 9]], 100);
  bench.tree.announced(b, [[c, 9]], 500);
  t.strictSame(text(bench.tree.tick(100 + STALL_MS - 1)), []);
  bench.accept(c, 1, 600);
  t.strictSame(text(bench.tree.tick(600 + STALL_MS - 1)), [], 'progress begins the time anew');
  t.strictSame(text(bench.tree.tick(600 + STALL_MS)), ['a|c', 'b<c 1']);
  t.strictSame(text(bench.tree.tick(600 + 2 * STALL_MS - 1)), [], 'it gets its time');
  t.strictSame(text(bench.tree.tick(600 + 2 * STALL_MS)), ['b|c', 'a<c 1']);
  bench.accept(c, 9, 3000);
  t.strictSame(text(bench.tree.tick(100_000)), [], 'nothing is missing');
});

t.test('where the parent alone has it, the parent is asked again', async (t) => {
  const { tree } = new Bench(a, b);
  tree.announced(a, [[c, 9]], 0);
  t.strictSame(text(tree.tick(STALL_MS)), ['a<c 0']);
});

t.test('all that stalls is grafted at one neighbour, so that it comes in one causal order', async (t) => {
  const { tree } = new Bench(a, b);
  tree.announced(a, [[c, 5]], 0);
  tree.announced(b, [[d, 5]], 0);
  tree.announced(b, [[c, 5]], 0);
  tree.announced(a, [[b, 5]], 0); // which b has not told of itself
  t.strictSame(text(tree.tick(STALL_MS)), ['a|c', 'b<c 0', 'b<d 0'], 'a alone has b\'s: its turn comes');
  t.strictSame(text(tree.tick(STALL_MS)), ['b|b', 'a<b 0']);
  t.strictSame(text(tree.tick(STALL_MS)), []);
});

t.test('what a failed transaction lost stalls from then on', async (t) => {
  const bench = new Bench(a);
  bench.tree.announced(a, [[a, 5], [self, 5], [c, 2]], 0);
  bench.accept(a, 5, 0);
  bench.accept(c, 2, 0);
  bench.accepted.set(a, 3);
  t.strictSame(text(bench.tree.tick(5000)), [], 'nobody has said so');
  bench.tree.rolledBack(5000);
  bench.tree.rolledBack(5500);
  t.strictSame(text(bench.tree.tick(5000 + STALL_MS - 1)), []);
  t.strictSame(text(bench.tree.tick(5000 + STALL_MS)), ['a<a 3'], 'what is not missing is not asked for');
});
