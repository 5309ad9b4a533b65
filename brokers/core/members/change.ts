/**
 * What is said of the members of a mesh: the records of `$members`, as JSON, one per record.
 *
 * They come from any broker, so what does not fit is nothing that was said. The bounds are constants, since what fits
 * must be the same on every broker.
 */
import { type Address, parseAddress } from '../address.ts';
import type { BrokerId } from '../mesh/identity.ts';
import { isCount, isObject, parseJson } from '../json.ts';

/** The topic of the records that say who is a member. */
export const MEMBERS_TOPIC = '$members';

/** In the reason of a refusal that passes by itself: of a broker that joins. */
export const NOT_YET = 'has yet to learn who the members are';

/** Most members that a mesh can be founded with, or have. */
export const MEMBERS_MAX = 1000;

declare const seatBrand: unique symbol;

/**
 * The place of one member, from its invitation to its end: `<version in which it was given>/<address by that time>`.
 */
export type SeatName = string & { readonly [seatBrand]: 'SeatName' };

/** A step from one version of the membership to the next. */
export type Change =
  /** The first version: these brokers are the members. */
  | { readonly op: 'found'; readonly addresses: readonly Address[] }
  /** A broker may join. It counts for nothing yet. */
  | { readonly op: 'invite'; readonly address: Address }
  /** One that was invited has come, and counts from now on. */
  | { readonly op: 'join'; readonly seat: SeatName; readonly id: BrokerId }
  /** A member has lost its key with its disk, and has this one now. */
  | { readonly op: 'rebind'; readonly seat: SeatName; readonly id: BrokerId }
  /** A member is about to leave, and counts no more. */
  | { readonly op: 'leave'; readonly seat: SeatName }
  /** A member is none any more, or an invitation is taken back. */
  | { readonly op: 'out'; readonly seat: SeatName };

/**
 * A broker is found at this address, and is who was meant by this row or invitation, says that broker, which knows this
 * version of the membership. The two differ where a row has another name for the broker than it has itself.
 */
export interface Claim {
  readonly id: BrokerId;
  readonly address: Address;
  readonly row: Address;
  readonly version: number;
}

/** A member puts another one out without a vote. */
export interface Force {
  readonly seat: SeatName;
  /** The broker that says so, and its seat. */
  readonly id: BrokerId;
  readonly by: SeatName;
  /** How many members that one reached, itself among them. */
  readonly reached: number;
  /** The seats that were put out by force before, as far as it knew. */
  readonly known: readonly SeatName[];
}

/**
 * Votes are for the change that makes a version; each member has one for each attempt at it. `known` are the seats that
 * were put out by force, as far as the voter knows. `here` is a claim and nothing else. A broker says all of it for
 * itself.
 */
export type MembersSaying =
  | (Claim & {
    readonly say: 'vote'; readonly attempt: number; readonly change: Change; readonly known: readonly SeatName[];
  })
  | (Claim & { readonly say: 'here' })
  | (Force & { readonly say: 'forced' });

/** Equal for equal changes. */
export function changeKey(change: Change): string {
  return JSON.stringify(change);
}

export function encodeSaying(saying: MembersSaying): string {
  return JSON.stringify(saying);
}

/** What a text from anywhere says of the members; undefined if it does not fit. */
export function parseSaying(text: string): MembersSaying | undefined {
  const said = parseJson(text);
  if (!isObject(said)) return undefined;
  const { say, id, address, row, version, attempt, change, seat, by, reached, known = [] } = said;
  if (!isId(id)) return undefined;
  if (!Array.isArray(known) || known.length > MEMBERS_MAX || !known.every(isSeatName)) return undefined;
  if (say === 'forced') {
    return isSeatName(seat) && isSeatName(by) && isCount(reached) ? { say, id, seat, by, reached, known } : undefined;
  }
  if (!isAddress(address) || !isAddress(row) || !isCount(version)) return undefined;
  if (say === 'here') return { say, id, address, row, version };
  const parsed = parseChange(change);
  const isVote = say === 'vote' && isCount(attempt) && attempt > 0 && version > 0 && parsed !== undefined;
  return isVote ? { say, id, address, row, version, attempt, change: parsed, known } : undefined;
}

/** With its fields in one order, since its key is compared. */
function parseChange(value: unknown): Change | undefined {
  if (!isObject(value)) return undefined;
  const { op, addresses, address, seat, id } = value;
  switch (op) {
    case 'found':
      return Array.isArray(addresses) && addresses.length > 0 && addresses.length <= MEMBERS_MAX
        && addresses.every(isAddress) && new Set(addresses).size === addresses.length
        ? { op, addresses } : undefined;
    case 'invite':
      return isAddress(address) ? { op, address } : undefined;
    case 'join':
    case 'rebind':
      return isSeatName(seat) && isId(id) ? { op, seat, id } : undefined;
    case 'leave':
    case 'out':
      return isSeatName(seat) ? { op, seat } : undefined;
    default:
      return undefined;
  }
}

export function isId(value: unknown): value is BrokerId {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
}

function isSeatName(value: unknown): value is SeatName {
  if (typeof value !== 'string') return false;
  const [, version, address] = /^([1-9]\d{0,15})\/(.+)$/.exec(value) ?? [];
  return version !== undefined && isAddress(address);
}

function isAddress(value: unknown): value is Address {
  if (typeof value !== 'string' || value.length > 270) return false;
  try {
    return parseAddress(value) === value;
  } catch {
    return false; // why it is none does not matter: the saying does not fit
  }
}
