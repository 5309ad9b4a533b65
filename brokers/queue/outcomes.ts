/** Writes down how the deliveries of one subscription ended: done, failed, or put off. */
import type { Acknowledger, Ledger } from './acknowledger.ts';
import { Acknowledgements } from '../core/queue/acknowledgements.ts';
import type { LeaseEntry } from '../core/queue/lease.ts';
import type { Leases } from '../core/queue/leases.ts';
import type { Origin } from '../core/log/record.ts';
import type { Copies } from '../core/log/copies.ts';

export interface OutcomesRuntime {
  readonly acknowledger: Acknowledger;
  readonly copies: Copies;
  readonly ledger: Ledger;
  readonly leases: Leases;
  /** How many messages of one subscription may be delivered and not done, now. */
  leasesMax(): number;
  /** So many leases have ended, or could not be settled; there were as many as there may be. */
  ended(count: number, wasFull: boolean): void;
  /** Messages that an earlier home leased could not be settled: they are due, and the reader may have passed them. */
  dueAgain(): void;
}

/** The name of a message. */
export type Name = readonly [Origin, seq: number];

export class Outcomes {
  readonly #runtime: OutcomesRuntime;
  #unwritten = new Acknowledgements(); // deliveries that failed while the disk was full
  #othersSettling = 0;

  constructor(runtime: OutcomesRuntime) {
    this.#runtime = runtime;
  }

  /** Whether leases of an earlier home are being settled: the reader may have passed their messages. */
  get isSettlingOthers(): boolean {
    return this.#othersSettling > 0;
  }

  /**
   * Messages are done: those of leases here, and others that an earlier home leased. Settles when that is on disk.
   * @throws RumormillError DISKFULL or STORE
   */
  settle(entries: readonly LeaseEntry[], others: readonly Name[]): Promise<void> {
    const { acknowledger, copies, ledger, leases, leasesMax, ended, dueAgain } = this.#runtime;
    this.#othersSettling += others.length;
    const names = [...entries.map((entry): Name => [entry.origin, entry.seq]), ...others];
    const change = (state: Acknowledgements): void => {
      for (const [origin, seq] of names) {
        state.add(origin, seq);
        for (const copy of copies.of(origin, seq)) state.add(copy.origin, copy.seq);
      }
    };
    return new Promise((resolve, reject) => {
      acknowledger.gather(ledger, change, (error) => {
        const wasFull = leases.size >= leasesMax();
        this.#othersSettling -= others.length;
        if (error !== undefined && others.length > 0) dueAgain();
        for (const entry of entries) {
          if (error === undefined) leases.remove(entry);
          else leases.unsettle(entry);
        }
        ended(entries.length, wasFull);
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }

  /**
   * Deliveries have failed: notes how many, and until when the next one waits. Settles when that is
   * on disk, or the disk is full.
   */
  async failed(entries: readonly LeaseEntry[]): Promise<void> {
    if (entries.length === 0) return;
    const failures = new Acknowledgements();
    for (const { origin, seq, deliveries, state, dueAt } of entries) {
      failures.fail(origin, seq, deliveries, state === 'delayed' ? dueAt : undefined);
    }
    await this.note(failures);
  }

  /** Writes that down too; while the disk is full it waits for the next tick. */
  note(failures: Acknowledgements): Promise<void> {
    const { acknowledger, ledger } = this.#runtime;
    return new Promise((resolve) => {
      acknowledger.gather(ledger, (state) => state.merge(failures), (error) => {
        if (error !== undefined) this.#unwritten.merge(failures);
        resolve();
      });
    });
  }

  /** Tries again what could not be written. */
  tick(): void {
    if (this.#unwritten.isEmpty) return;
    const failures = this.#unwritten;
    this.#unwritten = new Acknowledgements();
    void this.note(failures);
  }
}
