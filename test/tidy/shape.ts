/** Rules about the shape of a file: how long its lines and its functions may be. */
import ts from 'typescript';
import type { Texts } from './sources.ts';

export const COLUMNS_MAX = 120;
export const FUNCTION_LINES_MAX = 60;

/** How many lines are too long in each file that has such, documents included. */
export function longLines(texts: Texts): Record<string, number> {
  const lines = [...texts].map(([path, text]) => [path, path.endsWith('.md') ? prose(text) : text] as const);
  const counts = lines.map(([path, text]) => [path, countLong(text)] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function countLong(text: string): number {
  return text.split('\n').filter((line) => line.length > COLUMNS_MAX && !isTitle(line)).length;
}

/** The title of a test is one string on one line, so that a search for it finds it. */
function isTitle(line: string): boolean {
  return /^\s*t\.test\((['`]).*\1, /.test(line);
}

/** A document without what cannot be wrapped: code blocks, rows of tables, and where links lead. */
function prose(markdown: string): string {
  return markdown
    .replaceAll(/^```[^]*?^```/gm, '')
    .replaceAll(/^( {4}|\t| *\|).*$/gm, '')
    .replaceAll(/\]\([^)]*\)|https?:\/\/\S+/g, '');
}

/** The functions that are too long, as `path: name`. */
export function longFunctions(texts: Texts): string[] {
  return [...texts].flatMap(([path, text]) => longFunctionsOf(path, text)).sort();
}

function longFunctionsOf(path: string, text: string): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const lineOf = (position: number): number => source.getLineAndCharacterOfPosition(position).line;
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const lines = lineOf(node.end) - lineOf(node.getStart()) + 1;
    if (ts.isFunctionLike(node) && lines > FUNCTION_LINES_MAX) found.push(`${path}: ${nameOf(node)}`);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Its own name, or that of what it is assigned to, or of the test that it is. */
function nameOf(node: ts.SignatureDeclaration): string {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  if (node.name !== undefined) return node.name.getText();
  const { parent } = node;
  if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) return parent.name.getText();
  const title = ts.isCallExpression(parent) ? parent.arguments[0] : undefined;
  return title !== undefined && title !== node ? title.getText().slice(1, -1) : 'anonymous';
}
