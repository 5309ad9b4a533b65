import t from 'tap';
import { GROUND_IMPORTS, IN_CIRCLES, NODE_IMPORTS } from './exceptions.ts';
import { type Graph, graphOf, groundImports, inCircles, nodeImports } from './imports.ts';
import { readSources } from './sources.ts';

const graph = graphOf(readSources('brokers', 'clients'));

t.test('brokers and clients keep the rules, but for the exceptions that are still needed', async (t) => {
  t.ok((graph.get('brokers/broker.ts') ?? []).length > 3, 'they have been read');
  t.strictSame(inCircles(graph), [...IN_CIRCLES].sort(), 'no file imports itself by way of others');
  t.strictSame(groundImports(graph), [...GROUND_IMPORTS].sort(), 'core/*.ts and core/log import no wing of the core');
  t.strictSame(nodeImports(graph), [...NODE_IMPORTS].sort(), 'modules of Node are for io/ and the command lines');
});

/** A graph of files with one import each. */
function files(imports: Readonly<Record<string, string>>): Graph {
  return graphOf(new Map(Object.entries(imports)));
}

t.test('each rule can fail', async (t) => {
  const [a, b, c] = ['brokers/a.ts', 'brokers/b.ts', 'brokers/io/c.ts'];
  t.strictSame(inCircles(files({ [a]: `import './b.ts';`, [b]: `import './io/c.ts';`, [c]: '' })), [], 'no circle');
  const two = { [a]: `import './b.ts';`, [b]: `import './a.ts';`, [c]: `import '../a.ts';` };
  t.strictSame(inCircles(files(two)), [a, b]);
  const types = {
    [a]: `import type { B } from './b.ts';`,
    [b]: `export * from './io/c.ts';`,
    [c]: `let a: import('../a.ts').A;`,
  };
  t.strictSame(inCircles(files(types)), [a, b, c], 'types count');
  t.strictSame(inCircles(files({ [a]: `import './a.ts';` })), [a], 'oneself');

  const ground = (from: string, code: string): string[] => groundImports(files({ [from]: code }));
  t.strictSame(ground('brokers/core/a.ts', `import './log/b.ts'; import './b.ts';`), []);
  t.strictSame(ground('brokers/core/mesh/a.ts', `import '../queue/b.ts';`), [], 'wings may');
  const wing = 'brokers/core/mesh/b.ts';
  t.strictSame(ground('brokers/core/a.ts', `import type { B } from './mesh/b.ts';`), [`brokers/core/a.ts -> ${wing}`]);
  t.strictSame(ground('brokers/core/log/a.ts', `import '../mesh/b.ts';`), [`brokers/core/log/a.ts -> ${wing}`]);

  const node = (from: string, code: string): string[] => nodeImports(files({ [from]: code }));
  t.strictSame(node('brokers/io/a.ts', `import 'node:fs';`), []);
  t.strictSame(node('brokers/cluster.ts', `import 'node:os';`), []);
  t.strictSame(node('clients/admin.ts', `import 'node:os';`), []);
  t.strictSame(node('clients/library/a.ts', `import 'node:perf_hooks';`), []);
  t.strictSame(node('clients/library/a.ts', `import 'node:net';`), ['clients/library/a.ts -> node:net']);
  t.strictSame(node('brokers/mesh/a.ts', `import 'node:perf_hooks';`), ['brokers/mesh/a.ts -> node:perf_hooks']);
});
