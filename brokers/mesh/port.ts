/** What others do with the mesh: whom they reach, and over which link. */
import type { Address } from '../core/address.ts';
import type { Holdings } from './holdings.ts';
import type { Link } from './link.ts';

export interface Port {
  /** The broker that the election chose, as far as is known. */
  readonly coordinator: Address | undefined;
  /** Of the election. */
  readonly term: number;
  /** Those that are up. */
  links(): Iterable<Link>;
  linkTo(address: Address): Link | undefined;
  /** The link over which a broker is reached, its own or one that passes on. */
  route(address: Address): Link | undefined;
  /** Whether a broker is there, as far as a link, or news that came another way, can tell. */
  isReached(address: Address): boolean;
  /** Whether a broker is gone: it has said so, or nothing shows that it is there. */
  isGone(address: Address): boolean;
  /** Whether a link owes a sign of life for too long. */
  isSilent(link: Link): boolean;
  /** Who can be given work, and who has what. */
  readonly holdings: Pick<Holdings, 'present' | 'behind' | 'isBackedUp'>;
  /** To the farthest peer and back, at least, ms. */
  roundTripMs(): number;
}
