import {
  closeSync, cpSync, openSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import type { Store } from '../../brokers/core/log/store.ts';
import { compareMark, Mark } from '../../brokers/io/mark.ts';
import { openStore } from '../../brokers/io/open-store.ts';
import { temporaryFolder } from '../support/folder.ts';
import { SeededRandom } from '../support/random.ts';
import { draft, origin } from '../support/record.ts';
import { execute } from '../support/sqlite.ts';
import { waitFor } from '../support/wait.ts';

const ADDRESS = parseAddress('10.0.0.1:3000');
const A = origin('10.0.0.1:3000', 1);
const COUNT = 300;

const open = (folder: string): Promise<Store> => openStore(folder, ADDRESS, new SeededRandom().word);

/** The files of a store as a kill leaves them, with `COUNT` batches. */
async function crashed(t: Test): Promise<string> {
  const [folder, image] = [temporaryFolder(t), temporaryFolder(t)];
  const store = await open(folder);
  for (let position = 1; position <= COUNT; position += 1) {
    await store.append([
      {
        ...draft(['x'.repeat(1000)]), origin: A, seq: position, lamport: position, deps: '', proof: '', position,
        repeats: '',
      },
    ]);
  }
  await waitFor('the mark is written', () =>
    readFileSync(join(folder, 'broker.mark'), 'utf8').includes(`"position":${COUNT}`),
  );
  for (const name of ['broker.db', 'broker.db-wal', 'broker.mark']) cpSync(join(folder, name), join(image, name));
  await store.close();
  return image;
}

function damage(file: string, at: number): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, Buffer.alloc(64, 0xee), 0, 64, at);
  closeSync(descriptor);
}

const LOSSES: readonly (readonly [what: string, act: (folder: string) => void | Promise<void>])[] = [
  ['the WAL is deleted', (folder) => rmSync(join(folder, 'broker.db-wal'))],
  ['the WAL is emptied', (folder) => truncateSync(join(folder, 'broker.db-wal'))],
  [
    'the WAL is cut',
    (folder) => truncateSync(join(folder, 'broker.db-wal'), statSync(join(folder, 'broker.db-wal')).size >> 1),
  ],
  ['the WAL is damaged at its beginning', (folder) => damage(join(folder, 'broker.db-wal'), 0)],
  [
    'the WAL is damaged in its middle',
    (folder) => damage(join(folder, 'broker.db-wal'), statSync(join(folder, 'broker.db-wal')).size >> 1),
  ],
  [
    'broker.db is deleted',
    (folder) => {
      for (const name of ['broker.db', 'broker.db-wal']) rmSync(join(folder, name));
    },
  ],
  [
    'an older broker.db is put in its place',
    (folder) => execute(join(folder, 'broker.db'), 'DELETE FROM batches WHERE position > 100'),
  ],
];

for (const [what, act] of LOSSES) {
  t.test(`${what} while nobody runs: the store knows that it has lost records`, async (t) => {
    const folder = await crashed(t);
    await act(folder);
    const { state, close } = await open(folder).then((store) => ({ state: store.state, close: () => store.close() }));
    t.teardown(close);
    t.ok(state.position < COUNT, `${state.position} batches are left`);
    t.equal(state.loss, `it held ${COUNT} batches when it last ran, and holds ${state.position} now`);
    t.ok(state.lamport > COUNT, 'no timestamp is given twice');
  });
}

t.test('a damaged mark proves nothing, which is said', async (t) => {
  for (const text of ['xyz', '{}', 'null', '{"position":1.5,"lamport":1}', '{"position":"1","lamport":1}']) {
    const folder = await crashed(t);
    writeFileSync(join(folder, 'broker.mark'), text);
    const store = await open(folder);
    t.equal(store.state.loss, 'its broker.mark is damaged and proves nothing', text);
    await store.close();
  }
});

t.test('what is no loss: a kill, an orderly end, a tool that looked, a version without marks', async (t) => {
  const folder = await crashed(t);
  for (let times = 0; times < 2; times += 1) {
    const store = await open(folder);
    t.strictSame([store.state.position, store.state.loss], [COUNT, undefined]);
    await store.close();
  }
  const looked = await crashed(t);
  await execute(join(looked, 'broker.db'), 'PRAGMA wal_checkpoint(TRUNCATE)'); // leaves no WAL
  const earlier = await crashed(t);
  rmSync(join(earlier, 'broker.mark'));
  rmSync(join(earlier, 'broker.db-wal'));
  for (const each of [looked, earlier]) {
    const store = await open(each);
    t.equal(store.state.loss, undefined);
    await store.close();
  }
});

t.test('the mark has what was noted last, and each note ends up in it', async (t) => {
  const file = join(temporaryFolder(t), 'mark');
  writeFileSync(file, '');
  const mark = await Mark.open(file);
  for (let position = 1; position <= 1000; position += 1) mark.note({ position, lamport: 2 * position });
  const written = (): Promise<unknown> =>
    waitFor('what was noted last is written', () => readFileSync(file, 'utf8').includes(`"position":${last}`));
  let last = 1000;
  await written();
  t.strictSame(compareMark(file, 1000), { lamport: 0, loss: undefined });
  t.match(compareMark(file, 999).loss, /held 1000 batches .* holds 999/);
  mark.note({ position: 7, lamport: 9 });
  last = 7;
  await written();
  t.match(
    JSON.parse(readFileSync(file, 'utf8')), { position: 7, lamport: 9 }, 'a shorter one leaves nothing of the longer',
  );
  mark.note({ position: 8, lamport: 10 });
  await mark.close();
  t.match(
    JSON.parse(readFileSync(file, 'utf8')), { position: 8, lamport: 10 },
    'what is noted before it is closed is written',
  );
  t.equal(mark.fault, undefined);
});
