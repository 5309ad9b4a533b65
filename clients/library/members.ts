/** The members of a mesh: what MESH MEMBERS answers, and how it is changed. */
import { RumormillError } from '../../brokers/core/error.ts';
import type { Args } from './ask.ts';
import { Fields } from './fields.ts';
import type { Answer } from './request.ts';

const STATES = ['row', 'invited', 'in', 'leaving'] as const;
const REACHED = ['self', 'alive', 'suspect', 'dead'] as const;

export interface MemberInfo {
  /** `host:port` */
  readonly address: string;
  /** 32 hexadecimal digits; '' if it has never come. */
  readonly id: string;
  /** `row` for a row of globalState.csv, before a majority of the rows have met. Quorums are counted of those `in`. */
  readonly state: (typeof STATES)[number];
  /** The version of the membership since which it has that state. */
  readonly since: number;
  /** Whether it is there, as the broker that is asked sees it. */
  readonly reached: (typeof REACHED)[number];
  /** Records that it lacks, as far as it told. */
  readonly behind: number;
}

export interface ForgetOptions {
  /** Even if records are lost with it that no other broker has. */
  readonly yes?: boolean;
  /** Without the votes of a majority. */
  readonly force?: boolean;
}

/** @throws RumormillError PROTOCOL */
export function decodeMember(reply: Answer): MemberInfo {
  const fields = new Fields(reply, 'MESH MEMBERS');
  return {
    address: fields.text('address'),
    id: fields.text('id'),
    state: oneOf(STATES, fields.text('state')),
    since: fields.number('since'),
    reached: oneOf(REACHED, fields.text('reached')),
    behind: fields.number('behind'),
  };
}

export function forgetArgs(broker: string, { yes = false, force = false }: ForgetOptions): Args {
  return ['MESH', 'FORGET', broker, ...(yes ? ['YES'] : []), ...(force ? ['FORCE'] : [])];
}

function oneOf<T extends string>(words: readonly T[], text: string): T {
  const word = words.find((each) => each === text);
  if (word === undefined) throw new RumormillError('PROTOCOL', `MESH MEMBERS answered ${JSON.stringify(text)}`);
  return word;
}
