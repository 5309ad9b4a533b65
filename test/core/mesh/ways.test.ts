import t from 'tap';
import { parseAddress } from '../../../brokers/core/address.ts';
import { Ways } from '../../../brokers/core/mesh/ways.ts';

const [a, b, c] = [parseAddress('a:1'), parseAddress('b:1'), parseAddress('c:1')];
const make = (): Ways => new Ways({ freshMs: 1000, againMs: 100, membersMax: 2 });

t.test('news of a broker shows the way for a while, and not once its link is lost', async (t) => {
  const ways = make();
  t.notOk(ways.isFresh(a, 0));
  ways.heard(a, 0);
  t.ok(ways.isFresh(a, 999));
  t.notOk(ways.isFresh(a, 1000));
  ways.heard(a, 1000);
  ways.lost(a);
  t.notOk(ways.isFresh(a, 1000));
  ways.heard(a, 1001);
  ways.forget(a);
  t.notOk(ways.isFresh(a, 1001));
});

t.test('a broker that was sought is missed until there is news of it, or a link', async (t) => {
  const ways = make();
  t.equal(ways.missedMs(a, 50), 0);
  ways.maySeek(a, 100);
  ways.maySeek(a, 200);
  t.equal(ways.missedMs(a, 250), 150, 'since the first time');
  ways.heard(a, 260);
  t.equal(ways.missedMs(a, 300), 0);
  ways.maySeek(a, 400);
  t.equal(ways.missedMs(a, 500), 100);
  ways.linked(a);
  t.equal(ways.missedMs(a, 500), 0);
});

t.test('a broker is sought, and sought on, once in a while', async (t) => {
  const ways = make();
  t.ok(ways.maySeek(a, 0));
  t.notOk(ways.maySeek(a, 99));
  t.ok(ways.maySeek(b, 99), 'each for itself');
  t.ok(ways.maySeek(a, 100));
  t.ok(ways.isSought(a, 1099));
  t.notOk(ways.isSought(a, 1100));
  t.notOk(ways.maySeek(c, 0), 'bounded');
  ways.heard(a, 0);
  ways.heard(b, 0);
  ways.heard(c, 0);
  t.notOk(ways.isFresh(c, 0), 'bounded');
});
