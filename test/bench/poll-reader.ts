/**
 * A reader that costs little: POLL after POLL on one connection, of which only the cursor and the number of messages
 * are looked at.
 */
import { connect, type Socket } from 'node:net';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { BatchCounter } from './batch-counter.ts';
import { RespCounter } from './replies.ts';

/**
 * How messages come: one by one, as every client can read them, or as they are stored, as the client library has them.
 */
export type Format = 'messages' | 'batches';

export class PollReader {
  readonly #socket: Socket;
  readonly #topic: string;
  readonly #format: Format;
  readonly #counter: RespCounter | BatchCounter;
  #settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  static async open(port: number, topic: string, format: Format = 'messages'): Promise<PollReader> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new PollReader(socket, topic, format);
  }

  private constructor(socket: Socket, topic: string, format: Format) {
    this.#socket = socket;
    this.#topic = topic;
    this.#format = format;
    this.#counter = format === 'batches' ? new BatchCounter() : new RespCounter();
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('close', () => this.#settle?.reject(new Error('the broker closed a reader')));
  }

  /** Messages read so far. */
  get messages(): number {
    return this.#counter.messages;
  }

  /** Behind what was read last. */
  get cursor(): string {
    return this.#counter.cursor;
  }

  /** Resolves when the reply is there as a whole. */
  poll(cursor: string, count: number, blockMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(
        encodeCommand([
          'POLL', this.#topic, 'CURSOR', cursor, 'COUNT', count, 'BLOCK', blockMs, 'FORMAT', this.#format,
        ]),
      );
    });
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const { replies } = this.#counter;
    try {
      this.#counter.take(chunk);
    } catch (error) {
      this.#socket.destroy(error as Error);
      return;
    }
    if (this.#counter.replies > replies) this.#settle?.resolve();
  }
}
