/**
 * Writes lines to a stream: those of one turn of the event loop together, and never more than the stream's reader keeps
 * up with.
 *
 * When the reader goes away (`| head`), writing goes on into nothing, `onClosed` is told once, and no write fails:
 * a reader that does not want the rest is no fault. Any other error of the stream is one: `onClosed` is
 * told, and `flushed` throws it.
 */
import type { Writable } from 'node:stream';

const GATHERED_BYTES_MAX = 64 * 1024;
const NEWLINE = Buffer.from('\n');

export class LineWriter {
  readonly #stream: Writable;
  readonly #onClosed: () => void;
  readonly #beforeWrite: () => void;
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  #scheduled = false;
  #closed = false;
  #fault: Error | undefined;
  #written: Promise<void> = Promise.resolve();

  /** @param beforeWrite called before each write, to clear what is drawn on the same terminal */
  constructor(stream: Writable, onClosed: () => void, beforeWrite: () => void = () => {}) {
    this.#stream = stream;
    this.#onClosed = onClosed;
    this.#beforeWrite = beforeWrite;
    stream.on('error', (error: Error & { code?: string }) => this.#failed(error));
  }

  /** Adds a line. Its newline is added; its bytes are otherwise untouched. */
  line(line: string | Buffer): void {
    if (this.#closed) return;
    const bytes = typeof line === 'string' ? Buffer.from(`${line}\n`) : Buffer.concat([line, NEWLINE]);
    this.#gathered.push(bytes);
    this.#gatheredBytes += bytes.length;
    if (this.#gatheredBytes >= GATHERED_BYTES_MAX) this.#write();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#write();
      });
    }
  }

  /** Whether nobody reads any more, or the system takes no more. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** True if the stream's reader is behind: call `flushed` before adding more. */
  get isBehind(): boolean {
    return !this.#closed && this.#stream.writableNeedDrain;
  }

  /**
   * Resolves when everything so far was handed to the system, or nobody reads any more.
   * @throws the system's error, as of a full disk
   */
  async flushed(): Promise<void> {
    this.#write();
    await this.#written;
    if (this.#fault !== undefined) throw this.#fault;
  }

  #write(): void {
    if (this.#gathered.length === 0) return;
    const bytes = Buffer.concat(this.#gathered, this.#gatheredBytes);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    if (this.#closed) return;
    this.#beforeWrite();
    this.#written = new Promise((resolve) => {
      this.#stream.write(bytes, () => resolve()); // with an error too: `#failed` deals with that
    });
  }

  #failed(error: Error & { code?: string }): void {
    if (this.#closed) return;
    // a pipe, or a terminal that was closed
    const isGone = error.code === 'EPIPE' || (error.code === 'EIO' && 'isTTY' in this.#stream);
    if (!isGone) this.#fault = error;
    this.#closed = true;
    this.#onClosed();
  }
}
