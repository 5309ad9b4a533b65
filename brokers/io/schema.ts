/**
 * The tables of broker.db, and how a file of an earlier version becomes one of this version.
 */
import { RumormillError } from '../core/error.ts';
import type { Origin } from '../core/log/record.ts';
import type { Handle } from './sqlite.ts';

export const SCHEMA_VERSION = 8;
const APPLICATION_ID = 0x52554d52; // 'RUMR', in the file's header

/** One row a message, without repeats. */
const VIEW = `CREATE VIEW messages AS
    SELECT b.lamport + l.key AS lamport, b.topic AS topic,
      CASE WHEN b.meta <> '' THEN b.meta ->> ('$.keys[' || l.key || ']') END AS key,
      CASE WHEN b.meta <> '' THEN nullif(b.meta -> ('$.headers[' || l.key || ']'), 'null') END AS headers,
      substr(b.body, 1 + coalesce((SELECT sum(p.value) FROM json_each(b.lengths) p WHERE p.key < l.key), 0), l.value) AS payload,
      o.name AS origin, b.seq + l.key AS seq, datetime(b.time / 1000, 'unixepoch') AS time
    FROM batches b JOIN origins o ON o.id = b.origin, json_each(b.lengths) l
    WHERE CASE WHEN b.repeats = '' THEN 1 ELSE b.repeats -> ('$."' || l.key || '"') IS NULL END;`;

/**
 * Batches with ids by the running time at which they were published; those of earlier versions by what their origin's
 * wall clock said.
 */
const IDS_INDEX = `CREATE INDEX batches_with_ids ON batches (coalesce(seen, time)) WHERE meta LIKE '%"ids":%';`;

const REPEATS_INDEX = `CREATE INDEX batches_with_repeats ON batches (position) WHERE repeats <> '';`;

/** What of each subscription's messages is done (core/queue/acknowledgements.ts). */
const ACKNOWLEDGEMENTS = `CREATE TABLE acknowledgements (
    subscription TEXT PRIMARY KEY,
    state TEXT NOT NULL        -- JSON
  );`;

/**
 * The batches of each topic, in the order of positions and of Lamport timestamps. They are indexed many at a time, when
 * the store sets `broker.indexed`, since an index to which every commit adds is a page more that every commit writes
 * and syncs. The view has those that wait for it too.
 */
const TOPIC_INDEX = `CREATE TABLE topic_index (
    topic TEXT NOT NULL,
    position INTEGER NOT NULL,
    lamport INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (topic, position)
  ) WITHOUT ROWID;
  CREATE INDEX topic_index_by_lamport ON topic_index (topic, lamport, position, count);
  CREATE TRIGGER index_topics AFTER UPDATE OF indexed ON broker BEGIN
    INSERT INTO topic_index (topic, position, lamport, count)
      SELECT topic, position, lamport, count FROM batches WHERE position > old.indexed AND position <= new.indexed;
  END;
  CREATE VIEW unindexed_batches AS SELECT topic, position, lamport, count FROM batches WHERE position > (SELECT indexed FROM broker);
  CREATE VIEW topic_batches AS SELECT topic, position, lamport, count FROM topic_index UNION ALL SELECT topic, position, lamport, count FROM unindexed_batches;`;

/** Of other brokers' stores, the highest life known and the process that claimed it (core/mesh/lives.ts). */
const LIVES = `CREATE TABLE lives (store TEXT PRIMARY KEY, life INTEGER NOT NULL, holder TEXT NOT NULL) WITHOUT ROWID;`;

/**
 * What is said of topics and subscriptions (core/catalog/kept-catalog.ts): the lines of the generation that
 * `broker.catalog` names.
 */
const CATALOG = `CREATE TABLE catalog (
    generation INTEGER NOT NULL,
    line INTEGER NOT NULL,
    text TEXT NOT NULL,        -- JSON
    PRIMARY KEY (generation, line)
  ) WITHOUT ROWID;`;

