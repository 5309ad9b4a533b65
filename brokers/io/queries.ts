/**
 * The statements of the store (store.ts), over the tables of schema.ts.
 *
 * None of them may cost more the more is stored: each finds its rows by an index, or a limit ends it. SQLite is never
 * told how its tables are filled (no ANALYZE), so it decides by the wording alone; test/io/queries.test.ts looks at
 * what it decides.
 */

const INDEX_BATCHES_MIN = 64; // fewer are not worth a transaction
// of StoredColumns
const COLUMNS = `b.position, o.name AS origin, b.seq, b.count, b.lamport, b.time, b.topic, b.deps, b.lengths, b.meta, b.repeats, b.proof, coalesce(b.seen, b.time) AS seen`;
const FROM = `FROM batches b JOIN origins o ON o.id = b.origin`;

/**
 * The first batches of a topic, in an order; what it orders by is one of the columns, so that SQLite merges the two
 * halves of the view and stops at the limit.
 */
const ofTopic = (where: string, order: string, limit = '?'): string =>
  `(SELECT position, lamport FROM topic_batches WHERE ${where} ORDER BY ${order} LIMIT ${limit}) t CROSS JOIN batches b ON b.position = t.position`;

/**
 * Rows whose sizes add up to about the last parameter, at least one and at most as many as the parameter before. Bodies
 * are read only for these rows, sizes for as many as that: a page of the file each, so there should not be many more of
 * them. The innermost query is there because a window function copies every column beside it.
 */
const page = (rows: string, order: string): string => `
  SELECT ${COLUMNS}, b.body ${FROM} WHERE b.position IN (
    SELECT position FROM (
      SELECT position, sum(size) OVER (ORDER BY ${order} ROWS UNBOUNDED PRECEDING) - size AS before
      FROM (SELECT b.position, b.lamport, length(b.body) + 200 AS size FROM ${rows}))
    WHERE before < ?) ORDER BY ${order.replaceAll(/\b(position|lamport)\b/g, 'b.$1')}`;

const pageOfTopic = (where: string, order: string): string => page(ofTopic(where, order), order);

/** The messages with some ids in batches of a topic. */
const ids = (where: string): string => `
  SELECT i.value AS id, o.name AS origin, b.seq + i.key AS seq, coalesce(b.seen, b.time) AS seen ${FROM}, json_each(b.meta, '$.ids') i
  WHERE b.meta LIKE '%"ids":%' AND ${where} AND +b.topic = ?3 AND i.value IN (SELECT value FROM json_each(?4)) ORDER BY b.position, i.key`;

/** Counts in the batches of a topic after a position, up to another one; `messages` says how many of a batch. */
function count(messages: string): string {
  return `
    WITH seqs AS MATERIALIZED (SELECT value ->> 0 AS origin, value ->> 1 AS seq FROM json_each(?5)),
      settled AS MATERIALIZED (SELECT o.id AS origin, coalesce(s.seq, 0) AS seq FROM origins o LEFT JOIN seqs s ON s.origin = o.id)
    SELECT count(*) AS batches, max(position) AS through, sum(messages) AS messages FROM (
      SELECT b.position, CASE WHEN b.lengths = '[]' THEN 0 ELSE ${messages} END AS messages
      FROM ${ofTopic('topic = ?1 AND position > ?2 AND position <= ?3', 'position', '?4')} CROSS JOIN settled s ON s.origin = b.origin)`;
}

