/**
 * One broker's log in one SQLite file.
 *
 * One row per batch (schema.ts). `UNIQUE (origin, seq)` dedupes, `position` is the local order of arrival. The view
 * `messages` shows one row per message, so that people can read the file with any SQLite tool. The file has a WAL and
 * `synchronous=FULL`: when `append` resolves, the batches are on disk.
 *
 * A transaction is one INSERT statement, however many batches it writes: a JSON parameter holds the columns, a BLOB the
 * bodies. Writing, reading and checkpoints have a handle each, so that neither a long read nor a checkpoint holds up a
 * commit. The topics of batches are indexed later, many batches at a time (upkeep.ts).
 *
 * open-store.ts opens it, store-state.ts reads what it holds then, pages.ts reads batches. If somebody tampers with its
 * files, mark.ts and place.ts notice.
 */
import type { Life, Lived } from '../core/log/life.ts';
import {
  BATCH_MESSAGES_MAX, lastLamport, type Origin, parseDeps, type StoredBatch, type StoredColumns,
} from '../core/log/record.ts';
import type {
  AckCheckpoint, CountQuery, FoundId, IdColumns, LamportPlace, LiveCount, Page, RangeQuery, Store, StoreState,
} from '../core/log/store.ts';
import type { SavedTime } from '../core/log/running-time.ts';
import type { Stamp } from '../core/log/stamp.ts';
import type { Vector } from '../core/log/version-vector.ts';
import type { StorePaths } from './folder.ts';
import type { Mark } from './mark.ts';
import type { OriginIds } from './origin-ids.ts';
import { Pages } from './pages.ts';
import { Place } from './place.ts';
import { SQL, TOPIC_SQL } from './queries.ts';
import type { Reserve } from './reserve.ts';
import { type Handle, type Param, type Row, storeError } from './sqlite.ts';
import { readState } from './store-state.ts';
import { type IdRow, StoredIds } from './stored-ids.ts';
import { Upkeep } from './upkeep.ts';

// batches with ids that are read, lines of the catalog that are written, at a time
const [ID_ROWS, CATALOG_LINES] = [8192, 1000];
const NO_DELETION = -BATCH_MESSAGES_MAX;
const SCRATCH_BYTES = 1024 * 1024;
const CHECK_MS = 20; // between looks whether the files are there, while it is written; one takes some 60 us
// about what a commit takes in the WAL beside its parameters: a page of the table and one of its index
const COMMIT_BYTES = 2 * 4096;
const COVER_BYTES_MAX = 8 * 1024 * 1024; // of bodies, in one transaction: publishers wait for it

/** The connections of an open store. */
export interface Handles {
  readonly mark: Mark;
  readonly lock: Handle;
  readonly writer: Handle;
  readonly checkpointer: Handle;
  readonly reader: Handle;
}

export class SqliteStore implements Store {
  #state: StoreState;
  readonly #handles: Handles;
  readonly #origins: OriginIds;
  #head: number;
  readonly #pages = new Pages((sql, ...params) => this.#all(sql, ...params));
  readonly #storedIds = new StoredIds(
    async ({ seen, position }, until, limit) =>
      (await this.#all(SQL.idsAfter, seen, position, until, limit)) as unknown as IdRow[],
  );
  // for the bodies of a transaction, which the package copies at once
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  readonly #upkeep: Upkeep;
  readonly #place: Place;
  readonly #reserve: Reserve;
  #checkedAt = 0;

  static async load(handles: Handles, paths: StorePaths, reserve: Reserve): Promise<SqliteStore> {
    const { state, origins } = await readState(handles.writer, paths.mark);
    return new SqliteStore(state, handles, origins, paths, reserve);
  }

  private constructor(
    state: StoreState, handles: Handles, origins: OriginIds, paths: StorePaths, reserve: Reserve,
  ) {
    this.#state = state;
    this.#head = state.position;
    this.#handles = handles;
    this.#origins = origins;
    this.#upkeep = new Upkeep(handles.writer, handles.checkpointer, SQL.index);
    this.#place = new Place([paths.wal, paths.db, paths.shm, paths.lock, paths.mark]);
    this.#reserve = reserve;
  }

  get state(): StoreState {
    return this.#state;
  }

  async renew(origin: Origin, owner: string): Promise<void> {
    await this.#reserve.orWithoutIt(() => this.#write(SQL.renew, origin));
    this.#state = { ...this.#state, origin, owner, life: 1, electors: undefined };
  }

  async saveName({ life, electors }: Lived): Promise<void> {
    await this.#write(SQL.saveName, life, electors === undefined ? '' : JSON.stringify(electors));
  }

  async saveLife(store: Origin, { life, holder }: Life): Promise<void> {
    await this.#write(SQL.saveLife, store, life, holder);
  }

