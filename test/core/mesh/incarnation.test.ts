import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import { chooseElectors, Incarnation, neededOf } from '../../../brokers/core/mesh/incarnation.ts';
import type { Electors } from '../../../brokers/core/log/life.ts';

const [b, c, d] = ['b:1', 'c:1', 'd:1'].map(parseAddress) as [Address, Address, Address];

/** A file that was left in the middle of life 3. */
function left(): Incarnation {
  return new Incarnation({ life: 3, electors: undefined });
}

/** A file whose life 3 was stopped in an orderly way. */
function stopped(electors: Electors): Incarnation {
  return new Incarnation({ life: 3, electors });
}

t.test('a broker alone keeps its name', async (t) => {
  t.strictSame(left().verdict([], 7, false), { keep: true });
});

t.test('left in the middle: the name stays once every configured broker holds no more and has granted the next life', async (t) => {
  const incarnation = left();
  t.equal(incarnation.life, 4);
  const told = (peer: Address, seq: number, life: number): void => {
    incarnation.told(peer, life, false);
    incarnation.heard(peer, seq);
  };
  told(b, 7, 3);
  told(d, 3, 0);
  t.strictSame(incarnation.candidates([b, c]), [], 'one is still to be asked, so nobody is to grant anything');
  told(c, 0, 2);
  t.strictSame(incarnation.candidates([b, c]), [b, c]);
  incarnation.told(b, 4, true);
  t.equal(incarnation.verdict([b, c], 7, false), undefined);
  t.strictSame(incarnation.verdict([b, c], 7, true), {
    keep: false,
    reason: 'c:1 could not be asked whether it is the newest copy',
  });
  incarnation.told(c, 4, true);
  t.strictSame(incarnation.verdict([b, c], 7, false), { keep: true });
});

t.test('one that holds more is enough, configured or not, whoever has not been asked', async (t) => {
  const incarnation = left();
  incarnation.told(d, 4, false);
  incarnation.heard(d, 9);
  t.strictSame(incarnation.verdict([b, c], 7, false), {
    keep: false,
    reason: 'd:1 holds 2 records of it that it has lost',
  });
  incarnation.heard(d, 0);
  t.match(incarnation.verdict([], 7, false), { keep: false }, 'what was said once stays said');
});

t.test('a record that has waited long enough gets a new name rather than one that may be taken', async (t) => {
  const incarnation = left();
  incarnation.heard(b, 7);
  incarnation.told(b, 4, true);
  t.strictSame(incarnation.verdict([b, c, d], 7, true), {
    keep: false,
    reason: 'c:1, d:1 could not be asked whether it is the newest copy',
  });
});

t.test('another process on a copy of the store', async (t) => {
  const incarnation = left();
  incarnation.heard(b, 7);
  incarnation.copied(c);
  t.strictSame(incarnation.verdict([b], 7, false), { keep: false, reason: 'c:1 runs on a copy of it' });
});

t.test('after an orderly stop the electors decide, whoever else is down', async (t) => {
  const incarnation = stopped({ rows: [b], needed: 1 });
  t.equal(incarnation.verdict([b, c], 7, false), undefined);
  incarnation.told(b, 3, false);
  t.strictSame(incarnation.candidates([b, c]), [b]);
  t.equal(incarnation.verdict([b, c], 7, false), undefined, 'it has the last life, and is still to grant the next');
  incarnation.told(b, 4, true);
  t.strictSame(incarnation.verdict([b, c], 7, false), { keep: true });
});

t.test('a copy from before a later life takes a new name, however few can be asked', async (t) => {
  const cases: [peer: Address, life: number, isKept: boolean | undefined, what: string][] = [
    [b, 4, false, 'another process has been granted the next life'],
    [b, 5, false, 'and others after it'],
    [c, 4, false, 'says somebody who is no elector'],
    [c, 3, undefined, 'somebody who is no elector knows of none, which means nothing'],
    [b, 2, undefined, 'an elector that has lost what it knew'],
    [b, 0, undefined, 'or everything'],
  ];
  for (const [peer, life, isKept, what] of cases) {
    const incarnation = stopped({ rows: [b], needed: 1 });
    incarnation.told(peer, life, false);
    incarnation.heard(peer, 0);
    t.equal(incarnation.verdict([b, c], 7, false)?.keep, isKept, what);
    t.strictSame(incarnation.candidates([b, c]), [], `${what}: nobody is asked to grant it`);
  }
});

t.test('any two groups of electors that are enough have one in common that kept its disk', async (t) => {
  for (let rows = 2; rows <= 12; rows += 1) {
    const lost = Math.max(0, Math.floor((rows - 1) / 2) - 1); // of a minority, beside the store itself
    for (let electors = Math.floor(rows / 2); electors < rows; electors += 1) {
      const needed = neededOf(electors, rows);
      t.ok(
        needed <= electors && 2 * needed - electors > lost && needed + 1 > rows / 2,
        `${needed} of ${electors} electors of ${rows} rows`,
      );
    }
  }
});

t.test('electors are as many as allow most of them to be down, and no more', async (t) => {
  const row = (index: number): Address => parseAddress(`r:${index}`);
  const rows = (count: number): Address[] => Array.from({ length: count }, (_, index) => row(index + 1));
  const cases: [granted: number, rows: number, expected: [count: number, needed: number] | undefined][] = [
    [0, 1, undefined],
    [0, 2, undefined],
    [1, 2, [1, 1]],
    [0, 3, undefined],
    [1, 3, [1, 1]],
    [2, 3, [1, 1]], // of two, both would be needed
    [1, 4, undefined],
    [2, 4, [2, 2]],
    [3, 4, [3, 2]], // one may be down
    [2, 5, [2, 2]],
    [3, 5, [2, 2]],
    [4, 5, [4, 3]],
  ];
  for (const [granted, all, expected] of cases) {
    const chosen = chooseElectors(rows(granted), all);
    t.strictSame(chosen, expected && { rows: rows(expected[0]), needed: expected[1] }, `${granted} of ${all}`);
  }
});
