/**
 * Calls that share a connection, and move to another broker when it is lost. A client has two of these: one for
 * publishes and reads, another for commands about topics, subscriptions and bindings, so that a broker that waits for a
 * subscription's home holds up no publish.
 *
 * Calls made in one turn of the event loop leave in one write, and replies settle them in order. When the connection is
 * lost, these calls are made again on another broker, in their order: those that were never written, those that the
 * broker refused because it is shutting down, and those that may safely be made twice. The others, publishes without a
 * dedupe id, fail with DISCONNECTED, because they may have been stored. A call fails if nothing has moved for
 * `timeoutMs`: no answer came, and no byte went out that belongs to the oldest call without an answer. So a slow path
 * gets the time that it needs. How much is on its way depends on what the path carries (send-window.ts). The rest waits
 * here, and can go to another broker.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import type { Address } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import type { Reply } from '../../brokers/wire/reply-parser.ts';
import { backoffMs } from './backoff.ts';
import type { Command, Connection, Owner } from './connection.ts';
import type { Dialer } from './dialer.ts';
import type { Purpose, Settings } from './connect-options.ts';
import { Fifo } from '../../brokers/core/fifo.ts';
import { STOOD_STILL_MS } from './patience.ts';

const WATCH_MS = 100;
const GOING: ReadonlySet<string> = new Set(['CLOSING', 'LEAVING']); // errors of a broker that has stored nothing

/** A command with what is needed to decide what becomes of it when its connection is lost. */
export interface Call extends Command {
  /** Whether it may be carried out twice: a read, or a publish with an id. */
  readonly repeatable: boolean;
  /** How many brokers it was sent to; those that refused it because they shut down do not count. */
  attempts: number;
  /** When it was made. */
  readonly since: number;
  /** When it fails, whatever moves. */
  readonly until: number;
}

export class SharedCalls implements Owner<Call> {
  readonly #settings: Settings;
  readonly #dialer: Dialer;
  readonly #signal: AbortSignal;
  readonly #purpose: Purpose;
  readonly #unsent = new Fifo<Call>();
  #refused: Call[] = []; // by a broker that is shutting down: it has stored nothing, so they go to the next
  #connection: Connection<Call> | undefined;
  #connecting = false;
  #scheduled = false;
  #probing = false;
  #probedAt = 0;
  #answeredAt = 0; // the last time; what went out on a connection that was lost and brought no answer was no progress
  #checkedAt = 0;
  #unanswered = 0;
  #unansweredBytes = 0;
  #watch: NodeJS.Timeout | undefined;
  #lost: Address | undefined; // since no connection came after it yet
  #drops = 0; // connections lost one after another, without an answer on any

  /** @param signal aborted when the client closes */
  constructor(settings: Settings, dialer: Dialer, signal: AbortSignal, purpose: Purpose) {
    this.#settings = settings;
    this.#dialer = dialer;
    this.#signal = signal;
    this.#purpose = purpose;
  }

  /** Connects. @throws RumormillError UNREACHABLE */
  async open(): Promise<void> {
    this.#use(await this.#dialer.open<Call>(performance.now() + this.#settings.timeoutMs, this.#signal));
  }

  get timeoutMs(): number {
    return this.#settings.timeoutMs;
  }

  /** When a call fails if nothing moves until then. */
  #deadlineOf({ since, until }: Call): number {
    const movedAt = this.#connection?.movedAt ?? this.#answeredAt;
    return Math.min(until, Math.max(since, movedAt) + this.#settings.timeoutMs);
  }

