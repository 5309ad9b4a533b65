/**
 * The sending side of gossip: what one neighbour has grafted, how far it has been sent, and how much may be under way.
 *
 * A feed is a reader of the log like any other: it goes through it in position order and picks out the origins that the neighbour has
 * grafted, beyond the seq that it has. Live gossip is a feed at the log's end; catch-up is a feed further back. Nothing is queued for a slow
 * neighbour: at most `windowBytes` are sent ahead of what its version vector acknowledges, the rest stays in the log.
 *
 * Since position order is causal, what one feed sends can be stored as it comes, but for deps on what the neighbour gets elsewhere.
 */
import { batchBytes, lastSeq, type Origin, type StoredBatch } from './record.ts';

interface Stream {
  sent: number; // seq up to which the neighbour has been sent everything, or has it
  readonly flying: { readonly seq: number; readonly bytes: number }[]; // sent and not acknowledged, in order
}

export class Feed {
  /** The log has been gone through up to here. */
  position: number;
  readonly #windowBytes: number;
  readonly #streams = new Map<Origin, Stream>();
  #flyingBytes = 0;

  constructor(position: number, windowBytes: number) {
    this.position = position;
    this.#windowBytes = windowBytes;
  }

  /** Whether more may be sent now. */
  get open(): boolean {
    return this.#flyingBytes < this.#windowBytes;
  }

  get flyingBytes(): number {
    return this.#flyingBytes;
  }

  /** The neighbour wants an origin's records after a seq; everything of it up to `position` is before that. */
  graft(origin: Origin, after: number, position: number): void {
    this.prune(origin);
    this.#streams.set(origin, { sent: after, flying: [] });
    this.position = Math.min(this.position, position);
  }

  prune(origin: Origin): void {
    const stream = this.#streams.get(origin);
    if (stream === undefined) return;
    for (const { bytes } of stream.flying) this.#flyingBytes -= bytes;
    this.#streams.delete(origin);
  }

  /** Goes past a batch. True where it is to be sent. */
  pass(batch: StoredBatch): boolean {
    this.position = batch.position;
    const stream = this.#streams.get(batch.origin);
    const seq = lastSeq(batch);
    if (stream === undefined || seq <= stream.sent) return false;
    const bytes = batchBytes(batch);
    stream.sent = seq;
    stream.flying.push({ seq, bytes });
    this.#flyingBytes += bytes;
    return true;
  }

  /** The neighbour has an origin's records up to a seq on disk. */
  acknowledged(origin: Origin, seq: number): void {
    const stream = this.#streams.get(origin);
    if (stream === undefined) return;
    let count = 0;
    for (const flying of stream.flying) {
      if (flying.seq > seq) break;
      this.#flyingBytes -= flying.bytes;
      count += 1;
    }
    stream.flying.splice(0, count);
    stream.sent = Math.max(stream.sent, seq);
  }
}
