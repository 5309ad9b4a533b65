/** Waiting in tests: for a condition, never for a time. */

const WAIT_MS = 10_000; // far beyond what anything takes, so that only what never comes fails
const LOOK_EVERY_MS = 10;

/**
 * Waits until `condition` gives something that is not false, undefined or null, and returns it.
 * @throws Error that says `what` did not come, after `timeoutMs`
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = WAIT_MS,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== false && value !== undefined && value !== null) return value as NonNullable<Exclude<T, false>>;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** The promise's value. @throws Error that says `what` did not come, after `timeoutMs` */
export async function within<T>(what: string, promise: Promise<T>, timeoutMs = WAIT_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms: ${what}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
