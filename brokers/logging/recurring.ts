/**
 * Log lines about what should be rare and may happen again and again, as when a peer comes and goes
 * because the path to it is too long for its time limits.
 *
 * The first few lines of a subject are written as they come. From then on they are `debug`, and are
 * counted; one line says how many there were, after 10 s, then at distances that double up to 10
 * minutes. A subject that was quiet for such a distance begins again.
 */
import type { Clock, LogFields, Logger } from '../core/runtime.ts';

const FEW = 8; // lines of a subject, written as they come
const [FIRST_MS, LAST_MS] = [10_000, 600_000]; // distances of summaries
const SUBJECTS_MAX = 10_000; // beyond them lines are written as they come

interface Subject {
  lines: number; // written
  readonly counts: Map<string, number>; // of lines that were not, by event
  distanceMs: number;
  dueAt: number;
}

export class Recurring {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #subjects = new Map<string, Subject>();

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Writes a line, or counts it. @param subject what it is about, as a person would call it */
  say(subject: string, event: string, fields: LogFields): void {
    const known = this.#subjects.get(subject) ?? this.#begin(subject);
    if (known !== undefined && known.lines >= FEW) {
      known.counts.set(event, (known.counts.get(event) ?? 0) + 1);
      return this.#logger.debug(event, fields);
    }
    if (known !== undefined) known.lines += 1;
    this.#logger.info(event, fields);
  }

  /** To be called now and then: writes the summaries that are due. */
  tick(): void {
    const now = this.#clock.now();
    for (const [subject, known] of this.#subjects) {
      if (now < known.dueAt) continue;
      if (known.counts.size === 0) {
        this.#subjects.delete(subject);
        continue;
      }
      const what = [...known.counts].map(([event, count]) => `${event} ${count} times`).join(', ');
      this.#logger.info('again and again', { subject, what, seconds: Math.round(known.distanceMs / 1000) });
      known.counts.clear();
      known.distanceMs = Math.min(LAST_MS, 2 * known.distanceMs);
      known.dueAt = now + known.distanceMs;
    }
  }

  #begin(subject: string): Subject | undefined {
    if (this.#subjects.size >= SUBJECTS_MAX) return undefined;
    const begun = { lines: 0, counts: new Map(), distanceMs: FIRST_MS, dueAt: this.#clock.now() + FIRST_MS };
    this.#subjects.set(subject, begun);
    return begun;
  }
}
