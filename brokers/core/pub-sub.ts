/**
 * Who gets what pushed: channels (topics) and glob patterns of SUBSCRIBE and PSUBSCRIBE, with Redis's meaning.
 *
 * Patterns as in Redis: * any run, ? any one character, [abc] and [a-c] and [^a] one of a set, \ takes the next one as it stands.
 */
export class PubSub<S> {
  readonly #channels = new Map<string, Set<S>>();
  readonly #patterns = new Map<string, Set<S>>();

  subscribe(channel: string, subscriber: S): void {
    addTo(this.#channels, channel, subscriber);
  }

  unsubscribe(channel: string, subscriber: S): void {
    removeFrom(this.#channels, channel, subscriber);
  }

  psubscribe(pattern: string, subscriber: S): void {
    addTo(this.#patterns, pattern, subscriber);
  }

  punsubscribe(pattern: string, subscriber: S): void {
    removeFrom(this.#patterns, pattern, subscriber);
  }

  /** Whether anybody might get anything: nobody is the common case. */
  get isEmpty(): boolean {
    return this.#channels.size === 0 && this.#patterns.size === 0;
  }

  subscribers(channel: string): Iterable<S> {
    return this.#channels.get(channel) ?? [];
  }

  /** Those whose pattern matches, once for each pattern that does. */
  *matching(channel: string): Iterable<readonly [pattern: string, subscriber: S]> {
    for (const [pattern, subscribers] of this.#patterns) {
      if (!globMatches(pattern, channel)) continue;
      for (const subscriber of subscribers) yield [pattern, subscriber];
    }
  }

  channels(pattern = '*'): string[] {
    return [...this.#channels.keys()].filter((channel) => globMatches(pattern, channel));
  }

  countSubscribers(channel: string): number {
    return this.#channels.get(channel)?.size ?? 0;
  }

  get patternCount(): number {
    return this.#patterns.size;
  }
}

/** Whether a glob pattern matches all of a text. Time is at most the product of their lengths. */
export function globMatches(pattern: string, text: string): boolean {
  let [p, t] = [0, 0];
  let [starP, starT] = [-1, 0]; // where to go on if the run that * stands for must be longer
  while (t < text.length) {
    const end = pattern[p] === '*' ? 0 : matchOne(pattern, p, text[t]!);
    if (pattern[p] === '*') {
      [starP, starT] = [p, t];
      p += 1;
    } else if (end > 0) {
      p = end;
      t += 1;
    } else if (starP >= 0) {
      starT += 1;
      [p, t] = [starP + 1, starT];
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

/** Where the pattern goes on behind the one character that `pattern[at]` begins to describe; 0 where that does not match. */
function matchOne(pattern: string, at: number, character: string): number {
  const first = pattern[at];
  if (first === undefined) return 0;
  if (first === '?') return at + 1;
  if (first === '\\' && at + 1 < pattern.length) return pattern[at + 1] === character ? at + 2 : 0;
  if (first !== '[') return first === character ? at + 1 : 0;
  const negated = pattern[at + 1] === '^';
  let found = false;
  let index = at + (negated ? 2 : 1);
  for (; index < pattern.length && pattern[index] !== ']'; index += 1) {
    if (pattern[index] === '\\' && index + 1 < pattern.length) index += 1;
    if (pattern[index + 1] === '-' && pattern[index + 2] !== undefined && pattern[index + 2] !== ']') {
      const [low, high] = [pattern[index]!, pattern[index + 2]!].sort() as [string, string];
      if (character >= low && character <= high) found = true;
      index += 2;
    } else if (pattern[index] === character) found = true;
  }
  return found === negated ? 0 : Math.min(index + 1, pattern.length);
}

function addTo<S>(map: Map<string, Set<S>>, name: string, subscriber: S): void {
  const set = map.get(name);
  if (set) set.add(subscriber);
  else map.set(name, new Set([subscriber]));
}

function removeFrom<S>(map: Map<string, Set<S>>, name: string, subscriber: S): void {
  const set = map.get(name);
  set?.delete(subscriber);
  if (set?.size === 0) map.delete(name);
}
