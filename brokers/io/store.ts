/**
 * One broker's log in one SQLite file.
 *
 * One row a batch (see schema.ts). `UNIQUE (origin, seq)` dedupes, `position` is the local arrival order. The view `messages` shows one row a message, so that
 * anybody with an SQLite tool can read the file. WAL with `synchronous=FULL`: when `append` resolves, the batches are on disk.
 * A transaction is one INSERT statement, however many batches it writes: one JSON parameter that holds the columns, one BLOB that
 * holds the bodies. Writing and reading go through a handle each, so that a long read does not hold up a commit.
 *
 * A second broker on the folder is kept out by an exclusive SQLite lock on an empty file beside the store, which the system releases however the process ends.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Address } from '../core/address.ts';
import { messageOf, RumormillError } from '../core/error.ts';
import { BATCH_MESSAGES_MAX, makeOrigin, type Origin, parseDeps, type StoredBatch } from '../core/record.ts';
import type { AckCheckpoint, CountQuery, FoundId, LamportPlace, LiveCount, Page, Random, RangeQuery, Store, StoreState } from '../core/runtime.ts';
import { isBefore, type Stamp } from '../core/subscription.ts';
import type { Vector } from '../core/version-vector.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION } from './schema.ts';
import { Handle, type Param, READ_ONLY, READ_WRITE, type Row, sqliteCode, storeError } from './sqlite.ts';

const [PAGE_ROWS_MIN, PAGE_ROWS_MAX] = [16, 1024];

const COLUMNS = `b.position, o.name AS origin, b.seq, b.count, b.lamport, b.time, b.topic, b.deps, b.lengths, b.meta, b.body, b.repeats`;
const FROM = `FROM batches b JOIN origins o ON o.id = b.origin`;

/**
 * Rows whose sizes add up to about the last parameter, at least one and at most as many as the parameter before. Bodies are read only for these rows, sizes for as many as that: a
 * page of the file each, so there should not be many more of them.
 */
const page = (where: string, order: string): string => `
  SELECT ${COLUMNS} ${FROM} WHERE b.position IN (
    SELECT position FROM (
      SELECT position, sum(length(body) + 200) OVER (ORDER BY ${order} ROWS UNBOUNDED PRECEDING) - length(body) - 200 AS before
      FROM batches WHERE ${where} ORDER BY ${order} LIMIT ?)
    WHERE before < ?) ORDER BY ${order.replaceAll(/\b(position|lamport)\b/g, 'b.$1')}`;

/** Counts in the batches of a topic after a position, up to another one; `messages` says how many of a batch. */
function count(messages: string): string {
  return `
    WITH settled AS MATERIALIZED (SELECT o.id AS origin, coalesce(v.value, 0) AS seq FROM origins o LEFT JOIN json_each(?5) v ON v.key = o.name)
    SELECT count(*) AS batches, max(position) AS through, sum(messages) AS messages FROM (
      SELECT b.position, CASE WHEN b.lengths = '[]' THEN 0 ELSE ${messages} END AS messages
      FROM batches b CROSS JOIN settled s ON s.origin = b.origin WHERE b.topic = ?1 AND b.position > ?2 AND b.position <= ?3 ORDER BY b.position LIMIT ?4)`;
}

