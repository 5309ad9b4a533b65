import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT } from '../support/root.ts';
import { violations } from './rules.ts';
import { readSources } from './sources.ts';

const TOP_LEVEL = [
  'CHANGELOG.md', 'LICENSE', 'README.md', 'brokers', 'clients', 'globalState.csv', 'package-lock.json', 'package.json',
  'test', 'tsconfig.json',
];

t.test('every source file keeps the rules', async (t) => {
  const sources = readSources('brokers', 'clients', 'test');
  const some = ['brokers/core/address.ts', 'brokers/wire/resp.ts', 'test/tidy/rules.test.ts'];
  for (const expected of some) t.ok(sources.has(expected), expected);
  t.strictSame([...sources].flatMap(([path, text]) => violations(path, text)), []);
});

t.test('file names are kebab-case', async (t) => {
  const paths = [...readSources('brokers', 'clients', 'test').keys()];
  t.strictSame(paths.filter((path) => !/^([a-z0-9-]+\/)+[a-z0-9-]+(\.test)?\.ts$/.test(path)), []);
});

t.test('only the allowed packages', async (t) => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, object | undefined>;
  t.strictSame(Object.keys(manifest['dependencies'] ?? {}).sort(), ['commander', 'csv-parse', 'sqlite3']);
  t.strictSame(Object.keys(manifest['devDependencies'] ?? {}).sort(), ['@types/node', 'tap', 'typescript']);
  const others = Object.keys(manifest).filter(
    (key) => /dependencies$|^overrides$/i.test(key) && !['dependencies', 'devDependencies'].includes(key),
  );
  t.strictSame(others, []);
});

t.test('nothing else at the top level', async (t) => {
  const names = topLevel().filter((name) => !name.startsWith('.'));
  t.ok(names.includes('package.json'));
  t.strictSame(names.filter((name) => !TOP_LEVEL.includes(name)), []);
});

/** What git has at the top level; without git, what lies there and is not ignored. */
function topLevel(): string[] {
  try {
    const paths = execFileSync('git', ['ls-files', '-z'], {
      cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
    }).split('\0');
    return [...new Set(paths.filter((path) => path !== '').map((path) => path.split('/')[0]!))];
  } catch {
    const ignored = readFileSync(join(ROOT, '.gitignore'), 'utf8').split('\n').map((line) => line.replace(/\/$/, ''));
    return readdirSync(ROOT).filter(
      (name) =>
        !ignored.some((pattern) => pattern === name || (pattern.startsWith('*') && name.endsWith(pattern.slice(1)))),
    );
  }
}

