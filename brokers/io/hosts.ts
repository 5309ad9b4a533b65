/** Which addresses this machine has, and where names lead. */
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { type Address, splitAddress } from '../core/address.ts';

/** The addresses of this machine, those first by which others may reach it: no loopback, IPv4 before IPv6. */
export function machineHosts(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const rank = ({ internal, family, address }: (typeof all)[number]): number =>
    Number(internal) * 4 + Number(/^fe80:/i.test(address)) * 2 + Number(family === 'IPv6');
  return all.sort((one, other) => rank(one) - rank(other)).map(({ address }) => address);
}

/** Whether an address leads to this machine. @throws Error if the name leads nowhere */
export async function isOfMachine(address: Address): Promise<boolean> {
  const own = new Set(machineHosts());
  const found = await lookup(splitAddress(address).host, { all: true });
  return found.some(({ address: ip }) => own.has(ip) || ip.startsWith('127.') || ip === '::1');
}
