/**
 * The command lines and examples of the clients as processes of their own. They run `dist/`; set DIST to run another
 * build.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { DIST } from '../support/root.ts';
import { waitFor, within } from '../support/wait.ts';

type Script = 'publisher' | 'subscriber' | 'admin' | `examples/${string}`;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Command {
  stdout = '';
  stderr = '';
  readonly child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<Ended>;

  /** Starts it; it is killed when the test ends. */
  constructor(t: Test, script: Script, args: readonly string[]) {
    const { NODE_OPTIONS: _, ...env } = process.env; // tap's loaders are none of its business
    const child = spawn(process.execPath, [join(DIST, `clients/${script}.js`), ...args], { env });
    this.child = child;
    child.stdout.on('data', (chunk: Buffer) => (this.stdout += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString('utf8')));
    child.stdin.on('error', () => undefined); // it may end before it has read everything
    this.#ended = new Promise((resolve) =>
      child.once('close', (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr })),
    );
    t.teardown(() => child.kill('SIGKILL'));
  }

  ended(): Promise<Ended> {
    return within('the command ends', this.#ended, 20_000);
  }

  async until(what: string, condition: (command: this) => boolean | Promise<boolean>): Promise<void> {
    await waitFor(`${what}; standard error: ${this.stderr}`, () => condition(this));
  }
}

/** Runs a command line to its end, with `input` on standard input. */
export function run(t: Test, script: Script, args: readonly string[], input: string | Uint8Array = ''): Promise<Ended> {
  const command = new Command(t, script, args);
  command.child.stdin.end(input);
  return command.ended();
}

export const lines = (text: string): string[] => text.split('\n').slice(0, -1);
