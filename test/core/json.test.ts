import t from 'tap';
import { isCount, isObject, parseJson } from '../../brokers/core/json.ts';

t.test('what is not JSON is undefined', async (t) => {
  t.strictSame([parseJson('null'), parseJson('[1]'), parseJson('"a"')], [null, [1], 'a']);
  for (const text of ['', 'undefined', '{', "{'a':1}", '1 2', 'NaN']) t.equal(parseJson(text), undefined, text);
});

t.test('objects are neither null nor arrays', async (t) => {
  t.ok([{}, { a: 1 }].every(isObject));
  t.notOk([null, [], 'a', 1, undefined].some(isObject));
});

t.test('counts are exact integers from 0', async (t) => {
  t.ok([0, 1, Number.MAX_SAFE_INTEGER].every(isCount));
  t.notOk([-1, 0.5, Number.MAX_SAFE_INTEGER + 1, NaN, Infinity, '1', null, undefined].some(isCount));
});
