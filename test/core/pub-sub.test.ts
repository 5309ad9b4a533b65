import t from 'tap';
import { globMatches, PubSub } from '../../brokers/core/pub-sub.ts';

t.test('who gets what', async (t) => {
  const pubSub = new PubSub<string>();
  t.equal(pubSub.isEmpty, true);
  pubSub.subscribe('news', 'ann');
  pubSub.subscribe('news', 'bob');
  pubSub.subscribe('news', 'ann');
  pubSub.psubscribe('n*', 'ann');
  pubSub.psubscribe('*s', 'ann');
  pubSub.psubscribe('x*', 'bob');
  t.strictSame([...pubSub.subscribers('news')], ['ann', 'bob']);
  t.strictSame([...pubSub.subscribers('new')], []);
  t.strictSame([...pubSub.matching('news')], [['n*', 'ann'], ['*s', 'ann']], 'once for each pattern');
  t.strictSame([pubSub.countSubscribers('news'), pubSub.countSubscribers('new'), pubSub.patternCount], [2, 0, 3]);
  pubSub.subscribe('sport', 'bob');
  t.strictSame(pubSub.channels(), ['news', 'sport']);
  t.strictSame(pubSub.channels('*p*'), ['sport']);
});

t.test('who has left gets nothing, and nothing is kept of them', async (t) => {
  const pubSub = new PubSub<string>();
  pubSub.subscribe('news', 'ann');
  pubSub.psubscribe('n*', 'ann');
  pubSub.unsubscribe('news', 'bob');
  pubSub.punsubscribe('m*', 'ann');
  t.equal(pubSub.isEmpty, false);
  pubSub.unsubscribe('news', 'ann');
  t.strictSame([...pubSub.subscribers('news')], []);
  t.strictSame(pubSub.channels(), []);
  pubSub.punsubscribe('n*', 'ann');
  t.strictSame([...pubSub.matching('news')], []);
  t.equal(pubSub.patternCount, 0);
  t.equal(pubSub.isEmpty, true);
});

t.test('glob patterns mean what they mean in Redis (util.c, stringmatchlen)', async (t) => {
  const cases: [pattern: string, matching: string[], others: string[]][] = [
    ['', [''], ['a']],
    ['news', ['news'], ['new', 'newss', 'News', '']],
    ['*', ['', 'a', 'news', '*'], []],
    ['**', ['', 'abc'], []],
    ['n*s', ['ns', 'news', 'nsss'], ['new', 'xns', 'nsx']],
    ['*news*', ['news', 'the news today'], ['new s']],
    ['a*b*c', ['abc', 'axbxc', 'abcbc', 'aabbcc'], ['acb', 'ab', 'abcd']],
    ['h?llo', ['hello', 'hxllo', 'h?llo'], ['hllo', 'heello']],
    ['?', ['a', '?'], ['', 'ab']],
    ['*?', ['a', 'ab'], ['']],
    ['h[ae]llo', ['hello', 'hallo'], ['hillo', 'haello', 'h[ae]llo']],
    ['h[^e]llo', ['hallo', 'h^llo'], ['hello', 'hllo']],
    ['h[a-c]llo', ['hallo', 'hbllo', 'hcllo'], ['hdllo', 'h-llo']],
    ['h[c-a]llo', ['hbllo'], ['hdllo']], // ends in either order
    ['[a-cx-z0]', ['b', 'y', '0'], ['d', '-']],
    ['[^a-c]', ['d', '-'], ['a', 'b', 'c', '']],
    ['[a^]', ['a', '^'], ['b']],
    ['[-a]', ['-', 'a'], ['b']],
    ['[]', [], ['', ']', '[]']],
    ['[^]', ['a', ']'], ['']],
    ['[abc', ['a', 'c'], ['d', '[abc', 'ab']], // a set that is never closed ends with the pattern
    ['[', [], ['', '[']],
    ['[\\]]', [']'], ['\\']],
    ['[a\\-c]', ['a', '-', 'c'], ['b']],
    ['h\\?llo', ['h?llo'], ['hello']],
    ['\\*', ['*'], ['a', '\\*']],
    ['\\a', ['a'], ['\\a']],
    ['a\\', ['a\\'], ['a']], // with nothing behind it, it stands for itself
    ['*\\*', ['*', 'a*'], ['a']],
    ['user:*:inbox', ['user:1:inbox', 'user::inbox'], ['user:inbox']],
    ['ü?', ['üä'], ['ü', 'u']],
  ];
  for (const [pattern, matching, others] of cases) {
    for (const text of matching) t.equal(globMatches(pattern, text), true, `${JSON.stringify(pattern)} matches ${JSON.stringify(text)}`);
    for (const text of others) t.equal(globMatches(pattern, text), false, `${JSON.stringify(pattern)} does not match ${JSON.stringify(text)}`);
  }
});

// Backtracking to each star in turn would take for ever, that is, run into the file's time limit.
t.test('long nested loops end (Redis: "Regression for pattern matching with long nested loops")', async (t) => {
  t.equal(globMatches('a*'.repeat(100) + 'b', 'a'.repeat(100)), false);
  t.equal(globMatches('*?'.repeat(2000), 'a'.repeat(1999)), false);
  t.equal(globMatches('*a'.repeat(100) + '*b', 'a'.repeat(2000)), false);
});