const SQL = {
  append: `
    INSERT INTO batches (position, origin, seq, count, lamport, time, topic, deps, lengths, meta, repeats, body)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10,
      coalesce(substr(?2, 1 + (value ->> 11), value ->> 12), zeroblob(0)) -- no bytes at all are bound as NULL
    FROM json_each(?1)`,
  addOrigin: 'INSERT INTO origins (id, name) VALUES (?, ?)',
  renew: 'UPDATE broker SET origin = ?',
  saveClock: 'UPDATE broker SET lamport = ?, term = ?',
  afterPosition: page('position > ?', 'position'),
  afterPositionOfTopic: page('position > ? AND topic = ?', 'position'),
  rangeForward: page('topic = ? AND lamport BETWEEN ? AND ? AND lamport + count > ? AND (lamport, position) > (?, ?)', 'lamport, position'),
  rangeReverse: page(
    'topic = ? AND lamport BETWEEN ? AND ? AND lamport + count > ? AND (lamport, position) < (?, ?)', 'lamport DESC, position DESC'),
  withIds: `
    SELECT ${COLUMNS} ${FROM} WHERE b.position IN (
      SELECT position FROM (
        SELECT position, sum(count) OVER (ORDER BY position DESC ROWS UNBOUNDED PRECEDING) - count AS before
        FROM batches WHERE meta LIKE '%"ids":%' AND time >= (SELECT max(time) FROM batches WHERE meta LIKE '%"ids":%') - ?)
      WHERE before < ?) ORDER BY b.position`,
  findIds: `
    SELECT i.value AS id, o.name AS origin, b.seq + i.key AS seq, b.time AS time ${FROM}, json_each(b.meta, '$.ids') i
    WHERE b.meta LIKE '%"ids":%' AND b.time BETWEEN ? AND ? AND b.topic = ? AND i.value IN (SELECT value FROM json_each(?)) ORDER BY b.position, i.key`,
  withRepeats: `SELECT * FROM (SELECT ${COLUMNS} ${FROM} WHERE b.repeats <> '' ORDER BY b.position DESC LIMIT ?) ORDER BY position`,
  lastDeps: 'SELECT deps FROM batches WHERE origin = ? ORDER BY seq DESC LIMIT ?',
  positionCovered: `
    SELECT min((SELECT CASE WHEN b.seq + b.count > coalesce(v.value, 0) + 1 THEN b.position END
      FROM batches b WHERE b.origin = o.id AND b.seq <= coalesce(v.value, 0) + 1 ORDER BY b.seq DESC LIMIT 1)) - 1 AS position
    FROM origins o LEFT JOIN json_each(?) v ON v.key = o.name`,

  // Acknowledgements. An origin's positions grow with its seqs, so that the last one up to a position is found by halving.
  vectorAt: `
    WITH RECURSIVE halves(origin, low, high) AS (
      SELECT id, 0, (SELECT seq + count FROM batches WHERE origin = id ORDER BY seq DESC LIMIT 1) FROM origins
      UNION ALL
      SELECT h.origin, CASE WHEN b.position <= ?1 THEN b.seq + b.count - 1 ELSE h.low END, CASE WHEN b.position <= ?1 THEN h.high ELSE b.seq END
      FROM halves h JOIN batches b
        ON b.position = (SELECT position FROM batches WHERE origin = h.origin AND seq <= (h.low + h.high) / 2 ORDER BY seq DESC LIMIT 1)
      WHERE h.low + 1 < h.high)
    SELECT o.name AS origin, h.low AS seq FROM halves h JOIN origins o ON o.id = h.origin WHERE h.low + 1 >= h.high AND h.low > 0`,
  count: count(`max(0, min(b.count, b.seq + b.count - 1 - s.seq)) - CASE WHEN b.repeats = '' THEN 0 ELSE
      (SELECT count(*) FROM json_each(b.repeats) r WHERE b.seq + CAST(r.key AS INTEGER) > s.seq) END`),
  countOfKeys: count(`CASE WHEN b.meta = '' THEN 0 ELSE (SELECT count(*) FROM json_each(b.meta, '$.keys') k
      WHERE k.value IN (SELECT value FROM json_each(?6)) AND b.seq + k.key > s.seq
        AND (b.repeats = '' OR b.repeats -> ('$."' || k.key || '"') IS NULL)) END`),
  saveAcks: `INSERT INTO acknowledgements (subscription, state) SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE true
    ON CONFLICT (subscription) DO UPDATE SET state = excluded.state`,
  dropAcks: 'DELETE FROM acknowledgements WHERE subscription IN (SELECT value FROM json_each(?))',
  saveAcksPosition: 'UPDATE broker SET acknowledged = ?',
  loadAcks: 'SELECT subscription, state FROM acknowledgements',
  loadAcksPosition: 'SELECT acknowledged FROM broker',
} as const;

/** How many of a batch's messages are dead: its first ones. Parameters: the Lamport timestamp of a deletion, the ids of origins that sort not before its own. */
const DEAD = `max(0, min(count, ? - lamport + (origin NOT IN (SELECT value FROM json_each(?)))))`;
const NO_DELETION = -BATCH_MESSAGES_MAX;
const COVER_BYTES_MAX = 8 * 1024 * 1024; // of bodies, in one transaction: publishers wait for it

