/**
 * Closings: which origins are closed, made of the records of `$closed`, so that vectors need not name them one by one.
 *
 * A closing lists origins under which nobody names records any more, with the seqs up to which its own origin had all
 * of their records on disk. It goes on from another one, whose lists hold for it too. So a vector that covers all of
 * that is told by the name of the closing and by what it has beyond (`split`), and whoever has the closing makes the
 * whole vector of it again (`join`). Nothing else depends on a closing: it is a name for a vector and no promise. If
 * more of a closed origin turns up, it is stored as any record is, and is named one by one until a later closing lists
 * it.
 *
 * A closing may be used once another one goes on from it. Whoever says that one has seen that every member has the
 * first one on disk: so each of them understands what the others write. Brokers without it - that join, or have lost it
 * with their disk - have to fetch it before they do.
 *
 * Position order is causal (invariant 4). So on every broker all records that a closing closes are before it. Where
 * they are not, its broker has named records that it did not have: a closing like that, and what goes on from it, is
 * never used here. Another broker may have had those records in time, and give cursors by it; they are understood.
 */
import { isCount, isObject, parseJson } from '../json.ts';
import { type Origin, parseOrigin } from './record.ts';
import { covers, EMPTY_VECTOR, type Vector } from './version-vector.ts';

/** The topic of the records that close origins. */
export const CLOSED_TOPIC = '$closed';

/** Most origins in one closing: what fits must be the same on every broker. */
export const CLOSED_MAX = 1000;

declare const closingBrand: unique symbol;

/** A closing, by its record: `<origin>#<seq>`. */
export type ClosingName = string & { readonly [closingBrand]: 'ClosingName' };

/** What a record of `$closed` says. */
export interface ClosingSaying {
  readonly after: ClosingName | undefined;
  readonly closed: Vector;
}

export interface Closing extends ClosingSaying {
  readonly name: ClosingName;
  /** Where it is in the log of this broker. */
  readonly position: number;
  /** How many entries it has, and those before it. */
  readonly total: number;
  /** Whether all that it closes, and those before it, is before it in the log of this broker. */
  readonly isTrue: boolean;
}

/** A vector as a closing, if there is one, and what the vector has beyond it. */
export interface Split {
  readonly after: ClosingName | undefined;
  readonly rest: Vector;
}

export function closingName(origin: Origin, seq: number): ClosingName {
  return `${origin}#${seq}` as ClosingName;
}

/** The record that a closing is. */
export function closingRecord(name: ClosingName): [origin: Origin, seq: number] {
  const mark = name.lastIndexOf('#');
  return [name.slice(0, mark) as Origin, Number(name.slice(mark + 1))];
}

export function encodeClosing({ after, closed }: ClosingSaying): string {
  return JSON.stringify({ after, closed: Object.fromEntries(closed) });
}

/** What a text from anywhere closes; undefined if it does not fit. */
export function parseClosing(text: string): ClosingSaying | undefined {
  const said = parseJson(text);
  if (!isObject(said) || !isObject(said['closed'])) return undefined;
  const { after } = said;
  const entries = Object.entries(said['closed']);
  const isEntry = ([origin, seq]: [string, unknown]): boolean => isOrigin(origin) && isCount(seq) && seq > 0;
  if (entries.length > CLOSED_MAX || !entries.every(isEntry)) return undefined;
  if (after !== undefined && !isName(after)) return undefined;
  return { after, closed: new Map(entries as [Origin, number][]) };
}

export class Closings {
  readonly #known = new Map<ClosingName, Closing>();
  readonly #gone = new Set<ClosingName>(); // from which another one goes on
  #path: readonly Closing[] = []; // from the first one to the one that is used
  #split = new WeakMap<Vector, Split>(); // vectors never change, and many readers share one

