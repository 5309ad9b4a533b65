/**
 * Commands about topics, subscriptions and bindings: made again until there is an answer, or time is up.
 *
 * TRYAGAIN (the subscription's home cannot be reached just now) is waited out with growing pauses, and a command whose
 * broker is lost goes to another. So one may be carried out twice. The effect is as if it was carried out once, when
 * its answer came. Only the answer differs: a number counts what the last attempt did, and a second DELETE finds
 * nothing. An attempt that a stopped broker still holds may be carried out later, as with any command that timed out.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { RumormillError } from '../../brokers/core/error.ts';
import { text } from '../../brokers/wire/message.ts';
import { backoffMs } from './backoff.ts';
import { type Answer, requestOf } from './request.ts';
import type { Call, SharedCalls } from './shared-calls.ts';

export type Args = readonly (string | number)[];

export interface AskOptions {
  /** Used if it is less than the client's own. */
  readonly timeoutMs?: number;
  /**
   * The error that an attempt gets if an earlier one was carried out: it is no error then, and the answer is null.
   */
  readonly doneBy?: string;
}

export class Asker {
  readonly #calls: SharedCalls;
  readonly #closing: AbortSignal;

  /** @param closing aborted when the client closes */
  constructor(calls: SharedCalls, closing: AbortSignal) {
    this.#calls = calls;
    this.#closing = closing;
  }

  /**
   * @throws RumormillError of the broker; UNREACHABLE, DISCONNECTED, TRYAGAIN once time is up: it may have been carried
   * out; BUSY, CLOSED
   */
  async ask(args: Args, { timeoutMs = Infinity, doneBy }: AskOptions = {}): Promise<Answer> {
    const since = performance.now();
    const until = since + timeoutMs;
    const deadline = Math.min(until, since + this.#calls.timeoutMs); // of attempts that are answered with TRYAGAIN
    let attempts = 0;
    for (let round = 1; ; round += 1) {
      const { command, reply } = requestOf(args);
      const call: Call = { ...command, repeatable: true, attempts: 0, since, until };
      this.#calls.submit(call);
      try {
        return await reply;
      } catch (error) {
        attempts += call.attempts;
        if (!(error instanceof RumormillError)) throw error;
        if (error.code === doneBy && attempts > 1) return null;
        const pauseMs = backoffMs(round, Math.random);
        if (error.code !== 'TRYAGAIN' || performance.now() + pauseMs >= deadline) throw error;
        await wait(pauseMs, undefined, { signal: this.#closing }).catch(() => this.#closing.throwIfAborted());
      }
    }
  }

  /** The integer that a command answers. @throws RumormillError as `ask`; PROTOCOL */
  async count(args: Args, options?: AskOptions): Promise<number> {
    const reply = await this.ask(args, options);
    if (typeof reply !== 'number') throw new RumormillError('PROTOCOL', `${args[0]} did not answer an integer`);
    return reply;
  }

  /** The array that a command answers. @throws RumormillError as `ask`; PROTOCOL */
  async list(args: Args): Promise<readonly Answer[]> {
    return arrayOf(await this.ask(args), String(args[0]));
  }

  /** The names that a command answers. @throws RumormillError as `ask`; PROTOCOL */
  async names(args: Args): Promise<string[]> {
    return (await this.list(args)).map(text);
  }
}

/** @throws RumormillError PROTOCOL if the reply is no array */
export function arrayOf(reply: Answer | undefined, command: string): Answer[] {
  if (!Array.isArray(reply)) throw new RumormillError('PROTOCOL', `${command} did not answer an array`);
  return reply as Answer[];
}
