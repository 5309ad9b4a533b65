import { copyFileSync, cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { openStore } from '../../brokers/io/open-store.ts';
import { temporaryFolder } from '../support/folder.ts';
import { SeededRandom } from '../support/random.ts';
import { draft, origin } from '../support/record.ts';
import { waitFor } from '../support/wait.ts';

const ADDRESS = parseAddress('10.0.0.1:3000');
const A = origin('10.0.0.1:3000', 1);

/** What happens to the folder of a store that is open, and whether what it had stored is still there. */
const REMOVALS: readonly (readonly [what: string, act: (folder: string) => void, isKept: boolean])[] = [
  ['the folder is removed', (folder) => rmSync(folder, { recursive: true }), false],
  ['the folder is moved', (folder) => renameSync(folder, `${folder}-moved`), false],
  ['another folder takes its place', (folder) => {
    cpSync(folder, `${folder}-copy`, { recursive: true });
    renameSync(folder, `${folder}-moved`);
    renameSync(`${folder}-copy`, folder);
  }, true],
  ['broker.db is removed', (folder) => rmSync(join(folder, 'broker.db')), false],
  ['broker.db is replaced by a copy', (folder) => {
    copyFileSync(join(folder, 'broker.db'), join(folder, 'copy'));
    renameSync(join(folder, 'copy'), join(folder, 'broker.db'));
  }, true],
  ['the WAL is removed', (folder) => rmSync(join(folder, 'broker.db-wal')), true],
  ['the index of the WAL is removed', (folder) => rmSync(join(folder, 'broker.db-shm')), true],
  ['the lock is removed', (folder) => rmSync(join(folder, 'broker.lock')), true],
  ['the lock is replaced', (folder) => {
    rmSync(join(folder, 'broker.lock'));
    writeFileSync(join(folder, 'broker.lock'), '');
  }, true],
];

for (const [what, act, isKept] of REMOVALS) {
  t.test(`${what} while the store is open: each look, write and close says so from then on`, async (t) => {
    const folder = join(temporaryFolder(t), 'store');
    const gone = {
      code: 'STORE',
      message: /: it was removed, moved or replaced while the broker ran; what was stored since may be lost$/,
    };
    let position = 0;
    const store = await openStore(folder, ADDRESS, new SeededRandom().word);
    const append = (): Promise<void> => {
      position += 1;
      return store.append([
        {
          ...draft(['x'.repeat(1000)]), origin: A, seq: position, lamport: position, deps: '', proof: '', position,
          repeats: '',
        },
      ]);
    };
    while (position < 20) await append();
    await store.look();
    act(folder);
    const refused = await waitFor('a write is refused', () => append().then(() => false, (error: unknown) => error));
    t.match(refused, gone);
    await t.rejects(store.look(), gone);
    await t.rejects(store.close(), gone);
    if (!isKept) return;
    const again = await openStore(folder, ADDRESS, new SeededRandom().word);
    t.teardown(() => again.close());
    t.ok(again.state.position >= 20, `${again.state.position} batches are there`);
  });
}

t.test('a store that is where it was is not complained of, whatever it has written', async (t) => {
  const store = await openStore(temporaryFolder(t), ADDRESS, new SeededRandom().word);
  for (let position = 1; position <= 10; position += 1) {
    await store.append([
      {
        ...draft(['x'.repeat(1024 * 1024)]), origin: A, seq: position, lamport: position, deps: '', proof: '', position,
        repeats: '',
      },
    ]);
    await store.look();
  }
  await store.close();
});
