import t from 'tap';
import { Acknowledgements } from '../../../brokers/core/queue/acknowledgements.ts';
import type { Origin } from '../../../brokers/core/log/record.ts';
import { isFor, Routes } from '../../../brokers/core/queue/routes.ts';
import type { Binding } from '../../../brokers/core/catalog/subscription.ts';
import { origin } from '../../support/record.ts';

const [A, B] = [origin('a:1', 1), origin('b:1', 2)];

function binding(topic: string, key: string | null, ...starts: [id: string, start: [Origin, number][]][]): Binding {
  return {
    topic, storedTopics: [topic, `old-${topic}`], key,
    starts: starts.map(([id, start]) => ({ id, start: new Map(start) })),
  };
}

t.test('messages find their bindings by stored topic and key', async (t) => {
  const routes = new Routes([
    binding('news', null, ['1', []], ['2', [[A, 5]]]), binding('orders', 'red', ['3', []]),
    binding('orders', 'blue', ['4', []]),
  ]);
  const ids = (topic: string, key: string | null): string[] => routes.startsFor(topic, key).map(({ id }) => id);
  t.strictSame(ids('news', null), ['1', '2']);
  t.strictSame(ids('old-news', 'x'), ['1', '2'], 'a key means nothing on it');
  t.strictSame(
    [ids('orders', 'red'), ids('old-orders', 'blue'), ids('orders', 'green'), ids('orders', null), ids('x', null)],
    [['3'], ['4'], [], [], []],
  );
  t.strictSame([...routes.topics], ['news', 'old-news', 'orders', 'old-orders']);
  t.strictSame([routes.keysOf('news'), routes.keysOf('orders')], [undefined, ['red', 'blue']]);
  t.equal(isFor(routes.startsFor('news', null).slice(1), A, 5), false);
  t.equal(isFor(routes.startsFor('news', null).slice(1), A, 6), true);
  t.equal(isFor([], A, 6), false);
});

t.test('what need not be read is what every binding has passed', async (t) => {
  const routes = new Routes([binding('news', null, ['1', [[A, 5], [B, 9]]]), binding('orders', null, ['2', [[A, 7]]])]);
  const done = new Acknowledgements();
  t.strictSame([...routes.settled(done)], [[A, 5]]);
  done.raise(['1', '2'], new Map([[A, 6], [B, 8]]));
  t.strictSame([...routes.settled(done)], [[A, 6], [B, 8]]);
  t.strictSame([...routes.settledOf('orders', done)], [[A, 7], [B, 8]]);
  t.strictSame([...new Routes([]).settled(done)], []);
});
