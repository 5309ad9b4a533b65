/**
 * Glob patterns, as in Redis: * any run, ? any one character, [abc] and [a-c] and [^a] one of a set,
 * \ takes the next one as it is. A character is a Unicode code point.
 *
 * Nothing is ever tried twice. What is before the first * must be the text's beginning, what is behind
 * the last one must be its end, and each part between two of them is looked for from where the one before
 * it ended: the first place found will do, since a * takes whatever is left over. The search
 * keeps, in a bit for each place of the part, whether the text read so far ends with all up to there, so
 * that each character of the text is read once (Shift-And: R. Baeza-Yates, G. Gonnet, "A New Approach to
 * Text Searching", CACM 35(10), 1992). So the time is the length of the text times a 32nd of the
 * pattern's, whatever they are.
 */

/** The pattern for one character: itself, any, or one of a set. */
type Token = number | typeof ANY | CharacterSet;

const ANY = Symbol('any');
const [STAR, QUESTION, BACKSLASH, OPEN, CLOSE, CARET, DASH] = [42, 63, 92, 91, 93, 94, 45];
const WORD_BITS = 32;
const ASCII = 128;
const MATCH_WORK = 5; // of one that is ready, about, µs

/** A text as its code points. */
export type Codes = readonly number[];

export function codesOf(text: string): Codes {
  const codes: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.codePointAt(at)!;
    if (code > 0xffff) at += 1; // it has two places in the text
    codes.push(code);
  }
  return codes;
}

/** Patterns with more parts between stars are made ready each time, or thousands of them would take much memory. */
const PARTS_KEPT_MAX = 4;

/** A pattern, made ready when it is asked; it takes some KiB at most. */
export class Glob {
  /** What every text that it matches begins with. */
  readonly prefix: string;
  readonly #pattern: string;
  #parts: Parts | undefined;

  constructor(pattern: string) {
    this.#pattern = pattern;
    this.prefix = literalPrefix(pattern);
  }

  /** About how long it takes to be tried, µs. */
  get work(): number {
    return this.#parts === undefined ? MATCH_WORK + this.#pattern.length / 2 : MATCH_WORK;
  }

  /** Whether it matches all of a text. */
  matches(text: string | Codes): boolean {
    const codes = typeof text === 'string' ? codesOf(text) : text;
    const parts = this.#parts ?? makeParts(this.#pattern);
    if (parts.between.length <= PARTS_KEPT_MAX) this.#parts = parts;
    const { first, between, last } = parts;
    if (last === undefined) return codes.length === first.length && matchesAt(first, codes, 0);
    const end = codes.length - last.length;
    if (end < first.length || !matchesAt(first, codes, 0) || !matchesAt(last, codes, end)) return false;
    let at = first.length;
    for (const part of between) {
      at = part.endIn(codes, at, end);
      if (at < 0) return false;
    }
    return true;
  }
}

function literalPrefix(pattern: string): string {
  let prefix = '';
  for (let at = 0; at < pattern.length && !'*?['.includes(pattern[at]!); at += 1) {
    if (pattern[at] === '\\' && at + 1 < pattern.length) at += 1;
    prefix += pattern[at]!;
  }
  return prefix;
}

/**
 * What is before the first star, between any two, and behind the last one; the latter is undefined if there is no
 * star.
 */
interface Parts {
  readonly first: readonly Token[];
  readonly between: readonly Search[];
  readonly last: readonly Token[] | undefined;
}

function makeParts(pattern: string): Parts {
  const [first, ...others] = partsOf(codesOf(pattern)) as [Token[], ...Token[][]];
  const last = others.pop();
  return { first, between: others.filter((part) => part.length > 0).map((part) => new Search(part)), last };
}

/** What is before, between and behind the stars. */
function partsOf(pattern: Codes): Token[][] {
  const parts: Token[][] = [[]];
  for (let at = 0; at < pattern.length; at += 1) {
    const code = pattern[at]!;
    const part = parts.at(-1)!;
    if (code === STAR) parts.push([]);
    else if (code === QUESTION) part.push(ANY);
    else if (code === OPEN) {
      const end = endOfSet(pattern, at + 1);
      part.push(new CharacterSet(pattern.slice(at + 1, end)));
      at = end;
    } else {
      if (code === BACKSLASH && at + 1 < pattern.length) at += 1;
      part.push(pattern[at]!);
    }
  }
  return parts;
}

