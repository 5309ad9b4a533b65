/**
 * NATS JetStream: three servers, one stream with three replicas in files; publishers are connected to the stream's
 * leader.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePorts } from '../support/port.ts';
import { waitFor, within } from '../support/wait.ts';
import type { Publishing } from './load.ts';
import { NatsCounter } from './replies.ts';
import { type Home, type Running, type System, versionOf } from './system.ts';

const STREAM = 'BENCH';
const SUBJECT = 'bench';
const COMMAND = 'nats-server';
const HELLO = 'CONNECT {"verbose":false,"pedantic":false}\r\n';
const CONFIG = JSON.stringify({
  name: STREAM, subjects: [SUBJECT], num_replicas: 3, storage: 'file', retention: 'limits', discard: 'old',
});

/** What the API says of the stream. */
interface Info {
  readonly error?: { readonly description: string };
  readonly state?: { readonly messages: number };
  readonly cluster?: {
    readonly leader?: string;
    readonly replicas?: readonly { readonly current?: boolean; readonly lag?: number }[];
  };
}

export const nats: System = {
  name: 'NATS JetStream',
  promise: 'received by a majority, synced by nobody (three replicas, file storage)',
  version: () => versionOf(COMMAND, '--version')?.replace(/^.*v/, 'NATS '),
  async start(home: Home): Promise<Running> {
    const ports = await freePorts(6);
    const [clients, routes] = [ports.slice(0, 3), ports.slice(3)];
    for (const [index, port] of clients.entries()) {
      home.run(
        COMMAND,
        [
          '-a', '127.0.0.1', '-p', port, '-n', `n${index}`, '-js', '-sd', join(home.folder, `nats-${port}`),
          '--cluster_name', 'bench', '--cluster', `nats://127.0.0.1:${routes[index]}`, '--routes',
          routes.map((route) => `nats://127.0.0.1:${route}`).join(),
        ].map(String),
      );
    }
    const info = (): Promise<Info> => ask(clients[0]!, `STREAM.INFO.${STREAM}`, '');
    await waitFor('JetStream takes the stream', async () => {
      const { error, state } = await ask(clients[0]!, `STREAM.CREATE.${STREAM}`, CONFIG).catch(() => ({
        error: undefined,
        state: undefined,
      }));
      return error === undefined && state !== undefined;
    }, 30_000);
    const { cluster } = await waitFor('the stream has a leader and replicas', async () => {
      const said = await info();
      return (
        said.cluster?.leader !== undefined &&
        said.cluster.replicas?.filter(({ current }) => current).length === 2 &&
        said
      );
    }, 30_000);
    const publishing: Publishing = {
      ports: [clients[Number(cluster!.leader!.slice(1))]!],
      unit: () => 1,
      greeting: (index) => `${HELLO}SUB _INBOX.${index} 1\r\n`,
      frame: (index, payload) =>
        Buffer.concat([
          Buffer.from(`PUB ${SUBJECT} _INBOX.${index} ${payload.length}\r\n`), payload, Buffer.from('\r\n'),
        ]),
      counter: (socket) => new NatsCounter(() => void socket.write('PONG\r\n')),
    };
    return {
      publishing,
      everywhere: publishing,
      async stored() {
        const { state, cluster: now } = await info();
        const messages = state?.messages ?? 0;
        return [messages, ...(now?.replicas ?? []).map(({ lag = 0 }) => messages - lag)];
      },
    };
  },
};

/** A request to JetStream's API, on a connection of its own. */
async function ask(port: number, what: string, body: string): Promise<Info> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect');
    socket.write(
      `${HELLO}SUB _INBOX.api 1\r\nPUB $JS.API.${what} _INBOX.api ${Buffer.byteLength(body)}\r\n${body}\r\n`,
    );
    return await within(`${what} is answered`, answer(socket), 2000);
  } finally {
    socket.destroy();
  }
}

async function answer(chunks: AsyncIterable<Buffer>): Promise<Info> {
  let said = '';
  for await (const chunk of chunks) {
    said += chunk.toString('utf8');
    const match = /MSG _INBOX\.api 1 (\d+)\r\n/.exec(said);
    if (match === null) continue;
    const body = said.slice(match.index + match[0].length);
    if (body.length >= Number(match[1])) return JSON.parse(body.slice(0, Number(match[1]))) as Info;
  }
  throw new Error('the server closed the connection');
}
