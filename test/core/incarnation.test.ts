import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { Incarnation } from '../../brokers/core/incarnation.ts';

const [b, c, d] = ['b:1', 'c:1', 'd:1'].map(parseAddress) as [ReturnType<typeof parseAddress>, ReturnType<typeof parseAddress>, ReturnType<typeof parseAddress>];

t.test('a broker alone keeps its name', async (t) => {
  t.strictSame(new Incarnation().verdict([], 7, false), { keep: true });
});

t.test('the name stays once every configured broker has said that it holds no more', async (t) => {
  const incarnation = new Incarnation();
  t.equal(incarnation.verdict([b, c], 7, false), undefined);
  incarnation.heard(b, 7);
  incarnation.heard(d, 3);
  t.equal(incarnation.verdict([b, c], 7, false), undefined, 'one is still to be asked');
  incarnation.heard(c, 0);
  t.strictSame(incarnation.verdict([b, c], 7, false), { keep: true });
});

t.test('one that holds more is enough, configured or not, whoever has not been asked', async (t) => {
  const incarnation = new Incarnation();
  incarnation.heard(d, 9);
  t.strictSame(incarnation.verdict([b, c], 7, false), { keep: false, reason: 'd:1 holds 2 records of it that it has lost' });
  incarnation.heard(d, 0);
  t.match(incarnation.verdict([], 7, false), { keep: false }, 'what was said once stays said');
});

t.test('a record that has waited long enough gets a new name rather than one that may be taken', async (t) => {
  const incarnation = new Incarnation();
  incarnation.heard(b, 7);
  t.strictSame(incarnation.verdict([b, c, d], 7, true), { keep: false, reason: 'c:1, d:1 could not be asked whether it is the newest copy' });
});

t.test('another process on a copy of the store', async (t) => {
  const incarnation = new Incarnation();
  incarnation.heard(b, 7);
  incarnation.copied(c);
  t.strictSame(incarnation.verdict([b], 7, false), { keep: false, reason: 'c:1 runs on a copy of it' });
});
