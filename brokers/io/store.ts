/**
 * One broker's log in one SQLite file.
 *
 * One row a batch (see schema.ts). `UNIQUE (origin, seq)` dedupes, `position` is the local arrival order. The view `messages` shows one row a message, so that
 * anybody with an SQLite tool can read the file. WAL with `synchronous=FULL`: when `append` resolves, the batches are on disk.
 * A transaction is one INSERT statement, however many batches it writes: one JSON parameter that holds the columns, one BLOB that
 * holds the bodies. Writing, reading and checkpoints go through a handle each, so that neither a long read nor a checkpoint holds up a commit. The topics of batches
 * are indexed later, many batches at a time.
 *
 * A second broker on the folder is kept out by an exclusive SQLite lock on an empty file beside the store, which the system releases however the process ends.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Address } from '../core/address.ts';
import { COUNTER_MAX } from '../core/counter.ts';
import { messageOf, RumormillError } from '../core/error.ts';
import { BATCH_MESSAGES_MAX, makeOrigin, type Origin, parseDeps, type StoredBatch, type StoredColumns } from '../core/record.ts';
import type { AckCheckpoint, CountQuery, FoundId, LamportPlace, LiveCount, Page, Random, RangeQuery, Store, StoreState } from '../core/runtime.ts';
import { isBefore, type Stamp } from '../core/subscription.ts';
import type { Vector } from '../core/version-vector.ts';
import { NEWEST, SQL, TOPIC_SQL } from './queries.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION } from './schema.ts';
import { Handle, type Param, READ_ONLY, READ_WRITE, type Row, sqliteCode, storeError } from './sqlite.ts';
import { type IdRow, StoredIds } from './stored-ids.ts';

const [PAGE_ROWS_MIN, PAGE_ROWS_MAX] = [16, 1024];
const ROW_BYTES = 200; // of a batch, beside its body; queries.ts counts so too
const NO_DELETION = -BATCH_MESSAGES_MAX;
const SCRATCH_BYTES = 1024 * 1024;
const CHECKPOINT = 'PRAGMA wal_checkpoint(PASSIVE)';
const CHECKPOINT_BYTES = 1024 * 1024; // a quarter of what SQLite itself lets come together: a commit meanwhile waits less for the disk
const CHECKPOINT_PAGES_MAX = 16_000; // in the WAL; then a commit waits until they are moved
const LOCKED_MS = 60 * 60 * 1000; // for which a write waits while some tool holds the file's lock
const COMMIT_BYTES = 2 * 4096; // about what a commit takes in the WAL beside its parameters: a page of the table and one of its index
const COVER_BYTES_MAX = 8 * 1024 * 1024; // of bodies, in one transaction: publishers wait for it

/**
 * Opens, or creates, the store in a folder. `folder/broker.db` is left as it is where it cannot be used.
 * @throws RumormillError STORE that says in one line what is in the way
 */
