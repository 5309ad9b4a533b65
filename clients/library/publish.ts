/**
 * A publish: its command, its dedupe id, and what its answer means.
 *
 * A publish whose connection is lost may or may not be stored. With a dedupe id that does not matter: it is made again
 * on another broker under the same id, as an idempotent producer does. So each one has an id, of the caller's or of
 * this client's own, unless it is told that none is wanted or promises nothing anyway (`acks: 'none'`).
 *
 * An error after which the message may be stored all the same says so, and under which id it can be published again.
 */
import { randomBytes } from 'node:crypto';
import type { Address } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { LAMPORT_MAX } from '../../brokers/core/log/lamport.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import { frameOf } from './frame.ts';
import type { Call } from './shared-calls.ts';

export interface PublishOptions {
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Dedupe id, up to 128 bytes: the same one on the same topic is published once. The client makes one if absent. */
  readonly id?: string;
  /** When the broker answers; its own default if absent. */
  readonly acks?: 'none' | 'local' | 'quorum' | 'all';
}

export interface Published {
  /**
   * `<lamport>@<host:port>` of the broker that answered: the id that subscribers see. Not if `attempts` is over 1
   * and a broker that was lost had taken the message already: subscribers then see that broker's address in it. The
   * dedupe id is the same in either case.
   */
  readonly id: string;
  readonly lamport: number;
  /** What it was published with; null for none. */
  readonly dedupeId: string | null;
  /** How many brokers it was sent to, one after another. */
  readonly attempts: number;
}

// 12 characters: ids of 10,000 clients within the brokers' two minutes meet with a chance of 1 in 10^14
const RANDOM_BYTES = 9;

/** Makes dedupe ids: what is random once a client, and a counter. 13 to 23 bytes. */
export class DedupeIds {
  readonly #prefix = randomBytes(RANDOM_BYTES).toString('base64url');
  #count = 0;

  next(): string {
    this.#count += 1;
    return this.#prefix + this.#count.toString(36); // the prefix is of one length, so no separator is needed
  }
}

/** What a publish is, and what becomes of it. */
export interface Publish {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly options: PublishOptions;
  readonly dedupeId: string | null;
  readonly lamport: number;
  readonly since: number;
  resolve(published: Published): void;
  reject(error: RumormillError): void;
}

export function publishCall({ topic, payload, options, dedupeId, lamport, since, resolve, reject }: Publish): Call {
  const args: (string | number | Uint8Array)[] = ['PUBLISH', topic, payload, 'LAMPORT', lamport];
  if (options.key !== undefined) args.push('KEY', options.key);
  for (const [name, value] of Object.entries(options.headers ?? {})) args.push('HEADER', name, value);
  if (dedupeId !== null) args.push('ID', dedupeId);
  if (options.acks !== undefined) args.push('ACKS', options.acks);
  return {
    frame: frameOf(args),
    repeatable: dedupeId !== null,
    attempts: 0,
    since,
    until: Infinity,
    settle(reply: Reply, broker: Address) {
      if (reply instanceof RumormillError) {
        reject(reply.code === 'NOQUORUM' || this.attempts > 1 ? maybeStored(reply, dedupeId) : reply);
      } else if (typeof reply !== 'number' || reply < 0 || reply > LAMPORT_MAX) {
        reject(new RumormillError('PROTOCOL', 'PUBLISH did not answer a Lamport timestamp'));
      } else resolve({ id: `${reply}@${broker}`, lamport: reply, dedupeId, attempts: this.attempts });
    },
    fail(error) {
      reject(this.attempts > 0 ? maybeStored(error, dedupeId) : error);
    },
  };
}

/** The error of a publish that a broker may have stored. */
function maybeStored(cause: RumormillError, dedupeId: string | null): RumormillError {
  const may = cause.code === 'NOQUORUM' ? '' : '; the message may still be delivered'; // the broker has said it itself
  const again = dedupeId === null ? '' : `; published again with id ${JSON.stringify(dedupeId)} it is not doubled`;
  return new RumormillError(cause.code, `${cause.message}${may}${again}`, { cause });
}
