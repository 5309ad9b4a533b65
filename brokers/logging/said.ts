/**
 * Log lines about what goes on for as long as nobody mends it: written once, and again only after a
 * while, however often there is reason to.
 */
import type { Clock, Logger } from '../core/runtime.ts';

const LINES_MAX = 10_000; // remembered; beyond them nothing new is written
const AGAIN_MS = 600_000; // after which what is still so is said again

type Level = 'debug' | 'info' | 'warn' | 'error';
type Fields = Readonly<Record<string, string>>;

export class Said {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #lines = new Map<string, number>(); // when each was written

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Writes the line unless it was written before with these very fields. */
  once(level: Level, event: string, fields: Fields): void {
    this.#write(level, event, fields, Infinity);
  }

  /** Writes the line unless it was written a while ago with these very fields. */
  nowAndThen(level: Level, event: string, fields: Fields, againMs = AGAIN_MS): void {
    this.#write(level, event, fields, againMs);
  }

  #write(level: Level, event: string, fields: Fields, againMs: number): void {
    const now = this.#clock.now();
    const line = `${event} ${Object.values(fields).join(' ')}`;
    const at = this.#lines.get(line);
    if (at === undefined ? this.#lines.size >= LINES_MAX : now - at < againMs) return;
    this.#lines.set(line, now);
    this.#logger[level](event, fields);
  }
}
