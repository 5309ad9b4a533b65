/**
 * Binary heap: the least element first. J. W. J. Williams, "Algorithm 232: Heapsort", CACM 7(6), 1964. What is added in
 * ascending order stays at its place, so a queue that is nearly in order costs little.
 */
export class Heap<T> {
  readonly #isBefore: (a: T, b: T) => boolean;
  #elements: T[] = [];

  /** @param isBefore a strict weak order */
  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#elements.length;
  }

  /** The least element, undefined in an empty heap. */
  get top(): T | undefined {
    return this.#elements[0];
  }

  push(element: T): void {
    const elements = this.#elements;
    let at = elements.push(element) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(element, elements[parent]!)) break;
      elements[at] = elements[parent]!;
      at = parent;
    }
    elements[at] = element;
  }

  /** Takes out the least element. */
  pop(): T | undefined {
    const elements = this.#elements;
    const top = elements[0];
    const last = elements.pop();
    if (elements.length === 0 || last === undefined) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= elements.length) break;
      if (child + 1 < elements.length && this.#isBefore(elements[child + 1]!, elements[child]!)) child += 1;
      if (!this.#isBefore(elements[child]!, last)) break;
      elements[at] = elements[child]!;
      at = child;
    }
    elements[at] = last;
    return top;
  }

  /** Keeps only the elements that this is true for. */
  filter(keep: (element: T) => boolean): void {
    this.#elements = this.#elements
      .filter(keep)
      .sort((a, b) => (this.#isBefore(a, b) ? -1 : this.#isBefore(b, a) ? 1 : 0)); // sorted, it is a heap
  }
}
