import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { DIST } from '../support/root.ts';

const [FIRST, LAST] = [40_000, 40_009]; // ports of outgoing connections, so few that each is taken soon
const DIALS = 300;

/** A network of its own, with a loopback device and few ports. */
const RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
const INSIDE = `ip link set lo up && echo ${FIRST} ${LAST} > ${RANGE} && exec "$@"`;

function inNamespace(...command: readonly string[]): SpawnSyncReturns<string> {
  const { NODE_OPTIONS: _, ...env } = process.env; // tap's loaders are none of the child's business
  return spawnSync('unshare', ['-rn', 'sh', '-c', INSIDE, 'sh', ...command], {
    encoding: 'utf8', env, timeout: 60_000,
  });
}

function run(script: string): unknown {
  const { status, stdout, stderr } = inNamespace(process.execPath, '--input-type=module', '-e', script);
  if (status !== 0) throw new Error(`exit status ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/** What the scripts have in common: a broker's port on which somebody listens, and how all ports can be had. */
const SETTING = `
  import { createServer } from 'node:net';
  const listen = (port) => new Promise((resolve, reject) => {
    const server = createServer().once('error', reject).listen(port, '127.0.0.1', () => resolve(server));
  });
  const inUse = async () => {
    const ports = [];
    for (let port = ${FIRST + 1}; port <= ${LAST}; port += 1) {
      await listen(port).then((server) => server.close(), () => ports.push(port));
    }
    return ports;
  };
  const server = await listen(${FIRST});
  const found = [];
  const expect = (code) => (error) => error.code === code || found.push(error.message);
`;

const skip = inNamespace('true').status !== 0 && 'needs network namespaces';

t.test('a broker that dials a dead one never meets itself, and keeps no port from anybody', { skip }, async (t) => {
  const transport = pathToFileURL(join(DIST, 'brokers/io/transport.js')).href;
  const result = run(`${SETTING}
    import { tcpTransport } from '${transport}';
    const dial = (port, taken) => tcpTransport.dial('127.0.0.1:' + port, 1000, new Set(taken));
    for (let count = 0; count < ${DIALS}; count += 1) {
      await dial(${FIRST + 2}).then(() => found.push('itself'), expect('UNREACHABLE'));
    }
    const links = await Promise.all(Array.from({ length: 4 }, () => dial(${FIRST})));
    console.log(JSON.stringify({ found, inUse: await inUse() }));
    process.exit();
  `);
  t.strictSame(result, { found: [], inUse: [] });
});

t.test('a client that dials a broker which is down does not meet itself', { skip }, async (t) => {
  const connection = pathToFileURL(join(DIST, 'clients/library/connection.js')).href;
  const result = run(`${SETTING}
    import { dialSocket } from '${connection}';
    const dial = (port) => dialSocket('127.0.0.1:' + port, 1000, new AbortController().signal);
    for (let count = 0; count < ${DIALS}; count += 1) {
      await dial(${FIRST + 2}).then(() => found.push('itself'), expect('DISCONNECTED'));
    }
    const sockets = await Promise.all(Array.from({ length: 4 }, () => dial(${FIRST})));
    console.log(JSON.stringify({ found, inUse: await inUse() }));
    process.exit();
  `);
  t.strictSame(result, { found: [], inUse: [] });
});
