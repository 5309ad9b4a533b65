import t from 'tap';
import { parseAddress } from '../../../brokers/core/address.ts';
import { ClockClaims } from '../../../brokers/core/mesh/clock-claims.ts';

const address = (name: string) => parseAddress(`${name}:1`);
const [a, b, c, stranger] = [address('a'), address('b'), address('c'), address('d')];
const WAIT_MS = 1500;

t.test('the lower median of the rows is followed once most have spoken', async (t) => {
  const claims = new ClockClaims(WAIT_MS);
  const rows = [a, b, c];
  t.equal(claims.hear(a, 9e15, rows, 0), undefined, 'one of three');
  t.equal(claims.hear(a, 9e15, rows, 10), undefined, 'that asks again');
  t.equal(claims.hear(stranger, 9e15, rows, 10), undefined, 'who is no row has no say');
  t.equal(claims.hear(b, 500, rows, 20), 500, 'of two the lower one');
  t.equal(claims.hear(c, 700, rows, 30), 700);
});

t.test('who says nothing is waited for a while', async (t) => {
  const claims = new ClockClaims(WAIT_MS);
  t.equal(claims.hear(a, 500, [a, b], 1000), undefined);
  t.equal(claims.hear(a, 501, [a, b], 1000 + WAIT_MS - 1), undefined);
  t.equal(claims.hear(a, 502, [a, b], 1000 + WAIT_MS), 502);
  claims.clear();
  t.equal(claims.hear(a, 503, [a, b], 9000), undefined, 'a link with a row ended it');
  t.equal(claims.hear(a, 503, [a], 9000), 503, 'the only other row is most of them');
});
