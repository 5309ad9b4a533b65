import t from 'tap';
import {
  isPortRefused, isSelfConnected, LocalPorts, PORT_MAX, PORT_MIN,
} from '../../../brokers/core/mesh/local-port.ts';

t.test('each dynamic port in turn, from wherever it begins, but for those that brokers listen on', async (t) => {
  const ports = new LocalPorts(PORT_MAX - PORT_MIN - 1);
  const taken = new Set([PORT_MAX, PORT_MIN + 1]);
  const some = Array.from({ length: 4 }, () => ports.take(taken));
  t.strictSame(some, [PORT_MAX - 1, PORT_MIN, PORT_MIN + 2, PORT_MIN + 3]);
  const all = new Set(Array.from({ length: PORT_MAX - PORT_MIN }, () => ports.take(new Set([PORT_MIN]))));
  t.equal(all.size, PORT_MAX - PORT_MIN, 'none twice before all others');
  t.notOk(all.has(PORT_MIN));
});

t.test('a connection is with itself where both ends are the same, and only then', async (t) => {
  const ends = { localAddress: '127.0.0.1', localPort: 40_002, remoteAddress: '127.0.0.1', remotePort: 40_002 };
  t.ok(isSelfConnected(ends));
  t.notOk(isSelfConnected({ ...ends, localPort: 40_003 }));
  t.notOk(isSelfConnected({ ...ends, remoteAddress: '127.0.0.2' }), 'the same port of another address');
});

t.test('what another port may help against', async (t) => {
  const error = (code: string): Error => Object.assign(new Error(code), { code });
  for (const code of ['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES', 'EPERM']) t.ok(isPortRefused(error(code)), code);
  t.notOk(isPortRefused(error('ECONNREFUSED')));
  t.notOk(isPortRefused(new Error('EADDRINUSE')));
  const several = new AggregateError([error('ECONNREFUSED'), error('EADDRINUSE')]);
  t.ok(isPortRefused(several), 'of one of the addresses of a name');
  t.notOk(isPortRefused(new AggregateError([error('ECONNREFUSED'), error('ENETUNREACH')])));
});
