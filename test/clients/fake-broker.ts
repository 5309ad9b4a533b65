/**
 * A broker for tests of clients: it shakes hands as a broker does, answers what the test tells it to, and remembers
 * what it was asked.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';
import type { Message } from '../../brokers/core/log/record.ts';
import { encodeMessage } from '../../brokers/wire/message.ts';
import { type Reply, ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { encodeReply, type Value } from '../../brokers/wire/resp.ts';

/** What becomes of a command: a reply, no reply at all, or the end of the connection. */
export type Answer = Value | undefined | typeof DROP;
export const DROP = Symbol('the connection is destroyed');

export type Handler = (args: readonly string[], socket: Socket) => Answer | Promise<Answer>;

export class FakeBroker {
  readonly address: string;
  /** Every command but those of the handshake, in order, as text. */
  readonly commands: string[][] = [];
  /** What each data event brought, as the names of its commands. */
  readonly writes: string[][] = [];
  /** Addresses that MESH BROKERS tells of, beside its own. */
  others: string[] = [];
  isFrozen = false; // takes connections, as the system does for a stopped process, and answers nothing
  connections = 0; // so far
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #handler: Handler;

  static async start(t: Test, handler: Handler = publishReply()): Promise<FakeBroker> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const broker = new FakeBroker(server, handler);
    t.teardown(() => broker.stop());
    return broker;
  }

  private constructor(server: Server, handler: Handler) {
    this.#server = server;
    this.#handler = handler;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => this.#accept(socket));
  }

  /** Destroys its connections and takes no more, as when the process is killed. */
  async stop(): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Destroys its connections. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** How many connections are open. */
  get open(): number {
    return this.#sockets.size;
  }

  asked(name: string): string[][] {
    return this.commands.filter(([first]) => first === name);
  }

  #accept(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => this.#sockets.delete(socket));
    const parser = new ReplyParser();
    let turn: Promise<void> = Promise.resolve();
    socket.on('data', (chunk) => {
      if (this.isFrozen) return;
      parser.push(chunk);
      const write: string[] = [];
      for (let command = parser.next(); command !== undefined; command = parser.next()) {
        const args = (command as Reply[]).map(String);
        write.push(args[0]!);
        turn = turn.then(() => this.#answer(args, socket));
      }
      if (write.some((name) => name !== 'MESH')) this.writes.push(write);
    });
  }

  async #answer(args: readonly string[], socket: Socket): Promise<void> {
    const answer = this.#handshake(args) ?? (await this.#asked(args, socket));
    if (answer === DROP) socket.destroy();
    else if (answer !== undefined && !socket.destroyed) socket.write(encodeReply(answer));
  }

  #handshake([name, what]: readonly string[]): Value | undefined {
    if (name === 'CLIENT') return 'OK';
    if (name !== 'MESH') return undefined;
    if (what === 'STATUS') return ['broker', this.address, 'term', 1];
    if (what === 'BROKERS') {
      return [[this.address, 'self', 0], ...this.others.map((address): Value => [address, 'alive', 3])];
    }
    return undefined;
  }

  #asked(args: readonly string[], socket: Socket): Answer | Promise<Answer> {
    this.commands.push([...args]);
    return this.#handler(args, socket);
  }
}

/** Answers each PUBLISH with the next Lamport timestamp. */
export function publishReply(): Handler {
  let lamport = 0;
  return () => (lamport += 1);
}

export function option(args: readonly string[], name: string): string | undefined {
  const at = args.indexOf(name);
  return at < 0 ? undefined : args[at + 1];
}

export function message(lamport: number, payload: string | Uint8Array, more: Partial<Message> = {}): Value {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  return encodeMessage({
    id: `${lamport}@a:1`, topic: 'news', lamport, key: null, headers: [], payload: bytes, dedupe: null, ...more,
  });
}

/** An address on which nobody listens. */
export async function deadAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/** A message as POLL ... FORMAT batches has it: a batch of its own. */
export function stored(lamport: number, payload: string | Uint8Array, more: Partial<Message> = {}): Value {
  const { id = `${lamport}@a:1`, topic = 'news', key = null, headers = [], dedupe = null } = more;
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const meta = JSON.stringify({ keys: [key], headers: [headers], ids: [dedupe?.id ?? null] });
  return [`${id.split('@')[1]}/000000000000`, topic, lamport, dedupe?.time ?? 0, `[${body.length}]`, meta, body, []];
}
