import t from 'tap';
import { Pages } from '../../../brokers/core/read/pages.ts';
import type { Page } from '../../../brokers/core/log/store.ts';
import { draft, origin } from '../../support/record.ts';

const NEWS = new Set(['news']);

/** A page of batches at these positions. */
function page(positions: readonly number[], through: number): Page {
  const of = origin('10.0.0.1:3000', 1);
  return {
    batches: positions.map((position) => ({
      ...draft(['x']), origin: of, seq: position, lamport: position, deps: '', proof: '', position, repeats: '',
    })),
    through,
  };
}

function positions(found: Page | undefined): number[] | undefined {
  return found?.batches.map(({ position }) => position);
}

t.test('what is behind a position, in a page that has it', async (t) => {
  const pages = new Pages(2);
  t.equal(pages.find(0, NEWS), undefined);
  pages.keep(10, NEWS, page([12, 15, 18], 20));
  t.strictSame(pages.find(10, NEWS), page([12, 15, 18], 20));
  t.strictSame(pages.find(12, NEWS), page([15, 18], 20));
  t.strictSame(pages.find(14, NEWS), page([15, 18], 20));
  t.strictSame(pages.find(19, NEWS), page([], 20), 'nothing up to its end');
  t.equal(pages.find(9, NEWS), undefined, 'there may be some at 10');
  t.equal(pages.find(20, NEWS), undefined, 'its end is behind everything');
});

t.test('of the same topics only', async (t) => {
  const pages = new Pages(3);
  pages.keep(0, NEWS, page([1], 5));
  pages.keep(0, new Set(['sport', 'weather']), page([2], 5));
  t.strictSame(positions(pages.find(0, new Set(['news']))), [1]);
  t.strictSame(positions(pages.find(0, new Set(['weather', 'sport']))), [2]);
  t.equal(pages.find(0, new Set(['news', 'sport'])), undefined);
  t.equal(pages.find(0, new Set(['sport'])), undefined);
});

t.test('the one that was used least recently leaves', async (t) => {
  const pages = new Pages(2);
  pages.keep(0, NEWS, page([1], 5));
  pages.keep(10, NEWS, page([11], 15));
  pages.find(0, NEWS);
  pages.keep(20, NEWS, page([21], 25));
  t.equal(pages.find(10, NEWS), undefined);
  t.strictSame([positions(pages.find(0, NEWS)), positions(pages.find(20, NEWS))], [[1], [21]]);
});
