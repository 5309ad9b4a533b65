/**
 * A RESP client for tests: what it sends is up to the test, byte by byte if need be; what comes back is a queue of
 * replies.
 */
import { connect, type Socket } from 'node:net';
import { decodeMessage, text } from '../../brokers/wire/message.ts';
import { type Reply, ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { within } from './wait.ts';

export interface Polled {
  readonly cursor: string;
  readonly payloads: string[];
}

export class RespClient {
  readonly #socket: Socket;
  readonly #parser = new ReplyParser();
  readonly #replies: Reply[] = [];
  readonly #takers: { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }[] = [];
  /** Resolves when the connection is gone, whoever closed it. */
  readonly closed: Promise<void>;
  isClosed = false;

  /** @throws Error where nobody listens there */
  static async open(port: number, host = '127.0.0.1'): Promise<RespClient> {
    const socket = connect({ port, host, noDelay: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        resolve();
      });
    });
    return new RespClient(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined); // 'close' follows, and that is what tests look at
    socket.on('end', () => socket.end());
    socket.on('data', (chunk) => {
      this.#parser.push(chunk);
      for (let reply = this.#parser.next(); reply !== undefined; reply = this.#parser.next()) this.#take(reply);
    });
    this.closed = new Promise((resolve) => socket.on('close', () => {
      this.isClosed = true;
      for (const { reject } of this.#takers.splice(0)) reject(new Error('the connection was closed before the reply'));
      resolve();
    }));
  }

  /** Sends a command and waits for the next reply. Commands and replies of a test go in turns. */
  command(...args: (string | number | Uint8Array)[]): Promise<Reply> {
    this.send(...args);
    return this.next(String(args[0]));
  }

  send(...args: (string | number | Uint8Array)[]): void {
    this.raw(encodeCommand(args));
  }

  raw(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Says that nothing more will be sent; replies still come. */
  endSending(): void {
    this.#socket.end();
  }

  /**
   * The next reply, or what is pushed. @throws Error where none comes, because of the time or because the connection
   * closes
   */
  next(what = 'a reply', timeoutMs?: number): Promise<Reply> {
    const reply = this.#replies.shift();
    if (reply !== undefined) return Promise.resolve(reply);
    if (this.isClosed) return Promise.reject(new Error(`the connection was closed before ${what} was answered`));
    return within(
      `${what} is answered`, new Promise<Reply>((resolve, reject) => this.#takers.push({ resolve, reject })), timeoutMs,
    );
  }

  /** Whether something has come that nobody has taken. */
  get hasReply(): boolean {
    return this.#replies.length > 0;
  }

  /** Publishes and returns the Lamport timestamp. @throws the broker's error */
  async publish(topic: string, payload: string | Uint8Array, ...options: (string | number)[]): Promise<number> {
    const reply = await this.command('PUBLISH', topic, payload, ...options);
    if (typeof reply !== 'number') throw reply;
    return reply;
  }

  /** @throws the broker's error */
  async poll(topics: readonly string[], cursor: string, ...options: (string | number)[]): Promise<Polled> {
    const reply = await this.command('POLL', ...topics, 'CURSOR', cursor, ...options);
    if (!Array.isArray(reply) || !Array.isArray(reply[1])) throw reply;
    return {
      cursor: text(reply[0]),
      payloads: reply[1].map((message) => Buffer.from(decodeMessage(message).payload).toString('utf8')),
    };
  }

  /** The payloads of everything in a topic. @throws the broker's error */
  async readAll(topic: string): Promise<string[]> {
    const all: string[] = [];
    for (let cursor = 'earliest'; ;) {
      const polled = await this.poll([topic], cursor, 'COUNT', 10_000);
      if (polled.payloads.length === 0) return all;
      all.push(...polled.payloads);
      cursor = polled.cursor;
    }
  }

  /** A flat array of names and values as an object: MESH STATUS, MESH VECTOR; nil as ''. */
  async fields(...args: string[]): Promise<Record<string, string>> {
    const reply = await this.command(...args);
    if (!Array.isArray(reply)) throw reply;
    const texts = reply.map((each) => (each === null ? '' : typeof each === 'number' ? String(each) : text(each)));
    return Object.fromEntries(
      Array.from({ length: texts.length / 2 }, (_, index) => [texts[2 * index]!, texts[2 * index + 1]!]),
    );
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(reply: Reply): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#replies.push(reply);
    else taker.resolve(reply);
  }
}
