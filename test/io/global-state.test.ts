import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Address } from '../../brokers/core/address.ts';
import type { RumormillError } from '../../brokers/core/error.ts';
import { parseGlobalState, readGlobalState, watchGlobalState } from '../../brokers/io/global-state.ts';
import { temporaryFolder } from '../support/folder.ts';
import { waitFor } from '../support/wait.ts';

t.test('what a file may hold', async (t) => {
  const cases: [name: string, text: string, expected: string[]][] = [
    ['rows', '10.0.0.1,3000\n10.0.0.2,3001\n', ['10.0.0.1:3000', '10.0.0.2:3001']],
    ['with a header', 'ip-address,port\n10.0.0.1,3000\n', ['10.0.0.1:3000']],
    ['with another header', 'Host, Port\n10.0.0.1,3000\n', ['10.0.0.1:3000']],
    ['header behind comments', '# the mesh\n\nip-address,port\n10.0.0.1,3000\n', ['10.0.0.1:3000']],
    [
      'comments and blank lines', '\n# one\n10.0.0.1,3000\n\n   \n  # two, with a comma\n10.0.0.2,3000\n\n',
      ['10.0.0.1:3000', '10.0.0.2:3000'],
    ],
    ['CR LF', 'ip-address,port\r\n10.0.0.1,3000\r\n\r\n10.0.0.2,3000\r\n', ['10.0.0.1:3000', '10.0.0.2:3000']],
    [
      'LF, then CR LF, then CR, as editors of several systems leave it',
      'ip-address,port\n10.0.0.1,3000\r\n10.0.0.2,3000\r10.0.0.3,3000\n',
      ['10.0.0.1:3000', '10.0.0.2:3000', '10.0.0.3:3000'],
    ],
    ['white space', '  10.0.0.1 ,\t3000  \n', ['10.0.0.1:3000']],
    ['no last line break', '10.0.0.1,3000', ['10.0.0.1:3000']],
    ['byte order mark', '\ufeffip-address,port\n10.0.0.1,3000\n', ['10.0.0.1:3000']],
    ['byte order mark without header', '\ufeff10.0.0.1,3000\n', ['10.0.0.1:3000']],
    [
      'names, in their one form', 'LocalHost,3000\nbroker-1.example.org,1\n',
      ['localhost:3000', 'broker-1.example.org:1'],
    ],
    [
      'IPv6, bare and in brackets', '::1,3000\n"[2001:DB8:0:0::1]",3001\n[fe80::2],65535\n',
      ['[::1]:3000', '[2001:db8::1]:3001', '[fe80::2]:65535'],
    ],
    ['quotes', '"10.0.0.1","3000"\n', ['10.0.0.1:3000']],
    ['one host, several ports', 'localhost,3000\nlocalhost,3001\n', ['localhost:3000', 'localhost:3001']],
    ['an empty file', '', []],
    ['a header alone', 'ip-address,port\n', []],
    ['empty fields alone, as spreadsheets write', '10.0.0.1,3000\n,\n', ['10.0.0.1:3000']],
  ];
  for (const [name, text, expected] of cases) t.strictSame(parseGlobalState(text, 'mesh.csv'), expected, name);
});

t.test('what is wrong is named with file and line', async (t) => {
  const cases: [text: string, message: string][] = [
    ['10.0.0.1\n', 'mesh.csv line 1: a row is ip-address,port; "10.0.0.1" has no port'],
    ['10.0.0.1,\n', 'mesh.csv line 1: port "" is not a number from 1 to 65535'],
    ['ip-address,port\n\n# x\n10.0.0.1,0\n', 'mesh.csv line 4: port "0" is not a number from 1 to 65535'],
    ['10.0.0.1,65536\n', 'mesh.csv line 1: port "65536" is not a number from 1 to 65535'],
    ['10.0.0.1,http\n', 'mesh.csv line 1: port "http" is not a number from 1 to 65535'],
    ['10.0.0.1,-1\n', 'mesh.csv line 1: port "-1" is not a number from 1 to 65535'],
    ['10.0.0.1,3000,x\n', 'mesh.csv line 1: a row is ip-address,port; "10.0.0.1,3000,x" has 3 columns'],
    ['10.0.0.1,3000 # first\n', 'mesh.csv line 1: port "3000 # first" is not a number from 1 to 65535'],
    [',3000\n', 'mesh.csv line 1: host "" is neither an IP address nor a host name'],
    ['10.0.0.256,3000\n', 'mesh.csv line 1: host "10.0.0.256" is neither an IP address nor a host name'],
    ['a b,3000\n', 'mesh.csv line 1: host "a b" is neither an IP address nor a host name'],
    ['::g,3000\n', 'mesh.csv line 1: host "::g" is not an IPv6 address'],
    ['10.0.0.1,3000\r\n10.0.0.1,3001\r\n10.0.0.1,3000\r\n', 'mesh.csv line 3: 10.0.0.1:3000 stands in line 1 already'],
    ['LOCALHOST,3000\n\nlocalhost,3000\n', 'mesh.csv line 3: localhost:3000 stands in line 1 already'],
    ['::1,3000\n0:0::1,3000\n', 'mesh.csv line 2: [::1]:3000 stands in line 1 already'],
    ['10.0.0.1,3000\nip-address,port\n', 'mesh.csv line 2: port "port" is not a number from 1 to 65535'],
  ];
  for (const [text, message] of cases) {
    t.throws(() => parseGlobalState(text, 'mesh.csv'), { code: 'CONFIG', message }, JSON.stringify(text));
  }
  t.throws(
    () => parseGlobalState('10.0.0.1,3000\n"10.0.0.2,3000\n', 'mesh.csv'),
    { code: 'CONFIG', message: /^mesh\.csv line 2: .*quote/i }, 'a quote left open',
  );
});

