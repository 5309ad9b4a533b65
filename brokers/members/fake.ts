import type { Address } from '../core/address.ts';
import type { Id } from '../core/members/change.ts';

export function fakeId(address: Address): Id {
  return Buffer.from(`${address}0123456789abcdef`).toString('hex').slice(0, 32) as Id;
}
