/**
 * A subscription and its home for tests of clients: leases end when the test says so, and not by themselves. One
 * FakeQueue may serve several FakeBrokers, as a mesh does.
 */
import type { Socket } from 'node:net';
import type { Handler } from './fake-broker.ts';
import { message, option } from './fake-broker.ts';
import type { Value } from '../../brokers/wire/resp.ts';

interface Entry {
  readonly lamport: number;
  readonly payload: string;
  deliveries: number;
  token: string | undefined; // while it is leased
}

export class FakeQueue {
  visibilityMs = 30_000;
  /** Which limit holds messages back, as SUBSCRIPTION GET says it. */
  limit = '';
  /** Payloads in the order in which they were acknowledged. */
  readonly acked: string[] = [];
  /** Payloads that were given back, with the delay that was asked for. */
  readonly nacked: [payload: string, delayMs: string | undefined][] = [];
  /** How many tokens each ACK had. */
  readonly ackSizes: number[] = [];
  readonly #entries = new Map<number, Entry>();
  #lamport = 0;
  #tokens = 0;
  #waiting: (() => void)[] = [];

  constructor(payloads: readonly string[] = []) {
    this.publish(...payloads);
  }

  /** For a FakeBroker. */
  readonly handler: Handler = ([name, ...args], socket) => {
    switch (name) {
      case 'PULL':
        return this.#pull(args, socket);
      case 'ACK':
        this.ackSizes.push(args.length - 1);
        return this.#settle(args.slice(1), (entry) => {
          this.acked.push(entry.payload);
          this.#entries.delete(entry.lamport);
        });
      case 'NACK': {
        const delay = option(args, 'DELAY');
        return this.#settle(delay === undefined ? args.slice(1) : args.slice(1, -2), (entry) => {
          this.nacked.push([entry.payload, delay]);
          entry.token = undefined;
          this.#wake();
        });
      }
      case 'EXTEND':
        return args.slice(2).filter((token) => this.#leased(token) !== undefined).length;
      case 'SUBSCRIPTION':
        return args[0] === 'GET' ? this.#describe(args[1]!) : 'OK';
      default:
        return 'OK';
    }
  };

  publish(...payloads: string[]): void {
    for (const payload of payloads) {
      this.#lamport += 1;
      this.#entries.set(this.#lamport, { lamport: this.#lamport, payload, deliveries: 0, token: undefined });
    }
    this.#wake();
  }

  /** Ends the leases of these payloads, or of all, as when the time is over or the home has died. */
  expire(...payloads: string[]): void {
    for (const entry of this.#entries.values()) {
      if (payloads.length === 0 || payloads.includes(entry.payload)) entry.token = undefined;
    }
    this.#wake();
  }

  /** Payloads that are leased. */
  get leased(): string[] {
    return [...this.#entries.values()].filter(({ token }) => token !== undefined).map(({ payload }) => payload);
  }

  async #pull(args: readonly string[], socket: Socket): Promise<Value> {
    const count = Number(option(args, 'COUNT'));
    const until = performance.now() + Number(option(args, 'BLOCK') ?? 0);
    for (;;) {
      if (socket.destroyed) return []; // nobody waits any more
      const ready = [...this.#entries.values()].filter(({ token }) => token === undefined).slice(0, count);
      if (ready.length > 0 || performance.now() >= until) return ready.map((entry) => this.#lease(entry));
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, until - performance.now());
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #lease(entry: Entry): Value {
    entry.token = `t${(this.#tokens += 1)}`;
    entry.deliveries += 1;
    return [entry.token, entry.deliveries, message(entry.lamport, entry.payload)];
  }

  #settle(tokens: readonly string[], settle: (entry: Entry) => void): number {
    const good = tokens.map((token) => this.#leased(token)).filter((entry) => entry !== undefined);
    for (const entry of good) settle(entry);
    return good.length;
  }

  #leased(token: string): Entry | undefined {
    return [...this.#entries.values()].find((entry) => entry.token === token);
  }

  #describe(name: string): Value {
    return [
      'name',
      name,
      'transient',
      0,
      'visibility_ms',
      this.visibilityMs,
      'max_deliveries',
      null,
      'dead_letter',
      null,
      'backoff_ms',
      null,
      'from',
      'latest',
      'bindings',
      1,
      'backlog',
      this.#entries.size,
      'in_flight',
      this.leased.length,
      'delayed',
      0,
      'dead_lettered',
      0,
      'redelivered',
      2,
      'consumers',
      1,
      'limit',
      this.limit,
      'home',
      'a:1',
      'rival_records',
      0,
    ];
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
