/**
 * Acknowledgement state of every subscription (core/queue/acknowledgements.ts): merged from the records
 * of `$acks`, of all brokers, and written as such.
 *
 * All that is gathered while a record is on its way to the disk, of all subscriptions, becomes
 * one batch, with one record per subscription. What is gathered counts once that is on disk and
 * comes back with the commit, as the records of other brokers do: there is one way in.
 *
 * A checkpoint in the store has all states as they were at some position of the log or later; what
 * an earlier life of this broker left is read from it and from the records after it. A transient
 * subscription has a state in memory only.
 */
import type { Limits } from '../config.ts';
import type { Ages } from '../core/log/ages.ts';
import {
  type AcknowledgementRecord, Acknowledgements, encodeRecord, isOfLife, parseRecord,
} from '../core/queue/acknowledgements.ts';
import { isDiskFull, messageOf, RumormillError } from '../core/error.ts';
import type { Log } from '../core/log/log.ts';
import {
  BATCH_MESSAGES_MAX, makeDraft, messagesOf, type Origin, payloadText, type StoredBatch,
} from '../core/log/record.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import type { Store } from '../core/log/store.ts';
import type { BindingStart, Subscription } from '../core/catalog/subscription.ts';
import { isBefore } from '../core/log/stamp.ts';
import { replay } from '../log/replay.ts';

/** The topic of the records of what is done. */
export const ACKS_TOPIC = '$acks';

export interface AcknowledgerRuntime {
  readonly clock: Clock;
  readonly ages: Ages;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly log: Log;
  readonly store: Store;
  subscription(name: string): Subscription | undefined;
  /** A record has changed what is done of a subscription: this is new. */
  merged(subscription: string, origin: Origin, state: Acknowledgements): void;
  storeFailed(error: unknown): void;
}

/** Told once: with an error if what was gathered could not be written. */
type Settled = (error?: RumormillError) => void;

/** What is gathered of one subscription, to be written together. */
interface Gathered {
  readonly state: Acknowledgements;
  readonly settled: Settled[];
}

/** What is done of one life of a subscription. */
export class Ledger {
  readonly name: string;
  readonly since: Subscription['since'];
  readonly isTransient: boolean;
  /** Of durable ones: on disk. */
  readonly done = new Acknowledgements();
  isDirty = false; // changed since the checkpoint
  gathering: Gathered | undefined;
  writing: Gathered | undefined;
  idleWaiters: (() => void)[] = [];

  constructor({ name, since, settings }: Pick<Subscription, 'name' | 'since' | 'settings'>) {
    this.name = name;
    this.since = since;
    this.isTransient = settings.transient;
  }

  /** Whether a message is done, or will be once what is on its way is on disk. */
  isDone(origin: Origin, seq: number, starts: readonly BindingStart[]): boolean {
    return this.done.isDone(origin, seq, starts) || this.isPending(origin, seq);
  }

  isPending(origin: Origin, seq: number): boolean {
    return (this.gathering?.state.has(origin, seq) ?? false) || (this.writing?.state.has(origin, seq) ?? false);
  }
}

export class Acknowledger {
  readonly #runtime: AcknowledgerRuntime;
  readonly #ledgers = new Map<string, Ledger>();
  readonly #gathering = new Set<Ledger>();
  readonly #gone = new Set<string>(); // ledgers that the checkpoint still has
  #scheduled = false; // what is gathered will be written
  #writing = 0; // batches on their way
  #checkpointAt = 0;
  #savedPosition = 0; // up to which the checkpoint holds
  #saving: Promise<void> | undefined;

  constructor(runtime: AcknowledgerRuntime) {
    this.#runtime = runtime;
  }