const TOPIC_SQL = {
  topics: `
    WITH RECURSIVE names (topic) AS (
      SELECT min(topic) FROM batches WHERE topic > ?
      UNION ALL SELECT (SELECT min(topic) FROM batches WHERE topic > names.topic) FROM names WHERE topic IS NOT NULL LIMIT ?)
    SELECT topic FROM names WHERE topic IS NOT NULL`,
  countLive: `
    SELECT count(*) AS batches, max(position) AS through,
      coalesce(sum(CASE lengths WHEN '[]' THEN 0 ELSE
        count - dead - (CASE repeats WHEN '' THEN 0 ELSE (SELECT count(*) FROM json_each(repeats) r WHERE CAST(r.key AS INTEGER) >= dead) END) END), 0) AS messages,
      coalesce(sum(CASE dead WHEN 0 THEN size WHEN count THEN 0 ELSE
        coalesce((SELECT sum(l.value) FROM json_each(lengths) l WHERE l.key >= dead), 0) END), 0) AS bytes
    FROM (SELECT position, count, lengths, repeats, length(body) AS size, ${DEAD} AS dead FROM batches WHERE topic = ? AND position > ? ORDER BY position LIMIT ?)`,
  deadAfter: `
    SELECT position, lamport, lengths <> '[]' AND ${DEAD} = count AS dead, length(body) AS size FROM batches
    WHERE topic = ? AND lamport BETWEEN ? AND ? AND (lamport, position) > (?, ?) ORDER BY lamport, position LIMIT ?`,
  cover: `UPDATE batches SET lengths = '[]', meta = '', repeats = '', body = zeroblob(0) WHERE position IN (SELECT value FROM json_each(?))`,
} as const;

