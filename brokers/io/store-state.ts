/**
 * What a store's file holds when it is opened (store.ts): read from its tables, and from the mark beside it, which
 * shows whether records were lost (mark.ts).
 */
import { COUNTER_MAX } from '../core/counter.ts';
import { RumormillError } from '../core/error.ts';
import type { Electors } from '../core/log/life.ts';
import { headAfter } from '../core/log/proof.ts';
import type { Origin, StoredColumns } from '../core/log/record.ts';
import { goOn, type SavedTime } from '../core/log/running-time.ts';
import type { StoreState } from '../core/log/store.ts';
import { compareMark } from './mark.ts';
import { OriginIds } from './origin-ids.ts';
import { systemSignatures } from './identity.ts';
import { HEADS, NEWEST, SQL } from './queries.ts';
import type { Handle } from './sqlite.ts';

/** @throws RumormillError STORE if the file is not that of a store */
export async function readState(db: Handle, markPath: string): Promise<{ state: StoreState; origins: OriginIds }> {
  const [broker] = await db.all('SELECT origin, lamport, term, running, life, electors FROM broker');
  const lives = await db.all('SELECT store, life, holder FROM lives');
  const [newest] = await db.all('SELECT coalesce(max(position), 0) AS position FROM batches');
  const named = await db.all(NEWEST);
  const newestOf = (await db.all(HEADS)) as unknown as (StoredColumns & { readonly first: string })[];
  if (broker === undefined || newest === undefined) {
    throw new RumormillError('STORE', 'broker.db has no row in table broker');
  }
  const held = named.filter((row) => row['seq'] !== null);
  const records = held.reduce((most, row) => Math.max(most, Number(row['lamport'])), 0);
  const { lamport, loss } = compareMark(markPath, Number(newest['position']));
  const state: StoreState = {
    origin: broker['origin'] as Origin,
    owner: '',
    term: counter(broker['term']),
    lamport: Math.max(records, counter(broker['lamport']), counter(lamport)),
    newest: records,
    time: await readTime(db, String(broker['running'])),
    vector: new Map(held.map((row) => [row['name'] as Origin, Number(row['seq'])])),
    heads: new Map(newestOf.map((each) => [each.origin, headAfter(each, { proof: each.first }, systemSignatures)!])),
    position: Number(newest['position']),
    ...(loss !== undefined && { loss }),
    life: Number(broker['life']),
    electors: parseElectors(String(broker['electors'])),
    lives: new Map(
      lives.map((row) => [row['store'] as Origin, { life: Number(row['life']), holder: String(row['holder']) }]),
    ),
  };
  const origins = new OriginIds(named.map((row) => [row['name'] as Origin, Number(row['id'])]));
  return { state, origins };
}

/** The running time as it was saved, and went on since. */
async function readTime(db: Handle, json: string): Promise<SavedTime | undefined> {
  if (json === '') return undefined;
  const saved = JSON.parse(json) as SavedTime;
  const [newest] = await db.query(SQL.newestSeen, saved.now);
  return goOn(saved, Number(newest?.['seen'] ?? 0));
}

/** A clock or term as it is stored; a wrong value from a damaged file stays within what can be counted. */
function counter(value: unknown): number {
  const number = Number(value);
  return number > 0 ? Math.min(Math.floor(number), COUNTER_MAX) : 0;
}

function parseElectors(json: string): Electors | undefined {
  return json === '' ? undefined : (JSON.parse(json) as Electors);
}