  /** Takes up what earlier lives of this broker knew. To be called when the catalog is known, before anything else. */
  async restore(): Promise<void> {
    const { store, limits } = this.#runtime;
    const { states, position } = await store.loadAcks();
    this.#savedPosition = position;
    for (const [, text] of states) this.#take(text, this.#runtime.log.origin, true);
    await replay(this.#runtime, ACKS_TOPIC, position, limits, (batches) => this.committed(batches));
  }

  /** Batches are on disk: merges what they say is done. */
  committed(batches: readonly StoredBatch[]): void {
    for (const batch of batches) {
      if (batch.topic !== ACKS_TOPIC) continue;
      for (const message of messagesOf(batch)) this.#take(payloadText(message), batch.origin);
    }
  }

  /** What is done of this life of a subscription. */
  ledger(subscription: Subscription): Ledger {
    const { name, since, settings } = subscription;
    let ledger = this.#ledgers.get(name);
    if (ledger === undefined || isBefore(ledger.since, since) || ledger.isTransient !== settings.transient) {
      this.#ledgers.set(name, (ledger = new Ledger(subscription)));
    }
    this.#gone.delete(name);
    return ledger;
  }

  /**
   * Adds to what is written next.
   * @param settled told when it is on disk, or that it cannot be: then nothing of it counts
   */
  gather(ledger: Ledger, change: (state: Acknowledgements) => void, settled: Settled = () => undefined): void {
    if (ledger.isTransient) return this.#applyHere(ledger, change, settled);
    ledger.gathering ??= { state: new Acknowledgements(), settled: [] };
    change(ledger.gathering.state);
    ledger.gathering.settled.push(settled);
    this.#gathering.add(ledger);
    this.#schedule();
  }

  /** Resolves when nothing of a ledger is on its way. */
  async idle(ledger: Ledger): Promise<void> {
    while (ledger.gathering !== undefined || ledger.writing !== undefined) {
      await new Promise<void>((resolve) => ledger.idleWaiters.push(resolve));
    }
  }

  /** The catalog has changed: forgets subscriptions that are gone. */
  catalogChanged(): void {
    for (const [name, ledger] of this.#ledgers) {
      const since = this.#runtime.subscription(name)?.since;
      if (since !== undefined && !isBefore(ledger.since, since)) continue;
      this.#ledgers.delete(name);
      this.#gone.add(name);
    }
  }

  tick(now: number): void {
    if (now < this.#checkpointAt || this.#saving !== undefined) return;
    this.#checkpointAt = now + this.#runtime.limits.checkpointMs;
    void this.checkpoint();
  }

  /** Writes what is gathered; the log says when it is on disk. */
  flush(): void {
    this.#write();
  }

  /** Keeps in the store what has changed since the last time. */
  checkpoint(): Promise<void> {
    return (this.#saving ??= this.#checkpoint().finally(() => (this.#saving = undefined)));
  }

  async #checkpoint(): Promise<void> {
    const { store, log, limits, storeFailed } = this.#runtime;
    const dirty = [...this.#ledgers.values()].filter(({ isDirty }) => isDirty);
    const gone = [...this.#gone];
    if (dirty.length + gone.length === 0) return;
    const position = log.position;
    for (const { done } of dirty) done.forgetWaits(this.#runtime.clock.now());
    const states = dirty.map((ledger) => [ledger.name, this.#encode(ledger, ledger.done)] as const);
    for (const ledger of dirty) ledger.isDirty = false;
    try {
      for (const part of parts(states, ([, state]) => state.length, limits.batchBytesMax)) {
        await store.saveAcks({ states: part, position: this.#savedPosition }, []);
      }
      await store.saveAcks({ states: [], position }, gone);
      this.#savedPosition = position;
      for (const name of gone) this.#gone.delete(name);
    } catch (error) {
      for (const ledger of dirty) ledger.isDirty = true;
      if (!isDiskFull(error)) storeFailed(error); // a full disk passes, and until then the log has it all
    }
  }

  #applyHere(ledger: Ledger, change: (state: Acknowledgements) => void, settled: Settled): void {
    change(ledger.done);
    ledger.done.compact(this.#starts(ledger.name));
    this.#runtime.clock.defer(() => settled());
  }

  #encode({ name, since }: Ledger, state: Acknowledgements): string {
    const { clock, ages } = this.#runtime;
    return encodeRecord({ subscription: name, since, state }, clock.now(), ages.written());
  }

  /** @param origin who wrote it */
  #take(text: string, origin: Origin, isCheckpoint = false): void {
    const { log, logger, merged, ages } = this.#runtime;
    let record: AcknowledgementRecord;
    try {
      record = parseRecord(text, log.vector, (written) => ages.writtenAt(written, origin));
    } catch (error) {
      logger.warn('acknowledgement record not understood, ignored', { origin, reason: messageOf(error) });
      return;
    }
    const subscription = this.#runtime.subscription(record.subscription);
    if (subscription === undefined || subscription.settings.transient || !isOfLife(record, subscription.since)) return;
    const { done } = this.#merge(subscription, record.state);
    if (record.state.hasFloors) done.compact(this.#starts(subscription.name));
    if (!isCheckpoint) merged(subscription.name, origin, record.state);
  }

  #merge(subscription: Subscription, state: Acknowledgements): Ledger {
    const ledger = this.ledger(subscription);
    ledger.done.merge(state);
    ledger.isDirty = true;
    return ledger;
  }

  #starts(name: string): BindingStart[] {
    return this.#runtime.subscription(name)?.bindings.flatMap(({ starts }) => starts) ?? [];
  }

  #schedule(): void {
    if (this.#scheduled || this.#writing > 0) return;
    this.#scheduled = true;
    this.#runtime.clock.defer(() => this.#write());
  }

  /** One record a subscription. While they are on their way, the next ones are gathered. */
  #write(): void {
    this.#scheduled = false;
    if (this.#writing > 0 || this.#gathering.size === 0) return;
    const { limits, clock, log } = this.#runtime;
    const records = [...this.#gathering].map((ledger) => {
      const gathered = ledger.gathering!;
      ledger.writing = gathered;
      ledger.gathering = undefined;
      return { ledger, settled: gathered.settled, body: Buffer.from(this.#encode(ledger, gathered.state)) };
    });
    this.#gathering.clear();
    const batches = parts(records, ({ body }) => body.length, limits.batchBytesMax);
    this.#writing = batches.length;
    for (const batch of batches) {
      const settle = (error?: RumormillError): void => {
        this.#writing -= 1;
        for (const { ledger, settled } of batch) this.#settle(ledger, settled, error);
        if (this.#gathering.size > 0) this.#write();
      };
      log.publish(
        makeDraft(
          ACKS_TOPIC, clock.wallTime(), batch.map(({ body }) => body),
        ),
        { stored: () => settle(), failed: settle },
      );
    }
  }

  #settle(ledger: Ledger, settled: readonly Settled[], error: RumormillError | undefined): void {
    ledger.writing = undefined;
    for (const each of settled) each(error);
    if (ledger.gathering === undefined) for (const resolve of ledger.idleWaiters.splice(0)) resolve();
  }
}

/** Runs of some things that together are below so many bytes, and at most as many as a batch may have; at least one. */
function parts<T>(all: readonly T[], bytesOf: (one: T) => number, bytesMax: number): T[][] {
  const runs: T[][] = [];
  let bytes = Infinity;
  for (const one of all) {
    if (bytes + bytesOf(one) > bytesMax || runs.at(-1)!.length >= BATCH_MESSAGES_MAX) {
      runs.push([]);
      bytes = 0;
    }
    runs.at(-1)!.push(one);
    bytes += bytesOf(one);
  }
  return runs;
}
