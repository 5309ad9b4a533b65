#!/usr/bin/env node
/**
 * `npm run demo`: a mesh of three brokers, as a user would run it, in a temporary folder and on free ports. A
 * subscriber on one, a publisher on another; the coordinator is killed, a new one is elected, the killed one comes back
 * and catches up. Exit status 0 when all of that was seen, 1 with what was not. Leaves nothing behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../brokers/core/error.ts';
import { type Client, connect } from './client.ts';

const HOST = '127.0.0.1';
const STEP_MS = 8000; // for whatever is awaited
const LOOK_MS = 20;

const startedAt = performance.now();
const children = new Set<ChildProcess>();

function say(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1000).toFixed(2).padStart(6)} s  ${text}\n`);
}

async function run(folder: string): Promise<void> {
  const ports = await freePorts(3);
  const file = join(folder, 'globalState.csv');
  await writeFile(file, `ip-address,port\n${ports.map((port) => `${HOST},${port}\n`).join('')}`);
  const [first, second, third] = ports.map((port) => `${HOST}:${port}`) as [string, string, string];
  const startBroker = (address: string): ChildProcess =>
    start('brokers/broker.js', [...flags(address), '--global-state', file, '--data-dir', join(folder, 'data')]);

  say(`three brokers: ${[first, second, third].join(', ')}`);
  startBroker(first);
  startBroker(second);
  const highest = startBroker(third);
  await untilLeader(second, third);
  say(`coordinator: ${third}, the highest address (Bully election)`);

  const received: string[] = [];
  const subscriber = start('clients/subscriber.js', [...flags(second), '--from', 'earliest', 'news']);
  onLines(subscriber, (line) => {
    received.push(line);
    say(`  subscriber on ${second} | ${line}`);
  });
  await publish(first, ['hello', 'mesh']);
  await until('the subscriber has both messages', () => received.length >= 2);

  say(`kill -9 ${third}, the coordinator`);
  const killedAt = performance.now();
  await kill(highest);
  await untilLeader(first, second);
  say(`coordinator: ${second}, elected ${Math.round(performance.now() - killedAt)} ms after the kill`);
  await publish(first, ['published while one broker was down']);
  await until('the subscriber has it', () => received.length >= 3);

  say(`${third} comes back`);
  startBroker(third);
  await using(third, async (client) => {
    await until('it has caught up', async () => (await client.range('news', {})).length === 3);
    say(
      `${third} has caught up: ${(await client.range('news', {})).map(({ text }) => JSON.stringify(text)).join(', ')}`,
    );
  });
  await untilLeader(first, third);
  say(`coordinator: ${third} again`);
  if (received.length !== 3) throw new Error(`the subscriber got ${received.length} messages, not 3`);
  say('every message was delivered once, and none was lost');
}

function flags(address: string): string[] {
  return ['--host', HOST, '--port', address.slice(HOST.length + 1)];
}

async function publish(address: string, messages: readonly string[]): Promise<void> {
  const publisher = start('clients/publisher.js', [...flags(address), 'news', ...messages]);
  onLines(publisher, (line) => say(`  publisher on ${address}  | ${line}`));
  const code = await new Promise<number | null>((resolve) => publisher.once('close', resolve));
  if (code !== 0) throw new Error(`the publisher ended with status ${code}`);
}

async function untilLeader(asked: string, leader: string): Promise<void> {
  await using(asked, (client) => until(`${leader} is coordinator`, async () => (await client.leader()) === leader));
}

async function using(address: string, task: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect({ brokers: address, timeoutMs: STEP_MS });
  try {
    await task(client);
  } finally {
    await client.close();
  }
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + STEP_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${STEP_MS} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Starts one of our programs. What it writes to standard error is shown only if the demo fails. */
function start(script: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [fileURLToPath(new URL(`../${script}`, import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  createInterface({ input: child.stderr! }).on('line', (line) => {
    errors.push(`${script} ${args[3]}: ${line}`);
    if (errors.length > 200) errors.shift();
  });
  return child;
}

const errors: string[] = [];

function onLines(child: ChildProcess, handle: (line: string) => void): void {
  createInterface({ input: child.stdout! }).on('line', handle);
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, HOST));
  const ports = await Promise.all(servers.map((server) => new Promise<number>((resolve) => {
    server.once('listening', () => resolve((server.address() as AddressInfo).port));
  })));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports.sort((a, b) => a - b);
}

const folder = await mkdtemp(join(tmpdir(), 'rumormill-demo-'));
const cleanUp = async (): Promise<void> => {
  await Promise.all([...children].map(kill));
  await rm(folder, { recursive: true, force: true });
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void cleanUp().then(() => process.exit(1)));
}
try {
  await run(folder);
} catch (error) {
  process.stderr.write(`demo failed: ${messageOf(error)}\n${errors.map((line) => `  ${line}\n`).join('')}`);
  process.exitCode = 1;
} finally {
  await cleanUp();
}