export async function openStore(folder: string, address: Address, random: Random): Promise<Store> {
  const file = join(folder, 'broker.db');
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new RumormillError('STORE', `data folder ${folder} cannot be made: ${messageOf(cause)}`, { cause });
  }
  const lock = await lockFolder(folder);
  let writer: Handle | undefined;
  let checkpointer: Handle | undefined;
  let reader: Handle | undefined;
  try {
    writer = await Handle.open(file, READ_WRITE);
    await prepareSchema(writer, file, makeOrigin(address, random));
    await writer.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES_MAX}`);
    checkpointer = await Handle.open(file, READ_WRITE);
    reader = await Handle.open(file, READ_ONLY);
    const store = await SqliteStore.load({ lock, writer, checkpointer, reader });
    await writer.exec('BEGIN IMMEDIATE; ROLLBACK'); // who starts a broker hears at once that a tool holds the file's lock
    writer.waitForLocks(LOCKED_MS);
    return store;
  } catch (cause) {
    for (const handle of [reader, checkpointer, writer, lock]) await handle?.close();
    throw cause instanceof RumormillError ? cause : storeError(cause, file);
  }
}

async function lockFolder(folder: string): Promise<Handle> {
  const file = join(folder, 'broker.lock');
  let lock: Handle | undefined;
  try {
    lock = await Handle.open(file, READ_WRITE);
    await lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (cause) {
    await lock?.close();
    if (sqliteCode(cause) === 'SQLITE_BUSY') {
      throw new RumormillError('STORE', `another broker is running on data folder ${folder}`, { cause });
    }
    throw storeError(cause, file);
  }
}

async function prepareSchema(db: Handle, file: string, origin: Origin): Promise<void> {
  const version = Number((await db.all('PRAGMA user_version'))[0]?.['user_version']);
  const id = Number((await db.all('PRAGMA application_id'))[0]?.['application_id']);
  const tables = Number((await db.all('SELECT count(*) AS n FROM sqlite_schema'))[0]?.['n']);
  if (tables > 0 && id !== APPLICATION_ID) throw new RumormillError('STORE', `${file} is an SQLite file of another program`);
  if (version > SCHEMA_VERSION) {
    throw new RumormillError('STORE', `${file} has version ${version}, this broker reads up to ${SCHEMA_VERSION}; use a newer broker`);
  }
  await db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  if (tables > 0) {
    for (const [index, migration] of MIGRATIONS.slice(version - 1).entries()) {
      await db.exec(`BEGIN IMMEDIATE; ${migration} PRAGMA user_version = ${version + index + 1}; COMMIT`);
    }
    return;
  }
  await db.exec(`BEGIN IMMEDIATE; ${SCHEMA} INSERT INTO broker (id, origin, lamport, term) VALUES (1, '${origin.replaceAll("'", "''")}', 0, 0); COMMIT`);
}

interface Handles {
  readonly lock: Handle;
  readonly writer: Handle;
  readonly checkpointer: Handle;
  readonly reader: Handle;
}

