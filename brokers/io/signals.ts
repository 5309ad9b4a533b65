/**
 * What signals do to a broker and to `npm start`, other than what ends them in Node.
 *
 * SIGHUP rereads globalState.csv, as it rereads the settings of other daemons. SIGUSR1 would open a
 * port for debuggers, SIGUSR2 would end the process: they do nothing. A signal that comes while the
 * process still loads does no harm either, so this file is to be imported before all others.
 *
 * A terminal that is closed sends SIGHUP as well. It was the user's way to see and stop the process,
 * which then stops as with Ctrl-C. (One under `nohup` has no terminal.)
 */
import { isatty } from 'node:tty';

/** Signals that end a process in an orderly way. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const;

const STANDARD_STREAMS = [0, 1, 2];

const terminals = STANDARD_STREAMS.filter((descriptor) => isatty(descriptor));
let hangUp: (() => void) | undefined;
let isPending = false; // one came before anybody could do something about it

for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});
process.on('SIGHUP', () => {
  if (hangUp === undefined) isPending = true;
  else hangUp();
});

/** What is to be done at SIGHUP from now on: `reread`, or `stop` if the terminal is gone. */
export function onHangUp(reread: () => void, stop: () => void): void {
  hangUp = () => {
    if (terminals.length > 0 && !terminals.some((descriptor) => isatty(descriptor))) stop();
    else reread();
  };
  if (isPending) hangUp();
}
