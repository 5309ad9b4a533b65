/**
 * A publisher of a run: goes to another broker where its own does not answer; what bears a dedupe id it tries again
 * there.
 */
import { ACK_LEVELS, type AckLevel } from '../../brokers/core/ack-level.ts';
import { type Caller, codeOf } from './caller.ts';
import type { VirtualClient } from './client.ts';
import type { Publication } from './history.ts';

const LARGE_PERCENT = 4; // of publishes
const LARGE = `\n${'x'.repeat(60_000)}`;
const ATTEMPTS_MAX = 6; // with one dedupe id; well within the window in which brokers remember it

export class Publisher {
  readonly caller: Caller;
  readonly #name: string;
  readonly #publications: Publication[];
  #count = 0;

  constructor(caller: Caller, name: string, publications: Publication[]) {
    this.caller = caller;
    this.#name = name;
    this.#publications = publications;
  }

  /** Publishes some messages together, and again what bears an id and got no answer, until it does or patience ends. */
  async publish(
    topic: string, count: number, question: Publication['question'], key: string | null = null, mayHaveId = true,
  ): Promise<void> {
    const { dice } = this.caller;
    const acks = dice.pick(ACK_LEVELS);
    const hasId = dice.integer(0, 2) === 0 && mayHaveId;
    const isLarge = dice.integer(1, 100) <= LARGE_PERCENT;
    let waiting = Array.from({ length: count }, (): Publication => {
      const name = `${this.#name}.${(this.#count += 1)}`;
      const payload =
        question === null ? `${name}${isLarge ? LARGE : ''}` : `${name} re ${question.payload.split(/\s/)[0]}`;
      return { topic, key, payload, acks, dedupeId: hasId ? name : null, question, attempts: [] };
    });
    this.#publications.push(...waiting);
    for (let tries = 1; waiting.length > 0; tries += 1) {
      await this.#attempt(waiting, acks);
      waiting = waiting.filter(({ attempts }) => typeof attempts.at(-1)!.outcome === 'string');
      if (waiting.length > 0) this.caller.hop();
      if (!hasId || tries === ATTEMPTS_MAX) return;
      if (waiting.length > 0) await this.caller.rest(500);
    }
  }

  async #attempt(publications: readonly Publication[], acks: AckLevel): Promise<void> {
    const { caller } = this;
    const timeoutMs = caller.dice.pick([200, 2000, 8000]);
    const { now } = caller.world.time;
    const attempts = publications.map(({ attempts }) => {
      const attempt = { broker: caller.machine.address, sentAt: now, endedAt: Infinity, outcome: undefined };
      attempts.push(attempt);
      return attempts.at(-1)!;
    });
    const settle = (index: number, outcome: number | string): void =>
      void Object.assign(attempts[index]!, { outcome, endedAt: caller.world.time.now });
    let client: VirtualClient;
    try {
      client = await caller.connect();
    } catch (error) {
      for (const index of attempts.keys()) settle(index, codeOf(error));
      return;
    }
    await Promise.all(publications.map(async ({ topic, key, payload, dedupeId, question }, index) => {
      const options = [
        ...(key === null ? [] : ['KEY', key]), ...(dedupeId === null ? [] : ['ID', dedupeId]),
        ...(question === null ? [] : ['LAMPORT', question.lamport]),
      ];
      try {
        const reply = await client.within(timeoutMs, 'PUBLISH', topic, payload, 'ACKS', acks, ...options);
        settle(index, typeof reply === 'number' ? reply : codeOf(reply));
      } catch (error) {
        settle(index, codeOf(error));
      }
    }));
  }
}
