import t from 'tap';
import { Arena, joinBytes } from '../../../brokers/core/log/arena.ts';

t.test('what is taken one after another is joined without a copy', async (t) => {
  const arena = new Arena();
  const parts = ['one', 'two', '', 'three'].map((text) => {
    const room = arena.take(text.length);
    room.write(text);
    return room;
  });
  const joined = joinBytes(parts);
  t.equal(String(joined), 'onetwothree');
  parts[0]!.write('ONE');
  t.equal(String(joined), 'ONEtwothree', 'a view');
});

t.test('what stands elsewhere, in another order or with a gap is copied', async (t) => {
  const arena = new Arena();
  const [a, gap, b] = [arena.take(1), arena.take(1), arena.take(1)];
  a.write('a');
  gap.write('-');
  b.write('b');
  t.equal(String(joinBytes([a, b])), 'ab');
  t.equal(String(joinBytes([b, a])), 'ba');
  t.equal(String(joinBytes([a, Buffer.from('x')])), 'ax');
  t.equal(String(joinBytes([a, a])), 'aa');
  t.equal(joinBytes([]).length, 0);
  t.equal(joinBytes([b]), b);
});

t.test('nothing is given out twice, at the end of a slab either', async (t) => {
  const arena = new Arena();
  const sizes = Array.from({ length: 400 }, (_, index) => (index * 7919) % 90_000);
  const parts = sizes.map((size, index) => arena.take(size).fill(index % 251));
  for (const [index, part] of parts.entries()) {
    t.equal(part.length, sizes[index]);
    if (!part.every((byte) => byte === index % 251)) t.fail(`part ${index} was written over`);
  }
  t.equal(joinBytes(parts).length, sizes.reduce((sum, size) => sum + size, 0));
});
