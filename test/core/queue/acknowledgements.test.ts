import t from 'tap';
import { Acknowledgements, encodeRecord, isOfLife, parseRecord } from '../../../brokers/core/queue/acknowledgements.ts';
import type { Origin } from '../../../brokers/core/log/record.ts';
import type { BindingStart } from '../../../brokers/core/catalog/subscription.ts';
import type { Vector } from '../../../brokers/core/log/version-vector.ts';
import { SEED, SeededRandom } from '../../support/random.ts';
import { origin } from '../../support/record.ts';

const [A, B, C] = [origin('a:1', 1), origin('b:1', 2), origin('c:1', 3)];
const ORIGINS = [A, B, C];
const TOP = 60;
const STORED: Vector = new Map(ORIGINS.map((each) => [each, TOP]));
const STARTS: BindingStart[] = [
  { id: `7@${A}`, start: new Map() },
  { id: `9@${B}`, start: new Map([[A, 20], [C, 3]]) },
];

const WRITTEN = { wall: 1000, steady: 1000 };

function stateOf(build: (state: Acknowledgements) => void): Acknowledgements {
  const state = new Acknowledgements();
  build(state);
  return state;
}

function union(...states: Acknowledgements[]): Acknowledgements {
  return stateOf((state) => states.forEach((each) => state.merge(each)));
}

/** As text, in an order of its own. */
function plain(state: Acknowledgements): unknown {
  const { d = {}, f = [], a = {}, w = {} } = state.toJSON();
  const pairs = (flat: number[]): string[] =>
    flat
      .filter((_, at) => at % 2 === 0)
      .map((seq, at) => `${seq}:${flat[2 * at + 1]}`)
      .sort();
  const floors = f.flatMap(({ b, v }) => b.map((id) => [id, v] as const)).sort(([x], [y]) => (x < y ? -1 : 1));
  return {
    d: sorted(d),
    f: floors.map(([id, v]) => [id, sorted(v)]),
    a: sorted(Object.fromEntries(Object.entries(a).map(([each, flat]) => [each, pairs(flat)]))),
    w: sorted(
      Object.fromEntries(
        Object.entries(w).map(([each, groups]) => [each, groups.map((group) => JSON.stringify(group)).sort()]),
      ),
    ),
  };
}

function sorted(object: object): unknown[] {
  return Object.entries(object).sort(([x], [y]) => (x < y ? -1 : 1));
}

function randomState(random: SeededRandom): Acknowledgements {
  return stateOf((state) => {
    for (let step = random.integer(0, 12); step > 0; step -= 1) {
      const [from, seq] = [random.pick(ORIGINS), random.integer(1, TOP)];
      const kind = random.integer(0, 6);
      if (kind === 0) state.raise(STARTS.slice(random.integer(0, 1)).map(({ id }) => id), new Map([[from, seq]]));
      else if (kind === 1) state.fail(from, seq, random.integer(1, 5), random.pick([undefined, random.integer(1, 50)]));
      else if (kind === 2) state.free(from, seq, random.integer(1, 5));
      else state.add(from, seq);
    }
  });
}

function doneOf(state: Acknowledgements, starts: readonly BindingStart[]): string[] {
  return ORIGINS.flatMap((from) =>
    Array.from({ length: TOP }, (_, at) => at + 1)
      .filter((seq) => state.isDone(from, seq, starts))
      .map((seq) => `${from} ${seq}`),
  );
}

t.test('an exception is done for everybody, a floor for its own start, beyond what the start covers', async (t) => {
  const state = stateOf((each) => {
    each.add(A, 5);
    each.raise([STARTS[1]!.id], new Map([[A, 25]]));
  });
  const [all, late] = [[STARTS[0]!], [STARTS[1]!]];
  t.strictSame([4, 5, 6].map((seq) => state.isDone(A, seq, all)), [false, true, false]);
  t.strictSame(
    [20, 21, 25, 26].map((seq) => state.isDone(A, seq, late)), [false, true, true, false],
    'up to 20 it is none of its own',
  );
  t.equal(state.isDone(A, 21, STARTS), true, 'one of the starts that it is for is enough');
  t.equal(state.isDone(B, 1, STARTS), false);
});

t.test('attempts count for what is not done', async (t) => {
  const state = stateOf((each) => {
    each.fail(A, 5, 2);
    each.fail(A, 5, 1);
    each.fail(B, 6, 3);
  });
  t.equal(state.attempts(A, 5), 2, 'the greatest number counts');
  state.add(A, 5);
  state.fail(A, 5, 7);
  t.equal(state.attempts(A, 5), 0);
  t.strictSame(state.toJSON().a, { [B]: [6, 3] });
});

