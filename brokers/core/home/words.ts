/**
 * Words: which members have said that they use a view, so that they serve nothing any more that has another home in it,
 * and what those had stored by then.
 *
 * Each member gives its word to its neighbours. If it has no link with some of the members, its word is far-reaching:
 * everybody tells his neighbours those words that they have neither told nor been told. What the members had stored is
 * kept as one vector, their maximum, since a new home waits for all of it. So a word goes over each link about once,
 * many of them in one message, and finds its way round links that are lost.
 *
 * Bounded: words on the newest `VIEWS_MAX` views that were spoken of, and of each what one neighbour tells of it up to
 * `SHARE_MAX`. A neighbour that speaks of many views pushes out those that nobody else speaks of.
 */
import type { Address } from '../address.ts';
import type { Origin } from '../log/record.ts';
import { covers, type Vector } from '../log/version-vector.ts';

/** Which view of which coordinator. */
export interface ViewName {
  readonly coordinator: Address;
  readonly term: number;
  readonly number: number; // grows with each view of a coordinator's term
}

/**
 * Whether a view comes after another one. Those of two coordinators are not ordered: a broker that changes its
 * coordinator changes its view.
 */
export function isLater(view: Pick<ViewName, 'term' | 'number'>, than: Pick<ViewName, 'term' | 'number'>): boolean {
  return view.term > than.term || (view.term === than.term && view.number > than.number);
}

/** What some members say together. */
export interface Word {
  readonly view: ViewName;
  readonly members: readonly Address[];
  /** At least what each of them had stored when it began to use the view. */
  readonly stored: Iterable<readonly [Origin, number]>;
  /** Whether it is to be told on. */
  readonly isFar: boolean;
}

interface Spoken {
  readonly view: ViewName;
  by: Address | undefined; // the only neighbour that spoke of it; undefined if others did, or this broker
  readonly shares: Map<Address, number>; // neighbour -> how much only it has told
  readonly members: Map<Address, boolean>; // and whether its word is far-reaching
  readonly stored: Map<Origin, number>;
  readonly told: Map<Address, Set<Address>>; // neighbour -> whose words it knows
}

const VIEWS_MAX = 8;
const SHARE_MAX = 65_536; // members and origins

export class Words {
  readonly #self: Address;
  readonly #spoken: Spoken[] = []; // the view that was spoken of last is last

  constructor(self: Address) {
    this.#self = self;
  }

  /** What was told over an earlier link with a neighbour may not have come there. */
  linkUp(neighbour: Address): void {
    for (const { told } of this.#spoken) told.delete(neighbour);
  }

  /** Members have given their words, as a neighbour says; this broker itself where there is none. */
  learn({ view, members, stored, isFar }: Word, from?: Address): void {
    const spoken = this.#on(view, from);
    if (spoken.by !== from) spoken.by = undefined;
    for (const member of members) {
      if (!spoken.members.has(member) && !hasShare(spoken, from)) continue;
      const known = spoken.members.get(member);
      if (isFar && known === false) for (const told of spoken.told.values()) told.delete(member);
      spoken.members.set(member, isFar || known === true);
      if (from !== undefined) toldTo(spoken, from).add(member);
    }
    for (const [origin, seq] of stored) {
      const known = spoken.stored.get(origin);
      if (known === undefined && !hasShare(spoken, from)) continue;
      if (seq > (known ?? 0)) spoken.stored.set(origin, seq);
    }
  }

  /** What a neighbour is to be told about a view now. Counts as told. */
  news(view: ViewName, neighbour: Address): Word | undefined {
    const spoken = this.#spoken.find((each) => isSame(each.view, view));
    if (spoken === undefined) return undefined;
    const told = toldTo(spoken, neighbour);
    const members = [...spoken.members].flatMap(([member, isFar]) =>
      (isFar || member === this.#self) && member !== neighbour && !told.has(member) ? [member] : []);
    if (members.length === 0) return undefined;
    for (const member of members) told.add(member);
    const isFar = members.some((member) => spoken.members.get(member));
    return { view: spoken.view, members, stored: [...spoken.stored], isFar };
  }

  /** Whether a member uses a view, or a later one of its coordinator. */
  has(member: Address, view: ViewName): boolean {
    return this.#since(view).some(({ members }) => members.has(member));
  }

  /** Whether all is here that the members had stored that use a view, or a later one of its coordinator. */
  isCovered(view: ViewName, here: Pick<Vector, 'get'>): boolean {
    return this.#since(view).every(({ stored }) => covers(here, stored));
  }

  #since(view: ViewName): Spoken[] {
    return this.#spoken.filter((each) => each.view.coordinator === view.coordinator && !isLater(view, each.view));
  }

  #on(view: ViewName, by: Address | undefined): Spoken {
    const known = this.#spoken.find((each) => isSame(each.view, view));
    if (known !== undefined) return known;
    const spoken = { view, by, shares: new Map(), members: new Map(), stored: new Map(), told: new Map() };
    this.#spoken.push(spoken);
    if (this.#spoken.length > VIEWS_MAX) this.#spoken.splice(this.#spoken.indexOf(this.#superfluous), 1);
    return spoken;
  }

  /** The oldest of those that one neighbour alone speaks of, or of the others, whichever are more. */
  get #superfluous(): Spoken {
    const count = ({ by }: Spoken): number => this.#spoken.filter((each) => each.by === by).length;
    return this.#spoken.reduce((most, each) => (count(each) > count(most) ? each : most));
  }
}

/** Whether a neighbour may add something to what is known; counts as done. This broker may. */
function hasShare({ shares }: Spoken, from: Address | undefined): boolean {
  if (from === undefined) return true;
  const share = shares.get(from) ?? 0;
  shares.set(from, share + 1);
  return share < SHARE_MAX;
}

function isSame(a: ViewName, b: ViewName): boolean {
  return a.coordinator === b.coordinator && a.term === b.term && a.number === b.number;
}

function toldTo({ told }: Spoken, neighbour: Address): Set<Address> {
  let members = told.get(neighbour);
  if (members === undefined) told.set(neighbour, (members = new Set()));
  return members;
}
