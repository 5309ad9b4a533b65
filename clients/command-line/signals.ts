/**
 * What signals do to the command lines of clients. SIGUSR1 would open a port for debuggers, SIGUSR2
 * would end the process: they do nothing. To be imported before what takes long to load.
 */
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});

/**
 * Calls `stop` at the first signal that ends a run in an orderly way; a closed terminal sends SIGHUP. The next one ends
 * the process.
 */
export function onStop(stop: () => void): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
}