  /** Makes a call. One beyond the limits fails with BUSY at once. */
  submit(call: Call): void {
    const { unansweredMax, unansweredBytesMax } = this.#settings;
    if (this.#signal.aborted) return call.fail(this.#signal.reason as RumormillError);
    if (this.#unanswered >= unansweredMax || this.#unansweredBytes + call.frame.length > unansweredBytesMax) {
      return call.fail(
        new RumormillError('BUSY', `${this.#unanswered} calls have no answer yet; await some before making more`),
      );
    }
    this.#unanswered += 1;
    this.#unansweredBytes += call.frame.length;
    this.#unsent.push(call);
    if (this.#watch === undefined) {
      this.#checkedAt = performance.now();
      this.#watch = setInterval(() => this.#check(), WATCH_MS);
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  answered(call: Call, reply: Reply): void {
    if (reply instanceof RumormillError && GOING.has(reply.code)) {
      call.attempts -= 1;
      this.#refused.push(call);
    } else {
      this.#drops = 0;
      this.#answeredAt = this.#connection!.movedAt;
      this.#done(call);
      call.settle(reply, this.#connection!.broker);
    }
    if (this.#unsent.length > 0) this.#schedule(); // there is room for more
    if (this.#refused.length > 0 && this.#connection!.unanswered === 0) {
      this.#connection!.destroy('the broker is shutting down');
    }
  }

  drained(): void {
    this.#flush();
  }

  closed(reason: string, unanswered: readonly Call[]): void {
    const { address } = this.#connection!;
    this.#connection = undefined;
    const refused = this.#refused.splice(0);
    if (this.#signal.aborted) {
      for (const call of [...refused, ...unanswered]) this.#fail(call, this.#signal.reason as RumormillError);
      return;
    }
    this.#lost = address;
    this.#drops += 1;
    this.#settings.emit({ type: 'lost', purpose: this.#purpose, broker: address, reason });
    const now = performance.now();
    this.#unsent.prepend([...refused, ...unanswered.filter((call) => call.repeatable && now < this.#deadlineOf(call))]);
    for (const call of unanswered) {
      if (call.repeatable && now < this.#deadlineOf(call)) continue;
      this.#fail(call, new RumormillError('DISCONNECTED', `connection with ${address} lost: ${reason}`));
    }
    this.#flush();
  }

  /** Fails every call that has no answer. */
  close(error: RumormillError): void {
    clearInterval(this.#watch);
    for (const call of this.#unsent.clear()) this.#fail(call, error);
    this.#connection?.destroy('closed by the client');
  }

  #flush(): void {
    if (this.#unsent.length === 0 || this.#signal.aborted) return;
    if (this.#connection === undefined) return void this.#connect();
    const calls: Call[] = [];
    for (let room = this.#connection.roomBytes; room > 0 && this.#unsent.length > 0; ) {
      const call = this.#unsent.shift()!;
      call.attempts += 1;
      calls.push(call);
      room -= call.frame.length;
    }
    if (calls.length > 0) this.#connection.write(calls);
  }

  async #connect(): Promise<void> {
    if (this.#connecting) return;
    this.#connecting = true;
    try {
      const deadline = this.#deadlineOf(this.#unsent.first!);
      // another broker is tried at once; brokers that all drop us are not besieged
      const pauseMs = Math.min(backoffMs(this.#drops - 1, Math.random), deadline - performance.now());
      if (pauseMs > 0) {
        await wait(pauseMs, undefined, { signal: this.#signal }).catch(() => this.#signal.throwIfAborted());
      }
      this.#use(await this.#dialer.open<Call>(deadline, this.#signal, this.#lost));
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      const now = performance.now();
      const all = this.#unsent.clear();
      const isDue = (call: Call): boolean => now >= this.#deadlineOf(call) - this.#settings.connectTimeoutMs;
      for (const call of all) if (isDue(call)) this.#fail(call, error);
      this.#unsent.prepend(all.filter((call) => !isDue(call)));
    } finally {
      this.#connecting = false;
    }
    this.#flush();
  }

  #use(connection: Connection<Call>): void {
    this.#connection = connection;
    connection.attach(this);
    if (this.#lost !== undefined) {
      this.#settings.emit({ type: 'failover', purpose: this.#purpose, broker: connection.address, from: this.#lost });
    }
    this.#lost = undefined;
  }

  /** Ends a connection on which a call has run out of time, or whose broker does not answer at all any more. */
  #check(): void {
    const connection = this.#connection;
    const oldest = connection?.oldest;
    if (connection === undefined || oldest === undefined) {
      this.#checkedAt = performance.now();
      if (this.#unanswered === 0) {
        clearInterval(this.#watch);
        this.#watch = undefined;
      }
      return;
    }
    const now = performance.now();
    if (now - this.#checkedAt >= STOOD_STILL_MS) connection.movedAt = now; // what came meanwhile was not read yet
    this.#checkedAt = now;
    const { timeoutMs, silenceMs } = this.#settings;
    if (now >= Math.min(oldest.until, this.#deadlineOf(oldest) + connection.patienceMs))
      connection.destroy(`no answer within ${timeoutMs} ms`);
    else if (now - Math.max(connection.movedAt, this.#probedAt) >= silenceMs && !this.#probing) {
      void this.#probe(connection);
    }
  }

  /**
   * A broker that does not answer at all is given up, but not while bytes move or while a slow path may have them.
   */
  async #probe(connection: Connection<Call>): Promise<void> {
    this.#probing = true;
    const alive = await this.#dialer.isAlive(connection.address);
    this.#probing = false;
    this.#probedAt = performance.now();
    const quietMs = this.#probedAt - connection.movedAt;
    if (!alive && quietMs >= this.#settings.silenceMs + connection.patienceMs) {
      connection.destroy('the broker does not answer');
    }
  }

  #fail(call: Call, error: RumormillError): void {
    this.#done(call);
    call.fail(error);
  }

  #done(call: Call): void {
    this.#unanswered -= 1;
    this.#unansweredBytes -= call.frame.length;
  }
}