export const SQL = {
  append: `
    INSERT INTO batches (position, origin, seq, count, lamport, time, topic, deps, lengths, meta, repeats, body, seen,
      proof)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10,
      -- one batch a transaction is the rule, and its bytes are not copied out of themselves; no bytes at all are bound as NULL
      coalesce(iif(value ->> 12 = length(?2), ?2, substr(?2, 1 + (value ->> 11), value ->> 12)), zeroblob(0)),
      value ->> 13, value ->> 14
    FROM json_each(?1)`,
  addOrigins: 'INSERT INTO origins (name, id) SELECT value ->> 0, value ->> 1 FROM json_each(?)',
  renew: "UPDATE broker SET origin = ?, life = 1, electors = ''",
  saveName: 'UPDATE broker SET life = ?, electors = ?',
  saveLife:
    'INSERT INTO lives (store, life, holder) VALUES (?, ?, ?) ON CONFLICT (store) DO UPDATE SET life = excluded.life, holder = excluded.holder',
  // which a trigger follows
  index: `UPDATE broker SET indexed = n.position FROM (SELECT max(position) AS position FROM batches) n WHERE indexed + ${INDEX_BATCHES_MIN} <= n.position`,
  saveClock: 'UPDATE broker SET lamport = ?, term = ?',
  saveTime: 'UPDATE broker SET running = ?',
  afterPosition: page('batches b WHERE b.position > ? ORDER BY b.position LIMIT ?', 'position'),
  afterPositionOfTopic: pageOfTopic('position > ? AND position <= ? AND topic = ?', 'position'),
  rangeForward: pageOfTopic(
    'topic = ? AND lamport BETWEEN ? AND ? AND lamport + count > ? AND (lamport, position) > (?, ?)',
    'lamport, position',
  ),
  rangeReverse: pageOfTopic(
    'topic = ? AND lamport BETWEEN ? AND ? AND lamport + count > ? AND (lamport, position) < (?, ?)',
    'lamport DESC, position DESC',
  ),
  /** When the newest batch with ids was published, of those that came after the running time was saved. */
  newestSeen: `SELECT max(seen) AS seen FROM batches WHERE meta LIKE '%"ids":%' AND coalesce(seen, time) > ? AND seen IS NOT NULL`,
  withIds: `SELECT json_group_array(position) AS positions FROM batches WHERE meta LIKE '%"ids":%' AND coalesce(seen, time) >= ?`,
  /**
   * One row for all of them, as a JSON array: a row each would take ten times as long. Of most, `meta` holds nothing
   * but ids.
   */
  readIds: `SELECT '[' || group_concat('[' || origin || ',' || seq || ',' || lamport || ',' || coalesce(seen, time) || ',' || json_quote(topic) || ','
      || CASE WHEN meta LIKE '{"ids":%' THEN substr(meta, 8, length(meta) - 8) ELSE meta -> '$.ids' END || ']') || ']' AS batches
    FROM (SELECT * FROM batches WHERE position IN (SELECT value FROM json_each(?)) ORDER BY position)`,
  findIds: ids('coalesce(b.seen, b.time) BETWEEN ?1 AND ?2'),
  findIdsAt: ids('b.position IN (SELECT value FROM json_each(?5)) AND +coalesce(b.seen, b.time) BETWEEN ?1 AND ?2'),
  idsAfter: `SELECT position, coalesce(seen, time) AS seen, topic, meta FROM batches
    WHERE meta LIKE '%"ids":%' AND coalesce(seen, time) >= ?1 AND coalesce(seen, time) < ?3 AND (coalesce(seen, time), position) > (?1, ?2)
    ORDER BY coalesce(seen, time), position LIMIT ?4`,
  withRepeats: `SELECT * FROM (SELECT ${COLUMNS} ${FROM} WHERE b.repeats <> '' ORDER BY b.position DESC LIMIT ?) ORDER BY position`,
  lastDeps: 'SELECT deps FROM batches WHERE origin = ? ORDER BY seq DESC LIMIT ?',
  positionBefore: `
    WITH lacking AS MATERIALIZED (SELECT value ->> 0 AS origin, value ->> 1 AS seq FROM json_each(?))
    SELECT min((SELECT CASE WHEN b.seq + b.count > l.seq + 1 THEN b.position END
      FROM batches b WHERE b.origin = l.origin AND b.seq <= l.seq + 1 ORDER BY b.seq DESC LIMIT 1)) - 1 AS position FROM lacking l`,

  // Acknowledgements. An origin's positions grow with its seqs, so that the last one up to a position is found by
  // halving.
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
  trimCatalog: 'DELETE FROM catalog WHERE generation <> (SELECT catalog FROM broker)',
  addCatalog:
    'INSERT INTO catalog (generation, line, text) SELECT (SELECT catalog + 1 FROM broker), ?1 + key, value FROM json_each(?2)',
  useCatalog: 'UPDATE broker SET catalog = catalog + 1, cataloged = ?',
  loadCatalog: 'SELECT text FROM catalog WHERE generation = (SELECT catalog FROM broker) ORDER BY line',
  loadCatalogPosition: 'SELECT cataloged FROM broker',
  loadAcks: 'SELECT subscription, state FROM acknowledgements',
  loadAcksPosition: 'SELECT acknowledged FROM broker',
} as const;

