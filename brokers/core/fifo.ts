/**
 * A queue: first in, first out. Taking from the front costs nothing that grows with the queue, as it would in an array or in the front of a Map.
 */
const COMPACT_AT = 1024;

export class Fifo<T> {
  #elements: (T | undefined)[] = [];
  #start = 0; // index of the first

  get size(): number {
    return this.#elements.length - this.#start;
  }

  get first(): T | undefined {
    return this.#elements[this.#start];
  }

  push(element: T): void {
    this.#elements.push(element);
  }

  /** Takes out the first. */
  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const element = this.#elements[this.#start];
    this.#elements[this.#start] = undefined; // free at once, its place when there are many
    this.#start += 1;
    if (this.#start >= COMPACT_AT && this.#start * 2 >= this.#elements.length) {
      this.#elements = this.#elements.slice(this.#start);
      this.#start = 0;
    }
    return element;
  }
}
