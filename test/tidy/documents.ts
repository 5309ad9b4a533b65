/** What the code has that users can see, and what the documents say of it. */
import ts from 'typescript';
import type { Texts } from './sources.ts';

/** A row of a table begins with one of these, if the first cell of its header is `code` or `error code`. */
const CODE_HEADER = /^\|\s*(error )?codes?\s*\|/i;

/** The flags of the command lines, from commander's `.option('--name ...')` and its like. */
export function flagsOf(texts: Texts): Set<string> {
  const flags = new Set<string>();
  for (const text of firstTexts(texts, /(^|\.)([oO]ption|requiredOption|createOption)$/)) {
    for (const [flag] of text.matchAll(FLAG)) flags.add(flag);
  }
  return flags;
}

const FLAG = /(?<![\w-])--[a-z][a-z-]*/g;

/** The codes of errors, from `new RumormillError('CODE', ...)`. */
export function codesOf(texts: Texts): Set<string> {
  return new Set(firstTexts(texts, /^RumormillError$/).filter((text) => /^[A-Z]+$/.test(text)));
}

/** All texts within the first arguments of the calls whose name fits. */
function firstTexts(texts: Texts, name: RegExp): string[] {
  const found: string[] = [];
  const collect = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node)) found.push(node.text);
    ts.forEachChild(node, collect);
  };
  for (const [path, text] of texts) {
    visitAll(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true), (node) => {
      const isCall = ts.isCallExpression(node) || ts.isNewExpression(node);
      const argument = isCall && name.test(node.expression.getText()) ? node.arguments?.[0] : undefined;
      if (argument !== undefined) collect(argument);
    });
  }
  return found;
}

/** The fields of the object that a method returns. */
export function fieldsOf(text: string, method: string): string[] {
  const fields: string[] = [];
  visitAll(ts.createSourceFile('', text, ts.ScriptTarget.Latest, true), (node) => {
    if (!ts.isObjectLiteralExpression(node) || !ts.isReturnStatement(node.parent)) return;
    const { parent } = node.parent.parent;
    if (!ts.isMethodDeclaration(parent) && !ts.isFunctionDeclaration(parent)) return;
    if (parent.name?.getText() !== method) return;
    fields.push(...node.properties.map((property) => property.name?.getText() ?? ''));
  });
  return fields;
}

function visitAll(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => visitAll(child, visit));
}

/** Those of `names` that no document has as code: in backticks or in a block; an error code also as `-CODE`. */
export function undocumented(names: Iterable<string>, documents: Texts): string[] {
  const code = [...documents.values()].map(codeIn).join('\n');
  return [...names].filter((name) => !new RegExp(`(?<![\\w-])-?${name}(?![\\w-])`).test(code)).sort();
}

function codeIn(markdown: string): string {
  return (markdown.match(/^```[^]*?^```|^( {4}|\t).*$|`[^`\n]+`/gm) ?? []).join('\n');
}

/** The flags that the documents name. */
export function flagsNamed(documents: Texts): Set<string> {
  return new Set([...documents.values()].flatMap((text) => text.match(FLAG) ?? []));
}

/** The error codes in the first cells of tables of codes. */
export function codesNamed(documents: Texts): Set<string> {
  const tables = [...documents.values()].flatMap((text) => text.match(/(^\|.*\n?)+/gm) ?? []);
  const cells = tables.filter((table) => CODE_HEADER.test(table)).flatMap((table) => table.match(/^\|[^|]*/gm) ?? []);
  return new Set(cells.flatMap((cell) => [...cell.matchAll(/`-?([A-Z]+)`/g)].map(([, code]) => code!)));
}

/** The limits of a table whose first cells are names: name -> value, in bytes, ms or things. */
export function limitsNamed(markdown: string): Record<string, number> {
  const rows = markdown.matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm);
  return Object.fromEntries([...rows].map(([, name, value]) => [name!, limitOf(value!)]));
}

const UNITS: Readonly<Record<string, number>> = {
  ...{ '': 1, bytes: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
  ...{ ms: 1, s: 1000, minute: 60_000, minutes: 60_000, day: 86_400_000 },
};

/** NaN for what is no value. */
function limitOf(value: string): number {
  const [, number = 'none', exponent, unit = ''] = /^(a|[\d.,]+)(?:\^(\d+))? ?(\w*)$/.exec(value) ?? [];
  const count = number === 'a' ? 1 : Number(number.replaceAll(',', ''));
  return count ** Number(exponent ?? 1) * (UNITS[unit] ?? NaN);
}

/** The files of TypeScript that a document names in backticks with their folders. */
export function filesNamed(markdown: string): string[] {
  return [...new Set([...markdown.matchAll(/`((?:[\w-]+\/)+[\w.-]+\.ts)`/g)].map(([, path]) => path!))];
}