t.test('each rule can fail', async (t) => {
  const cases: [path: string, code: string, what: string | undefined][] = [
    ['brokers/core/a.ts', `import { b } from './b.ts';`, undefined],
    ['brokers/core/a.ts', `import { b } from '../wire/b.ts';`, 'imports brokers/wire/b.ts'],
    ['brokers/core/a.ts', `import type { B } from '../wire/b.ts';`, 'imports brokers/wire/b.ts'],
    ['brokers/core/a.ts', `import '../config.ts';`, 'imports brokers/config.ts'],
    ['brokers/core/a.ts', `import { randomBytes } from 'node:crypto';`, 'imports node:crypto'],
    ['brokers/core/a.ts', `import { Command } from 'commander';`, 'imports commander'],
    ['brokers/core/a.ts', `export * from '../io/b.ts';`, 'imports brokers/io/b.ts'],
    ['brokers/core/a.ts', `export type B = import('../io/b.ts').B;`, 'imports brokers/io/b.ts'],
    ['brokers/core/a.ts', `await import('../io/b.ts');`, 'imports brokers/io/b.ts'],
    ['brokers/core/a.ts', `Date.now();`, 'uses Date'],
    ['brokers/core/a.ts', `new Date();`, 'uses Date'],
    ['brokers/core/a.ts', `Math.random();`, 'uses Math.random'],
    ['brokers/core/a.ts', `Math.max(1, 2);`, undefined],
    ['brokers/core/a.ts', `setTimeout(f, 1);`, 'uses setTimeout'],
    ['brokers/core/a.ts', `setInterval(f, 1);`, 'uses setInterval'],
    ['brokers/core/a.ts', `const home = process.env;`, 'uses process'],
    ['brokers/core/a.ts', `clock.process(); const text = 'Date.now()'; // setTimeout`, undefined],
    ['brokers/wire/a.ts', `import '../core/b.ts';`, undefined],
    ['brokers/wire/a.ts', `import '../config.ts';`, undefined],
    ['brokers/wire/a.ts', `import '../commands/b.ts';`, 'imports brokers/commands/b.ts'],
    ['brokers/wire/a.ts', `import 'node:net';`, 'imports node:net'],
    [
      'brokers/io/a.ts',
      `import '../wire/b.ts'; import '../config.ts'; import './b.ts'; import 'node:net'; Date.now();`, undefined,
    ],
    ['brokers/io/a.ts', `import '../host.ts';`, 'imports brokers/host.ts'],
    ['brokers/io/a.ts', `import sqlite3 from 'sqlite3';`, 'imports sqlite3'],
    ['brokers/io/sqlite.ts', `import sqlite3 from 'sqlite3';`, undefined],
    ['brokers/io/a.ts', `import { parse } from 'csv-parse/sync';`, undefined],
    ['brokers/io/a.ts', `import express from 'express';`, 'imports express'],
    ['brokers/io/a.ts', `import { readFile } from 'fs/promises';`, 'imports fs/promises without node:'],
    ['brokers/io/a.ts', `import { request } from 'node:http';`, 'imports node:http'],
    ['brokers/commands/a.ts', `import '../config.ts'; import './b.ts'; import '../wire/c.ts';`, undefined],
    ['brokers/commands/a.ts', `import type { Queues } from '../queue/b.ts';`, 'imports brokers/queue/b.ts'],
    ['brokers/commands/services.ts', `import type { Queues } from '../queue/b.ts';`, undefined],
    ['brokers/commands/services.ts', `import { Queues } from '../queue/b.ts';`, 'imports brokers/queue/b.ts'],
    ['brokers/commands/a.ts', `import '../io/b.ts';`, 'imports brokers/io/b.ts'],
    ['brokers/commands/a.ts', `Date.now();`, 'uses Date'],
    ['brokers/host.ts', `import './io/a.ts'; import './commands/a.ts';`, undefined],
    ['brokers/host.ts', `setTimeout(f, 1);`, 'uses setTimeout'],
    ['brokers/broker.ts', `import '../clients/a.ts';`, 'imports clients/a.ts'],
    ['brokers/broker.ts', `import '../test/support/a.ts';`, 'imports test/support/a.ts'],
    ['brokers/broker.ts', `import 'commander'; process.exit(1);`, undefined],
    ['brokers/broker.ts', `import 'node:net';`, 'imports node:net'],
    [
      'clients/a.ts',
      `import './b.ts'; import '../brokers/wire/b.ts'; import '../brokers/core/b.ts'; import 'node:net';`, undefined,
    ],
    ['clients/a.ts', `import '../brokers/config.ts';`, 'imports brokers/config.ts'],
    ['clients/a.ts', `import type { B } from '../brokers/host.ts';`, 'imports brokers/host.ts'],
    ['clients/a.ts', `import '../brokers/io/b.ts';`, 'imports brokers/io/b.ts'],
    ['clients/a.ts', `import '../brokers/embed.ts';`, 'imports brokers/embed.ts'],
    ['clients/examples/a.ts', `import '../client.ts'; import '../../brokers/embed.ts';`, undefined],
    ['clients/examples/a.ts', `import '../../brokers/host.ts';`, 'imports brokers/host.ts'],
    ['clients/a.ts', `import 'node:https';`, 'imports node:https'],
    ['clients/a.ts', `import 'node:dgram';`, 'imports node:dgram'],
    ['clients/a.ts', `import 'tap';`, 'imports tap'],
    ['test/a.ts', `import 'node:http2';`, 'imports node:http2'],
    ['test/a.ts', `import 'tap'; import '../brokers/host.ts'; import '../clients/a.ts';`, undefined],
    ['test/a.ts', `enum E { A }`, 'declares an enum'],
    ['test/a.ts', `const enum E { A }`, 'declares an enum'],
    ['test/a.ts', `let a: ${'any'};`, 'uses the type any'],
    ['test/a.ts', `let a: Map<string, any[]>;`, 'uses the type any'],
    ['test/a.ts', `let any = 'any'; // any`, undefined],
    ['test/a.ts', `export default 7;`, 'has a default export'],
    ['test/a.ts', `export default function f() {}`, 'has a default export'],
    ['test/a.ts', `export { f as default };`, 'has a default export'],
    ['test/a.ts', `switch (a) { default: }`, undefined],
    ['test/a.ts', `// @ts-${'ignore'}`, `has a @ts-${'ignore'}`],
    ['test/a.ts', `// ${'TO'}${'DO'}: later`, `has a ${'TO'}${'DO'}`],
    ['test/a.ts', `// ${'FIX'}${'ME'}`, `has a ${'FIX'}${'ME'}`],
    ['test/a.ts', `// ${'XX'}${'X'}`, `has a ${'XX'}${'X'}`],
    ['test/a.ts', `const a = '${'HA'}${'CK'}';`, `has a ${'HA'}${'CK'}`],
    ['clients/a.ts', `${'a();\n'.repeat(399)}`, undefined],
    ['clients/a.ts', `${'a();\n'.repeat(400)}`, 'has 401 lines, more than 400'],
    ['test/a.ts', `${'a();\n'.repeat(400)}`, undefined],
  ];
  for (const [path, code, what] of cases) {
    const found = violations(path, `/** What it is for. */\n${code}`).map((violation) =>
      violation.replace(/^.*?:\d+: /, ''),
    );
    t.strictSame(found, what === undefined ? [] : [what], `${path}: ${code.slice(0, 80)}`);
  }
  t.strictSame(violations('clients/a.ts', '#!/usr/bin/env node\n/** What it is for. */\nf();'), []);
  t.strictSame(violations('clients/a.ts', 'f(); /** Too late. */'), [
    'clients/a.ts:1: does not open with what it is for',
  ]);
  t.strictSame(
    violations('clients/a.ts', `/** What it is for. */\n\nlet a: ${'any'};`), ['clients/a.ts:3: uses the type any'],
    'with the line',
  );
});
