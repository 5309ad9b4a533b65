/**
 * A live line on a terminal: how far a long run is, and how fast. Drawn on standard error, only if that is a terminal,
 * and only once the run has lasted a second; taken away before anything else is written there, and at the end.
 */
import { performance } from 'node:perf_hooks';

const FIRST_AFTER_MS = 1_000;
const EVERY_MS = 250;

/** Written to a terminal: the cursor's line is empty. */
export const CLEAR_LINE = '\r\x1b[K';

export class Progress {
  readonly #line: () => string;
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout | undefined;
  #isDrawn = false;

  /** @param line what to show, asked for at each drawing */
  constructor(line: (elapsedMs: number) => string) {
    this.#line = () => line(this.elapsedMs);
    if (process.stderr.isTTY) this.#timer = setInterval(() => this.#draw(), EVERY_MS).unref();
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** Takes the line away until it is next drawn: call it before writing to the terminal. */
  readonly clear = (): void => {
    if (!this.#isDrawn) return;
    this.#isDrawn = false;
    process.stderr.write(CLEAR_LINE);
  };

  /** Takes the line away for good. */
  stop(): void {
    clearInterval(this.#timer);
    this.clear();
  }

  #draw(): void {
    if (this.elapsedMs < FIRST_AFTER_MS) return;
    const width = process.stderr.columns ?? 80;
    process.stderr.write(`${CLEAR_LINE}${this.#line().slice(0, width - 1)}`);
    this.#isDrawn = true;
  }
}

/** A whole number with its thousands apart: 1,234,567. */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
