import t from 'tap';
import { Place } from '../../../brokers/core/queue/place.ts';
import { origin } from '../../support/record.ts';

const [a, b] = [origin('a:1'), origin('b:1')];
const source = (position: number, seq: number, of = a) => ({ position, topic: 'news', origin: of, seq, lamport: 1 });

t.test('what is passed: everything up to the position, and the first messages of the batch behind it', (t) => {
  const place = new Place();
  place.pass(7);
  const batch = source(9, 20);
  place.advance(batch);
  place.advance(batch);
  t.equal(place.index, 2);
  t.ok(place.isIn(9));
  t.ok(place.has(source(7, 3), 3));
  t.ok(place.has(batch, 21));
  t.notOk(place.has(batch, 22));
  t.notOk(place.has(source(10, 1), 1));
  t.strictSame([...place.vector(new Map([[a, 19], [b, 4]]))], [[a, 21], [b, 4]]);
  t.end();
});

t.test('when a batch is passed as a whole, nothing is left of the place in it', (t) => {
  const place = new Place();
  place.advance(source(9, 20));
  place.pass(9);
  t.strictSame([place.position, place.index, place.isIn(9)], [9, 0, false]);
  t.strictSame([...place.vector(new Map([[a, 20]]))], [[a, 20]]);
  t.end();
});

t.test('a rewind passes nothing, and ends the generation', (t) => {
  const place = new Place();
  place.pass(5);
  place.advance(source(6, 1));
  const { generation } = place;
  place.rewind();
  t.strictSame([place.position, place.index, place.isIn(6)], [0, 0, false]);
  t.not(place.generation, generation);
  place.pass(3);
  t.equal(place.generation, generation + 1, 'moving forward does not');
  t.end();
});
