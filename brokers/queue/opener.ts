/** Opens the batches of the log for one subscription: their messages, and which of them it has still to deliver. */
import type { Ledger } from './acknowledger.ts';
import { firstLive, type TopicNames } from '../core/catalog/catalog.ts';
import type { BindingStart } from '../core/catalog/subscription.ts';
import { type Message, messagesOf, type Origin, parseRepeats, type StoredBatch } from '../core/log/record.ts';
import type { Copies } from '../core/log/copies.ts';
import type { Source } from '../core/queue/lease.ts';
import { isFor, type Routes } from '../core/queue/routes.ts';

export interface OpenerRuntime {
  readonly copies: Copies;
  readonly catalog: TopicNames;
}

/** A batch with its messages, those that are gone left out. */
export interface OpenBatch {
  readonly source: Source;
  readonly messages: readonly Message[]; // empty for a batch that is covered
  readonly firstLive: number; // index
  readonly repeats: ReturnType<typeof parseRepeats>;
}

export class Opener {
  routes: Routes;
  readonly #runtime: OpenerRuntime;
  readonly #ledger: Ledger;

  constructor(runtime: OpenerRuntime, ledger: Ledger, routes: Routes) {
    this.#runtime = runtime;
    this.#ledger = ledger;
    this.routes = routes;
  }

  open(batch: StoredBatch): OpenBatch {
    const { position, topic, origin, seq, lamport } = batch;
    const { catalog } = this.#runtime;
    const source: Source = { position, topic, origin, seq, lamport };
    const messages = messagesOf(batch);
    const repeats = parseRepeats(batch);
    if (catalog.isPlain) return { source, messages, firstLive: 0, repeats };
    const shown = catalog.shownTopic(topic);
    const named = shown === topic ? messages : messages.map((message) => ({ ...message, topic: shown }));
    return { source, messages: named, firstLive: firstLive(batch, catalog.deadBefore(topic)), repeats };
  }

  /** Whether a message of a batch is the subscription's, and not done. */
  isDue({ source, messages, firstLive: live, repeats }: OpenBatch, index: number): boolean {
    const message = messages[index];
    if (message === undefined || index < live) return false;
    const starts = this.routes.startsFor(source.topic, message.key);
    if (starts.length === 0) return false;
    const seq = source.seq + index;
    return isFor(starts, source.origin, seq) && !repeats.has(index) && !this.#isDone(source.origin, seq, starts);
  }

  /** A copy of it that is done, under another name, will do. */
  #isDone(origin: Origin, seq: number, starts: readonly BindingStart[]): boolean {
    if (this.#ledger.isDone(origin, seq, starts)) return true;
    return this.#runtime.copies.of(origin, seq).some((copy) => this.#ledger.isDone(copy.origin, copy.seq, starts));
  }
}
