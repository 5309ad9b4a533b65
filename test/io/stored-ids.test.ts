import t from 'tap';
import { parseMeta } from '../../brokers/core/log/record.ts';
import { type IdRow, StoredIds } from '../../brokers/io/stored-ids.ts';
import { SEED, SeededRandom } from '../support/random.ts';

/** Rows that are read as SQLite reads them, and how many were. */
class Rows {
  readonly rows: IdRow[] = [];
  read = 0;
  readonly ids: StoredIds;

  constructor(idsMax?: number) {
    this.ids = new StoredIds(async (after, until, limit) => {
      const found = this.rows
        .filter(
          ({ seen = 0, position }) =>
            seen < until && (seen > after.seen || (seen === after.seen && position > after.position)),
        )
        .sort((a, b) => a.seen! - b.seen! || a.position - b.position)
        .slice(0, limit);
      this.read += found.length;
      return found;
    }, idsMax);
  }

  write(seen: number, topic: string, ...ids: readonly (string | null)[]): number {
    const position = this.rows.length + 1;
    const row = { position, seen, topic, meta: JSON.stringify({ ids }) };
    this.rows.push(row);
    this.ids.add([row]);
    return position;
  }
}

t.test('ids are found by topic and time, what is written later too, and nothing is read twice', async (t) => {
  const rows = new Rows();
  const [one, two] = [rows.write(100_000, 'a', 'x', null, 'y'), rows.write(110_000, 'a', 'x')];
  rows.write(100_000, 'b', 'x');
  rows.write(500_000, 'a', 'x');
  t.strictSame(await rows.ids.find('a', ['x'], 95_000, 119_999), [one, two]);
  t.equal(rows.read, 3);
  t.strictSame(await rows.ids.find('a', ['y', 'z'], 95_000, 119_999), [one]);
  const three = rows.write(105_000, 'a', 'x');
  t.strictSame(new Set(await rows.ids.find('a', ['x'], 95_000, 119_999)), new Set([one, two, three]));
  t.equal(rows.read, 3);
  t.strictSame(await rows.ids.find('a', ['x'], 120_000, 130_000), [], 'times that follow on');
  t.strictSame(await rows.ids.find('a', ['x'], 480_000, 520_000), [4], 'and others');
  t.equal(rows.read, 4);
});

t.test('who asks about more than may be kept is told so; about less, he is answered', async (t) => {
  const rows = new Rows(1000);
  for (let index = 0; index < 2000; index += 1) rows.write(index * 1000, 'a', `id ${index}`);
  t.strictSame(await rows.ids.find('a', ['id 700'], 0, 900_000), [701]);
  t.strictSame(await rows.ids.find('a', ['id 1500'], 800_000, 1_700_000), [1501], 'what is not asked about leaves');
  t.strictSame(await rows.ids.find('a', ['id 700'], 0, 900_000), [701]);
  t.equal(await rows.ids.find('a', ['id 700'], 0, 1_100_000), undefined);
  const { read } = rows;
  t.equal(await rows.ids.find('a', ['id 1'], 0, 1000), undefined);
  t.equal(rows.read, read, 'nothing is read for a while');
});

t.test(`whoever moves about finds what is there (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const rows = new Rows(3000);
  let [at, found] = [1_000_000, 0];
  for (let round = 0; round < 400; round += 1) {
    at += random.integer(-20_000, 30_000);
    for (let index = 0; index < 10; index += 1) {
      const ids = Array.from({ length: random.integer(1, 5) }, () =>
        random.pick([null, `id ${random.integer(0, 300)}`]),
      );
      rows.write(at + random.integer(-60_000, 60_000), random.pick(['a', 'b']), ...ids);
    }
    const [from, to] = [at - random.integer(0, 50_000), at + random.integer(0, 50_000)];
    const asked = Array.from({ length: 20 }, () => `id ${random.integer(0, 300)}`);
    const positions = new Set(await rows.ids.find('a', asked, from, to));
    for (const { position, seen = 0, topic, meta } of rows.rows) {
      if (
        topic !== 'a' ||
        seen < from ||
        seen > to ||
        !(parseMeta({ meta }).ids ?? []).some((id) => id !== null && asked.includes(id))
      ) {
        continue;
      }
      found += 1;
      if (!positions.has(position)) t.fail(`round ${round}: ${position} is not found`);
    }
  }
  t.ok(found > 1000, `${found} found`);
});
