/** Log lines that are written once, however often there is reason to. */
import type { Logger } from './core/runtime.ts';

const LINES_MAX = 10_000; // remembered; beyond them nothing new is written

export class Said {
  readonly #logger: Logger;
  readonly #lines = new Set<string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Writes the line unless it was written before with these very fields. */
  once(level: 'info' | 'warn' | 'error', event: string, fields: Readonly<Record<string, string>>): void {
    const line = `${event} ${Object.values(fields).join(' ')}`;
    if (this.#lines.has(line) || this.#lines.size > LINES_MAX) return;
    this.#lines.add(line);
    this.#logger[level](event, fields);
  }
}
