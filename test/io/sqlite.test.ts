import { join } from 'node:path';
import { existsSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { Handle, READ_ONLY, READ_WRITE, sqliteCode } from '../../brokers/io/sqlite.ts';

t.test('a statement that cannot be prepared fails its callers and not the process, and can be tried again', async (t) => {
  const file = join(t.testdir(), 'a.db');
  writeFileSync(file, 'this is no database, and long enough for one to look: '.repeat(100));
  const handle = await Handle.open(file, READ_ONLY);
  const code = (error: unknown): string => sqliteCode(error);
  const query = (): Promise<unknown> => handle.query('SELECT 1 FROM sqlite_schema').catch(code);
  t.strictSame(await Promise.all([query(), query(), handle.run('SELECT 2 FROM sqlite_schema').catch(code)]), [
    'SQLITE_NOTADB', 'SQLITE_NOTADB', 'SQLITE_NOTADB',
  ]);
  t.equal(await query(), 'SQLITE_NOTADB', 'it is prepared anew');
  await handle.close();
});

t.test('a statement that is used twice at once is prepared once', async (t) => {
  const handle = await Handle.open(join(t.testdir(), 'b.db'), READ_WRITE);
  t.strictSame(await Promise.all([handle.query('SELECT ? AS n', 1), handle.query('SELECT ? AS n', 2)]), [
    [{ n: 1 }],
    [{ n: 2 }],
  ]);
  await handle.close(); // fails where a statement is left
});

t.test('an I/O error where there is no room is that of a full disk', { skip: !existsSync('/proc/self/mem') && 'no /proc here' }, async (t) => {
  await t.rejects(
    Handle.open('/proc/self/mem', READ_ONLY), { code: 'SQLITE_FULL' },
    'a file system without room, and a file that cannot be read at its beginning',
  );
});
