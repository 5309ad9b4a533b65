/**
 * A consumer that costs little: PULL and ACK on one connection, in frames made of what came, of which only the tokens
 * are looked at.
 */
import { connect, type Socket } from 'node:net';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { LeaseReader } from './replies.ts';

export class PullConsumer {
  readonly #socket: Socket;
  readonly #subscription: string;
  readonly #reader = new LeaseReader();
  #good = 0; // of the tokens acknowledged since somebody asked
  #due = 0; // replies
  #settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  static async open(port: number, subscription: string): Promise<PullConsumer> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new PullConsumer(socket, subscription);
  }

  private constructor(socket: Socket, subscription: string) {
    this.#socket = socket;
    this.#subscription = subscription;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('close', () => this.#settle?.reject(new Error('the broker closed a consumer')));
  }

  /** Tokens of the messages that came. */
  async pull(count: number, blockMs: number): Promise<Buffer[]> {
    await this.#ask(1, encodeCommand(['PULL', this.#subscription, 'COUNT', count, 'BLOCK', blockMs]));
    return this.#tokens();
  }

  /** How many of the tokens were good. */
  async ack(tokens: readonly Buffer[]): Promise<number> {
    this.#good = 0;
    await this.#ask(1, this.#acknowledgement(tokens));
    return this.#good;
  }

  /** Acknowledges what came last and asks for more, in one write. @throws Error where a token was not good */
  async ackAndPull(tokens: readonly Buffer[], count: number, blockMs: number): Promise<Buffer[]> {
    this.#good = 0;
    await this.#ask(
      2, this.#acknowledgement(tokens), encodeCommand(['PULL', this.#subscription, 'COUNT', count, 'BLOCK', blockMs]),
    );
    if (this.#good !== tokens.length) throw new Error(`${this.#good} of ${tokens.length} tokens were good`);
    return this.#tokens();
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #acknowledgement(tokens: readonly Buffer[]): Buffer {
    const { length } = this.#subscription;
    return Buffer.concat([
      Buffer.from(`*${tokens.length + 2}\r\n$3\r\nACK\r\n$${length}\r\n${this.#subscription}\r\n`),
      ...tokens,
    ]);
  }

  #tokens(): Buffer[] {
    const { tokens } = this.#reader;
    this.#reader.tokens = [];
    return tokens;
  }

  #ask(replies: number, ...frames: readonly Buffer[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#due = this.#reader.replies + replies;
      this.#socket.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
    });
  }

  #take(chunk: Buffer): void {
    try {
      this.#good += this.#reader.take(chunk);
    } catch (error) {
      this.#socket.destroy(error as Error);
      return;
    }
    if (this.#reader.replies >= this.#due) this.#settle?.resolve();
  }
}
