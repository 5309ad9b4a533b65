/** What a batch of runs did, in numbers: a batch in which some fault never happened proves nothing about it. */
import { ACK_LEVELS } from '../../brokers/core/ack-level.ts';
import type { QueueCounts } from './queue-checker.ts';
import { type Report, sum } from './run.ts';

export class Summary {
  readonly #reports: Pick<
    Report,
    'faults' | 'turnover' | 'disks' | 'network' | 'counts' | 'queues' | 'virtualMs' | 'calmMs' | 'events'
  >[] = [];
  readonly #outcomes: Record<string, Record<string, number>> = Object.fromEntries(
    ACK_LEVELS.map((level) => [level, { acknowledged: 0 }]),
  );
  #deliveries = 0;
  #failed = 0;

  add(report: Report): void {
    const { faults, turnover, disks, network, counts, queues, virtualMs, calmMs, events, history } = report;
    // without the history, which is large
    this.#reports.push({ faults, turnover, disks, network, counts, queues, virtualMs, calmMs, events });
    if (report.violations.length > 0) this.#failed += 1;
    for (const { deliveries } of history.subscriptions) this.#deliveries += deliveries.length;
    for (const { acks, attempts } of history.publications) {
      const outcomes = this.#outcomes[acks]!;
      for (const { outcome } of attempts) {
        const name = typeof outcome === 'number' ? 'acknowledged' : (outcome ?? 'nothing');
        outcomes[name] = (outcomes[name] ?? 0) + 1;
      }
    }
  }

  /** How often each kind of fault happened. */
  get faults(): Report['faults'] {
    return sum(this.#reports.map(({ faults }) => faults));
  }

  /** How machines came and went. */
  get turnover(): NonNullable<Report['turnover']> {
    return sum(this.#reports.flatMap(({ turnover }) => (turnover === undefined ? [] : [turnover])));
  }

  /** What consumers did. */
  get queues(): QueueCounts {
    return sum(this.#reports.flatMap(({ queues }) => (queues === undefined ? [] : [queues])));
  }

  /** The least part of a run's virtual time that was free of faults. */
  get calm(): number {
    return Math.min(...this.#reports.map(({ calmMs, virtualMs }) => calmMs / virtualMs));
  }

  text(seconds: number): string {
    const runs = this.#reports.length;
    const total = sum(this.#reports.map(({ virtualMs, events }) => ({ virtualMs, events })));
    return [
      `runs        ${runs}, ${this.#failed} failed; ${(runs / seconds).toFixed(1)} a second, ${seconds.toFixed(1)} s in all`,
      `virtual     ${(total.virtualMs / 3_600_000).toFixed(2)} hours, at least ${Math.floor(100 * this.calm)} % of each run without faults; ${total.events} events`,
      `faults      ${listed(this.faults)}`,
      `turnover    ${listed(this.turnover)}`,
      `disks       ${listed(sum(this.#reports.map(({ disks }) => disks)))}`,
      `network     ${listed(sum(this.#reports.map(({ network }) => network)))}`,
      ...ACK_LEVELS.map((level) => `ACKS ${level.padEnd(6)} ${listed(this.#outcomes[level]!)}`),
      `deliveries  ${this.#deliveries}; ${listed(sum(this.#reports.map(({ counts }) => counts)))}`,
      `queues      in ${this.#reports.filter(({ queues }) => queues !== undefined).length} runs; ${listed(this.queues)}`,
    ].join('\n');
  }
}

function listed(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(', ');
}
