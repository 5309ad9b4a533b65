/**
 * Log lines about what may happen very often: the first time it is written at once, then once a
 * minute with the number. So ten thousand refused connections are a few lines, and none is silent.
 */
import type { Clock, LogFields, Logger } from '../core/runtime.ts';

const EVERY_MS = 60_000;

interface Untold {
  count: number;
  fields: LogFields;
  toldAt: number;
}

export class Tally {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #events = new Map<string, Untold>();

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Counts an event, a constant phrase; the line has the fields of the last time. */
  warn(event: string, fields: LogFields): void {
    let untold = this.#events.get(event);
    if (untold === undefined) this.#events.set(event, (untold = { count: 0, fields, toldAt: -Infinity }));
    untold.count += 1;
    untold.fields = fields;
    if (this.#clock.now() - untold.toldAt >= EVERY_MS) this.#tell(event, untold);
  }

  /** Writes what is due. To be called now and then. */
  tick(): void {
    const now = this.#clock.now();
    for (const [event, untold] of this.#events) {
      if (untold.count > 0 && now - untold.toldAt >= EVERY_MS) this.#tell(event, untold);
    }
  }

  /** Writes what was not written yet. */
  close(): void {
    for (const [event, untold] of this.#events) if (untold.count > 0) this.#tell(event, untold);
  }

  #tell(event: string, untold: Untold): void {
    this.#logger.warn(event, { ...untold.fields, count: untold.count });
    untold.count = 0;
    untold.toldAt = this.#clock.now();
  }
}
