import t from 'tap';
import { NEWEST, SQL, TOPIC_SQL } from '../../brokers/io/queries.ts';
import { SCHEMA } from '../../brokers/io/schema.ts';
import { Handle, READ_WRITE } from '../../brokers/io/sqlite.ts';

/** How SQLite carries out each of some statements, a line a step. */
async function plans(statements: Readonly<Record<string, string>>): Promise<Map<string, string[]>> {
  const db = await Handle.open(':memory:', READ_WRITE);
  await db.exec(SCHEMA);
  const found = new Map<string, string[]>();
  for (const [name, sql] of Object.entries(statements)) {
    found.set(
      name,
      (await db.all(`EXPLAIN QUERY PLAN ${sql}`)).map(({ detail }) => String(detail)),
    );
  }
  await db.close();
  return found;
}

t.test('no statement goes through all batches', async (t) => {
  for (const [name, steps] of await plans({ ...SQL, ...TOPIC_SQL, newest: NEWEST })) {
    const scans = steps.filter(
      (step) => /^SCAN (b|batches|topic_index)\b/.test(step) && !step.endsWith('USING INDEX batches_with_repeats'),
    ); // which has those with repeats alone
    t.strictSame(scans, [], name);
  }
});

t.test('each finds its batches by the index that is for it', async (t) => {
  const ways: Readonly<Record<string, RegExp>> = {
    afterPosition: /^SEARCH b USING INTEGER PRIMARY KEY \(rowid>\?\)$/,
    afterPositionOfTopic: /^SEARCH topic_index USING PRIMARY KEY \(topic=\? AND position>\? AND position<\?\)$/,
    rangeForward:
      /^SEARCH topic_index USING COVERING INDEX topic_index_by_lamport \(topic=\? AND lamport>\? AND lamport<\?\)$/,
    rangeReverse:
      /^SEARCH topic_index USING COVERING INDEX topic_index_by_lamport \(topic=\? AND lamport>\? AND lamport<\?\)$/,
    withIds: /^SEARCH batches USING INDEX batches_with_ids \(<expr>>\?\)$/,
    readIds: /^SEARCH batches USING INTEGER PRIMARY KEY \(rowid=\?\)$/,
    newestSeen: /^SEARCH batches USING INDEX batches_with_ids \(<expr>>\?\)$/,
    // by topic, it would look at all that the topic ever had
    findIds: /^SEARCH b USING INDEX batches_with_ids \(<expr>>\? AND <expr><\?\)$/,
    findIdsAt: /^SEARCH b USING INTEGER PRIMARY KEY \(rowid=\?\)$/,
    idsAfter: /^SEARCH batches USING INDEX batches_with_ids \(<expr>>\? AND <expr><\?\)$/,
    positionBefore: /^SEARCH b USING INDEX sqlite_autoindex_batches_1 \(origin=\? AND seq<\?\)$/,
    lastDeps: /^SEARCH batches USING INDEX sqlite_autoindex_batches_1 \(origin=\?\)$/,
    count: /^SEARCH topic_index USING PRIMARY KEY \(topic=\? AND position>\? AND position<\?\)$/,
    countLive: /^SEARCH topic_index USING PRIMARY KEY \(topic=\? AND position>\?\)$/,
    deadAfter:
      /^SEARCH topic_index USING COVERING INDEX topic_index_by_lamport \(topic=\? AND lamport>\? AND lamport<\?\)$/,
  };
  const found = await plans({ ...SQL, ...TOPIC_SQL });
  for (const name of [
    'afterPositionOfTopic', 'rangeForward', 'rangeReverse', 'count', 'countOfKeys', 'countLive', 'deadAfter',
  ]) {
    t.ok(
      found.get(name)?.includes('MERGE (UNION ALL)'),
      `${name} stops at its limit, in the index as among what waits to be indexed`,
      { found: found.get(name) },
    );
  }
  for (const [name, way] of Object.entries(ways)) {
    t.ok(
      found.get(name)?.some((step) => way.test(step)), name, { found: found.get(name) },
    );
  }
});

t.test('a page reads the bodies of the rows that it gives, and of no others', async (t) => {
  // OPFLAG_LENGTHARG of sqliteInt.h: the column is asked for its length, which stands in the row's header
  const LENGTH_ONLY = 0x40;
  const db = await Handle.open(':memory:', READ_WRITE);
  await db.exec(SCHEMA);
  const body = (await db.all('PRAGMA table_info(batches)')).findIndex(({ name }) => name === 'body');
  for (const name of ['afterPosition', 'afterPositionOfTopic', 'rangeForward', 'rangeReverse'] as const) {
    const steps = await db.all(`EXPLAIN ${SQL[name]}`);
    const tables = new Set(steps.filter(({ opcode }) => opcode === 'OpenRead').map(({ p1 }) => p1));
    const reads = steps.filter(
      ({ opcode, p1, p2, p5 }) =>
        opcode === 'Column' && tables.has(p1) && p2 === body && (Number(p5) & LENGTH_ONLY) === 0,
    );
    t.equal(reads.length, 1, name);
  }
  await db.close();
});
