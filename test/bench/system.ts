/** What the benchmark measures: a system of three servers that it starts, publishes to and asks what it has stored. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../support/wait.ts';
import type { Publishing } from './load.ts';

export interface System {
  readonly name: string;
  /** What its acknowledgement promises. */
  readonly promise: string;
  /** Name and version, or undefined where it is not installed. */
  version(): string | undefined;
  start(home: Home): Promise<Running>;
}

export interface Running {
  readonly publishing: Publishing;
  /** The same over all servers that take messages. */
  readonly everywhere: Publishing;
  /** How many messages each server has. */
  stored(): Promise<number[]>;
}

const STORED_MS = 120_000;

/** Waits until every server has stored what it had and `acked` more. @throws Error where one has not, or has more */
export async function assertStored(running: Running, before: readonly number[], acked: number): Promise<void> {
  const expected = before.map((count) => count + acked);
  let counts: number[] = [];
  const complete = waitFor('', async () => {
    // who is busy writing does not always answer in time, and is asked again
    counts = await running.stored().catch(() => counts);
    return counts.length > 0 && counts.every((count, index) => count >= expected[index]!);
  }, STORED_MS);
  await complete.catch(() => undefined); // what is missing is said below
  if (counts.join() !== expected.join()) {
    throw new Error(
      `${acked} messages are acknowledged, and the servers have ${counts.join(', ')} and not ${expected.join(', ')}`,
    );
  }
}

/** A server as the folder's end needs it. */
interface Server {
  kill(): void;
  /** Kills it, and resolves when it is gone. */
  end(): Promise<unknown>;
}

/**
 * A temporary folder and the processes that work in it; all gone once it is disposed of, and when this process ends.
 */
export class Home implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'rumormill-bench-'));
  readonly #servers: Server[] = [];
  readonly #last = (): void => this.#end();

  constructor() {
    process.once('exit', this.#last);
  }

  /** Starts a server that ends with the folder. */
  run(command: string, args: readonly string[]): void {
    const child = spawn(command, args, { cwd: this.folder, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
    const kill = (): void => void child.kill('SIGKILL');
    this.adopt({ kill, end: () => (kill(), ended) });
  }

  /** Has a server that others started end with the folder. */
  adopt(server: Server): void {
    this.#servers.push(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.end()));
    process.removeListener('exit', this.#last);
    this.#end();
  }

  #end(): void {
    for (const server of this.#servers) server.kill();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The first line that a program says of its version. */
export function versionOf(command: string, ...args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}
