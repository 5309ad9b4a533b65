import { statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import type { Store } from '../../brokers/core/log/store.ts';
import { openStore } from '../../brokers/io/open-store.ts';
import { Handle, READ_ONLY } from '../../brokers/io/sqlite.ts';
import { temporaryFolder } from '../support/folder.ts';
import { SeededRandom } from '../support/random.ts';
import { draft, origin } from '../support/record.ts';
import { waitFor } from '../support/wait.ts';

const MIB = 1024 * 1024;
const [A] = [origin('10.0.0.1:3000', 1)];

/** A store whose WAL has grown to 48 MiB, since a reader had stayed; it has gone. */
async function prepare(t: Test): Promise<[store: Store, append: () => Promise<void>, walBytes: () => number]> {
  const folder = temporaryFolder(t);
  const store = await openStore(folder, parseAddress('10.0.0.1:3000'), new SeededRandom().word);
  t.teardown(() => store.close());
  let seq = 0;
  const append = async (): Promise<void> => {
    seq += 1;
    await store.append([
      { ...draft(['x'.repeat(MIB)]), origin: A, seq, lamport: seq, deps: '', proof: '', position: seq, repeats: '' },
    ]);
  };
  const walBytes = (): number => statSync(join(folder, 'broker.db-wal')).size;
  await append();
  const reader = await Handle.open(join(folder, 'broker.db'), READ_ONLY);
  await reader.exec('BEGIN');
  await reader.all('SELECT count(*) FROM batches');
  while (walBytes() < 48 * MIB) await append();
  await store.look();
  await store.look();
  t.ok(walBytes() >= 48 * MIB, 'the reader still needs it');
  await reader.close();
  return [store, append, walBytes];
}

t.test('a WAL that grew while somebody read is cut by the commits that follow', async (t) => {
  const [, append, walBytes] = await prepare(t);
  for (let count = 0; count < 8; count += 1) await append();
  await waitFor('it is cut', async () => {
    await append();
    return walBytes() <= 33 * MIB;
  });
});

t.test('a WAL that grew while somebody read is emptied where no commit follows', async (t) => {
  const [store, , walBytes] = await prepare(t);
  await waitFor('it is emptied', async () => {
    await store.look();
    return walBytes() === 0;
  });
});
