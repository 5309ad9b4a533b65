import t from 'tap';
import { Catalog } from '../../../brokers/core/catalog/catalog.ts';
import type { Operation } from '../../../brokers/core/catalog/catalog-operation.ts';
import { decodeKept, encodeKept, type KeptCatalog } from '../../../brokers/core/catalog/kept-catalog.ts';
import { origin } from '../../support/record.ts';

const [A, B] = [origin('a:1'), origin('b:1')];
const SETTINGS = { visibilityMs: 30_000, maxDeliveries: 2, deadLetter: 'd', backoffMs: null, from: 'latest' };

function kept(tailMax: number): KeptCatalog {
  const operations: Operation[] = [
    { op: 'topic.create', topic: 'a', type: 'direct' },
    { op: 'topic.rename', topic: 'a', to: 'b\ufffd' },
    { op: 'subscription.create', name: '__proto__', settings: SETTINGS },
    { op: 'bind', name: '__proto__', topic: 'a', key: 'k', start: new Map([[B, 7]]) },
    { op: 'bind', name: '__proto__', topic: 'x', key: null, start: new Map() },
    { op: 'topic.delete', topics: ['gone'] },
    { op: 'subscription.create', name: 's', settings: SETTINGS },
    { op: 'subscription.delete', name: 's' },
  ];
  const catalog = new Catalog(false, tailMax);
  for (const [index, operation] of operations.entries()) {
    catalog.apply([{ stamp: { lamport: index + 1, origin: A }, operation }]);
  }
  return { content: catalog.content(), vector: new Map([[A, 8], [B, 2]]), isSwept: tailMax === 0 };
}

t.test('what is kept is what there is, and nothing of what is gone', async (t) => {
  for (const tailMax of [0, 2, 100]) {
    const one = kept(tailMax);
    const lines = encodeKept(one);
    t.strictSame(decodeKept(lines), one, `${lines.length} lines`);
  }
  t.notMatch(encodeKept(kept(0)).join('\n'), /"s"/);
});

t.test('what cannot be made out is as good as nothing', async (t) => {
  const lines = encodeKept(kept(2));
  t.equal(decodeKept([]), undefined);
  t.equal(decodeKept(lines.slice(1)), undefined);
  t.equal(decodeKept([lines[0]!.replace('1', '2'), ...lines.slice(1)]), undefined, 'a later version');
  t.throws(() => decodeKept([...lines, '[']), SyntaxError);
});
