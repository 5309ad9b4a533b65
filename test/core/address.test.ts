import t from 'tap';
import { type Address, compareAddresses, makeAddress, parseAddress, splitAddress } from '../../brokers/core/address.ts';
import { SEED, SeededRandom } from '../support/random.ts';

t.test('canonical form', async (t) => {
  const cases: [given: string, canonical: string][] = [
    ['localhost:3000', 'localhost:3000'],
    ['LocalHost:03000', 'localhost:3000'],
    ['a.Example.com.:1', 'a.example.com:1'],
    ['my_host-1:65535', 'my_host-1:65535'],
    ['10.0.0.9:3000', '10.0.0.9:3000'],
    ['010.000.0.09:3000', '10.0.0.9:3000'],
    ['[::1]:3000', '[::1]:3000'],
    ['[0:0:0:0:0:0:0:1]:3000', '[::1]:3000'],
    ['[::]:3000', '[::]:3000'],
    ['[2001:DB8::0:1]:3000', '[2001:db8::1]:3000'],
    ['[2001:db8:0:0:1:0:0:1]:3000', '[2001:db8::1:0:0:1]:3000'], // RFC 5952, 4.2.3: the first of the longest runs
    ['[2001:db8:0:1:1:1:1:1]:3000', '[2001:db8:0:1:1:1:1:1]:3000'], // 4.2.2: one group alone is not shortened
    ['[1:0:0:2:0:0:0:3]:3000', '[1:0:0:2::3]:3000'],
    ['[1::]:3000', '[1::]:3000'],
    ['[::ffff:10.0.0.9]:3000', '[::ffff:a00:9]:3000'],
    ['[1:2:3:4:5:6:255.254.253.252]:3000', '[1:2:3:4:5:6:fffe:fdfc]:3000'],
  ];
  for (const [given, canonical] of cases) {
    t.equal(parseAddress(given), canonical, given);
    t.equal(parseAddress(canonical), canonical, `${canonical} stays as it is`);
  }
});

t.test('what is not an address is refused, and the error says why', async (t) => {
  const cases: [given: string, why: RegExp][] = [
    ['', /"" is not host:port/],
    ['localhost', /"localhost" is not host:port/],
    [':3000', /":3000" is not host:port/],
    ['::1:3000', /write an IPv6 address in brackets/],
    ['h:', /port "" is not a number from 1 to 65535/],
    ['h:0', /port "0"/],
    ['h:65536', /port "65536"/],
    ['h:3000 ', /port "3000 "/],
    ['h:-1', /port "-1"/],
    ['h:1e3', /port "1e3"/],
    ['h:000080', /port "000080"/],
    ['256.0.0.1:1', /host "256.0.0.1" is neither an IP address nor a host name/],
    ['1.2.3:1', /neither/],
    ['12345:1', /neither/],
    ['-a:1', /neither/],
    ['a-:1', /neither/],
    ['a..b:1', /neither/],
    ['a b:1', /neither/],
    ['ü:1', /neither/],
    [`${'a'.repeat(254)}:1`, /neither/],
    ['[]:1', /host "\[\]" is not an IPv6 address/],
    ['[1.2.3.4]:1', /not an IPv6 address/],
    ['[1:2:3:4:5:6:7]:1', /not an IPv6 address/],
    ['[1:2:3:4:5:6:7:8:9]:1', /not an IPv6 address/],
    ['[1:2:3:4::5:6:7:8]:1', /not an IPv6 address/], // RFC 5952 aside: `::` stands for one group at least
    ['[1::2::3]:1', /not an IPv6 address/],
    ['[:::]:1', /not an IPv6 address/],
    ['[1:]:1', /not an IPv6 address/],
    ['[12345::]:1', /not an IPv6 address/],
    ['[g::]:1', /not an IPv6 address/],
    ['[fe80::1%eth0]:1', /not an IPv6 address/],
    ['[1.2.3.4::1]:1', /not an IPv6 address/], // an IPv4 part stands at the end of the whole, not of the first half
    ['[1.2.3.4::]:1', /not an IPv6 address/],
    ['[::1.2.3.4:5]:1', /not an IPv6 address/],
  ];
  for (const [given, why] of cases) t.throws(() => parseAddress(given), { code: 'CONFIG', message: why }, given);
  t.throws(() => makeAddress('h', 1.5), { code: 'CONFIG' });
  t.throws(() => parseAddress('x'.repeat(10_000)), { message: /^.{0,140}$/ }, 'an error quotes no more than a line');
});

t.test('split and make', async (t) => {
  t.strictSame(splitAddress(parseAddress('[2001:DB8::1]:3000')), { host: '2001:db8::1', port: 3000 });
  t.strictSame(splitAddress(parseAddress('h:1')), { host: 'h', port: 1 });
  t.equal(makeAddress('::1', 3000), '[::1]:3000');
  t.equal(makeAddress('[::1]', '3000'), '[::1]:3000');
  t.equal(makeAddress('10.0.0.9', 3000), '10.0.0.9:3000');
});

t.test('the order of brokers', async (t) => {
  const ordered = [
    '0.0.0.0:1', '9.255.255.255:3000', '10.0.0.9:3000', '10.0.0.10:999', '10.0.0.10:3000', '255.255.255.255:1',
    '[::]:1', '[::1]:3000', '[::2]:1', '[::10]:1', '[2001:db8::1]:1', '[ffff::]:1',
    'a:1', 'h:999', 'h:3000', 'h:10000', 'h-1:1', 'h.a:1', 'h1:1', 'localhost:3000', 'localhost:3001',
  ].map(parseAddress);
  const random = new SeededRandom();
  const shuffled = [...ordered].sort(() => random.integer(-1, 1));
  t.strictSame(shuffled.sort(compareAddresses), ordered);
  t.equal(compareAddresses(ordered[0]!, ordered[0]!), 0);
});

t.test(`the order is total and agrees with itself (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const hosts = (): string => random.pick([
    () => [1, 2, 3, 4].map(() => random.integer(0, 255)).join('.'),
    () => `[${Array.from({ length: 8 }, () => random.pick(['0', '0', '1', 'ff', 'abcd'])).join(':')}]`,
    () => random.pick(['a', 'b', 'a.b', 'a-b', 'a1']),
  ])();
  const addresses: Address[] = Array.from({ length: 60 }, () => makeAddress(hosts(), random.integer(1, 65535)));
  const sign = (a: Address, b: Address): number => Math.sign(compareAddresses(a, b));
  let broken = 0;
  for (const a of addresses) {
    for (const b of addresses) {
      if (sign(a, b) !== -sign(b, a) + 0 || (sign(a, b) === 0) !== (a === b)) broken += 1;
      for (const c of addresses) if (sign(a, b) < 0 && sign(b, c) < 0 && sign(a, c) >= 0) broken += 1;
    }
  }
  t.equal(broken, 0);
});
