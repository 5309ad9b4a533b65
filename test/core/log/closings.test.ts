import t from 'tap';
import {
  CLOSED_MAX, type ClosingName, closingName, closingRecord, Closings, encodeClosing, parseClosing,
} from '../../../brokers/core/log/closings.ts';
import type { Origin } from '../../../brokers/core/log/record.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const [a, b, c, d] = [1, 2, 3, 4].map((tag) => origin('gone:1', tag)) as [Origin, Origin, Origin, Origin];
const closer = origin('closer:1');
const live = origin('live:1');
const name = (seq: number): ClosingName => closingName(closer, seq);

/** Closings, one after another, each at the position of its number: `[after, closed]`. */
function heard(...sayings: readonly (readonly [after: number | undefined, closed: [Origin, number][]])[]): Closings {
  const closings = new Closings();
  for (const [index, [after, closed]] of sayings.entries()) {
    const saying = { after: after === undefined ? undefined : name(after), closed: new Map(closed) };
    closings.hear(name(index + 1), 10 * (index + 1), saying, true);
  }
  return closings;
}

t.test('a closing is used once another one goes on from it', async (t) => {
  const vector = new Map([[a, 5], [live, 9], [closer, 2]]);
  const one = heard([undefined, [[a, 5]]]);
  t.strictSame(one.split(vector), { after: undefined, rest: vector });
  t.equal(one.isSettled(name(1)), false);
  one.hear(name(2), 20, { after: name(1), closed: new Map() }, true);
  t.equal(one.isSettled(name(1)), true);
  t.strictSame(one.split(vector), { after: name(1), rest: new Map([[live, 9], [closer, 2]]) });
});

t.test('what a vector has beyond a closing is named, and what it lacks is not claimed', async (t) => {
  const closings = heard([undefined, [[a, 5]]], [1, [[b, 7], [c, 1]]], [2, []]);
  const cases: [vector: [Origin, number][], after: ClosingName | undefined, rest: [Origin, number][]][] = [
    [[[a, 5], [b, 7], [c, 1]], name(2), []],
    [[[a, 6], [b, 7], [c, 1], [d, 3]], name(2), [[a, 6], [d, 3]]],
    [[[a, 5], [b, 6], [c, 1]], name(1), [[b, 6], [c, 1]]],
    [[[a, 5], [b, 7]], name(1), [[b, 7]]],
    [[[a, 4], [b, 7], [c, 1]], undefined, [[a, 4], [b, 7], [c, 1]]],
    [[], undefined, []],
  ];
  for (const [vector, after, rest] of cases) {
    t.strictSame(closings.split(new Map(vector)), { after, rest: new Map(rest) }, JSON.stringify(vector));
  }
});

t.test('an origin of which more has come is closed again', async (t) => {
  const closings = heard([undefined, [[a, 5]]], [1, [[a, 8]]], [2, []]);
  t.strictSame(closings.split(new Map([[a, 8]])), { after: name(2), rest: new Map() });
  t.strictSame(closings.split(new Map([[a, 6]])), { after: name(1), rest: new Map([[a, 6]]) });
  t.strictSame(closings.closedBy(name(2)), new Map([[a, 8]]));
  t.strictSame(closings.closedBy(name(1)), new Map([[a, 5]]));
  t.strictSame(closings.closedBy(undefined), new Map());
});

t.test('of two lines the one that closes more is used, in whatever order they come', async (t) => {
  const other = closingName(live, 1);
  const said = [
    [name(1), { after: undefined, closed: new Map([[a, 1]]) }],
    [name(2), { after: name(1), closed: new Map() }],
    [other, { after: undefined, closed: new Map([[b, 1], [c, 1]]) }],
    [closingName(live, 2), { after: other, closed: new Map() }],
  ] as const;
  for (const order of [[0, 1, 2, 3], [2, 3, 0, 1], [0, 2, 1, 3], [2, 0, 3, 1]]) {
    const closings = new Closings();
    for (const [position, index] of order.entries()) {
      closings.hear(said[index]![0], position + 1, said[index]![1], true);
    }
    t.equal(closings.last?.name, other, String(order));
  }
  const equal = [true, false].map((reversed) => {
    const closings = new Closings();
    const lines = [name(1), other].map((first, index) => [
      [first, { after: undefined, closed: new Map([[a, 1 + index]]) }],
      [closingName(index === 0 ? closer : live, 9), { after: first, closed: new Map() }],
    ] as const);
    for (const [each, saying] of (reversed ? lines.reverse() : lines).flat()) closings.hear(each, 1, saying, true);
    return closings.last?.name;
  });
  t.equal(equal[0], equal[1], 'the same one everywhere if they close as much');
});