  async append(batches: readonly StoredBatch[]): Promise<void> {
    if (!this.#reserve.isWhole) await this.#fillReserve();
    const rows: unknown[] = [];
    let offset = 0;
    await this.#addOrigins(batches);
    for (const batch of batches) {
      const { position, seq, count, lamport, time, topic, deps, lengths, meta, repeats, body, seen, proof } = batch;
      const origin = this.#origins.of(batch.origin)!;
      rows.push([
        position, origin, seq, count, lamport, time, topic, deps, lengths, meta, repeats, offset, body.length,
        seen ?? 0, proof,
      ]);
      offset += body.length;
    }
    await this.#write(SQL.append, JSON.stringify(rows), this.#join(batches, offset));
    this.#checkPlace();
    this.#head += batches.length;
    this.#handles.mark.note({ position: this.#head, lamport: lastLamport(batches.at(-1)!) });
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

  async saveTime(time: SavedTime): Promise<void> {
    await this.#write(SQL.saveTime, JSON.stringify(time));
  }

  async saveClock(lamport: number, term: number): Promise<void> {
    await this.#write(SQL.saveClock, lamport, term);
  }

  readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page> {
    return this.#pages.after(position, topics, this.#head, bytesMax);
  }

  async positionBefore(lacking: Iterable<readonly [Origin, number]>): Promise<number> {
    const head = this.#head;
    const [row] = await this.#all(SQL.positionBefore, this.#origins.pairs(lacking));
    return typeof row?.['position'] === 'number' ? row['position'] : head;
  }

  readRange(query: RangeQuery, previous: StoredBatch | undefined, bytesMax: number): Promise<StoredBatch[]> {
    return this.#pages.range(query, previous, bytesMax);
  }

  async *readIds(since: number): AsyncGenerator<IdColumns[]> {
    const names = this.#origins.names();
    const [found] = await this.#all(SQL.withIds, since);
    const positions = Float64Array.from(JSON.parse(String(found?.['positions'] ?? '[]')) as number[]).sort();
    const read = (from: number): Promise<Row[]> =>
      this.#all(SQL.readIds, `[${positions.subarray(from, from + ID_ROWS).join()}]`);
    let next = read(0);
    for (let from = 0; from < positions.length; from += ID_ROWS) {
      const [row] = await next;
      if (from + ID_ROWS < positions.length) next = read(from + ID_ROWS); // while these are taken in
      const batches = JSON.parse(String(row?.['batches'] ?? '[]')) as [
        number, number, number, number, string, (string | null)[],
      ][];
      yield batches.map(([origin, seq, lamport, seen, topic, ids]) => ({
        origin: names.get(origin)!, seq, lamport, seen, topic, ids,
      }));
    }
    await next;
  }

  async findIds(topic: string, ids: readonly string[], from: number, to: number): Promise<FoundId[]> {
    const positions = await this.#storedIds.find(topic, ids, from, to);
    if (positions?.length === 0) return [];
    const params = [from, to, topic, JSON.stringify(ids)];
    const rows =
      positions === undefined
        ? await this.#all(SQL.findIds, ...params)
        : await this.#all(SQL.findIdsAt, ...params, JSON.stringify(positions));
    return rows as unknown as FoundId[];
  }

  async readRepeats(limit: number): Promise<StoredColumns[]> {
    return (await this.#all(SQL.withRepeats, limit)) as unknown as StoredColumns[];
  }

  async lastDeps(origin: Origin, limit: number): Promise<[Origin, number][][]> {
    const id = this.#origins.of(origin);
    const rows = id === undefined ? [] : await this.#all(SQL.lastDeps, id, limit);
    return rows.map((row) => parseDeps({ deps: String(row['deps']) }));
  }

  async vectorAt(position: number): Promise<Vector> {
    return new Map(
      (await this.#all(SQL.vectorAt, position)).map((row) => [row['origin'] as Origin, Number(row['seq'])]),
    );
  }

  async count({
    topic, keys, after, until, settled, batchesMax,
  }: CountQuery): Promise<{ messages: number; through: number }> {
    const params = [topic, after, until, batchesMax, this.#origins.pairs(settled)];
    const [row] =
      keys === undefined
        ? await this.#all(SQL.count, ...params)
        : await this.#all(SQL.countOfKeys, ...params, JSON.stringify(keys));
    return {
      messages: Number(row?.['messages'] ?? 0),
      through: Number(row?.['batches']) < batchesMax ? until : Number(row?.['through']),
    };
  }

  /**
   * Three transactions, since statements of others may run between the statements of one. Each of them leaves what can
   * be read back.
   */
  async saveAcks({ states, position }: AckCheckpoint, gone: readonly string[]): Promise<void> {
    if (states.length > 0) await this.#write(SQL.saveAcks, JSON.stringify(states));
    if (gone.length > 0) await this.#write(SQL.dropAcks, JSON.stringify(gone));
    await this.#write(SQL.saveAcksPosition, position);
  }

  async loadAcks(): Promise<AckCheckpoint> {
    const [row] = await this.#all(SQL.loadAcksPosition);
    const states = (await this.#all(SQL.loadAcks)).map(
      (each) => [String(each['subscription']), String(each['state'])] as const,
    );
    return { states, position: Number(row?.['acknowledged']) };
  }

  /**
   * Several transactions, since statements of others may run between the statements of one. The lines are used once the
   * transaction that names them has committed.
   */
  async saveCatalog(position: number, lines: readonly string[]): Promise<void> {
    await this.#write(SQL.trimCatalog); // what a save that was cut short has left
    for (let at = 0; at < lines.length; at += CATALOG_LINES) {
      await this.#write(SQL.addCatalog, at, JSON.stringify(lines.slice(at, at + CATALOG_LINES)));
    }
    await this.#write(SQL.useCatalog, position);
    await this.#write(SQL.trimCatalog);
  }

  async loadCatalog(): Promise<{ position: number; lines: string[] }> {
    const [row] = await this.#all(SQL.loadCatalogPosition);
    return {
      position: Number(row?.['cataloged']),
      lines: (await this.#all(SQL.loadCatalog)).map((each) => String(each['text'])),
    };
  }

  async readTopics(after: string, limit: number): Promise<string[]> {
    return (await this.#all(TOPIC_SQL.topics, after, limit)).map((row) => String(row['topic']));
  }

  async countLive(topic: string, dead: Stamp | undefined, after: number, limit: number): Promise<LiveCount> {
    const [row = {}] = await this.#all(
      TOPIC_SQL.countLive, dead?.lamport ?? NO_DELETION, this.#origins.notBefore(dead), topic, after, limit,
    );
    const through = Number(row['batches']) < limit ? undefined : Number(row['through']);
    return { messages: Number(row['messages']), bytes: Number(row['bytes']), through };
  }

  async cover(topic: string, dead: Stamp, after: LamportPlace, limit: number): Promise<LamportPlace | undefined> {
    const { lamport, position } = after;
    const rows = await this.#all(
      TOPIC_SQL.deadAfter, dead.lamport, this.#origins.notBefore(dead), topic, lamport, dead.lamport, lamport, position,
      limit,
    );
    let bytes = 0;
    const end = rows.findIndex(
      (row, index) => row['dead'] === 1 && (bytes += Number(row['size'])) > COVER_BYTES_MAX && index > 0,
    );
    const batches = rows.slice(0, end < 0 ? rows.length : end) as unknown as (LamportPlace & { dead: number })[];
    const positions = batches.filter((batch) => batch.dead === 1).map((batch) => batch.position);
    if (positions.length > 0) await this.#write(TOPIC_SQL.cover, JSON.stringify(positions));
    return end < 0 && rows.length < limit
      ? undefined
      : { lamport: batches.at(-1)!.lamport, position: batches.at(-1)!.position };
  }

  async look(): Promise<void> {
    this.#throwFault();
    const [walBytes = 0] = await this.#place.look();
    this.#upkeep.looked(walBytes);
    await this.#reserve.fill();
  }

  async close(): Promise<void> {
    await this.#upkeep.idle();
    const { lock, mark, writer, checkpointer, reader } = this.#handles;
    try {
      await mark.close();
      this.#place.check();
    } finally { // the last connection moves what is in the WAL, also if that has no name any more
      for (const handle of [reader, checkpointer, writer, lock]) await handle.close();
    }
  }

  /** A look, if the last one was a while ago. What was committed to files that are gone must not be acknowledged. */
  #checkPlace(): void {
    const now = performance.now();
    if (now - this.#checkedAt < CHECK_MS) return;
    this.#checkedAt = now;
    this.#place.check();
  }

  async #fillReserve(): Promise<void> {
    await this.#reserve.fill();
    if (!this.#reserve.isWhole) {
      throw storeError(Object.assign(new Error('the reserve has no room'), { code: 'SQLITE_FULL' }), 'broker.db');
    }
  }

  /** In a transaction of its own: if the append that follows fails, an origin without batches does no harm. */
  async #addOrigins(batches: readonly StoredBatch[]): Promise<void> {
    const missing = this.#origins.missing(batches);
    if (missing.size === 0) return;
    await this.#write(SQL.addOrigins, JSON.stringify([...missing]));
    this.#origins.add(missing);
  }

  async #write(sql: string, ...params: Param[]): Promise<void> {
    this.#throwFault();
    try {
      await this.#handles.writer.run(sql, ...params);
    } catch (cause) {
      throw storeError(cause, 'broker.db');
    }
    let bytes = COMMIT_BYTES;
    for (const param of params) bytes += typeof param === 'number' ? 0 : param.length;
    this.#upkeep.wrote(bytes);
  }

  /** What failed outside the writes fails the next one. */
  #throwFault(): void {
    const fault = this.#upkeep.fault ?? this.#handles.mark.fault;
    if (fault !== undefined) throw storeError(fault, 'broker.db');
  }

  async #all(sql: string, ...params: Param[]): Promise<Row[]> {
    try {
      return await this.#handles.reader.query(sql, ...params);
    } catch (cause) {
      throw storeError(cause, 'broker.db');
    }
  }
}
