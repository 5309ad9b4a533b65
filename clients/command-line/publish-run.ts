/**
 * One run of the publisher: messages in, a line for each that was acknowledged, an account of those that were not.
 *
 * A bounded number of messages is on its way at a time, so that an input of any length flows through in constant
 * memory, as fast as the broker acknowledges and the reader of our output keeps up.
 *
 * A message that a broker refuses (too big, no quorum) is accounted for, and the next one is published. When no broker
 * can be reached at all, the run stops: what comes after would wait as long, one message after another, for nothing.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { messageOf, RumormillError } from '../../brokers/core/error.ts';
import type { Client, Published, PublishOptions } from '../client.ts';
import type { LineWriter } from './line-writer.ts';
import { Ranges } from './ranges.ts';

const IN_FLIGHT_MAX = 5_000;
const IN_FLIGHT_BYTES_MAX = 16 * 1024 * 1024;
const FAILURES_KEPT_MAX = 10;
const PREVIEW_CHARACTERS = 40;

export interface RunOptions {
  readonly topic: string;
  readonly publish: PublishOptions;
  /** How often each message is published. */
  readonly count: number;
  /** Messages per second; undefined for as fast as possible. */
  readonly rate: number | undefined;
  /** No line for each message. */
  readonly quiet: boolean;
  /** What the dedupe ids of the messages begin with, before their numbers; undefined for ids of the client's own. */
  readonly ids: string | undefined;
  /** The number of the first message. */
  readonly firstNumber: number;
}

export class PublishRun {
  readonly #client: Client;
  readonly #options: RunOptions;
  readonly #output: LineWriter;
  readonly #stop = new AbortController();
  readonly #startedAt = performance.now();
  #handed = 0;
  #acknowledged = 0;
  #failed = 0;
  #failures: string[] = [];
  readonly #missing = new Ranges();
  #number: number; // of the next message
  #inFlight = 0;
  #inFlightBytes = 0;
  #wake: (() => void) | undefined;

  constructor(client: Client, options: RunOptions, output: LineWriter) {
    this.#client = client;
    this.#options = options;
    this.#output = output;
    this.#number = options.firstNumber;
  }

  /** The numbers of the messages that have a copy that was not acknowledged. */
  get missing(): Ranges {
    return this.#missing;
  }

  /** The number of the next message. */
  get number(): number {
    return this.#number;
  }

  /** How many messages were handed to the client, each of the `count` for itself. */
  get handed(): number {
    return this.#handed;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get failed(): number {
    return this.#failed;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Aborted when nothing more will be published; its reason is a text for people. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** Takes no more messages. Those on their way are still answered. */
  stop(reason: string): void {
    this.#stop.abort(reason);
    this.#wake?.();
  }

  /** Publishes a message `count` times; resolves when there is room for the next. After `stop` it does nothing. */
  async publish(payload: string | Buffer): Promise<void> {
    const bytes = Buffer.byteLength(payload);
    for (let copy = 1; copy <= this.#options.count; copy += 1) {
      await this.#room(bytes);
      if (this.stopped.aborted) return;
      this.#send(payload, bytes, copy);
    }
    this.#number += 1;
  }

  /** Resolves when every message handed over was acknowledged or has failed. */
  async idle(): Promise<void> {
    while (this.#inFlight > 0) await this.#change();
  }

  /** What failed since the last call, a line each, the first few of them; `failed` counts them all. */
  takeFailures(): string[] {
    return this.#failures.splice(0);
  }

  #send(payload: string | Buffer, bytes: number, copy: number): void {
    this.#handed += 1;
    this.#inFlight += 1;
    this.#inFlightBytes += bytes;
    const number = this.#number;
    const { topic, publish, ids, count } = this.#options;
    const id = ids === undefined ? {} : { id: `${ids}-${number}${count > 1 ? `-${copy}` : ''}` };
    this.#client.publish(topic, payload, { ...publish, ...id }).then(
      (published) => this.#done(bytes, () => this.#succeeded(published)),
      (error: unknown) => this.#done(bytes, () => this.#fail(number, payload, error)),
    );
  }

  #done(bytes: number, account: () => void): void {
    this.#inFlight -= 1;
    this.#inFlightBytes -= bytes;
    account();
    this.#wake?.();
  }

  #succeeded({ id, lamport }: Published): void {
    this.#acknowledged += 1;
    if (!this.#options.quiet) this.#output.line(`${id} lamport=${lamport}`);
  }

  #fail(number: number, payload: string | Buffer, error: unknown): void {
    if (!(error instanceof RumormillError)) throw error;
    this.#failed += 1;
    this.#missing.add(number);
    if (this.#failures.length < FAILURES_KEPT_MAX) {
      this.#failures.push(`message ${number} ${preview(payload)}: ${error.code} ${messageOf(error)}`);
    }
    if (error.code === 'UNREACHABLE') this.stop('no broker could be reached');
  }

  /** Resolves when one more message may go out: there is room, the output is not behind, and the rate allows it. */
  async #room(bytes: number): Promise<void> {
    const isFull = (): boolean =>
      this.#inFlight >= IN_FLIGHT_MAX || (this.#inFlight > 0 && this.#inFlightBytes + bytes > IN_FLIGHT_BYTES_MAX);
    while (isFull() && !this.stopped.aborted) await this.#change();
    if (this.#output.isBehind) await this.#output.flushed();
    const { rate } = this.#options;
    if (rate === undefined || this.stopped.aborted) return;
    const dueInMs = this.#startedAt + (this.#handed * 1000) / rate - performance.now();
    if (dueInMs >= 1) {
      await wait(dueInMs, undefined, { signal: this.stopped }).catch(() => undefined);
    } // stopped: `publish` looks
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }
}

function preview(payload: string | Buffer): string {
  const text = payload.slice(0, 4 * PREVIEW_CHARACTERS).toString();
  return JSON.stringify(text.length > PREVIEW_CHARACTERS ? `${text.slice(0, PREVIEW_CHARACTERS)}...` : text);
}