/** Where the ] of a set is; one that is never closed ends with the pattern. */
function endOfSet(pattern: Codes, start: number): number {
  let at = pattern[start] === CARET ? start + 1 : start;
  while (at < pattern.length && pattern[at] !== CLOSE) {
    if (pattern[at] === BACKSLASH && at + 1 < pattern.length) at += 1;
    const isRange = pattern[at + 1] === DASH && at + 2 < pattern.length && pattern[at + 2] !== CLOSE;
    at += isRange ? 3 : 1;
  }
  return Math.min(at, pattern.length);
}

class CharacterSet {
  readonly #isNegated: boolean;
  readonly #ascii = new Int32Array(ASCII / WORD_BITS);
  readonly #ranges: [low: number, high: number][] = []; // of all others, bounds inclusive

  /** @param inner what is between the brackets */
  constructor(inner: Codes) {
    this.#isNegated = inner[0] === CARET;
    for (let at = this.#isNegated ? 1 : 0; at < inner.length; at += 1) {
      if (inner[at] === BACKSLASH && at + 1 < inner.length) at += 1;
      const one = inner[at]!;
      const isRange = inner[at + 1] === DASH && at + 2 < inner.length;
      const other = isRange ? inner[at + 2]! : one;
      if (isRange) at += 2;
      this.#add(Math.min(one, other), Math.max(one, other));
    }
  }

  has(code: number): boolean {
    const isIn = code < ASCII
      ? (this.#ascii[code >>> 5]! & (1 << (code & 31))) !== 0
      : this.#ranges.some(([low, high]) => code >= low && code <= high);
    return isIn !== this.#isNegated;
  }

  #add(low: number, high: number): void {
    for (let code = low; code <= high && code < ASCII; code += 1) this.#ascii[code >>> 5]! |= 1 << (code & 31);
    if (high >= ASCII) this.#ranges.push([low, high]);
  }
}

function matchesAt(part: readonly Token[], text: Codes, at: number): boolean {
  for (let index = 0; index < part.length; index += 1) {
    const token = part[index]!;
    const code = text[at + index]!;
    if (typeof token === 'number' ? token !== code : token !== ANY && !token.has(code)) return false;
  }
  return true;
}

/** Finds one part between two stars. */
class Search {
  readonly #length: number;
  readonly #words: number;
  readonly #any: Int32Array; // the places of the part that match any character
  readonly #codes: Int32Array; // those that match themselves, in order
  readonly #masks: Int32Array; // at which places each of them is, as many words per code
  readonly #sets: { readonly bit: number; readonly set: CharacterSet }[][]; // by word

  constructor(part: readonly Token[]) {
    this.#length = part.length;
    this.#words = Math.ceil(part.length / WORD_BITS);
    this.#any = new Int32Array(this.#words);
    this.#sets = Array.from({ length: this.#words }, () => []);
    const literals = new Set(part.filter((token): token is number => typeof token === 'number'));
    this.#codes = Int32Array.from(literals).sort();
    this.#masks = new Int32Array(this.#codes.length * this.#words);
    for (const [index, token] of part.entries()) {
      const [word, bit] = [index >>> 5, 1 << (index & 31)];
      if (token === ANY) this.#any[word]! |= bit;
      else if (typeof token === 'number') this.#masks[this.#indexOf(token) * this.#words + word]! |= bit;
      else this.#sets[word]!.push({ bit, set: token });
    }
  }

  /** Where the first place of it within a text from `start` to `end` ends; -1 if there is none. */
  endIn(text: Codes, start: number, end: number): number {
    const words = this.#words;
    const state = new Int32Array(words); // bit i: what was read ends with the part up to its place i
    const found = 1 << ((this.#length - 1) & 31);
    for (let at = start; at < end; at += 1) {
      const code = text[at]!;
      const mask = this.#indexOf(code) * words;
      let carry = 1; // one may begin anywhere
      for (let word = 0; word < words; word += 1) {
        const before = state[word]!;
        const next = (before << 1) | carry;
        carry = before >>> (WORD_BITS - 1);
        state[word] =
          next & (this.#any[word]! | (mask < 0 ? 0 : this.#masks[mask + word]!) | this.#inSets(word, next, code));
      }
      if ((state[words - 1]! & found) !== 0) return at + 1;
    }
    return -1;
  }

  /** Those of some places that have a set with the character. */
  #inSets(word: number, places: number, code: number): number {
    let matching = 0;
    for (const { bit, set } of this.#sets[word]!) if ((places & bit) !== 0 && set.has(code)) matching |= bit;
    return matching;
  }

  /** Of a code among those that match themselves; -1 if it is none of them. */
  #indexOf(code: number): number {
    let [low, high] = [0, this.#codes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#codes[middle]! < code) low = middle + 1;
      else high = middle;
    }
    return this.#codes[low] === code ? low : -1;
  }
}
