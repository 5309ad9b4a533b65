/**
 * The catalog as it is kept in the store, so that a start reads what there is and not all that was ever said:
 * one line of JSON for each thing, a word in front that says what it is. What was said up to a position of the
 * log is in it, and nothing of what is gone.
 *
 * It is made from the log and can be made from it again: lines that are damaged, or of a version that nobody
 * here knows, are as good as none.
 */
import type { CatalogContent, Said } from './catalog.ts';
import { encodeOperation, parseOperation, type Settings } from './catalog-operation.ts';
import type { StateContent, Topic } from './catalog-state.ts';
import type { Origin } from '../log/record.ts';
import type { Stamp } from '../log/stamp.ts';
import type { Vector } from '../log/version-vector.ts';

const VERSION = 1;

export interface KeptCatalog {
  readonly content: CatalogContent;
  /** The newest record of each origin that says something of it. */
  readonly vector: Vector;
  /** Nothing was left to be swept of the topics that were deleted. */
  readonly isSwept: boolean;
}

type PlainStamp = readonly [lamport: number, origin: string];
type PlainStart = readonly [id: string, start: Readonly<Record<string, number>>];
type PlainBinding = readonly [topic: string, key: string | null, starts: readonly PlainStart[]];

type Line =
  | readonly ['version', number, Readonly<Record<string, number>>, PlainStamp | null, boolean]
  | readonly ['dead', string, PlainStamp]
  | readonly ['topic', string, readonly string[], Topic['type'] | null]
  | readonly ['subscription', string, PlainStamp, Settings, readonly PlainBinding[]]
  | readonly ['said', PlainStamp, string];

export function encodeKept({ content, vector, isSwept }: KeptCatalog): string[] {
  const { floor, dead, topics, subscriptions, said } = content;
  const lines: Line[] = [
    ['version', VERSION, Object.fromEntries(vector), floor === undefined ? null : plain(floor), isSwept],
    ...dead.map(([topic, stamp]): Line => ['dead', topic, plain(stamp)]),
    ...topics.map(({ name, names, type }): Line => ['topic', name, names, type ?? null]),
    ...subscriptions.map(({ name, since, settings, bindings }): Line => [
      'subscription',
      name,
      plain(since),
      settings,
      bindings.map(({ topic, key, starts }): PlainBinding => [
        topic, key, starts.map(({ id, start }) => [id, Object.fromEntries(start)]),
      ]),
    ]),
    ...said.map(({ stamp, operation }): Line => ['said', plain(stamp), encodeOperation(operation)]),
  ];
  return lines.map((line) => JSON.stringify(line));
}

/** Undefined if the lines cannot be made out. */
export function decodeKept(texts: readonly string[]): KeptCatalog | undefined {
  const lines = texts.map((text) => JSON.parse(text) as Line);
  const [first] = lines;
  if (first?.[0] !== 'version' || first[1] !== VERSION) return undefined;
  const [, , vector, floor, isSwept] = first;
  const dead: (readonly [string, Stamp])[] = [];
  const topics: StateContent['topics'][number][] = [];
  const subscriptions: StateContent['subscriptions'][number][] = [];
  const said: Said[] = [];
  for (const line of lines) {
    if (line[0] === 'dead') dead.push([line[1], stampOf(line[2])]);
    else if (line[0] === 'topic') topics.push({ name: line[1], names: line[2], type: line[3] ?? undefined });
    else if (line[0] === 'subscription') {
      const bindings = line[4].map(([topic, key, starts]) => ({
        topic, key, starts: starts.map(([id, start]) => ({ id, start: vectorOf(start) })),
      }));
      subscriptions.push({ name: line[1], since: stampOf(line[2]), settings: line[3], bindings });
    } else if (line[0] === 'said') {
      const operation = parseOperation(line[2]);
      if (operation === undefined) return undefined;
      said.push({ stamp: stampOf(line[1]), operation });
    }
  }
  const content = { floor: floor === null ? undefined : stampOf(floor), dead, topics, subscriptions, said };
  return { content, vector: vectorOf(vector), isSwept };
}

function plain({ lamport, origin }: Stamp): PlainStamp {
  return [lamport, origin];
}

function stampOf([lamport, origin]: PlainStamp): Stamp {
  return { lamport, origin: origin as Origin };
}

function vectorOf(plainVector: Readonly<Record<string, number>>): Vector {
  return new Map(Object.entries(plainVector) as [Origin, number][]);
}
