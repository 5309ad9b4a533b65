/**
 * `broker --mend-clock`: sets back a Lamport clock or a term that is beyond sense, as a damaged file or a broken broker
 * may leave them, or far too high, as one that lies does. To be run on every broker of the mesh while all are stopped:
 * a broker left out would be refused by the others.
 *
 * The clock goes back to the newest record stored, so that each origin's timestamps still grow and no
 * message id is given twice; the term goes back to 0, and all brokers begin again from it. Nothing else
 * changes: names, seqs and records stay.
 *
 * What it cannot mend is a record that has such a timestamp itself, since records are the same on all
 * brokers for ever: then the clock goes on from there, and what is left of all timestamps is told.
 */
import { COUNTER_SENSE_MAX } from '../core/counter.ts';
import { LAMPORT_MAX } from '../core/log/lamport.ts';
import type { Logger } from '../core/runtime.ts';
import type { Store, StoreState } from '../core/log/store.ts';

/** No clock comes so far ahead of the newest record, and no mesh holds so many elections in a century. */
const DOUBT = 2 ** 36;

/**
 * Tells the operator who starts a broker on this store if its clock or term is beyond sense, or was taken far by
 * somebody who lied.
 */
export function tellBeyondSense({ lamport, newest, term }: StoreState, logger: Logger): void {
  if (lamport <= COUNTER_SENSE_MAX && term <= COUNTER_SENSE_MAX) {
    if (lamport - newest <= DOUBT && term <= DOUBT) return;
    const remedy = 'stop all brokers, run each once with --mend-clock, and start them again';
    const event = 'the stored Lamport clock or term is far above what a mesh counts to';
    return logger.warn(event, { lamport, newest, term, remedy });
  }
  logger.error(
    'the stored Lamport clock or term is beyond sense: stop all brokers, run each once with --mend-clock, and start them again',
    { lamport, term },
  );
}

/**
 * Mends the store of a broker that does not run. Returns what was done, in a line for people.
 * @throws RumormillError DISKFULL or STORE
 */
export async function mendClock(store: Store): Promise<string> {
  const { lamport, newest, term } = store.state;
  await store.saveClock(newest, 0);
  const done = `Lamport clock ${lamport} set to ${newest}, that of the newest record; term ${term} set to 0`;
  if (newest <= COUNTER_SENSE_MAX) return done;
  return `${done}. Records with timestamps beyond sense are stored, and those cannot be mended: ${LAMPORT_MAX - newest} timestamps are left`;
}
