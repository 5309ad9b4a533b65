import t from 'tap';
import { Causes, DECLARE_EVERY, Declaring } from '../../../brokers/core/log/causes.ts';
import type { Origin } from '../../../brokers/core/log/record.ts';
import { VersionVector } from '../../../brokers/core/log/version-vector.ts';
import { origin } from '../../support/record.ts';

const [self, a, b] = [origin('self:1'), origin('a:1'), origin('b:1')];

t.test('a batch declares what entered since the last one, and nothing twice', async (t) => {
  const vector = new VersionVector([[self, 4], [a, 3], [b, 7]]);
  const causes = new Causes(vector.snapshot(), self);
  const first = new Declaring(causes);
  first.enter(a, 5);
  t.equal(
    first.declare(false, self, vector), JSON.stringify({ [a]: 5, [b]: 7 }),
    'what was stored when the process began, and what stands before it',
  );
  t.equal(first.declare(false, self, vector), '', 'the next one of the same transaction');
  first.enter(b, 8);
  causes.committed(first);
  const second = new Declaring(causes);
  t.equal(second.declare(false, self, vector), JSON.stringify({ [b]: 8 }));
});

t.test('a transaction that fails changes nothing', async (t) => {
  const vector = new VersionVector([[a, 3]]);
  const causes = new Causes(vector.snapshot(), self);
  new Declaring(causes).declare(false, self, vector);
  t.equal(new Declaring(causes).declare(false, self, vector), JSON.stringify({ [a]: 3 }));
  t.equal(causes.sinceAll, 0);
});

t.test('the first of an origin, and one of so many, declare everything', async (t) => {
  const vector = new VersionVector([[self, 1], [a, 3]]);
  const causes = new Causes(new Map(), self);
  const declared = Array.from({ length: DECLARE_EVERY + 1 }, (_, index) => {
    const declaring = new Declaring(causes);
    const deps = declaring.declare(index === 0, self, vector);
    causes.committed(declaring);
    return deps;
  });
  t.strictSame(declared.flatMap((deps, index) => (deps === '' ? [] : [index])), [0, DECLARE_EVERY]);
});

t.test('a transaction costs what it holds, however many names of stores were ever seen', async (t) => {
  const seen = Array.from({ length: 5000 }, (_, index): [Origin, number] => [origin('a:1', index + 1), 9]);
  const causes = new Causes(new Map(seen), self);
  const before = causes.undeclared;
  const declaring = new Declaring(causes);
  declaring.enter(b, 1);
  t.equal(declaring.entered.size, 1);
  causes.committed(declaring);
  t.equal(causes.undeclared, before, 'nothing was copied');
  t.equal(causes.undeclared.size, 5001);
});