t.test('a file that is not there, or is none', async (t) => {
  const folder = temporaryFolder(t);
  await t.rejects(readGlobalState(join(folder, 'none.csv')), {
    code: 'CONFIG',
    message: /none\.csv cannot be read: .*ENOENT/,
  });
  await t.rejects(readGlobalState(folder), { code: 'CONFIG', message: /cannot be read: .*EISDIR/ });
});

t.test('watching: changes are taken over, what is bad is said once and changes nothing', async (t) => {
  const file = join(temporaryFolder(t), 'mesh.csv');
  writeFileSync(file, '10.0.0.1,3000\n');
  const lists: Address[][] = [];
  const errors: RumormillError[] = [];
  let looks = 0;
  const watch = watchGlobalState(
    file, parseGlobalState('10.0.0.1,3000', file), 5, (rows) => lists.push(rows), (error) => errors.push(error),
  );
  t.teardown(watch.stop);
  /** All at once: where it is written in its place, a look may come between and find it empty. */
  const put = (text: string): void => {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  };
  /** Waits until the file has been looked at again and again since: a change that is taken over shows that. */
  const touch = async (): Promise<void> => {
    const before = lists.length;
    put(`# ${(looks += 1)}\n10.0.0.9,${looks}\n`);
    await waitFor('the file is read', () => lists.length > before);
  };
  await touch();

  writeFileSync(file, '10.0.0.7,3000\n');
  await waitFor('a row that was written in its place', () => String(lists.at(-1)) === '10.0.0.7:3000');
  errors.length = 0; // it may have been found empty meanwhile

  put('10.0.0.1,3000\n10.0.0.2,3000\n');
  await waitFor('the row that was added', () => lists.at(-1)?.length === 2);
  t.strictSame(lists.at(-1), ['10.0.0.1:3000', '10.0.0.2:3000']);

  const taken = lists.length;
  put('10.0.0.1,3000\n10.0.0.2,3000\n10.0.0.3,x\n');
  await waitFor('the bad row', () => errors.length > 0);
  t.match(errors, [{ code: 'CONFIG', message: `${file} line 3: port "x" is not a number from 1 to 65535` }]);
  t.equal(lists.length, taken, 'the last good list stays');

  await touch();
  t.equal(errors.length, 1, 'said once');

  const whole = lists.length;
  put('# as an editor, or a full disk, may leave it\n');
  await waitFor('the file without rows', () => errors.length > 1);
  t.match(errors[1], { code: 'CONFIG', message: `${file} has no rows` });
  t.equal(lists.length, whole, 'the last good list stays');

  rmSync(file);
  await waitFor('the file is gone', () => errors.length > 2);
  t.match(errors[2], { code: 'CONFIG', message: /cannot be read: .*ENOENT/ });
  await touch();
  t.equal(errors.length, 3, 'said once');

  put('10.0.0.4,3000\n');
  await waitFor('another file in its place, as editors save', () => String(lists.at(-1)) === '10.0.0.4:3000');
});

t.test('a file changed between reading it and watching it is noticed', async (t) => {
  const file = join(temporaryFolder(t), 'mesh.csv');
  writeFileSync(file, '10.0.0.1,3000\n');
  const lists: Address[][] = [];
  const watch = watchGlobalState(
    file, parseGlobalState('10.0.0.1,3000', file), 5, (rows) => lists.push(rows), () => undefined,
  );
  t.teardown(watch.stop);
  writeFileSync(file, '10.0.0.1,3000\n10.0.0.2,3000\n');
  await waitFor('it is noticed', () => lists.length > 0).catch(() => undefined);
  t.equal(lists.at(-1)?.length, 2);
});

t.test('a file that is to be read again is read, though nothing has changed', async (t) => {
  const file = join(temporaryFolder(t), 'mesh.csv');
  writeFileSync(file, '10.0.0.1,3000\n');
  const lists: Address[][] = [];
  const errors: RumormillError[] = [];
  const rows = await readGlobalState(file);
  const watch = watchGlobalState(
    file, rows, 3_600_000, (changed) => lists.push(changed), (error) => errors.push(error),
  );
  t.teardown(watch.stop);
  watch.reread();
  await waitFor('it is read', () => lists.length === 1);
  t.strictSame(lists, [rows]);
  writeFileSync(file, '10.0.0.1,x\n');
  for (const times of [1, 2]) {
    watch.reread();
    await waitFor('it is read', () => errors.length === times);
  }
  t.equal(lists.length, 1, 'the last good list stays, and who asks is told each time');
});
