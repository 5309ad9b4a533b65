/** The members as people are shown them. */
import { type Address, compareAddresses } from '../core/address.ts';
import type { BrokerInfo } from '../mesh/holdings.ts';
import type { Members } from './members.ts';

/** One member; `since` is the version of the membership in which it got its state, 0 for a row before the founding. */
export interface MemberInfo {
  readonly address: Address;
  /** 32 hexadecimal digits, or '' if it has never come. */
  readonly id: string;
  /** `row` for a row of globalState.csv, before the mesh is founded. */
  readonly state: 'row' | 'invited' | 'in' | 'leaving';
  readonly since: number;
  /** Whether it is there, as in MESH BROKERS. */
  readonly reached: BrokerInfo['state'];
  /** Records that it lacks, as far as it told. */
  readonly behind: number;
}

/** @param brokers all that are known */
export function memberList({ isFounded, addresses, roster }: Members, brokers: readonly BrokerInfo[]): MemberInfo[] {
  const infos = new Map(brokers.map((info) => [info.address, info]));
  const own = brokers.find(({ state }) => state === 'self')!.address;
  const known = isFounded ? addresses : [...new Set([own, ...addresses])];
  return [...known].sort(compareAddresses).map((address) => {
    const seat = isFounded ? roster.seatAt(address) : undefined;
    const { state: reached = 'dead', behind = 0 } = infos.get(address) ?? {};
    const state = seat === undefined ? 'row' : (seat.state as MemberInfo['state']);
    return { address, id: seat?.id ?? '', state, since: seat?.since ?? 0, reached, behind };
  });
}
