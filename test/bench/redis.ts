/** Redis Streams: a primary that syncs before it answers and two replicas; publishers wait for one of them. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { freePorts } from '../support/port.ts';
import { RespClient } from '../support/resp-client.ts';
import { waitFor } from '../support/wait.ts';
import type { Publishing } from './load.ts';
import { RespCounter } from './replies.ts';
import { type Home, type Running, type System, versionOf } from './system.ts';

const KEY = 'bench';
const COMMAND = 'redis-server';

export const redis: System = {
  name: 'Redis',
  promise: 'synced to the disk of the primary, received by one replica (`appendfsync always`, `XADD`s then `WAIT 1`)',
  version: () => versionOf(COMMAND, '--version')?.replace(/^.* v=([\d.]+).*$/, 'Redis $1'),
  async start(home: Home): Promise<Running> {
    const ports = await freePorts(3);
    const primary = ports[0]!;
    for (const port of ports) {
      const folder = join(home.folder, `redis-${port}`);
      mkdirSync(folder);
      const args = [
        '--port',
        port,
        '--bind',
        '127.0.0.1',
        '--dir',
        folder,
        '--appendonly',
        'yes',
        '--appendfsync',
        'always',
        '--save',
        '',
        // rewriting the file would slow it down, and is not measured
        '--auto-aof-rewrite-percentage',
        0,
        '--repl-diskless-sync-delay',
        0,
      ];
      home.run(COMMAND, [...args, ...(port === primary ? [] : ['--replicaof', '127.0.0.1', primary])].map(String));
    }
    await waitFor(
      'the replicas follow',
      async () => /^connected_slaves:2[^]*state=online[^]*state=online/m.test(await info(primary).catch(() => '')),
      30_000,
    );
    const publishing: Publishing = {
      ports: [primary],
      unit: (share) => share,
      greeting: () => '',
      frame(_, payload, unit) {
        const add = encodeCommand(['XADD', KEY, '*', 'p', payload]);
        return Buffer.concat([...Array.from({ length: unit }, () => add), encodeCommand(['WAIT', 1, 0])]);
      },
      counter: () => new RespCounter(),
    };
    return {
      publishing,
      everywhere: publishing,
      stored: () => Promise.all(ports.map((port) => ask(port, 'XLEN', KEY).then(Number))),
    };
  },
};

async function info(port: number): Promise<string> {
  return String(await ask(port, 'INFO', 'replication'));
}

async function ask(port: number, ...command: readonly string[]): Promise<unknown> {
  const client = await RespClient.open(port);
  try {
    return await client.command(...command);
  } finally {
    client.close();
  }
}