t.test('a vector that was split is made again by whoever has the closing, and by nobody else', async (t) => {
  const random = new SeededRandom(SEED);
  const origins = Array.from({ length: 12 }, (_, tag) => origin('any:1', tag));
  for (let run = 0; run < 300; run += 1) {
    const closings = new Closings();
    let after: ClosingName | undefined;
    for (let seq = 1; seq <= random.integer(1, 6); seq += 1) {
      const listed = origins.filter(() => random.integer(0, 3) === 0);
      const closed = new Map(listed.map((each) => [each, random.integer(1, 9)]));
      closings.hear(name(seq), seq, { after, closed }, true);
      after = random.integer(0, 5) === 0 ? after : name(seq);
    }
    const vector = new Map(origins.filter(() => random.integer(0, 9) > 0).map((each) => [each, random.integer(1, 12)]));
    const split = closings.split(vector);
    const joined = closings.join(split);
    t.strictSame([...joined!].sort(), [...vector].sort(), `SEED=${SEED}, run ${run}`);
    if (split.after !== undefined) t.equal(new Closings().join(split), undefined, 'not by one that lacks it');
    for (const [each, seq] of closings.closedBy(split.after)) {
      t.ok(split.rest.has(each) === (vector.get(each) !== seq), 'nothing is named without need');
    }
  }
});

t.test('what is closed up to a position', async (t) => {
  const closings = heard([undefined, [[a, 5]]], [1, [[b, 7]]], [2, []]);
  t.strictSame(closings.closedAt(9), new Map());
  t.strictSame(closings.closedAt(10), new Map([[a, 5]]));
  t.strictSame(closings.closedAt(20), new Map([[a, 5], [b, 7]]));
  t.strictSame(closings.closedAt(1e9), new Map([[a, 5], [b, 7]]));
});

t.test('one whose closing before it is not known is not understood', async (t) => {
  const closings = new Closings();
  t.equal(closings.hear(name(2), 1, { after: name(1), closed: new Map([[a, 1]]) }, true), false);
  t.equal(closings.has(name(2)), false);
  t.equal(closings.hear(name(3), 2, { after: undefined, closed: new Map([[a, 1]]) }, true), true);
});

t.test('one that closes what is not here is known for cursors of others, and never used, nor what goes on from it', async (t) => {
  const closings = heard([undefined, [[a, 5]]], [1, []]);
  t.equal(closings.hear(name(3), 30, { after: name(2), closed: new Map([[b, 7], [c, 1], [d, 1]]) }, false), false);
  t.equal(closings.hear(name(4), 40, { after: name(3), closed: new Map() }, true), false);
  t.equal(closings.hear(name(5), 50, { after: name(4), closed: new Map() }, true), false);
  t.equal(closings.last?.name, name(1));
  t.strictSame(closings.closedAt(1e9), new Map([[a, 5]]));
  t.strictSame(closings.counting().map((closing) => closing.name), [name(1), name(2)]);
  t.strictSame(closings.split(new Map([[a, 5], [b, 7], [c, 1], [d, 1]])).after, name(1));
  const vector = new Map([[a, 5], [b, 7], [c, 1], [d, 1]]);
  t.strictSame(closings.join({ after: name(4), rest: new Map() }), vector, 'another may have had it all in time');
});

t.test('sayings: round trip, and what is none', async (t) => {
  const saying = { after: name(7), closed: new Map([[a, 1], [b, Number.MAX_SAFE_INTEGER]]) };
  t.strictSame(parseClosing(encodeClosing(saying)), saying);
  t.strictSame(parseClosing('{"closed":{}}'), { after: undefined, closed: new Map() });
  t.strictSame(closingRecord(name(7)), [closer, 7]);
  const many = (count: number): string => JSON.stringify({
    closed: Object.fromEntries(Array.from({ length: count }, (_, tag) => [origin('x:1', tag), 1])),
  });
  t.equal(parseClosing(many(CLOSED_MAX))?.closed.size, CLOSED_MAX);
  const wrong = [
    '', 'x', '[]', '{}', '{"closed":[]}', '{"closed":7}', `{"closed":{"${a}":0}}`, `{"closed":{"${a}":1.5}}`,
    `{"closed":{"${a}":"1"}}`, '{"closed":{"nobody":1}}', '{"after":"x","closed":{}}', '{"after":null,"closed":{}}',
    `{"after":"${closer}#0","closed":{}}`, `{"after":"${closer}","closed":{}}`, `{"after":"${closer}#1e5","closed":{}}`,
    many(CLOSED_MAX + 1),
  ];
  for (const text of wrong) t.equal(parseClosing(text), undefined, text.slice(0, 60));
});