/**
 * How many of a batch's messages are dead: its first ones. Parameters: the Lamport timestamp of a deletion, the ids of
 * origins that sort not before its own.
 */
const DEAD = `max(0, min(count, ? - b.lamport + (origin NOT IN (SELECT value FROM json_each(?)))))`;

export const TOPIC_SQL = {
  topics: `
    WITH RECURSIVE names (topic) AS (
      SELECT min(topic) FROM topic_index WHERE topic > ?1
      UNION ALL SELECT (SELECT min(topic) FROM topic_index WHERE topic > names.topic) FROM names WHERE topic IS NOT NULL LIMIT ?2)
    SELECT topic FROM names WHERE topic IS NOT NULL UNION SELECT topic FROM unindexed_batches WHERE topic > ?1 ORDER BY topic LIMIT ?2`,
  countLive: `
    SELECT count(*) AS batches, max(position) AS through,
      coalesce(sum(CASE lengths WHEN '[]' THEN 0 ELSE
        count - dead - (CASE repeats WHEN '' THEN 0 ELSE (SELECT count(*) FROM json_each(repeats) r WHERE CAST(r.key AS INTEGER) >= dead) END) END), 0) AS messages,
      coalesce(sum(CASE dead WHEN 0 THEN size WHEN count THEN 0 ELSE
        coalesce((SELECT sum(l.value) FROM json_each(lengths) l WHERE l.key >= dead), 0) END), 0) AS bytes
    FROM (SELECT b.position, count, lengths, repeats, length(body) AS size, ${DEAD} AS dead FROM ${ofTopic('topic = ? AND position > ?', 'position')})`,
  deadAfter: `
    SELECT b.position, b.lamport, lengths <> '[]' AND ${DEAD} = count AS dead, length(body) AS size
    FROM ${ofTopic('topic = ? AND lamport BETWEEN ? AND ? AND (lamport, position) > (?, ?)', 'lamport, position')} ORDER BY b.lamport, b.position`,
  cover: `UPDATE batches SET lengths = '[]', meta = '', repeats = '', body = zeroblob(0) WHERE position IN (SELECT value FROM json_each(?))`,
} as const;

/** Of each origin, the seq and the Lamport timestamp of the last message; NULL if there is none. */
export const NEWEST = `
  SELECT o.id, o.name, b.seq + b.count - 1 AS seq, b.lamport + b.count - 1 AS lamport FROM origins o
  LEFT JOIN batches b ON b.origin = o.id AND b.seq = (SELECT max(seq) FROM batches WHERE origin = o.id)`;

/** Of each origin whose records are signed: what its newest batch has besides messages, and the proof of the first. */
export const HEADS = `
  SELECT ${COLUMNS}, f.proof AS first ${FROM} JOIN batches f ON f.origin = o.id AND f.seq = 1
  WHERE b.seq = (SELECT max(seq) FROM batches WHERE origin = o.id) AND b.proof <> ''`;