/** From the version before, to the next. */
const MIGRATIONS: readonly string[] = [
  // 1 to 2
  `ALTER TABLE batches ADD COLUMN repeats TEXT NOT NULL DEFAULT ''; ${REPEATS_INDEX} DROP VIEW messages; ${VIEW}`,
  `ALTER TABLE broker ADD COLUMN acknowledged INTEGER NOT NULL DEFAULT 0; ${ACKNOWLEDGEMENTS}`, // 2 to 3
  `ALTER TABLE broker ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0; DROP INDEX batches_by_topic; DROP INDEX batches_by_lamport; ${TOPIC_INDEX}
   UPDATE broker SET indexed = (SELECT coalesce(max(position), 0) FROM batches);`, // 3 to 4
  `ALTER TABLE broker ADD COLUMN life INTEGER NOT NULL DEFAULT 0; ALTER TABLE broker ADD COLUMN electors TEXT NOT NULL DEFAULT ''; ${LIVES}`, // 4 to 5
  `ALTER TABLE broker ADD COLUMN running TEXT NOT NULL DEFAULT ''; ALTER TABLE batches ADD COLUMN seen INTEGER;
   DROP INDEX batches_with_ids; ${IDS_INDEX}`, // 5 to 6
  `ALTER TABLE broker ADD COLUMN catalog INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE broker ADD COLUMN cataloged INTEGER NOT NULL DEFAULT 0; ${CATALOG}`, // 6 to 7
  `ALTER TABLE batches ADD COLUMN proof TEXT NOT NULL DEFAULT '';`, // 7 to 8
];

export const SCHEMA = `
  CREATE TABLE broker (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    origin TEXT NOT NULL,      -- this store's name in the mesh
    lamport INTEGER NOT NULL,  -- the Lamport clock, saved at each beat where it moved
    term INTEGER NOT NULL,     -- of the newest election known
    acknowledged INTEGER NOT NULL DEFAULT 0, -- position up to which the table acknowledgements holds
    running TEXT NOT NULL DEFAULT '',  -- '' or JSON: the running time (core/log/running-time.ts)
    indexed INTEGER NOT NULL DEFAULT 0, -- position up to which the table topic_index holds
    life INTEGER NOT NULL DEFAULT 0, -- of this store under its name (core/mesh/incarnation.ts)
    electors TEXT NOT NULL DEFAULT '', -- '' or JSON: who has that life on disk, where it ended in an orderly way
    catalog INTEGER NOT NULL DEFAULT 0, -- which generation of the table catalog counts; 0 for none
    cataloged INTEGER NOT NULL DEFAULT 0 -- position up to which it holds
  );
  CREATE TABLE origins (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE batches (
    position INTEGER PRIMARY KEY,               -- local arrival order
    origin INTEGER NOT NULL REFERENCES origins,
    seq INTEGER NOT NULL,                       -- of the first message; the others follow
    count INTEGER NOT NULL,                     -- messages
    lamport INTEGER NOT NULL,                   -- of the first message; the others follow
    time INTEGER NOT NULL,                      -- wall clock at the origin, ms since 1970
    topic TEXT NOT NULL,
    deps TEXT NOT NULL,                         -- '' or JSON: origin -> seq stored before at the origin
    lengths TEXT NOT NULL,                      -- JSON: payload lengths
    meta TEXT NOT NULL,                         -- '' or JSON: keys, headers, ids
    repeats TEXT NOT NULL DEFAULT '',           -- '' or JSON: index -> [origin, seq] of the copy stored before
    body BLOB NOT NULL,                         -- the payloads one after another
    seen INTEGER,                               -- running time here when it was published; 0 where it has no ids
    proof TEXT NOT NULL DEFAULT '',             -- digests, and at times a signature (core/log/proof.ts)
    UNIQUE (origin, seq)
  );
  ${IDS_INDEX}
  ${REPEATS_INDEX}
  ${TOPIC_INDEX}
  ${VIEW}
  ${ACKNOWLEDGEMENTS}
  ${LIVES}
  ${CATALOG}
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Makes the tables, or brings those of an earlier version to this one.
 * @param origin of a store that is new
 * @throws RumormillError STORE for a file of another program, or of a newer version; an error of SQLite
 */
export async function prepareSchema(db: Handle, file: string, origin: Origin): Promise<void> {
  const number = async (sql: string): Promise<number> => Number(Object.values((await db.all(sql))[0] ?? {})[0]);
  const version = await number('PRAGMA user_version');
  const tables = await number('SELECT count(*) FROM sqlite_schema');
  if (tables > 0 && (await number('PRAGMA application_id')) !== APPLICATION_ID) {
    throw new RumormillError('STORE', `${file} is an SQLite file of another program`);
  }
  if (version > SCHEMA_VERSION) {
    throw new RumormillError(
      'STORE',
      `${file} has version ${version}, this broker reads up to ${SCHEMA_VERSION}; use a newer broker`,
    );
  }
  await db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  if (tables > 0) {
    for (const [index, migration] of MIGRATIONS.slice(version - 1).entries()) {
      await db.exec(`BEGIN IMMEDIATE; ${migration} PRAGMA user_version = ${version + index + 1}; COMMIT`);
    }
    return;
  }
  await db.exec(
    `BEGIN IMMEDIATE; ${SCHEMA} INSERT INTO broker (id, origin, lamport, term) VALUES (1, '${origin.replaceAll("'", "''")}', 0, 0); COMMIT`,
  );
}
