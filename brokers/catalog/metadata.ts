/**
 * What this broker knows of topics, subscriptions and bindings, and how it says something new of them.
 *
 * An operation is a record of `$catalog` like any other record: it counts once it is on disk here, and travels by
 * gossip. Those of this broker are decided on one after another, each on what the one before it has left. Their
 * result is kept in the store now and then, so that a start reads that and what was said since. All that was ever said
 * is in the log, and the catalog is made from it again if something comes very late. Transient subscriptions are
 * in a catalog of their own, in the memory of their home, and are never written.
 */
import type { Config } from '../config.ts';
import { Catalog, type Said, type TopicNames } from '../core/catalog/catalog.ts';
import { CATALOG_TOPIC, encodeOperation, type Operation, parseOperation } from '../core/catalog/catalog-operation.ts';
import type { Topic } from '../core/catalog/catalog-state.ts';
import { isDiskFull, messageOf, RumormillError } from '../core/error.ts';
import { decodeKept, encodeKept, type KeptCatalog } from '../core/catalog/kept-catalog.ts';
import type { LamportClock } from '../core/log/lamport.ts';
import type { Log } from '../core/log/log.ts';
import { compareRecords, lastSeq, makeDraft, messagesOf, payloadText, type StoredBatch } from '../core/log/record.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import type { Store } from '../core/log/store.ts';
import type { Turns } from '../core/turns.ts';
import type { Subscription } from '../core/catalog/subscription.ts';
import type { Stamp } from '../core/log/stamp.ts';
import { type Vector, VersionVector } from '../core/log/version-vector.ts';
import type { Publisher } from '../log/publisher.ts';
import { replay } from '../log/replay.ts';

export interface MetadataRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly store: Store;
  readonly turns: Turns;
  readonly log: Log;
  readonly lamport: LamportClock;
  readonly logger: Logger;
  readonly publisher: Pick<Publisher, 'publishOwn' | 'acknowledge'>;
  /** Of topics that were deleted before nothing is left to be swept. */
  swept(buried: ReadonlyMap<string, Stamp>): void;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
  /**
   * Something of topics, subscriptions or bindings is not as it was; `names` are the topics, by stored name,
   * that may have been renamed or deleted, undefined if it may be any.
   */
  changed(names: ReadonlySet<string> | undefined): void;
}

const [OPERATIONS_A_STEP, OPERATION_WORK] = [16, 5]; // about, µs
const NO_NAMES: ReadonlySet<string> = new Set();

