/** A set of numbers that come in about ascending order, as ranges for people: `5 to 9, 12`. */
const SHOWN_MAX = 20;
const KEPT_MAX = 10_000;

export class Ranges {
  readonly #ranges: { first: number; last: number }[] = []; // ascending
  #isCut = false; // there are more than are kept

  add(value: number): void {
    const last = this.#ranges.at(-1);
    if (last !== undefined && value === last.last + 1) last.last = value;
    else if (last === undefined || value > last.last) this.#append(value);
    else this.#insert(value);
  }

  /** The least of them; undefined for none. */
  get first(): number | undefined {
    return this.#ranges[0]?.first;
  }

  toString(): string {
    const shown = this.#ranges.slice(0, SHOWN_MAX);
    const texts = shown.map(({ first, last }) => (first === last ? `${first}` : `${first} to ${last}`));
    return texts.join(', ') + (this.#isCut || this.#ranges.length > SHOWN_MAX ? ' and more' : '');
  }

  #append(value: number): void {
    if (this.#ranges.length < KEPT_MAX) this.#ranges.push({ first: value, last: value });
    else this.#isCut = true;
  }

  #insert(value: number): void {
    const at = this.#ranges.findIndex(({ last }) => value <= last + 1);
    const range = this.#ranges[at]!;
    const next = this.#ranges[at + 1];
    if (value >= range.first && value <= range.last) return;
    if (value === range.last + 1) range.last = value;
    else if (value === range.first - 1) range.first = value;
    else return void this.#ranges.splice(at, 0, { first: value, last: value });
    if (next !== undefined && range.last + 1 >= next.first) {
      this.#ranges.splice(at, 2, { first: range.first, last: next.last });
    }
  }
}
