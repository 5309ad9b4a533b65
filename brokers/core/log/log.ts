/**
 * The log: one writer with group commit, and a tail of recent batches in memory.
 *
 * While one transaction runs, whatever arrives waits; all of it becomes the next transaction, with what comes right
 * behind it. Drafts of one topic that are next to each other in it become one batch, however many connections they
 * came on. A local batch gets its name (seq and Lamport timestamps) when its transaction is formed, so a transaction
 * that fails leaves no hole and uses up no seq.
 *
 * Invariants (numbers as in brokers/README.md):
 *   2. `vector`, `position` and the tail show what is on disk, and nothing else (durable first).
 *   3. An origin's batches enter in seq order without holes (contiguity): `receive` refuses anything else.
 *   4. Position order is a causal order: a batch enters after everything it depends on. The caller sees to it for
 *      batches of peers (hold-back), and local batches carry as deps what entered since the last one.
 *   8. What waits is bounded by the caller, who stops reading from publishers while `full`.
 */
import { Causes, Declaring } from './causes.ts';
import { Company } from './company.ts';
import { assert, RumormillError } from '../error.ts';
import { atItsEnd, type LamportClock } from './lamport.ts';
import { type Digests, type Head, Prover, type Signer } from './proof.ts';
import { type Draft, lastSeq, type Origin, type RecordBatch, type StoredBatch } from './record.ts';
import type { Clock, Timer } from '../runtime.ts';
import type { Page, Store } from './store.ts';
import { Tail } from './tail.ts';
import {
  type DraftFate, type DraftName, type Entry, entryBytes, entryCount, joinEntries, nameEntries, takeTransaction,
} from './transaction.ts';
import { VersionVector } from './version-vector.ts';

export interface LogOptions {
  /** Drawn by each process when it starts: tells its positions from those of another life of the file. */
  readonly instance: string;
  /** Signs what is named here. */
  readonly identity: Signer;
  readonly signatures: Digests;
  readonly tailBytesMax: number;
  readonly transactionBytesMax: number;
  readonly transactionMessagesMax: number;
  /**
   * For how long the first batch waits for others, ms; not while a transaction runs, or if a peer's batch is there
   * or a transaction is full.
   */
  readonly batchWaitMs: number;
  readonly pendingBytesMax: number;
  readonly pendingMessagesMax: number;
  /** Beyond which drafts are not joined. */
  readonly batchBytesMax: number;
}

export interface LogEvents {
  /**
   * What is about to be stored, in position order: the same batches, with `repeats` filled in. @throws RumormillError
   * STORE
   */
  mark(batches: readonly StoredBatch[]): readonly StoredBatch[] | Promise<readonly StoredBatch[]>;
  /** Batches are on disk, in position order. Comes before the `stored` of each. */
  committed(batches: readonly StoredBatch[]): void;
  /**
   * A transaction failed; `error.code` is DISKFULL or STORE. Batches of peers that waited were dropped, to be fetched
   * again.
   */
  failed(error: RumormillError): void;
  /** The log is not `full` any more. */
  drained(): void;
}

export class Log {
  readonly instance: string;
  /** What is on disk here. */
  readonly vector: VersionVector;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #lamport: LamportClock;
  readonly #options: LogOptions;
  readonly #events: LogEvents;
  readonly #tail: Tail;
  readonly #company: Company;
  #origin: Origin;
  #owner: string; // of the origin, if it has named nothing yet
  #nameless: Entry[] | undefined; // local batches that came while the origin was not settled
  #position: number;
  #accepted: VersionVector; // what is on disk or waits to be written
  readonly #heads: Map<Origin, Head>; // of what is on disk
  readonly #acceptedHeads = new Map<Origin, Head>(); // of what waits to be written
  readonly #causes: Causes;
  #waiting: Entry[] = [];
  #pendingBytes = 0;
  #pendingMessages = 0;
  #full = false;
  #scheduled = false;
  #waitingForCompany: Timer | undefined;
  #idleWaiters: (() => void)[] = [];
  #committingSince: number | undefined;

  constructor(store: Store, clock: Clock, lamport: LamportClock, options: LogOptions, events: LogEvents) {
    const { origin, owner, vector, heads, position } = store.state;
    this.instance = options.instance;
    this.#origin = origin;
    this.#owner = owner;
    this.#heads = new Map(heads);
    this.vector = new VersionVector(vector);
    this.#accepted = new VersionVector(vector);
    this.#causes = new Causes(vector, origin);
    this.#position = position;
    this.#store = store;
    this.#clock = clock;
    this.#lamport = lamport;
    this.#options = options;
    this.#events = events;
    this.#tail = new Tail(position + 1, options.tailBytesMax);
    this.#company = new Company(clock, options, () => ({ messages: this.#pendingMessages, bytes: this.#pendingBytes }));
  }

