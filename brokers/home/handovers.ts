/**
 * Leases on their way to the next homes of their subscriptions: each is sent again, with pauses that double, until its
 * next home has taken it. If the homes change meanwhile, it goes to whom it belongs now, which may be this broker.
 *
 * Bounded: given up after `homeTimeoutMs`, with a line in the log; by then the next home has long begun without it. A
 * home that takes the same leases twice keeps those that it has.
 */
import type { Limits } from '../config.ts';
import type { Address } from '../core/address.ts';
import type { Handover } from '../core/queue/handover.ts';
import type { Clock, Logger } from '../core/runtime.ts';

export interface HandoversRuntime {
  readonly self: Address;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Who is to have the leases of a subscription now; undefined if nobody is there for them. */
  nextHome(subscription: string): Address | undefined;
  send(to: Address, id: number, handover: Handover): void;
  /** They belong here again. */
  takeOver(handover: Handover): void;
}

interface Pending {
  readonly handover: Handover;
  readonly since: number;
  to: Address | undefined;
  sendAt: number;
  pauseMs: number;
}

export class Handovers {
  readonly #runtime: HandoversRuntime;
  readonly #pending = new Map<number, Pending>();
  #ids = 0;

  constructor(runtime: HandoversRuntime) {
    this.#runtime = runtime;
  }

  /** Whether all were taken. */
  get isEmpty(): boolean {
    return this.#pending.size === 0;
  }

  add(handovers: Iterable<Handover>): void {
    const { clock } = this.#runtime;
    for (const handover of handovers) {
      this.#pending.set((this.#ids += 1), { handover, since: clock.now(), to: undefined, sendAt: 0, pauseMs: 0 });
    }
    this.look();
  }

  /** A broker says that it has it; that counts from the one that it was sent to. */
  taken(id: number, by: Address): void {
    if (this.#pending.get(id)?.to === by) this.#pending.delete(id);
  }

  /** Sends what is due. To be called every `tickMs`, and when homes have changed. */
  look(): void {
    const { clock, self, limits, logger, nextHome, takeOver } = this.#runtime;
    const now = clock.now();
    let lost = 0;
    for (const [id, pending] of [...this.#pending]) {
      const { handover, since } = pending;
      const to = nextHome(handover.subscription);
      const isOver = now - since >= limits.homeTimeoutMs;
      if (to !== undefined && to !== self && !isOver) {
        this.#send(id, pending, to, now);
        continue;
      }
      this.#pending.delete(id);
      if (to === self) takeOver(handover);
      else if (to !== undefined) lost += 1;
    }
    if (lost > 0) logger.warn('next homes did not take leases, which end with this', { subscriptions: lost });
  }

  #send(id: number, pending: Pending, to: Address, now: number): void {
    const isOther = to !== pending.to;
    if (!isOther && now < pending.sendAt) return;
    pending.to = to;
    pending.pauseMs = isOther ? this.#runtime.limits.seekMs : 2 * pending.pauseMs;
    pending.sendAt = now + pending.pauseMs;
    this.#runtime.send(to, id, pending.handover);
  }
}
