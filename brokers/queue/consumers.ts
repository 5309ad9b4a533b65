/**
 * Who consumes a subscription: by the names with which PULLs come. If there are too many names, the oldest leave.
 */
import type { Limits } from '../config.ts';

export interface ConsumerStatus {
  readonly consumer: string;
  /** Messages that it holds. */
  readonly inFlight: number;
  /** Since it pulled; undefined if that is too long ago, or was at another home. */
  readonly idleMs: number | undefined;
}

/** What others know of consumers. */
export interface ConsumersRuntime {
  readonly limits: Limits;
  /** Those whose PULLs wait. */
  waiting(): Iterable<string>;
  /** Those that hold leases, and how many. */
  held(): ReadonlyMap<string, number>;
}

export class Consumers {
  readonly #runtime: ConsumersRuntime;
  readonly #pulledAt = new Map<string, number>(); // the oldest first

  constructor(runtime: ConsumersRuntime) {
    this.#runtime = runtime;
  }

  /** A PULL has come. */
  pulled(consumer: string, now: number): void {
    this.#pulledAt.delete(consumer);
    this.#pulledAt.set(consumer, now);
    if (this.#pulledAt.size > this.#runtime.limits.consumersMax) {
      this.#pulledAt.delete(this.#pulledAt.keys().next().value!);
    }
  }

  /** How many wait, or have pulled since a time; the others are forgotten. */
  countSince(since: number, now: number): number {
    for (const [consumer, at] of this.#pulledAt) if (at < since) this.#pulledAt.delete(consumer);
    for (const consumer of this.#runtime.waiting()) this.#pulledAt.set(consumer, now);
    return this.#pulledAt.size;
  }

  /** Who holds leases, waits or has pulled lately; those first who hold most. */
  list(now: number): ConsumerStatus[] {
    const waiting = new Set(this.#runtime.waiting());
    const held = this.#runtime.held();
    const all = [...new Set([...held.keys(), ...waiting, ...this.#pulledAt.keys()])].map((consumer) => {
      const pulledAt = this.#pulledAt.get(consumer);
      const idleMs = waiting.has(consumer) ? 0 : pulledAt === undefined ? undefined : Math.round(now - pulledAt);
      return { consumer, inFlight: held.get(consumer) ?? 0, idleMs };
    });
    return all.sort((a, b) => b.inFlight - a.inFlight);
  }
}