class SqliteStore implements Store {
  #state: StoreState;
  readonly #handles: Handles;
  readonly #originIds: Map<Origin, number>;
  #head: number;
  #rowBytes = 0; // of a row, in the last page
  readonly #storedIds = new StoredIds(async ({ time, position }, until, limit) => (await this.#all(SQL.idsAfter, time, position, until, limit)) as unknown as IdRow[]);
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES); // for the bodies of a transaction, which the package copies at once
  #walBytes = CHECKPOINT_BYTES; // about what was written since the last upkeep began; the first write is followed by one, for what an earlier process left
  #upkeep: Promise<void> | undefined;
  #upkeepError: unknown;

  static async load(handles: Handles): Promise<SqliteStore> {
    const { writer } = handles;
    const [broker] = await writer.all('SELECT origin, lamport, term FROM broker');
    const [newest] = await writer.all('SELECT coalesce(max(position), 0) AS position FROM batches');
    const origins = await writer.all(NEWEST);
    if (broker === undefined || newest === undefined) throw new RumormillError('STORE', 'broker.db has no row in table broker');
    const held = origins.filter((row) => row['seq'] !== null);
    const records = held.reduce((most, row) => Math.max(most, Number(row['lamport'])), 0);
    const state: StoreState = {
      origin: broker['origin'] as Origin,
      term: counter(broker['term']),
      lamport: Math.max(records, counter(broker['lamport'])),
      newest: records,
      vector: new Map(held.map((row) => [row['name'] as Origin, Number(row['seq'])])),
      position: Number(newest['position']),
    };
    return new SqliteStore(state, handles, new Map(origins.map((row) => [row['name'] as Origin, Number(row['id'])])));
  }

  private constructor(state: StoreState, handles: Handles, originIds: Map<Origin, number>) {
    this.#state = state;
    this.#head = state.position;
    this.#handles = handles;
    this.#originIds = originIds;
  }

  get state(): StoreState {
    return this.#state;
  }

  async renew(origin: Origin): Promise<void> {
    await this.#write(SQL.renew, origin);
    this.#state = { ...this.#state, origin };
  }

  async append(batches: readonly StoredBatch[]): Promise<void> {
    const rows: unknown[] = [];
    let offset = 0;
    await this.#addOrigins(batches);
    for (const batch of batches) {
      const { position, seq, count, lamport, time, topic, deps, lengths, meta, repeats, body } = batch;
      const origin = this.#originIds.get(batch.origin)!;
      rows.push([position, origin, seq, count, lamport, time, topic, deps, lengths, meta, repeats, offset, body.length]);
      offset += body.length;
    }
    await this.#write(SQL.append, JSON.stringify(rows), this.#join(batches, offset));
    this.#head += batches.length;
    this.#storedIds.add(batches);
  }

  /** The bodies one after another; good until the next call. */
  #join(batches: readonly StoredBatch[], bytes: number): Uint8Array {
    if (batches.length === 1) return batches[0]!.body;
    const all = bytes <= SCRATCH_BYTES ? this.#scratch : Buffer.allocUnsafeSlow(bytes);
    let offset = 0;
    for (const { body } of batches) {
      all.set(body, offset);
      offset += body.length;
    }
    return all.subarray(0, bytes);
  }

  async saveClock(lamport: number, term: number): Promise<void> {
    await this.#write(SQL.saveClock, lamport, term);
  }

  async readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page> {
    const head = this.#head;
    if (topics === undefined) return this.#readPage(SQL.afterPosition, [position], head, bytesMax);
    const pageBytes = bytesMax * Math.sqrt(topics.length); // more topics take longer to look at, so there should be fewer pages
    let page: Page = { batches: [], through: head };
    for (const topic of topics) { // each up to where those before it end, so that a thousand of them are not a thousand pages
      const { batches, through } = await this.#readPage(SQL.afterPositionOfTopic, [position, page.through, topic], page.through, bytesMax);
      if (batches.length > 0) page = cutPage([...page.batches, ...batches], through, pageBytes);
    }
    return page;
  }

  async positionBefore(lacking: Iterable<readonly [Origin, number]>): Promise<number> {
    const head = this.#head;
    const [row] = await this.#all(SQL.positionBefore, this.#byId(lacking));
    return typeof row?.['position'] === 'number' ? row['position'] : head;
  }

  async readRange(query: RangeQuery, previous: StoredBatch | undefined, bytesMax: number): Promise<StoredBatch[]> {
    const { topic, from, to, reverse } = query;
    const farthest = reverse ? Number.MAX_SAFE_INTEGER : -1;
    return this.#read(
      reverse ? SQL.rangeReverse : SQL.rangeForward,
      topic, from - BATCH_MESSAGES_MAX, to, from, previous?.lamport ?? farthest, previous?.position ?? farthest, this.#rowsOf(bytesMax), bytesMax);
  }

  async readWithIds(windowMs: number, topicMax: number, max: number): Promise<StoredColumns[]> {
    return (await this.#all(SQL.withIds, windowMs, topicMax, max)) as unknown as StoredColumns[];
  }

  async findIds(topic: string, ids: readonly string[], from: number, to: number): Promise<FoundId[]> {
    const positions = await this.#storedIds.find(topic, ids, from, to);
    if (positions?.length === 0) return [];
    const params = [from, to, topic, JSON.stringify(ids)];
    const rows = positions === undefined ? await this.#all(SQL.findIds, ...params) : await this.#all(SQL.findIdsAt, ...params, JSON.stringify(positions));
    return rows as unknown as FoundId[];
  }

  async readRepeats(limit: number): Promise<StoredColumns[]> {
    return (await this.#all(SQL.withRepeats, limit)) as unknown as StoredColumns[];
  }

  async lastDeps(origin: Origin, limit: number): Promise<[Origin, number][][]> {
    const id = this.#originIds.get(origin);
    const rows = id === undefined ? [] : await this.#all(SQL.lastDeps, id, limit);
    return rows.map((row) => parseDeps({ deps: String(row['deps']) }));
  }

  async vectorAt(position: number): Promise<Vector> {
    return new Map((await this.#all(SQL.vectorAt, position)).map((row) => [row['origin'] as Origin, Number(row['seq'])]));
  }

  async count({ topic, keys, after, until, settled, batchesMax }: CountQuery): Promise<{ messages: number; through: number }> {
    const params = [topic, after, until, batchesMax, this.#byId(settled)];
    const [row] = keys === undefined ? await this.#all(SQL.count, ...params) : await this.#all(SQL.countOfKeys, ...params, JSON.stringify(keys));
    return { messages: Number(row?.['messages'] ?? 0), through: Number(row?.['batches']) < batchesMax ? until : Number(row?.['through']) };
  }

  /** Three transactions, since statements of another one may run between those of one: each by itself leaves what can be read back. */
  async saveAcks({ states, position }: AckCheckpoint, gone: readonly string[]): Promise<void> {
    if (states.length > 0) await this.#write(SQL.saveAcks, JSON.stringify(states));
    if (gone.length > 0) await this.#write(SQL.dropAcks, JSON.stringify(gone));
    await this.#write(SQL.saveAcksPosition, position);
  }

  async loadAcks(): Promise<AckCheckpoint> {
    const [row] = await this.#all(SQL.loadAcksPosition);
    const states = (await this.#all(SQL.loadAcks)).map((each) => [String(each['subscription']), String(each['state'])] as const);
    return { states, position: Number(row?.['acknowledged']) };
  }

  async readTopics(after: string, limit: number): Promise<string[]> {
    return (await this.#all(TOPIC_SQL.topics, after, limit)).map((row) => String(row['topic']));
  }

  async countLive(topic: string, dead: Stamp | undefined, after: number, limit: number): Promise<LiveCount> {
    const [row = {}] = await this.#all(TOPIC_SQL.countLive, dead?.lamport ?? NO_DELETION, this.#originsNotBefore(dead), topic, after, limit);
    const through = Number(row['batches']) < limit ? undefined : Number(row['through']);
    return { messages: Number(row['messages']), bytes: Number(row['bytes']), through };
  }

  async cover(topic: string, dead: Stamp, after: LamportPlace, limit: number): Promise<LamportPlace | undefined> {
    const { lamport, position } = after;
    const rows = await this.#all(TOPIC_SQL.deadAfter, dead.lamport, this.#originsNotBefore(dead), topic, lamport, dead.lamport, lamport, position, limit);
    let bytes = 0;
    const end = rows.findIndex((row, index) => row['dead'] === 1 && (bytes += Number(row['size'])) > COVER_BYTES_MAX && index > 0);
    const batches = rows.slice(0, end < 0 ? rows.length : end) as unknown as (LamportPlace & { dead: number })[];
    const positions = batches.filter((batch) => batch.dead === 1).map((batch) => batch.position);
    if (positions.length > 0) await this.#write(TOPIC_SQL.cover, JSON.stringify(positions));
    return end < 0 && rows.length < limit ? undefined : { lamport: batches.at(-1)!.lamport, position: batches.at(-1)!.position };
  }

  /** As JSON, pairs of an origin's id and a seq, of those origins that were ever stored. */
  #byId(seqs: Iterable<readonly [Origin, number]>): string {
    const pairs: [number, number][] = [];
    for (const [origin, seq] of seqs) {
      const id = this.#originIds.get(origin);
      if (id !== undefined) pairs.push([id, seq]);
    }
    return JSON.stringify(pairs);
  }

  /** As JSON, the ids of origins whose records come not before a stamp where they have its Lamport timestamp. */
  #originsNotBefore(stamp: Stamp | undefined): string {
    const later = [...this.#originIds].filter(([origin]) => stamp !== undefined && !isBefore({ lamport: stamp.lamport, origin }, stamp));
    return JSON.stringify(later.map(([, id]) => id));
  }

  async close(): Promise<void> {
    await this.#upkeep;
    const { lock, writer, checkpointer, reader } = this.#handles;
    for (const handle of [reader, checkpointer, writer, lock]) await handle.close();
  }

  /** Those that are new, in a transaction of their own: an origin without batches does no harm, should the append that follows fail. */
  async #addOrigins(batches: readonly StoredBatch[]): Promise<void> {
    const added = new Map<Origin, number>();
    for (const { origin } of batches) {
      if (!this.#originIds.has(origin) && !added.has(origin)) added.set(origin, this.#originIds.size + added.size + 1);
    }
    if (added.size === 0) return;
    await this.#write(SQL.addOrigins, JSON.stringify([...added]));
    for (const [origin, id] of added) this.#originIds.set(origin, id);
  }

  async #write(sql: string, ...params: Param[]): Promise<void> {
    try {
      if (this.#upkeepError !== undefined) throw this.#upkeepError;
      await this.#handles.writer.run(sql, ...params);
    } catch (cause) {
      throw storeError(cause, 'broker.db');
    }
    for (const param of params) this.#walBytes += typeof param === 'number' ? 0 : param.length;
    this.#walBytes += COMMIT_BYTES;
    if (this.#walBytes < CHECKPOINT_BYTES || this.#upkeep !== undefined) return;
    this.#walBytes = 0;
    this.#upkeep = this.#moveAndIndex().finally(() => (this.#upkeep = undefined));
  }

  /**
   * Moves what is in the WAL into the tables while commits go on, and what they bring meanwhile between two of them: only when everything is moved does the WAL begin
   * anew. Then indexes what came. On a full disk this is put off, and the WAL grows until a commit finds no room either. Any other error fails the next write.
   */
  async #moveAndIndex(): Promise<void> {
    try {
      await this.#handles.checkpointer.exec(CHECKPOINT);
      await this.#handles.writer.exec(CHECKPOINT);
      await this.#handles.writer.run(SQL.index);
    } catch (error) {
      if (sqliteCode(error) !== 'SQLITE_FULL') this.#upkeepError = error;
    }
  }

  async #readPage(sql: string, where: readonly Param[], head: number, bytesMax: number): Promise<Page> {
    const rows = this.#rowsOf(bytesMax);
    const batches = await this.#read(sql, ...where, rows, bytesMax);
    const bytes = batches.reduce((sum, batch) => sum + batch.body.length + ROW_BYTES, 0);
    if (batches.length > 0) this.#rowBytes = bytes / batches.length;
    const last = batches.at(-1);
    const isCut = batches.length >= rows || bytes >= bytesMax; // a page below both limits holds everything up to the head
    return { batches, through: last !== undefined && isCut ? last.position : Math.max(head, last?.position ?? 0) };
  }

  /** How many rows a page of so many bytes may have, as the last page was. */
  #rowsOf(bytesMax: number): number {
    return Math.min(PAGE_ROWS_MAX, Math.max(PAGE_ROWS_MIN, Math.ceil((1.5 * bytesMax) / this.#rowBytes)));
  }

  async #all(sql: string, ...params: Param[]): Promise<Row[]> {
    try {
      return await this.#handles.reader.query(sql, ...params);
    } catch (cause) {
      throw storeError(cause, 'broker.db');
    }
  }

  async #read(sql: string, ...params: Param[]): Promise<StoredBatch[]> {
    return (await this.#all(sql, ...params)) as unknown as StoredBatch[];
  }
}

/** A clock or term as it is stored; what a damaged file has in its place stays within what can be counted. */
function counter(value: unknown): number {
  const number = Number(value);
  return number > 0 ? Math.min(Math.floor(number), COUNTER_MAX) : 0;
}

/** The first batches up to a position, in order, of about so many bytes, at least one. */
function cutPage(unsorted: readonly StoredBatch[], through: number, bytesMax: number): Page {
  const batches = unsorted.filter(({ position }) => position <= through).sort((a, b) => a.position - b.position);
  let bytes = 0;
  const end = batches.findIndex(({ body }) => (bytes += body.length + ROW_BYTES) >= bytesMax);
  return end < 0 ? { batches, through } : { batches: batches.slice(0, end + 1), through: batches[end]!.position };
}
