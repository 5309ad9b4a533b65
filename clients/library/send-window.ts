/**
 * What a connection's path carries: how many bytes may be under way on it, and how fast they go.
 *
 * One command at a time is timed, from when it was written to its answer. If that takes long, fewer
 * bytes are let go out, so that on a slow path an answer is never far and little is lost with the
 * connection; if it takes little and the window was what held bytes back, more. (As TCP Vegas does
 * with its segments; Brakmo and Peterson, 1995.)
 */
const WINDOW_MIN_BYTES = 16 * 1024;
const WINDOW_START_BYTES = 64 * 1024;
const WINDOW_MAX_BYTES = 16 * 1024 * 1024;
const SLOW_MS = 1000; // an answer that takes longer halves the window
const FAST_MS = 250; // one that takes less may double it
const RATE_MIN_BYTES_PER_S = 16 * 1024; // of a path on which nothing was timed yet, or that is slower

export class SendWindow {
  #windowBytes = WINDOW_START_BYTES;
  #sentBytes = 0;
  #answeredBytes = 0;
  #bytesPerMs = 0; // as last timed
  #timed: { readonly endBytes: number; readonly at: number; readonly answeredBytes: number } | undefined;
  #wasFull = false; // since the command that is timed was sent

  /** Sent and not answered. */
  get unansweredBytes(): number {
    return this.#sentBytes - this.#answeredBytes;
  }

  /** How many more may go out; one command always may if none is under way. */
  get roomBytes(): number {
    const room = this.#windowBytes - this.unansweredBytes;
    if (room <= 0) this.#wasFull = true;
    return room;
  }

  /** How long answers to what is under way may take beside what a broker needs, ms. */
  get patienceMs(): number {
    const bytesPerMs = Math.max(RATE_MIN_BYTES_PER_S / 1000, this.#bytesPerMs / 4);
    return this.unansweredBytes / bytesPerMs;
  }

  sent(bytes: number, now: number): void {
    this.#sentBytes += bytes;
    if (this.#timed !== undefined) return;
    this.#timed = { endBytes: this.#sentBytes, at: now, answeredBytes: this.#answeredBytes };
    this.#wasFull = false;
  }

  answered(bytes: number, now: number): void {
    this.#answeredBytes += bytes;
    const timed = this.#timed;
    if (timed === undefined || this.#answeredBytes < timed.endBytes) return;
    this.#timed = undefined;
    const tookMs = Math.max(1, now - timed.at);
    this.#bytesPerMs = (this.#answeredBytes - timed.answeredBytes) / tookMs;
    if (tookMs > SLOW_MS) this.#windowBytes = Math.max(WINDOW_MIN_BYTES, this.#windowBytes / 2);
    else if (tookMs < FAST_MS && this.#wasFull) {
      this.#windowBytes = Math.min(WINDOW_MAX_BYTES, this.#windowBytes * 2);
    }
  }
}
