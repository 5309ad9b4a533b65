/**
 * A clock on which each look at it takes a millisecond: whoever looks now and then as it works, as core/turns.ts does,
 * sees time pass by how much was done.
 */
import { ManualClock } from './manual-clock.ts';

export class BusyClock extends ManualClock {
  looks = 0;
  /** Rounds of the event loop. */
  rounds = 0;

  override now(): number {
    return super.now() + (this.looks += 1);
  }

  override round(): Promise<void> {
    this.rounds += 1;
    return super.round();
  }
}