export class Metadata implements TopicNames {
  readonly #runtime: MetadataRuntime;
  #durable: Catalog;
  #transient: Catalog;
  #keptPosition = 0; // up to which everything is in what is kept
  #isKeptSwept = false; // as that says
  #takenPosition = 0; // up to which everything is in the catalog
  #sinceKept = 0; // operations
  #remaking: StoredBatch[] | undefined; // what comes while the catalog is made again
  readonly #vector = new VersionVector();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(runtime: MetadataRuntime) {
    this.#runtime = runtime;
    const { catalogTailMax } = runtime.config.limits;
    this.#durable = new Catalog(false, catalogTailMax);
    this.#transient = new Catalog(true, catalogTailMax);
  }

  /** Takes up what is stored: what is kept of it, and what was said since. To be called before anything else. */
  async restore(): Promise<void> {
    const { log, config: { limits } } = this.#runtime;
    const { position, kept } = await this.#loadKept();
    if (kept !== undefined) {
      this.#durable = new Catalog(false, limits.catalogTailMax, kept.content);
      this.#vector.merge(kept.vector);
      this.#keptPosition = position;
      this.#isKeptSwept = kept.isSwept;
      // of what came since, some may be dead
      if (kept.isSwept && position === log.position) this.#runtime.swept(this.#durable.buried());
    }
    const all: Said[] = [];
    await replay(this.#runtime, CATALOG_TOPIC, position, limits, (batches) => {
      all.push(...this.#saidBy(batches));
      for (const batch of batches) this.#vector.advance(batch.origin, lastSeq(batch));
    });
    if (this.#durable.apply(all).isTooLate) await this.#remake();
    this.#rebase();
    this.#runtime.changed(undefined);
    this.#sinceKept = all.length;
    this.#takenPosition = log.position;
    await this.keep(false);
  }

  /**
   * Keeps in the store what there is, if much was said since it was kept, or all that was deleted is swept by now.
   * To be called while nothing changes.
   * @param isSwept whether nothing is left to be swept of topics that were deleted
   */
  async keep(isSwept: boolean): Promise<void> {
    const { store, config: { limits }, logger } = this.#runtime;
    const isNews = this.#takenPosition > this.#keptPosition || !this.#isKeptSwept;
    const isNewlySwept = isSwept && isNews && this.#durable.buried().size > 0;
    if ((this.#sinceKept < limits.catalogTailMax && !isNewlySwept) || this.#remaking !== undefined) return;
    try {
      const lines = encodeKept({ content: this.#durable.content(), vector: this.vector, isSwept });
      await store.saveCatalog(this.#takenPosition, lines);
      this.#sinceKept = 0;
      this.#keptPosition = this.#takenPosition;
      this.#isKeptSwept = isSwept;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      logger.warn('disk full, what is known of topics is not kept; the next start reads all that was said of them');
    }
  }

  async #loadKept(): Promise<{ position: number; kept: KeptCatalog | undefined }> {
    const { store, logger } = this.#runtime;
    const { position, lines } = await store.loadCatalog();
    if (lines.length === 0) return { position: 0, kept: undefined };
    let kept: KeptCatalog | undefined;
    try {
      kept = decodeKept(lines);
    } catch (error) {
      logger.warn('what was kept of topics and subscriptions is damaged', { reason: messageOf(error) });
    }
    if (kept !== undefined) return { position, kept };
    logger.warn('topics and subscriptions are made anew, from all that was said of them');
    return { position: 0, kept: undefined };
  }

  /** The batches are on disk. Comes before anybody else learns of them. */
  committed(batches: readonly StoredBatch[]): void {
    const own = batches.filter(({ topic }) => topic === CATALOG_TOPIC);
    if (own.length > 0) this.#take(own);
    this.#takenPosition = batches.at(-1)?.position ?? this.#takenPosition;
  }

  /** The newest record of each origin that says something of topics, subscriptions or bindings and is on disk here. */
  get vector(): Vector {
    return this.#vector.snapshot();
  }

  // Topics

  get isPlain(): boolean {
    return this.#durable.isPlain;
  }

  storedTopics(name: string): readonly string[] {
    return this.#durable.storedTopics(name);
  }

  shownTopic(stored: string): string {
    return this.#durable.shownTopic(stored);
  }

  deadBefore(stored: string): Stamp | undefined {
    return this.#durable.deadBefore(stored);
  }

  /** Names of topics that were ever deleted, each with what is dead of it. */
  buried(): ReadonlyMap<string, Stamp> {
    return this.#durable.buried();
  }

  /** The topic that a name means, if it was created, renamed or bound. */
  topic(name: string): Topic | undefined {
    return this.#durable.topic(name);
  }

  topics(): Iterable<Topic> {
    return this.#durable.topics();
  }

  /**
   * How many bindings there are to the topic that a name means, those of transient subscriptions that are at home here
   * included.
   */
  bindingCount(name: string): number {
    return (this.#durable.topic(name)?.bindingCount ?? 0) + (this.#transient.topic(name)?.bindingCount ?? 0);
  }

  // Subscriptions

  /** A durable subscription, or a transient one that is at home here; the same object until something of it changes. */
  subscription(name: string): Subscription | undefined {
    return this.#durable.subscription(name) ?? this.#transient.subscription(name);
  }

  /** All that `subscription` finds; changes meanwhile may show or not. */
  *subscriptions(): Iterable<Subscription> {
    yield* this.#durable.subscriptions();
    for (const subscription of this.#transient.subscriptions()) {
      if (!this.#durable.hasSubscription(subscription.name)) yield subscription;
    }
  }

  /** Their names. */
  *subscriptionNames(): Iterable<string> {
    yield* this.#durable.subscriptionNames();
    for (const name of this.#transient.subscriptionNames()) if (!this.#durable.hasSubscription(name)) yield name;
  }

  /** The transient ones that are at home here. */
  transientSubscriptions(): Iterable<Subscription> {
    return this.#transient.subscriptions();
  }

  /** How many there are, of all subscriptions. */
  get allBindings(): number {
    return this.#durable.allBindings + this.#transient.allBindings;
  }

  get subscriptionCount(): number {
    return this.#durable.subscriptionCount + this.#transient.subscriptionCount;
  }

  /** Drops a transient subscription; nobody has to hear of it. */
  forget(name: string): void {
    if (this.#transient.subscription(name) === undefined) return;
    this.#sayHere({ op: 'subscription.delete', name });
  }

  // Saying something new

  /**
   * Decides on an operation when everything that was decided on before is on disk, and submits it; undefined if
   * there is nothing to say.
   * @throws RumormillError NOTFOUND, EXISTS or ERR if the operation is wrong, and what `decide` and `submit` throw
   */
  async change(
    decide: () => Operation | undefined | Promise<Operation | undefined>,
    transient?: boolean,
  ): Promise<void> {
    const before = this.#turn;
    let next!: () => void;
    this.#turn = new Promise<void>((resolve) => (next = resolve));
    try {
      await before;
      const operation = await decide();
      if (operation === undefined) return;
      const isTransient = transient ?? this.#isTransient(operation);
      const error = (isTransient ? this.#transient : this.#durable).check(operation);
      if (error !== undefined) throw error;
      if (isTransient) this.#sayHere(operation);
      else await this.submit(operation, next);
    } finally {
      next();
    }
  }

  /**
   * Publishes an operation. Settles when its record is acknowledged as this broker's publishers are by default, `none`
   * counting as `local`.
   * @param stored called when it is on disk here, and so counts
   * @throws RumormillError TOOBIG, CLOSING or DISKFULL, then nothing is said; NOQUORUM, then it counts all the same
   */
  submit(operation: Operation, stored: () => void = () => undefined): Promise<void> {
    const { clock, config, publisher } = this.#runtime;
    const body = Buffer.from(encodeOperation(operation));
    const { payloadBytesMax } = config.limits;
    if (body.length > payloadBytesMax) {
      return Promise.reject(
        new RumormillError(
          'TOOBIG',
          `the record of it would have ${body.length} bytes, more than ${payloadBytesMax}; nothing was stored`,
        ),
      );
    }
    const draft = makeDraft(CATALOG_TOPIC, clock.wallTime(), [body]);
    return new Promise((resolve, reject) => {
      publisher.publishOwn(draft, {
        stored: ({ origin, seq, lamport }) => {
          stored();
          publisher.acknowledge(config.acks, origin, seq, lamport, (outcome) =>
            'error' in outcome ? reject(outcome.error) : resolve(),
          );
        },
        failed: reject,
      });
    });
  }

  #isTransient(operation: Operation): boolean {
    return 'name' in operation && this.subscription(operation.name)?.settings.transient === true;
  }

  #sayHere(operation: Operation): void {
    const { lamport, log } = this.#runtime;
    this.#transient.apply([{ stamp: { lamport: lamport.tick(), origin: log.origin }, operation }]);
    this.#runtime.changed(NO_NAMES);
  }

  #take(batches: readonly StoredBatch[]): void {
    const said = this.#saidBy(batches);
    for (const batch of batches) this.#vector.advance(batch.origin, lastSeq(batch));
    this.#remaking?.push(...batches);
    this.#sinceKept += said.length;
    const { changed, names, isTooLate } = this.#durable.apply(said);
    const topics = this.#transient.apply(said.filter(({ operation }) => !('name' in operation)));
    if (isTooLate) void this.#remake();
    else if (topics.isTooLate) this.#rebase();
    if (changed) this.#runtime.changed(names);
  }

  /** Transient subscriptions go on with the topics that there are now. */
  #rebase(): void {
    const { topics } = this.#durable.content();
    const { subscriptions } = this.#transient.content();
    const { catalogTailMax } = this.#runtime.config.limits;
    const content = { topics, subscriptions, floor: undefined, dead: [], said: [] };
    this.#transient = new Catalog(true, catalogTailMax, content);
  }

  /** Makes the catalog again, from the log: something was said of a time that is kept only as a result. */
  async #remake(): Promise<void> {
    const { config: { limits }, turns, storeFailed } = this.#runtime;
    if (this.#remaking !== undefined) return; // it will come to it, or has it here
    const meanwhile: StoredBatch[] = (this.#remaking = []);
    try {
      const all: Said[] = [];
      const through = await replay(this.#runtime, CATALOG_TOPIC, 0, limits, (batches) => {
        all.push(...this.#saidBy(batches));
      });
      this.#durable = await turns.run(makeAnew(all, limits.catalogTailMax));
      const later = meanwhile.filter(({ position }) => position > through); // the others are among all
      const { isTooLate } = this.#durable.apply(this.#saidBy(later));
      this.#remaking = undefined;
      this.#rebase();
      this.#runtime.changed(undefined);
      if (isTooLate) void this.#remake();
    } catch (error) {
      this.#remaking = undefined;
      storeFailed(error);
    }
  }

  #saidBy(batches: readonly StoredBatch[]): Said[] {
    const said: Said[] = [];
    for (const batch of batches) {
      const { origin } = batch;
      for (const message of messagesOf(batch)) {
        const { lamport } = message;
        const operation = parseOperation(payloadText(message));
        if (operation !== undefined) said.push({ stamp: { lamport, origin }, operation });
        else this.#runtime.logger.warn('catalog record not understood, ignored', { origin, record: lamport });
      }
    }
    return said;
  }
}

function* makeAnew(all: readonly Said[], tailMax: number): Generator<number, Catalog> {
  const catalog = new Catalog(false, tailMax);
  const sorted = [...all].sort((a, b) => compareRecords(a.stamp, b.stamp));
  for (let at = 0; at < sorted.length; at += OPERATIONS_A_STEP) {
    catalog.apply(sorted.slice(at, at + OPERATIONS_A_STEP));
    yield OPERATIONS_A_STEP * OPERATION_WORK;
  }
  return catalog;
}