const NEWEST = `
  SELECT o.id, o.name, b.seq + b.count - 1 AS seq, b.lamport + b.count - 1 AS lamport FROM origins o
  LEFT JOIN batches b ON b.origin = o.id AND b.seq = (SELECT max(seq) FROM batches WHERE origin = o.id)`;

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
  let reader: Handle | undefined;
  try {
    writer = await Handle.open(file, READ_WRITE);
    await prepareSchema(writer, file, makeOrigin(address, random));
    reader = await Handle.open(file, READ_ONLY);
    return await SqliteStore.load(lock, writer, reader);
  } catch (cause) {
    for (const handle of [reader, writer, lock]) await handle?.close();
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

class SqliteStore implements Store {
  #state: StoreState;
  readonly #lock: Handle;
  readonly #writer: Handle;
  readonly #reader: Handle;
  readonly #originIds: Map<Origin, number>;
  #head: number;
  #rowBytes = 0; // of a row, in the last page

  static async load(lock: Handle, writer: Handle, reader: Handle): Promise<SqliteStore> {
    const [broker] = await writer.all('SELECT origin, lamport, term FROM broker');
    const [newest] = await writer.all('SELECT coalesce(max(position), 0) AS position FROM batches');
    const origins = await writer.all(NEWEST);
    if (broker === undefined || newest === undefined) throw new RumormillError('STORE', 'broker.db has no row in table broker');
    const held = origins.filter((row) => row['seq'] !== null);
    const state: StoreState = {
      origin: broker['origin'] as Origin,
      term: Number(broker['term']),
      lamport: held.reduce((most, row) => Math.max(most, Number(row['lamport'])), Number(broker['lamport'])),
      vector: new Map(held.map((row) => [row['name'] as Origin, Number(row['seq'])])),
      position: Number(newest['position']),
    };
    return new SqliteStore(state, lock, writer, reader, new Map(origins.map((row) => [row['name'] as Origin, Number(row['id'])])));
  }

  private constructor(state: StoreState, lock: Handle, writer: Handle, reader: Handle, originIds: Map<Origin, number>) {
    this.#state = state;
    this.#head = state.position;
    this.#lock = lock;
    this.#writer = writer;
    this.#reader = reader;
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
    for (const batch of batches) {
      const { position, seq, count, lamport, time, topic, deps, lengths, meta, repeats, body } = batch;
      const origin = this.#originIds.get(batch.origin) ?? (await this.#addOrigin(batch.origin));
      rows.push([position, origin, seq, count, lamport, time, topic, deps, lengths, meta, repeats, offset, body.length]);
      offset += body.length;
    }
    const bodies = batches.length === 1 ? batches[0]!.body : Buffer.concat(batches.map((batch) => batch.body), offset);
    await this.#write(SQL.append, JSON.stringify(rows), bodies);
    this.#head += batches.length;
  }

  async saveClock(lamport: number, term: number): Promise<void> {
    await this.#write(SQL.saveClock, lamport, term);
  }

  async readAfter(position: number, topics: readonly string[] | undefined, bytesMax: number): Promise<Page> {
    const head = this.#head;
    const pages = topics === undefined ? [await this.#readPage(SQL.afterPosition, [position], head, bytesMax)]
      : await Promise.all(topics.map((topic) => this.#readPage(SQL.afterPositionOfTopic, [position, topic], head, bytesMax)));
    if (pages.length === 1) return pages[0]!;
    const through = Math.min(...pages.map((each) => each.through));
    const batches = pages.flatMap((each) => each.batches).filter((batch) => batch.position <= through);
    return { batches: batches.sort((a, b) => a.position - b.position), through };
  }

  async positionCovered(vector: Vector): Promise<number> {
    const head = this.#head;
    const [row] = await this.#all(SQL.positionCovered, JSON.stringify(Object.fromEntries(vector)));
    return typeof row?.['position'] === 'number' ? row['position'] : head;
  }

  async readRange(query: RangeQuery, previous: StoredBatch | undefined, bytesMax: number): Promise<StoredBatch[]> {
    const { topic, from, to, reverse } = query;
    const farthest = reverse ? Number.MAX_SAFE_INTEGER : -1;
    return this.#read(
      reverse ? SQL.rangeReverse : SQL.rangeForward,
      topic, from - BATCH_MESSAGES_MAX, to, from, previous?.lamport ?? farthest, previous?.position ?? farthest, this.#rowsOf(bytesMax), bytesMax);
  }

  async readWithIds(windowMs: number, limit: number): Promise<StoredBatch[]> {
    return this.#read(SQL.withIds, windowMs, limit);
  }

  async findIds(topic: string, ids: readonly string[], from: number, to: number): Promise<FoundId[]> {
    return (await this.#all(SQL.findIds, from, to, topic, JSON.stringify(ids))) as unknown as FoundId[];
  }

  async readRepeats(limit: number): Promise<StoredBatch[]> {
    return this.#read(SQL.withRepeats, limit);
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
    const params = [topic, after, until, batchesMax, JSON.stringify(Object.fromEntries(settled))];
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

  /** As JSON, the ids of origins whose records come not before a stamp where they have its Lamport timestamp. */
  #originsNotBefore(stamp: Stamp | undefined): string {
    const later = [...this.#originIds].filter(([origin]) => stamp !== undefined && !isBefore({ lamport: stamp.lamport, origin }, stamp));
    return JSON.stringify(later.map(([, id]) => id));
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#writer.close();
    await this.#lock.close();
  }

  /** In a transaction of its own: an origin without batches does no harm, should the append that follows fail. */
  async #addOrigin(origin: Origin): Promise<number> {
    const id = this.#originIds.size + 1;
    await this.#write(SQL.addOrigin, id, origin);
    this.#originIds.set(origin, id);
    return id;
  }

  async #write(sql: string, ...params: Param[]): Promise<void> {
    try {
      await this.#writer.run(sql, ...params);
    } catch (cause) {
      throw storeError(cause, 'broker.db');
    }
  }

  async #readPage(sql: string, where: readonly Param[], head: number, bytesMax: number): Promise<Page> {
    const rows = this.#rowsOf(bytesMax);
    const batches = await this.#read(sql, ...where, rows, bytesMax);
    const bytes = batches.reduce((sum, batch) => sum + batch.body.length + 200, 0);
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
      return await this.#reader.query(sql, ...params);
    } catch (cause) {
      throw storeError(cause, 'broker.db');
    }
  }

  async #read(sql: string, ...params: Param[]): Promise<StoredBatch[]> {
    return (await this.#all(sql, ...params)) as unknown as StoredBatch[];
  }
}
