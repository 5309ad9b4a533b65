import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import { checkOwnAddress } from '../../../brokers/core/mesh/own-address.ts';

const HOSTS = ['10.0.0.1', 'fe80::1', '127.0.0.1'];

/** What is wrong with an own address among some rows; undefined if nothing is. Names lead where `names` says. */
async function wrong(
  own: string, rows: readonly string[], names: Record<string, boolean> = {}, hosts: readonly string[] = HOSTS,
): Promise<string | undefined> {
  const isHere = async (row: Address): Promise<boolean | undefined> => {
    const host = row.slice(0, row.lastIndexOf(':'));
    const isName = /[a-z]/.test(host) && !host.startsWith('[');
    return isName ? names[host] : hosts.some((each) => [each, `[${each}]`].includes(host));
  };
  const surroundings = { rows: rows.map(parseAddress), source: 'mesh.csv', hosts, isHere, hasStore: false };
  return checkOwnAddress(parseAddress(own), surroundings).then(() => undefined, (error: Error) => error.message);
}

t.test('an address that others can dial is right', async (t) => {
  for (const [own, rows] of [
    ['10.0.0.1:3000', ['10.0.0.1:3000', '10.0.0.2:3000']],
    ['127.0.0.1:3000', ['127.0.0.1:3000', 'localhost:3001', '[::1]:3002', 'b.localhost:3003']],
    ['203.0.113.7:3000', ['203.0.113.7:3000', 'broker-2.example.org:3000']],
    ['127.0.0.1:3000', []],
    ['[2001:db8::1]:3000', ['[2001:db8::1]:3000', '10.0.0.2:3000']],
    ['localhost.example.org:3000', ['localhost.example.org:3000', '10.0.0.2:3000']],
  ] as const) {
    t.equal(await wrong(own, rows), undefined, own);
  }
});

t.test('an address that means every address is refused, with the flags that are right', async (t) => {
  const any = (host: string, flags: string): string =>
    `no other broker can dial ${host}: start with ${flags} --bind ${host}`;
  t.equal(await wrong('0.0.0.0:3000', []), any('0.0.0.0', '--host 10.0.0.1'));
  t.equal(await wrong('[::]:3000', ['[::]:3000']), any('::', '--host 10.0.0.1'));
  t.equal(await wrong('[::ffff:0.0.0.0]:3000', []), any('::ffff:0:0', '--host 10.0.0.1'));
  t.equal(
    await wrong('0.0.0.0:3000', ['0.0.0.0:3000', 'other:3000', 'name:3000'], { name: true, other: false }),
    any('0.0.0.0', '--host name'), 'the row that leads to this machine',
  );
  t.equal(
    await wrong('0.0.0.0:3000', ['10.0.0.2:3000', '10.0.0.1:4000']), any('0.0.0.0', '--host 10.0.0.1 --port 4000'),
    'it has another port',
  );
  t.equal(
    await wrong('0.0.0.0:3000', ['127.0.0.1:3000', '127.0.0.1:3001']), any('0.0.0.0', '--host 127.0.0.1'),
    'all are on this machine',
  );
  t.equal(await wrong('0.0.0.0:3000', [], {}, ['127.0.0.1']), any('0.0.0.0', '--host <address of this machine>'));
});

t.test('loopback is refused where rows have other machines', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '[::1]', '[::ffff:127.0.0.1]', 'a.localhost']) {
    const own = `${host}:3000`;
    const shown = parseAddress(own).slice(0, -5).replace(/[[\]]/g, '');
    t.equal(
      await wrong(own, [own, '10.0.0.1:3000', '10.0.0.2:3000']),
      `${shown} is this machine alone, and other brokers of mesh.csv cannot dial it (10.0.0.1:3000 is one): ` +
        'start with --host 10.0.0.1',
    );
  }
  const elsewhere = await wrong('localhost:3000', ['far:3000'], { far: false });
  t.match(elsewhere, /start with --host 10\.0\.0\.1$/, 'no row is here');
});

t.test('an address in no row is refused, unless a row may be another name of it', async (t) => {
  const rows = ['10.0.0.2:3000', 'name:3000'];
  const line =
    '10.0.0.1:3000 is in no row of mesh.csv: start with the --host and --port of a row, or add the row 10.0.0.1,3000';
  t.equal(await wrong('10.0.0.1:3000', rows, { name: false }), line);
  t.equal(await wrong('10.0.0.1:3000', rows, { name: true }), undefined, 'it leads here');
  t.equal(await wrong('10.0.0.1:3000', rows), undefined, 'it leads nowhere now');
  t.equal(await wrong('10.0.0.1:3000', ['10.0.0.2:3000', 'name:3001'], { name: true }), line, 'it has another port');
  const local = await wrong('127.0.0.1:3009', ['127.0.0.1:3000']);
  t.match(local, /^127\.0\.0\.1:3009 is in no row .* add the row 127\.0\.0\.1,3009$/);
});