  /** Under which local batches are named. */
  get origin(): Origin {
    return this.#origin;
  }

  /** Makes local batches wait until `settle`: it is not certain yet that the origin may name one more. */
  hold(): void {
    this.#nameless ??= [];
  }

  get isHeld(): boolean {
    return this.#nameless !== undefined;
  }

  /** Whether a local batch waits for `settle`. */
  get isWanted(): boolean {
    return (this.#nameless?.length ?? 0) > 0;
  }

  /**
   * Local batches are named under this origin; those that waited enter now.
   * @param owner of an origin that has named nothing yet (proof.ts)
   */
  settle(origin: Origin, owner: string): void {
    this.#origin = origin;
    this.#owner = owner;
    const waiting = this.#nameless ?? [];
    this.#nameless = undefined;
    for (const entry of waiting) this.#lineUp(entry);
  }

  /** The newest position on disk; 0 in an empty log. */
  get position(): number {
    return this.#position;
  }

  /** Bytes in memory: those that wait to be written, and recent ones. */
  get heldBytes(): number {
    return this.#pendingBytes + this.#tail.bytes;
  }

  /** Keeps fewer of the recent batches, for now. */
  shrink(): void {
    this.#tail.shrink();
  }

  /** Bytes that wait to be written. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Since when a transaction has been on its way to the disk, on the clock; undefined while none is. */
  get committingSince(): number | undefined {
    return this.#committingSince;
  }

  /** Whether publishers should be held back; `drained` says when not any more. */
  get full(): boolean {
    return this.#full;
  }

  /** Takes in a local batch. */
  publish(draft: Draft, fate: DraftFate): void {
    this.#admit({ kind: 'local', draft, fate });
  }

  /** The next seq that `receive` takes of an origin. */
  nextSeq(origin: Origin): number {
    return this.#accepted.get(origin) + 1;
  }

  /** The head of an origin up to that seq; undefined if there is nothing of it, or nothing that is signed. */
  head(origin: Origin): Head | undefined {
    return this.#acceptedHeads.get(origin) ?? this.#heads.get(origin);
  }

  /**
   * Takes in a group of a peer whose deps are all accepted.
   * @param head of its origin, after it; undefined if it is not signed
   */
  receive(group: readonly RecordBatch[], head: Head | undefined): void {
    const [{ origin, seq }, last] = [group[0]!, group.at(-1)!];
    assert(seq === this.nextSeq(origin), `batch ${origin} ${seq} does not follow on`);
    this.#accepted.advance(origin, lastSeq(last));
    if (head !== undefined) this.#acceptedHeads.set(origin, head);
    this.#admit({ kind: 'remote', group, head });
  }

  /**
   * Batches after a position, of these topics or of all, in position order: from memory if it reaches back so far.
   */
  readAfter(position: number, topics: ReadonlySet<string> | undefined, bytesMax: number): Page | Promise<Page> {
    return (
      this.#tail.readAfter(position, topics, bytesMax) ??
      this.#store.readAfter(position, topics && [...topics], bytesMax)
    );
  }

  /** Resolves when nothing waits to be written. */
  async idle(): Promise<void> {
    while (this.#scheduled) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  #admit(entry: Entry): void {
    const { pendingBytesMax, pendingMessagesMax } = this.#options;
    this.#pendingBytes += entryBytes(entry);
    this.#pendingMessages += entryCount(entry);
    if (this.#pendingBytes >= pendingBytesMax || this.#pendingMessages >= pendingMessagesMax) this.#full = true;
    if (entry.kind === 'local' && this.#nameless !== undefined) this.#nameless.push(entry);
    else this.#lineUp(entry);
  }

  #lineUp(entry: Entry): void {
    const { batchWaitMs, transactionMessagesMax } = this.#options;
    this.#waiting.push(entry);
    const mayWait =
      batchWaitMs > 0 && entry.kind === 'local' && this.#pendingMessages < transactionMessagesMax && !this.#full;
    const begin = (): void => {
      this.#waitingForCompany = undefined;
      void this.#commitAll();
    };
    if (this.#waitingForCompany !== undefined && !mayWait) {
      this.#waitingForCompany.cancel();
      begin();
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (mayWait) this.#waitingForCompany = this.#clock.schedule(batchWaitMs, begin);
    else begin();
  }

  async #commitAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#company.gather();
      await this.#commitSome();
    }
    this.#scheduled = false;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  /** One transaction: name, write, and only then show. */
  async #commitSome(): Promise<void> {
    const { transactionBytesMax, transactionMessagesMax } = this.#options;
    const taken = takeTransaction(this.#waiting, transactionBytesMax, transactionMessagesMax);
    const entries = this.#refuseAtEnd(taken);
    if (entries.length === 0) return;
    this.#company.formed(entries.length);
    const causes = new Declaring(this.#causes);
    const names: DraftName[] = [];
    const joined = joinEntries(entries, this.#options.batchBytesMax);
    const from = { origin: this.#origin, position: this.#position, vector: this.vector };
    const { identity, signatures } = this.#options;
    const prover = new Prover(identity, signatures, this.#heads.get(this.#origin)?.running ?? this.#owner);
    let batches: readonly StoredBatch[] = nameEntries(joined, from, causes, prover, this.#lamport, names);
    this.#committingSince = this.#clock.now();
    try {
      const marking = this.#events.mark(batches);
      batches = marking instanceof Promise ? await marking : marking;
      await this.#store.append(batches);
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.#abandon(entries, error);
      return;
    } finally {
      this.#committingSince = undefined;
    }
    this.#causes.committed(causes);
    this.#position += batches.length;
    for (const batch of batches) {
      this.vector.advance(batch.origin, lastSeq(batch));
      this.#accepted.advance(batch.origin, lastSeq(batch)); // own ones, on which batches of peers may depend
      this.#tail.push(batch);
    }
    this.#headsStored(entries, from.origin, prover);
    this.#release(entries);
    this.#events.committed(batches);
    let named = 0;
    for (const entry of entries) if (entry.kind === 'local') entry.fate.stored(names[named++]!);
  }

  #headsStored(entries: readonly Entry[], own: Origin, { running }: Prover): void {
    for (const entry of entries) {
      if (entry.kind === 'local') continue;
      const { origin } = entry.group[0]!;
      if (entry.head !== undefined) this.#heads.set(origin, entry.head);
      if (this.#acceptedHeads.get(origin) === entry.head) this.#acceptedHeads.delete(origin);
    }
    if (entries.some(({ kind }) => kind === 'local')) {
      this.#heads.set(own, { running, owner: this.#heads.get(own)?.owner ?? this.#owner });
    }
  }

  /** What is left of a transaction if there are no timestamps any more for its local batches: they are refused. */
  #refuseAtEnd(entries: Entry[]): Entry[] {
    const count = entries.reduce((sum, entry) => (entry.kind === 'local' ? sum + entryCount(entry) : sum), 0);
    if (count <= this.#lamport.room) return entries;
    const refused = entries.filter((entry) => entry.kind === 'local');
    this.#release(refused);
    for (const { fate } of refused) fate.failed(atItsEnd());
    return entries.filter((entry) => entry.kind === 'remote');
  }

  /** Refuses the local batches that wait for `settle`. */
  refuseHeld(error: RumormillError): void {
    const waiting = this.#nameless?.splice(0) ?? [];
    this.#release(waiting);
    for (const entry of waiting) if (entry.kind === 'local') entry.fate.failed(error);
  }

  #abandon(entries: readonly Entry[], error: RumormillError): void {
    const waiting = this.#waiting.filter((entry) => entry.kind === 'remote');
    this.#waiting = this.#waiting.filter((entry) => entry.kind === 'local');
    this.#accepted = new VersionVector(this.vector.entries());
    this.#acceptedHeads.clear();
    this.#release([...entries, ...waiting]);
    this.#events.failed(error);
    for (const entry of entries) if (entry.kind === 'local') entry.fate.failed(error);
  }

  #release(entries: readonly Entry[]): void {
    const { pendingBytesMax, pendingMessagesMax } = this.#options;
    for (const entry of entries) {
      this.#pendingBytes -= entryBytes(entry);
      this.#pendingMessages -= entryCount(entry);
    }
    if (this.#full && this.#pendingBytes <= pendingBytesMax / 2 && this.#pendingMessages <= pendingMessagesMax / 2) {
      this.#full = false;
      this.#events.drained();
    }
  }
}
