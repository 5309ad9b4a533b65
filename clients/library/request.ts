/**
 * A command as a promise of its reply, for the handshake, polls and reads. (Publishes are commands of their own:
 * publish.ts.)
 */
import { RumormillError } from '../../brokers/core/error.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import type { Command, Connection } from './connection.ts';
import { expireWithout } from './patience.ts';
import { frameOf } from './frame.ts';

/** What a reply is once an error reply has become a rejection. */
export type Answer = Exclude<Reply, RumormillError>;

/**
 * A command and the promise of its reply. The promise rejects with the RumormillError of an error reply.
 * @throws RumormillError ERR for text that UTF-8 cannot say
 */
export function requestOf(args: readonly (string | number | Uint8Array)[]): {
  command: Command;
  reply: Promise<Answer>;
} {
  const { promise, resolve, reject } = withResolvers<Answer>();
  const command: Command = {
    frame: frameOf(args),
    settle: (reply) => (reply instanceof RumormillError ? reject(reply) : resolve(reply)),
    fail: reject,
  };
  return { command, reply: promise };
}

/**
 * Sends one command on a connection and waits for its reply. Where for `timeoutMs` nothing moves, or the signal fires,
 * the connection is destroyed, since on it every later reply would be one off.
 * @throws RumormillError of the error reply; DISCONNECTED; the signal's reason
 */
export async function request(
  connection: Connection,
  args: readonly (string | number | Uint8Array)[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Answer> {
  signal.throwIfAborted();
  const { command, reply } = requestOf(args);
  const abort = (): void => {
    command.fail(signal.reason as RumormillError);
    connection.destroy('aborted');
  };
  signal.addEventListener('abort', abort, { once: true });
  connection.write([command]);
  const limitMs = timeoutMs + connection.patienceMs;
  const end = expireWithout(
    () => connection.movedAt, limitMs, () => connection.destroy(`no answer within ${timeoutMs} ms`),
  );
  try {
    return await reply;
  } finally {
    end();
    signal.removeEventListener('abort', abort);
  }
}

/**
 * The promise's value, unless the signal fires first; then nobody waits for it any more. @throws what the promise
 * rejects with; the signal's reason
 */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const { promise: aborted, reject } = withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** A promise and what settles it (Promise.withResolvers of ES2024, which Node 20 lacks). */
export function withResolvers<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
