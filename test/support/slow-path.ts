/** A path that carries little: a TCP proxy that passes on a number of bytes at a time, per connection and direction. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

const BEAT_MS = 10;

/** A slow path to a port; closed with the test. Its address. @param bytesPerBeat each 10 ms */
export async function slowPath(t: Test, port: number, bytesPerBeat: number): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect({ port, host: '127.0.0.1' });
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from);
      const timer = pump(from, to, bytesPerBeat);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        clearInterval(timer);
        to.destroy();
        sockets.delete(from);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What comes waits in the sockets, as before a narrow place. */
function pump(from: Socket, to: Socket, bytesPerBeat: number): NodeJS.Timeout {
  from.on('readable', () => {}); // or nothing is read at all
  return setInterval(() => {
    const bytes = from.read(Math.min(bytesPerBeat, from.readableLength)) as Buffer | null;
    if (bytes !== null && !to.destroyed) to.write(bytes);
  }, BEAT_MS);
}
