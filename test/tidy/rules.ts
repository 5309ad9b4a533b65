/**
 * The rules that a program can check, for one source file at a time. They work on TypeScript's own syntax tree, so that
 * neither comments nor strings are taken for code.
 */
import { builtinModules } from 'node:module';
import ts from 'typescript';
import { type Import, importOf, targetOf } from './imports.ts';

export const LINES_MAX = 400;

type Layer = 'core' | 'wire' | 'io' | 'commands' | 'top' | 'clients' | 'test';

/** Which layers a file of a layer may import. `top` is what stands in brokers/ itself. */
const MAY_IMPORT: Readonly<Record<Layer, readonly Layer[]>> = {
  core: ['core'],
  wire: ['core', 'wire'],
  io: ['core', 'wire', 'io'],
  commands: ['core', 'wire', 'commands'],
  top: ['core', 'wire', 'io', 'commands', 'top'],
  clients: ['core', 'wire', 'clients'],
  test: ['core', 'wire', 'io', 'commands', 'top', 'clients', 'test'],
};

/** Who may import a package, as the start of the importer's path. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  rumormill: ['test/embed.test.ts'], // the package by its own name, as its users import it
  sqlite3: ['brokers/io/sqlite.ts', 'test/io/store.test.ts'],
  'csv-parse': ['brokers/io/', 'test/'],
  commander: ['brokers/', 'clients/', 'test/'],
  tap: ['test/'],
  typescript: ['test/'],
};

const NEVER = ['node:http', 'node:https', 'node:http2', 'node:dgram'];
/** What a functional core gets by interface (core/runtime.ts) and never takes by itself. */
const WORLD = [
  'Date', 'process', 'performance', 'crypto', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask',
  'clearTimeout', 'clearInterval', 'fetch', 'console',
];
const MARKS = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK']; // spelt so that this file has none of them
const SILENCERS = ['@ts-' + 'ignore', '@ts-' + 'nocheck', '@ts-' + 'expect-error'];

/** What is wrong with a source file, a sentence each. `path` is relative to the repository, with slashes. */
export function violations(path: string, text: string): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const complain = (at: number, what: string): void => {
    found.push(`${path}:${source.getLineAndCharacterOfPosition(at).line + 1}: ${what}`);
  };
  checkText(path, text, complain);
  const visit = (node: ts.Node): void => {
    checkSyntax(node, (what) => complain(node.getStart(), what));
    if (isPure(path)) checkPurity(node, (what) => complain(node.getStart(), what));
    const imported = importOf(node);
    if (imported !== undefined) {
      const what = wrongImport(path, imported);
      if (what !== undefined) complain(node.getStart(), what);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** A file whose inputs are all passed in: it runs the same in the simulation. */
function isPure(path: string): boolean {
  return ['core', 'wire', 'commands'].includes(layerOf(path)) || path === 'brokers/host.ts';
}

function layerOf(path: string): Layer {
  const [top, second = ''] = path.split('/');
  if (top === 'brokers') {
    return second === 'core' || second === 'wire' || second === 'io' || second === 'commands' ? second : 'top';
  }
  return top === 'clients' ? 'clients' : 'test';
}

function checkText(path: string, text: string, complain: (at: number, what: string) => void): void {
  const isTest = path.endsWith('.test.ts');
  if (!isTest && !/^(#!.*\n)?\/\*\*/.test(text)) complain(0, 'does not open with what it is for');
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  if (layerOf(path) !== 'test' && lines > LINES_MAX) complain(0, `has ${lines} lines, more than ${LINES_MAX}`);
  const marks = new RegExp(`\\b(${MARKS.join('|')})\\b|(${SILENCERS.join('|')})`, 'g');
  for (const match of text.matchAll(marks)) complain(match.index, `has a ${match[0]}`);
}

function checkSyntax(node: ts.Node, complain: (what: string) => void): void {
  if (ts.isEnumDeclaration(node)) complain('declares an enum');
  if (node.kind === ts.SyntaxKind.AnyKeyword) complain('uses the type any');
  if (node.kind === ts.SyntaxKind.DefaultKeyword && !ts.isDefaultClause(node.parent)) complain('has a default export');
  if (ts.isExportAssignment(node)) complain('has a default export');
  if (ts.isExportSpecifier(node) && node.name.text === 'default') complain('has a default export');
}

function checkPurity(node: ts.Node, complain: (what: string) => void): void {
  if (!ts.isIdentifier(node)) return;
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
    if (node.text === 'random' && parent.expression.getText() === 'Math') complain('uses Math.random');
    return;
  }
  const isName = (ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isMethodSignature(parent)
    || ts.isMethodDeclaration(parent) || ts.isPropertyDeclaration(parent)) && parent.name === node;
  if (!isName && WORLD.includes(node.text)) complain(`uses ${node.text}`);
}

function wrongImport(path: string, { specifier, isTypeOnly }: Import): string | undefined {
  const layer = layerOf(path);
  if (specifier.startsWith('.')) {
    const target = targetOf(path, specifier);
    if (MAY_IMPORT[layer].includes(layerOf(target))) return undefined;
    if (target === 'brokers/config.ts' && ['wire', 'io', 'commands'].includes(layer)) return undefined;
    if (path === 'brokers/commands/services.ts' && layerOf(target) === 'top' && isTypeOnly) return undefined;
    if (target === 'brokers/embed.ts' && path.startsWith('clients/examples/')) {
      return undefined;
    } // 'rumormill/broker', as users import it
    return `imports ${target}`;
  }
  if (builtinModules.includes(specifier)) return `imports ${specifier} without node:`;
  if (specifier.startsWith('node:')) {
    if (NEVER.some((never) => specifier === never || specifier.startsWith(`${never}/`)) || isPure(path)) {
      return `imports ${specifier}`;
    }
    return specifier === 'node:net' && layer === 'top' ? `imports ${specifier}` : undefined;
  }
  const importers =
    Object.entries(PACKAGES).find(([name]) => specifier === name || specifier.startsWith(`${name}/`))?.[1] ?? [];
  return importers.some((importer) => path.startsWith(importer)) && !isPure(path) ? undefined : `imports ${specifier}`;
}
