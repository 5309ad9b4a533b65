/**
 * Ports for brokers under test.
 *
 * Below the range from which systems take ports of outgoing connections (32768 up on Linux), so that a broker that was
 * killed finds its own free when it comes back. Test files that run side by side begin at different places, since their
 * process ids differ.
 */
import { createServer } from 'node:net';

const [FIRST, LAST] = [10_000, 30_000];
const A_PROCESS = 50;

let next = FIRST + ((process.pid * A_PROCESS) % (LAST - FIRST));

/** Ports on which nobody listens, ascending, each given out once by this process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = next;
    next = next + 1 < LAST ? next + 1 : FIRST;
    if (await isFree(port)) ports.push(port);
  }
  return ports.sort((a, b) => a - b);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
