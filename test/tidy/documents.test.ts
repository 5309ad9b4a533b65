import { dirname } from 'node:path';
import t from 'tap';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { commands } from '../../brokers/commands/table.ts';
import {
  codesNamed, codesOf, fieldsOf, filesNamed, flagsNamed, flagsOf, limitsNamed, undocumented,
} from './documents.ts';
import { TOOL_FLAGS, UNDOCUMENTED } from './exceptions.ts';
import { readDocuments, readSources } from './sources.ts';

const documents = readDocuments();
const sources = readSources('brokers', 'clients');

/** The members of `all` that are not in `known`. */
function others(all: Iterable<string>, known: ReadonlySet<string>): string[] {
  return [...all].filter((name) => !known.has(name)).sort();
}

t.test('the documents have all that users can see, but for the exceptions that are still needed', async (t) => {
  const [flags, codes, names] = [flagsOf(sources), codesOf(sources), Object.keys(commands)];
  const fields = fieldsOf(sources.get('brokers/status.ts') ?? '', 'status');
  const all = [...flags, ...names, ...codes, ...fields];
  for (const one of ['--port', 'PUBLISH', 'NOQUORUM', 'uptime_ms']) t.ok(all.includes(one), `${one} has been found`);
  t.strictSame(undocumented(all, documents), [...UNDOCUMENTED].sort());
});

t.test('what the documents name is there', async (t) => {
  const flags = flagsOf(readSources('brokers', 'clients', 'test'));
  t.strictSame(others(flagsNamed(documents), new Set([...flags, ...TOOL_FLAGS])), [], 'flags');
  t.strictSame(others(TOOL_FLAGS, flagsNamed(documents)), [], 'flags of tools that no document names any more');
  t.strictSame(others(codesNamed(documents), codesOf(sources)), [], 'codes of errors');
});

t.test('the files that the documents name are there, as seen from the top, the document or the folders of code', async (t) => {
  const known = readSources('brokers', 'clients', 'test');
  for (const [path, text] of documents) {
    const folders = ['', `${dirname(path)}/`, 'brokers/', 'test/'];
    const gone = filesNamed(text).filter((file) => !folders.some((folder) => known.has(`${folder}${file}`)));
    t.strictSame(gone, [], path);
  }
});

t.test('the table of limits has all limits with their values', async (t) => {
  t.same(limitsNamed(documents.get('brokers/LIMITS.md') ?? ''), DEFAULT_LIMITS);
});

t.test('each rule can fail', async (t) => {
  const code = (text: string): Map<string, string> => new Map([['a.ts', text]]);
  const document = (text: string): Map<string, string> => new Map([['a.md', text]]);
  const options = `p.option('--one <n>', 'not --this').requiredOption('-t, --two').add(new Option('--no-three'));`;
  t.strictSame([...flagsOf(code(options))].sort(), ['--no-three', '--one', '--two']);
  const errors = `new RumormillError('A', 'B'); new RumormillError(isFull ? 'C' : 'D', code); new Error('E');`;
  t.strictSame([...codesOf(code(errors))].sort(), ['A', 'C', 'D']);
  const methods = 'class C { status() { return { a: 1, b_c: 2 }; } other() { return { d: 1 }; } }';
  t.strictSame(fieldsOf(methods, 'status'), ['a', 'b_c']);

  const names = ['--port', 'PULL', 'links'];
  t.strictSame(undocumented(names, document('`--port <n>`, `-PULL`\n\n    links 2\n')), []);
  const inWords = document('```\nPULL\n```\n--port and links are no code here, `--ports` is another');
  t.strictSame(undocumented(names, inWords), ['--port', 'links']);

  t.strictSame([...flagsNamed(document('`--one`, two--three, --four=5, a -- b, <!-- no -->'))], ['--one', '--four']);
  const table = '| Code | means |\n| --- | --- |\n| `ONE`, `TWO` | not `THREE` |\n\n| Name |\n| --- |\n| `FOUR` |\n';
  t.strictSame([...codesNamed(document(table))], ['ONE', 'TWO']);

  const limits = ['1,000', '1.5 MiB', '2^10', 'a day', 'many'].map((value, i) => `| \`${'abcde'[i]}\` | ${value} |\n`);
  t.strictSame(limitsNamed(limits.join('')), { a: 1000, b: 1.5 * 2 ** 20, c: 1024, d: 86_400_000, e: NaN });
  t.strictSame(filesNamed('`a/b-c.test.ts` and `a/b-c.test.ts`, not `c.ts` or a/d.ts'), ['a/b-c.test.ts']);
});