t.test('a wait belongs to the newest delivery that failed; of two for the same one the longer counts, unless it was freed', async (t) => {
  const state = stateOf((each) => each.fail(A, 5, 2, 700));
  t.equal(state.waitsUntil(A, 5), 700);
  state.merge(stateOf((each) => each.fail(A, 5, 1, 900)));
  t.equal(state.waitsUntil(A, 5), 700, 'of an earlier delivery');
  state.merge(stateOf((each) => each.fail(A, 5, 2, 600)));
  state.merge(stateOf((each) => each.fail(A, 5, 2)));
  t.equal(state.waitsUntil(A, 5), 700);
  state.merge(stateOf((each) => each.fail(A, 5, 2, 800)));
  t.strictSame([...state.waits(0)], [{ origin: A, seq: 5, attempts: 2, until: 800 }]);
  t.strictSame([...state.waits(800)], []);
  const freed = union(state, stateOf((each) => each.free(A, 5, 2)), state);
  t.equal(freed.waitsUntil(A, 5), 0);
  t.equal(union(freed, stateOf((each) => each.fail(A, 5, 3, 999))).waitsUntil(A, 5), 999);
  t.equal(union(state, stateOf((each) => each.fail(A, 5, 3))).waitsUntil(A, 5), 0);
  state.forgetWaits(799);
  t.equal(state.waitsUntil(A, 5), 800);
  state.add(A, 5);
  t.strictSame([state.waitsUntil(A, 5), state.attempts(A, 5)], [0, 0], 'it is done');
});

t.test('a record has what is left of waits, together where they end together; whoever reads it counts from when it was written', async (t) => {
  const state = stateOf((each) => {
    for (let seq = 1; seq <= 50; seq += 1) each.fail(A, seq, 1, 5000);
    each.fail(A, 51, 2, 5000);
    each.fail(A, 52, 1, 1000);
    each.free(A, 53, 1);
  });
  const record = { subscription: 's', since: { lamport: 7, origin: A }, state };
  const text = encodeRecord(record, 2000, WRITTEN);
  t.equal(
    text,
    `{"s":"s","c":"7@${A}","t":[1000,1000],"w":{"${A}":[[3000,1,[0,50]],[3000,2,[50,1]],[0,1,[52,1]]]},"a":{"${A}":[52,1]}}`,
  );
  const read = parseRecord(text, STORED, (written) => {
    t.strictSame(written, WRITTEN);
    return 400;
  }).state;
  t.strictSame(
    [1, 51, 52, 53].map((seq) => [read.waitsUntil(A, seq), read.attempts(A, seq)]),
    [
      [3400, 1], [3400, 2], [0, 1], [0, 1],
    ],
  );
  const long = parseRecord(text.replace('[3000,1', '[9000000000000,1'), STORED, () => 400).state;
  t.equal(long.waitsUntil(A, 1), 400 + 24 * 3600 * 1000, 'nobody can make a message wait for longer than a day');
  state.add(A, 53);
  state.forgetWaits(6000);
  t.notMatch(encodeRecord(record, 6000, WRITTEN), /"t"/, 'what waits no more says no time');
});

t.test(`merging is commutative, associative and idempotent, and text changes nothing (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const wrong = new Set<string>();
  const same = (what: string, x: Acknowledgements, y: Acknowledgements): void => {
    if (JSON.stringify(plain(x)) !== JSON.stringify(plain(y))) wrong.add(what);
  };
  for (let round = 0; round < 500; round += 1) {
    const [x, y, z] = [randomState(random), randomState(random), randomState(random)];
    same('commutative', union(x, y), union(y, x));
    same('associative', union(union(x, y), z), union(x, union(y, z)));
    same('idempotent', union(x, x), x);
    same('absorbing', union(union(x, y), x), union(x, y));
    same('as text', Acknowledgements.parse(JSON.parse(JSON.stringify(x)), STORED), x);
    const done = new Set([...doneOf(x, STARTS), ...doneOf(y, STARTS)]);
    if (
      doneOf(union(x, y), STARTS).some((name) => !done.has(name)) ||
      done.size !== doneOf(union(x, y), STARTS).length
    ) {
      wrong.add('done is the union');
    }
  }
  t.strictSame([...wrong], []);
});

t.test(`what floors say is dropped, and nothing else is changed by it (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const wrong = new Set<string>();
  for (let round = 0; round < 500; round += 1) {
    const [state, other] = [randomState(random), randomState(random)];
    const [before, together] = [doneOf(state, STARTS), doneOf(union(state, other), STARTS)];
    const size = state.size;
    state.compact(STARTS);
    if (
      String(doneOf(state, STARTS).filter((name) => before.includes(name))) !==
      String(before.filter((name) => isFor(name)))
    ) {
      wrong.add('done');
    }
    if (state.size > size) wrong.add('size');
    if (String(doneOf(union(state, other), STARTS).filter(isFor)) !== String(together.filter(isFor))) {
      wrong.add('merged later');
    }
  }
  t.strictSame([...wrong], []);
  const state = stateOf((each) => {
    each.add(A, 5);
    each.fail(A, 6, 1);
    each.raise(STARTS.map(({ id }) => id), new Map([[A, 6]]));
    each.raise(['of a binding that is gone'], new Map([[A, 60]]));
  });
  state.compact(STARTS);
  t.strictSame(state.toJSON(), { f: [{ b: STARTS.map(({ id }) => id), v: { [A]: 6 } }] });
  state.compact([]);
  t.equal(state.isEmpty, true, 'without bindings there is nothing left to be done');
});

