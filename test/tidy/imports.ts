/** Rules about who imports whom that no single file can break: circles, the wings of the core, and modules of Node. */
import { posix } from 'node:path';
import ts from 'typescript';
import type { Texts } from './sources.ts';

export interface Import {
  readonly specifier: string;
  readonly isTypeOnly: boolean;
}

export type Graph = ReadonlyMap<string, readonly string[]>;

/** What a node of the syntax tree imports, if it imports. */
export function importOf(node: ts.Node): Import | undefined {
  if (ts.isImportDeclaration(node)) {
    return { specifier: unquote(node.moduleSpecifier), isTypeOnly: node.importClause?.isTypeOnly === true };
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
    return { specifier: unquote(node.moduleSpecifier), isTypeOnly: node.isTypeOnly };
  }
  if (ts.isImportTypeNode(node)) return { specifier: unquote(node.argument), isTypeOnly: true };
  const importer = /^(import|require|(\w+\.)?createRequire)$/;
  if (ts.isCallExpression(node) && node.arguments[0] !== undefined && importer.test(node.expression.getText())) {
    return { specifier: unquote(node.arguments[0]), isTypeOnly: false };
  }
  return undefined;
}

function unquote(node: ts.Node): string {
  return node.getText().replaceAll(/['"`]/g, '');
}

/** Who imports what, types included: files of the repository by their paths, all else as it is written. */
export function graphOf(texts: Texts): Graph {
  return new Map([...texts].map(([path, text]) => [path, targetsOf(path, text)]));
}

function targetsOf(path: string, text: string): string[] {
  const targets = new Set<string>();
  const visit = (node: ts.Node): void => {
    const specifier = importOf(node)?.specifier;
    if (specifier !== undefined) targets.add(targetOf(path, specifier));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return [...targets];
}

/** What a file imports by this specifier: a path, or what is no file of the repository, as it is written. */
export function targetOf(path: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier;
}

/** The files that import themselves by way of others. */
export function inCircles(graph: Graph): string[] {
  return [...graph.keys()].filter((path) => reachableFrom(path, graph).has(path)).sort();
}

function reachableFrom(start: string, graph: Graph): Set<string> {
  const reached = new Set<string>();
  const waiting = [...graph.get(start) ?? []];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    waiting.push(...graph.get(path) ?? []);
  }
  return reached;
}

/** What stands under all of the core: core/*.ts and core/log. */
const CORE_GROUND = /^brokers\/core\/(log\/)?[^/]+$/;

/** Where the ground of the core imports a wing of it, as `from -> to`. */
export function groundImports(graph: Graph): string[] {
  return pairs(graph, (from, to) => CORE_GROUND.test(from) && to.startsWith('brokers/core/') && !CORE_GROUND.test(to));
}

/** io/, the command lines and the examples: they are there to deal with the machine. */
const SHELL = [
  'brokers/io/', 'brokers/broker.ts', 'brokers/cluster.ts',
  'clients/command-line/', 'clients/admin.ts', 'clients/demo.ts', 'clients/publisher.ts', 'clients/subscriber.ts',
  'clients/examples/',
];
/** A client may wait and measure time. */
const TIME = ['node:perf_hooks', 'node:timers/promises'];

/** Where brokers/ and clients/ import a module of Node outside of io/ and the command lines, as `from -> module`. */
export function nodeImports(graph: Graph): string[] {
  return pairs(graph, (from, to) => {
    const mayWait = from.startsWith('clients/') && TIME.includes(to);
    return to.startsWith('node:') && !mayWait && !SHELL.some((start) => from.startsWith(start));
  });
}

function pairs(graph: Graph, isWanted: (from: string, to: string) => boolean): string[] {
  const all = [...graph].flatMap(([from, targets]) => targets.map((to) => [from, to] as const));
  return all.filter(([from, to]) => isWanted(from, to)).map(([from, to]) => `${from} -> ${to}`).sort();
}
