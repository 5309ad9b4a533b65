import t from 'tap';
import { Lives } from '../../../brokers/core/mesh/lives.ts';
import { origin } from '../../support/record.ts';

const [a, b] = [origin('a:1'), origin('b:1')];

t.test('a life is granted once, and none below it', async (t) => {
  const lives = new Lives(new Map([[a, { life: 3, holder: 'one' }]]));
  t.strictSame(lives.of(a), { life: 3, holder: 'one' });
  t.strictSame(lives.of(b), { life: 0, holder: '' });
  t.equal(lives.isGrantable(b, { life: 1, holder: 'one' }), true);
  t.equal(lives.isGrantable(a, { life: 3, holder: 'one' }), false, 'it is there already');
  t.equal(lives.isGrantable(a, { life: 3, holder: 'two' }), false);
  t.equal(lives.isGrantable(a, { life: 2, holder: 'two' }), false);
  lives.granted(a, { life: 5, holder: 'two' });
  t.equal(lives.isGrantable(a, { life: 5, holder: 'one' }), false);
  t.equal(lives.isGrantable(a, { life: 6, holder: 'one' }), true);
});

t.test('a life that nobody counts to is refused', async (t) => {
  t.throws(
    () =>
      new Lives(new Map([[a, { life: 3, holder: 'one' }]])).isGrantable(a, {
        life: Number.MAX_SAFE_INTEGER,
        holder: 'one',
      }),
    { code: 'PROTOCOL' },
  );
});