/** Whether one of the starts does not cover the message, so that it matters. */
function isFor(name: string): boolean {
  const [from, seq] = name.split(' ') as [Origin, string];
  return STARTS.some(({ start }) => (start.get(from) ?? 0) < Number(seq));
}

t.test('a hundred thousand acknowledgements in random order: the record stays below 1 MiB, and a floor makes it small', async (t) => {
  const random = new SeededRandom();
  const seqs = Array.from({ length: 100_000 }, (_, at) => at + 1);
  for (let at = seqs.length - 1; at > 0; at -= 1) {
    const other = random.integer(0, at);
    [seqs[at], seqs[other]] = [seqs[other]!, seqs[at]!];
  }
  const state = new Acknowledgements();
  let longest = 0;
  for (const [at, seq] of seqs.entries()) {
    state.add(A, seq);
    if (at % 10_000 === 0) longest = Math.max(longest, JSON.stringify(state).length);
  }
  t.ok(longest > 10_000 && longest < 2 ** 20, `${longest} bytes at its longest`);
  t.ok(JSON.stringify(state).length < 100);
  state.raise([STARTS[0]!.id], new Map([[A, 100_000]]));
  state.compact([STARTS[0]!]);
  t.equal(state.size, 0);
});

t.test('a record says whose acknowledgements it has', async (t) => {
  const record = {
    subscription: 'billing', since: { lamport: 7, origin: A }, state: stateOf((each) => each.add(B, 3)),
  };
  const text = encodeRecord(record, 0, WRITTEN);
  t.equal(text, `{"s":"billing","c":"7@${A}","d":{"${B}":[2,1]}}`);
  const parsed = parseRecord(text, STORED, () => 0);
  t.match(parsed, { subscription: 'billing', since: { lamport: 7, origin: A } });
  t.equal(parsed.state.has(B, 3), true);
  t.strictSame([6, 7, 8].map((lamport) => isOfLife(parsed, { lamport, origin: A })), [true, true, false]);
});

t.test('what a peer sends is not trusted', async (t) => {
  const good = {
    s: 'x', c: `7@${A}`, d: { [A]: [0, TOP] }, f: [{ b: [`7@${A}`], v: { [A]: TOP } }], a: { [B]: [1, 2] },
    w: { [C]: [[5, 1, [0, 2]]] }, t: [1, 2],
  };
  t.doesNotThrow(() => parseRecord(JSON.stringify(good), STORED, () => 0));
  const bad: object[] = [
    { s: 7 },
    { c: 7 },
    { c: 'x' },
    { c: `x@${A}` },
    { c: `7@x` },
    { d: [] },
    { d: { x: [0, 1] } },
    { d: { [A]: [0, TOP + 1] } },
    { d: { [A]: [0] } },
    { f: {} },
    { f: [7] },
    { f: [{ b: 7, v: {} }] },
    { f: [{ b: [7], v: {} }] },
    { f: [{ b: ['y'.repeat(500)], v: {} }] },
    { f: [{ b: ['y'], v: { [A]: TOP + 1 } }] },
    { f: [{ b: ['y'], v: { [A]: '1' } }] },
    { a: { [A]: 7 } },
    { a: { [A]: [1] } },
    { a: { [A]: [TOP + 1, 1] } },
    { a: { [A]: [1, 0] } },
    { w: 7 },
    { w: { [A]: 7 } },
    { w: { [A]: [7] } },
    { w: { [A]: [[-1, 1, [0, 1]]] } },
    { w: { [A]: [[1, 0, [0, 1]]] } },
    { w: { [A]: [[1, 1, [TOP, 1]]] } },
    { t: 7 },
    { t: [1] },
    { t: [-1, 0] },
    { d: { [origin('d:1')]: [0, 1] } },
  ];
  for (const changes of bad) {
    t.throws(
      () => parseRecord(JSON.stringify({ ...good, ...changes }), STORED, () => 0), { code: 'PROTOCOL' },
      JSON.stringify(changes),
    );
  }
  for (const text of ['', '7', 'null', '[]', '{']) {
    t.throws(() => parseRecord(text, STORED, () => 0), { code: 'PROTOCOL' }, text);
  }
});