  /**
   * A closing is on disk. Says whether it counts: the one before it has to be known, and all that they close be here.
   * @param isHere whether all that it closes is before it in the log of this broker
   */
  hear(name: ClosingName, position: number, { after, closed }: ClosingSaying, isHere: boolean): boolean {
    const before = after === undefined ? undefined : this.#known.get(after);
    if (after !== undefined && before === undefined) return false;
    const isTrue = isHere && before?.isTrue !== false;
    this.#known.set(name, { name, position, after, closed, total: closed.size + (before?.total ?? 0), isTrue });
    if (!isTrue) return false;
    if (before === undefined || this.#gone.has(before.name)) return true;
    this.#gone.add(before.name);
    if (isBetter(before, this.last)) {
      this.#path = this.#pathTo(before.name);
      this.#split = new WeakMap();
    }
    return true;
  }

  has(name: ClosingName): boolean {
    return this.#known.has(name);
  }

  /** Those that count. */
  counting(): Closing[] {
    return [...this.#known.values()].filter(({ isTrue }) => isTrue);
  }

  /** The one that is used. */
  get last(): Closing | undefined {
    return this.#path.at(-1);
  }

  /** Whether another one goes on from it, so that every member has it on disk. */
  isSettled(name: ClosingName): boolean {
    return this.#gone.has(name);
  }

  /** All that is closed by a closing and those before it; nothing by none. */
  closedBy(name: ClosingName | undefined): Vector {
    if (name === undefined) return EMPTY_VECTOR;
    return merged(this.#pathTo(name), new Map());
  }

  /** Names a vector by the last closing that it covers, of those that are used. */
  split(vector: Vector): Split {
    let split = this.#split.get(vector);
    if (split === undefined) this.#split.set(vector, (split = this.#splitNew(vector)));
    return split;
  }

  /** The vector that was split; undefined if its closing is not known here. */
  join({ after, rest }: Split): Vector | undefined {
    if (after === undefined) return rest;
    if (!this.#known.has(after)) return undefined;
    const vector = new Map(this.closedBy(after));
    for (const [origin, seq] of rest) vector.set(origin, Math.max(seq, vector.get(origin) ?? 0));
    return vector;
  }

  /** What is closed by those that are used and not behind a position: whoever has read up to there has read that. */
  closedAt(position: number): Vector {
    const end = this.#path.findIndex((closing) => closing.position > position);
    return merged(end < 0 ? this.#path : this.#path.slice(0, end), new Map());
  }

  #splitNew(vector: Vector): Split {
    const closed = new Map<Origin, number>();
    let after: ClosingName | undefined;
    for (const closing of this.#path) {
      if (!covers(vector, closing.closed)) break;
      merged([closing], closed);
      after = closing.name;
    }
    if (closed.size === 0) return { after: undefined, rest: vector };
    return { after, rest: new Map([...vector].filter(([origin, seq]) => closed.get(origin) !== seq)) };
  }

  /** The first one of its line, and so on up to it. */
  #pathTo(name: ClosingName): readonly Closing[] {
    const path: Closing[] = [];
    for (let next = this.#known.get(name); next !== undefined; next = next.after && this.#known.get(next.after)) {
      path.push(next);
    }
    return path.reverse();
  }
}

/** Of two that may be used, the one that closes more; if they close as much, either, but the same everywhere. */
function isBetter(closing: Closing, than: Closing | undefined): boolean {
  if (than === undefined || closing.total !== than.total) return closing.total > (than?.total ?? 0);
  return closing.name > than.name;
}

/** A later closing lists an origin again only if there was more of it. */
function merged(closings: readonly Closing[], into: Map<Origin, number>): Map<Origin, number> {
  for (const { closed } of closings) {
    for (const [origin, seq] of closed) into.set(origin, Math.max(seq, into.get(origin) ?? 0));
  }
  return into;
}

function isName(value: unknown): value is ClosingName {
  const [, origin, seq] = (typeof value === 'string' && /^(.+)#([1-9]\d{0,15})$/.exec(value)) || [];
  return origin !== undefined && isOrigin(origin) && isCount(Number(seq));
}

function isOrigin(text: string): boolean {
  try {
    parseOrigin(text);
    return true;
  } catch {
    return false; // why it is none does not matter: what is said does not fit
  }
}
