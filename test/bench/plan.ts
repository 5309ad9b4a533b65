/** How much a run of the benchmark measures, and where its findings go. */
import { type Report, shown } from './report.ts';
import type { System } from './system.ts';

export interface Plan {
  /** Those that are installed. */
  readonly peers: readonly System[];
  /** For how long every system is published to, once, before any of it is measured: V8 compiles what runs often. */
  readonly runInMs: number;
  /** Before each measurement. */
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** How much of what a scenario counts out is counted out: messages to replay, waiters. */
  readonly scale: number;
  rounds(round: () => Promise<void>): Promise<void>;
  /** @param bytes of each message, where the table is to show bytes a second beside messages */
  found(
    scenario: string, what: string, system: string, unit: string, value: number, latency?: readonly number[],
    bytes?: number,
  ): void;
}

export function makePlan(report: Report, peers: readonly System[], quick: boolean, rounds: number): Plan {
  return {
    peers,
    runInMs: quick ? 400 : 5000,
    warmUpMs: quick ? 200 : 500,
    durationMs: quick ? 400 : 2000,
    scale: quick ? 0.1 : 1,
    async rounds(round) {
      for (let done = 0; done < rounds; done += 1) await round();
    },
    found(scenario, what, system, unit, value, latency, bytes) {
      report.add(scenario, what, system, unit, value, latency, bytes);
      process.stderr.write(`${scenario}: ${what}, ${system}: ${shown(value)} ${unit}\n`);
    },
  };
}
