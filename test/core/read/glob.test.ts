import t from 'tap';
import { type Codes, codesOf, Glob } from '../../../brokers/core/read/glob.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

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
    for (const text of matching) {
      t.equal(new Glob(pattern).matches(text), true, `${JSON.stringify(pattern)} matches ${JSON.stringify(text)}`);
    }
    for (const text of others) {
      t.equal(
        new Glob(pattern).matches(text), false, `${JSON.stringify(pattern)} does not match ${JSON.stringify(text)}`,
      );
    }
  }
});

t.test('a character is a code point', async (t) => {
  t.equal(new Glob('?').matches('\u{1f600}'), true);
  t.equal(new Glob('*[\u{1f600}-\u{1f64f}]?').matches('a\u{1f610}b'), true);
  t.equal(new Glob('[\ue000-\uffff]').matches('\u{1f600}'), false);
});

t.test('what every match begins with', async (t) => {
  const cases = [
    ['news', 'news'], ['n*s', 'n'], ['*', ''], ['a\\*b?', 'a*b'], ['a[b]', 'a'], ['a\\', 'a\\'], ['', ''],
  ] as const;
  for (const [pattern, prefix] of cases) t.equal(new Glob(pattern).prefix, prefix, pattern);
});

/** What a pattern means, tried at each place where it may. */
function means(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*') return means(pattern.slice(1), text) || (text !== '' && means(pattern, text.slice(1)));
  const token = /^(?:\\[^]|\[(?:\^?)(?:\\[^]|[^\]\\])*(?:\]|$)|[^])/.exec(pattern)![0];
  return text !== '' && new Glob(token).matches(text[0]!) && means(pattern.slice(token.length), text.slice(1));
}

t.test(`patterns mean the same as when every way is tried (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  let matching = 0;
  for (let run = 0; run < 5000; run += 1) {
    const long = random.integer(0, 9) === 0;
    const pattern = Array.from({ length: random.integer(0, 6) }, () =>
      random.pick(['*', 'a', 'b', '?', '[ab]', '[^a]', '\\*', 'a'.repeat(long ? 40 : 2)]),
    ).join('');
    const text = Array.from({ length: random.integer(0, long ? 90 : 8) }, () =>
      random.pick(['a', 'a', 'a', 'b', '*']),
    ).join('');
    const expected = means(pattern, text);
    if (expected) matching += 1;
    t.equal(new Glob(pattern).matches(text), expected) || t.bailout(`${JSON.stringify(pattern)} and ${text}`);
  }
  t.ok(matching > 300, `both happened: ${matching}`);
});

/** A text that counts how often one of its characters is looked at. */
function counting(text: string): { codes: Codes; looks: () => number } {
  let looks = 0;
  const codes = new Proxy(codesOf(text), {
    get(target, key) {
      if (typeof key === 'string' && /^\d+$/.test(key)) looks += 1;
      return Reflect.get(target, key) as unknown;
    },
  });
  return { codes, looks: () => looks };
}

t.test('each character is looked at once, or twice at the ends, whatever the pattern (Redis: "Regression for pattern matching with long nested loops")', async (t) => {
  const text = 'a'.repeat(255);
  const patterns = [
    `${'a*'.repeat(100)}b`, '*?'.repeat(127), `*${'a'.repeat(126)}b*`, `*${'?'.repeat(126)}b*`,
    `*${'[a-z]'.repeat(50)}b*`, `${'*a'.repeat(100)}*b*`, '*a?a?*a??b*a*',
  ];
  for (const pattern of patterns) {
    const { codes, looks } = counting(text);
    new Glob(pattern).matches(codes);
    t.ok(looks() <= 2 * text.length, `${pattern.slice(0, 20)}: ${looks()} of ${text.length}`);
  }
});
