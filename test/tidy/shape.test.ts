import t from 'tap';
import { LONG_FUNCTIONS } from './exceptions.ts';
import { LONG_LINES } from './long-lines.ts';
import { COLUMNS_MAX, FUNCTION_LINES_MAX, longFunctions, longLines } from './shape.ts';
import { readDocuments, readSources } from './sources.ts';

t.test('lines are wrapped, but for as many as are still listed', async (t) => {
  const found = longLines(new Map([...readSources('brokers', 'clients', 'test'), ...readDocuments()]));
  const isListed = t.strictSame(found, LONG_LINES, `at most ${COLUMNS_MAX} columns`);
  if (isListed) return;
  t.comment('long-lines.ts as it has to be, where no number may be higher than before:');
  for (const [path, count] of Object.entries(found)) t.comment(`  '${path}': ${count},`);
});

t.test('functions are short, but for those that have a reason', async (t) => {
  const found = longFunctions(readSources('brokers', 'clients', 'test'));
  t.strictSame(found, Object.keys(LONG_FUNCTIONS).sort(), `at most ${FUNCTION_LINES_MAX} lines`);
  for (const [name, reason] of Object.entries(LONG_FUNCTIONS)) t.ok(reason.length > 0, name);
});

t.test('each rule can fail', async (t) => {
  const long = 'x'.repeat(COLUMNS_MAX + 1);
  const lines: [path: string, text: string, count: number][] = [
    ['a.ts', `${'x'.repeat(COLUMNS_MAX)}\n`, 0],
    ['a.ts', `${long}\n// ${long}\n`, 2],
    ['a.md', `${long}\n`, 1],
    ['a.md', `| ${long} |\n    ${long}\n\`\`\`\n${long}\n\`\`\`\n`, 0],
    ['a.md', `\`\`\`\n${long}\n\`\`\`\n${long}\n`, 1],
    ['a.md', `[a link](${long}) and https://${long}\n`, 0],
  ];
  for (const [path, text, count] of lines) {
    t.strictSame(longLines(new Map([[path, text]])), count === 0 ? {} : { [path]: count }, text.slice(0, 20));
  }

  const body = (count: number): string => '\n'.repeat(count - 1);
  const functions: [code: string, name: string | undefined][] = [
    [`function f() {${body(FUNCTION_LINES_MAX)}}`, undefined],
    [`function f() {${body(FUNCTION_LINES_MAX + 1)}}`, 'f'],
    [`class C { #m() {${body(61)}} }`, '#m'],
    [`class C { constructor() {${body(61)}} }`, 'constructor'],
    [`const f = () => {${body(61)}};`, 'f'],
    [`t.test('what it is', () => {${body(61)}});`, 'what it is'],
    [`f(() => {${body(61)}});`, 'anonymous'],
    [`class C {${body(61)}}`, undefined],
  ];
  for (const [code, name] of functions) {
    const found = longFunctions(new Map([['a.ts', code]]));
    t.strictSame(found, name === undefined ? [] : [`a.ts: ${name}`], code.slice(0, 30));
  }
});
