/**
 * The tables of broker.db, and how a file of an earlier version becomes one of this version.
 */

export const SCHEMA_VERSION = 3;
export const APPLICATION_ID = 0x52554d52; // 'RUMR', in the file's header

/** One row a message, without repeats. */
const VIEW = `CREATE VIEW messages AS
    SELECT b.lamport + l.key AS lamport, b.topic AS topic,
      CASE WHEN b.meta <> '' THEN b.meta ->> ('$.keys[' || l.key || ']') END AS key,
      CASE WHEN b.meta <> '' THEN nullif(b.meta -> ('$.headers[' || l.key || ']'), 'null') END AS headers,
      substr(b.body, 1 + coalesce((SELECT sum(p.value) FROM json_each(b.lengths) p WHERE p.key < l.key), 0), l.value) AS payload,
      o.name AS origin, b.seq + l.key AS seq, datetime(b.time / 1000, 'unixepoch') AS time
    FROM batches b JOIN origins o ON o.id = b.origin, json_each(b.lengths) l
    WHERE CASE WHEN b.repeats = '' THEN 1 ELSE b.repeats -> ('$."' || l.key || '"') IS NULL END;`;

const REPEATS_INDEX = `CREATE INDEX batches_with_repeats ON batches (position) WHERE repeats <> '';`;

/** What of each subscription's messages is done (core/acknowledgements.ts). */
const ACKNOWLEDGEMENTS = `CREATE TABLE acknowledgements (
    subscription TEXT PRIMARY KEY,
    state TEXT NOT NULL        -- JSON
  );`;

/** From the version before, to the next. */
export const MIGRATIONS: readonly string[] = [
  `ALTER TABLE batches ADD COLUMN repeats TEXT NOT NULL DEFAULT ''; ${REPEATS_INDEX} DROP VIEW messages; ${VIEW}`, // 1 to 2
  `ALTER TABLE broker ADD COLUMN acknowledged INTEGER NOT NULL DEFAULT 0; ${ACKNOWLEDGEMENTS}`, // 2 to 3
];

export const SCHEMA = `
  CREATE TABLE broker (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    origin TEXT NOT NULL,      -- this store's name in the mesh
    lamport INTEGER NOT NULL,  -- the Lamport clock, saved at each beat where it moved
    term INTEGER NOT NULL,     -- of the newest election known
    acknowledged INTEGER NOT NULL DEFAULT 0 -- position up to which the table acknowledgements holds
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
    UNIQUE (origin, seq)
  );
  CREATE INDEX batches_by_topic ON batches (topic);
  CREATE INDEX batches_by_lamport ON batches (topic, lamport, count);
  CREATE INDEX batches_with_ids ON batches (time) WHERE meta LIKE '%"ids":%';
  ${REPEATS_INDEX}
  ${VIEW}
  ${ACKNOWLEDGEMENTS}
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;
