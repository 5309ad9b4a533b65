import { isIP } from 'node:net';
import t from 'tap';
import { makeAddress, parseAddress } from '../../brokers/core/address.ts';
import { isOfMachine, machineHosts } from '../../brokers/io/hosts.ts';

t.test('the addresses of this machine are of it, and those of documents are not', async (t) => {
  const hosts = machineHosts();
  t.ok(hosts.length > 0 && hosts.every((host) => isIP(host) > 0), hosts.join(' '));
  const loopback = hosts.filter((host) => /^127\.|^::1$/.test(host));
  t.strictSame(hosts.slice(hosts.length - loopback.length), loopback, 'loopback comes last');
  for (const host of hosts) t.equal(await isOfMachine(makeAddress(host, 3000)), true, host);
  for (const address of ['localhost:3000', '127.9.9.9:3000']) t.equal(await isOfMachine(parseAddress(address)), true);
  for (const address of ['192.0.2.1:3000', '[2001:db8::1]:3000']) {
    t.equal(await isOfMachine(parseAddress(address)), false);
  }
  await t.rejects(isOfMachine(parseAddress('no-such-host.invalid:3000')));
});
