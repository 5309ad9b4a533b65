import t from 'tap';
import { Plumtree, type PlumtreeEffect } from '../../../brokers/core/mesh/plumtree.ts';
import type { Origin } from '../../../brokers/core/log/record.ts';
import { origin } from '../../support/record.ts';

const [self, a, b, c, d] = [origin('self:1'), origin('a:1'), origin('b:1'), origin('c:1'), origin('d:1')];
const STALL_MS = 1000;

/**
 * A tree whose accepted seqs the test sets, and effects as text: `b<c 5` grafts c's records after 5 at b, `b<c 5 d 1`
 * those of two, `b|c` prunes c there.
 */
class Bench {
  readonly accepted = new Map<Origin, number>();
  readonly heldBack = new Set<Origin>();
  /** How often it was asked about an origin. */
  asked = 0;
  readonly tree = new Plumtree(() => self, {
    accepted: (from) => {
      this.asked += 1;
      return this.accepted.get(from) ?? 0;
    },
    isHeldBack: (from) => this.heldBack.has(from),
  }, { stallMs: STALL_MS });

  constructor(...neighbours: readonly Origin[]) {
    for (const neighbour of neighbours) this.tree.linkUp(neighbour, 0);
  }

  accept(from: Origin, seq: number, now: number): void {
    this.accepted.set(from, seq);
    this.tree.progressed(from, now);
  }
}

function text(effects: readonly PlumtreeEffect[]): string[] {
  return effects.map((effect) => (effect.type === 'graft'
    ? `${effect.to[0]}<${effect.wanted.map(([from, after]) => `${from[0]} ${after}`).join(' ')}`
    : `${effect.to[0]}|${effect.origins.map((from) => from[0]).join('')}`));
}

t.test('a link that comes up: the neighbour\'s own records come from itself, from where we stand', async (t) => {
  const { tree, accepted } = new Bench();
  accepted.set(a, 7);
  t.strictSame(text(tree.linkUp(a, 0)), ['a<a 7']);
  t.equal(tree.parent(a), a);
});

t.test('a link that comes up takes the neighbour\'s own records over from whoever relayed them', async (t) => {
  const { tree } = new Bench(b);
  t.strictSame(text(tree.announced(b, [[a, 5]], 0)), ['b<a 0']);
  t.strictSame(text(tree.linkUp(a, 0)), ['b|a', 'a<a 0'], 'the new one is grafted, the old one pruned');
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
  for (const [from, seq, expected, what] of cases) {
    t.strictSame(text(tree.announced(from, [[c, seq]], 0)), expected, what);
  }
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
  t.strictSame(text(bench.tree.linkDown(a, 0).effects), ['d<c 3']);
  bench.accept(c, 8, 0);
  t.strictSame(text(bench.tree.linkDown(d, 0).effects), [], 'nobody is ahead');
  t.equal(bench.tree.parent(c), undefined);
  t.strictSame(text(bench.tree.announced(b, [[c, 9]], 0)), ['b<c 8'], 'until somebody is');
});

t.test('once nothing comes from the parent for stallMs another one is asked, while it sends nobody', async (t) => {
  const bench = new Bench(a, b);
  bench.tree.announced(a, [[c, 9]], 100);
  bench.tree.announced(b, [[c, 9]], 500);
  t.strictSame(text(bench.tree.tick(100 + STALL_MS - 1)), []);
  bench.tree.came(a, 600);
  t.strictSame(text(bench.tree.tick(600 + STALL_MS - 1)), [], 'what comes begins the time anew');
  bench.accept(c, 1, 600);
  t.strictSame(text(bench.tree.tick(600 + STALL_MS)), ['a|c', 'b<c 1']);
  t.strictSame(text(bench.tree.tick(600 + 2 * STALL_MS - 1)), [], 'it gets its time');
  t.strictSame(text(bench.tree.tick(600 + 2 * STALL_MS)), ['b|c', 'a<c 1']);
  bench.accept(c, 9, 3000);
  t.strictSame(text(bench.tree.tick(100_000)), [], 'nothing is missing');
});

t.test('an origin whose turn is late is not asked for anew, as long as its parent sends others', async (t) => {
  const bench = new Bench(a, b);
  bench.tree.announced(a, [[c, 100], [d, 1]], 0);
  bench.tree.announced(b, [[c, 100], [d, 1]], 0);
  for (let seq = 1; seq <= 100; seq += 1) {
    bench.tree.came(a, seq * STALL_MS / 2);
    bench.accept(c, seq, seq * STALL_MS / 2);
    t.strictSame(text(bench.tree.tick(seq * STALL_MS / 2)), [], `after ${seq}`);
  }
});

t.test('an origin of which the parent has no more, while another neighbour has, is asked for there', async (t) => {
  const bench = new Bench(a, b);
  bench.tree.announced(a, [[c, 5], [d, 9]], 0);
  bench.accept(c, 5, 0);
  bench.tree.announced(b, [[c, 9]], 0);
  bench.tree.came(a, STALL_MS); // it is alive, and sends d
  t.strictSame(text(bench.tree.tick(STALL_MS - 1)), []);
  t.strictSame(text(bench.tree.tick(STALL_MS)), ['a|c', 'b<c 5']);
});

t.test('what was dropped is asked for again, whatever else its parent sends', async (t) => {
  const bench = new Bench(a);
  bench.tree.announced(a, [[c, 5], [d, 9]], 0);
  bench.tree.dropped(c, 100);
  bench.accept(c, 1, 200);
  bench.tree.came(a, 200 + STALL_MS);
  t.strictSame(text(bench.tree.tick(200 + STALL_MS - 1)), []);
  t.strictSame(text(bench.tree.tick(200 + STALL_MS)), ['a<c 1']);
});

t.test('what is here and waits for others is not asked for anew, unless nothing at all is accepted', async (t) => {
  const bench = new Bench(a, b);
  bench.tree.announced(a, [[c, 5], [d, 5]], 0);
  bench.tree.announced(b, [[c, 5], [b, 5]], 0);
  bench.heldBack.add(b);
  bench.accept(d, 1, STALL_MS - 1);
  bench.tree.came(a, STALL_MS - 1);
  t.strictSame(text(bench.tree.tick(STALL_MS)), [], 'b is silent, for its window is full');
  t.strictSame(text(bench.tree.tick(2 * STALL_MS)), ['a|c', 'b<c 0 b 0'], 'with what it may wait for');
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
  t.strictSame(text(tree.tick(STALL_MS)), ['b|b', 'a<b 0 c 0'], 'b alone has d\'s: its turn comes');
  t.strictSame(text(tree.tick(STALL_MS)), ['b<d 0']);
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
