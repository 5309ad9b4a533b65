/**
 * The sending side of gossip: what one neighbour has grafted, how far it has been sent, and how
 * much may be under way.
 *
 * A feed is a reader of the log like any other: it goes through it in position order and picks out
 * the origins that the neighbour has grafted, beyond the seq that it has. Live gossip is a feed at
 * the log's end; catch-up is a feed further back. Nothing is queued for a slow neighbour: at most
 * `windowBytes` are sent ahead of what its version vector acknowledges, the rest stays in the log. Only a group
 * (proof.ts) that has begun is sent to its end, since it is stored as a whole.
 *
 * Since position order is causal, what one feed sends can be stored as it comes, unless it depends on
 * records that the neighbour gets from others.
 *
 * A graft takes the feed back to the first record that is missing of its origins. What was sent from
 * beyond that place and is not acknowledged may wait at the neighbour for the very records that are
 * sent now. So it does not count against the window before the feed has come past it again.
 */
import { isSigned } from '../log/proof.ts';
import { batchBytes, lastSeq, type Origin, type StoredBatch } from '../log/record.ts';

interface Stream {
  sent: number; // seq up to which the neighbour has been sent everything, or has it
  readonly flying: Flying[]; // sent and not acknowledged, in order
}

interface Flying {
  readonly seq: number;
  readonly position: number;
  readonly bytes: number;
}

export class Feed {
  /** The log has been gone through up to here. */
  position: number;
  readonly #windowBytes: number;
  readonly #streams = new Map<Origin, Stream>();
  #flyingBytes = 0; // up to `position`
  #isInGroup = false; // what was sent last waits at the neighbour for the rest of its group
  #farthest = 0; // how far the log had been gone through before grafts took it back

  constructor(position: number, windowBytes: number) {
    this.position = position;
    this.#windowBytes = windowBytes;
  }

  /** Whether more may be sent now. */
  get open(): boolean {
    return this.#flyingBytes < this.#windowBytes || this.#isInGroup;
  }

  /** Sent and not acknowledged, of the batches up to `position`. */
  get flyingBytes(): number {
    return this.#flyingBytes;
  }

  /** Whether the neighbour has grafted an origin here. */
  has(origin: Origin): boolean {
    return this.#streams.has(origin);
  }

  /** Those that the neighbour has grafted here. */
  origins(): Origin[] {
    return [...this.#streams.keys()];
  }

  /**
   * The neighbour wants records of some origins, each after a seq; everything of them up to
   * `position` is before that.
   */
  graft(wanted: Iterable<readonly [Origin, number]>, position: number): void {
    for (const [origin, after] of wanted) {
      this.prune(origin);
      this.#streams.set(origin, { sent: after, flying: [] });
    }
    if (position >= this.position) return;
    this.#farthest = Math.max(this.#farthest, this.position);
    this.position = position;
    this.#isInGroup = false;
    this.#flyingBytes = 0;
    for (const { flying } of this.#streams.values()) this.#flyingBytes += this.#counted(flying);
  }

  prune(origin: Origin): void {
    const stream = this.#streams.get(origin);
    if (stream === undefined) return;
    this.#flyingBytes -= this.#counted(stream.flying);
    this.#streams.delete(origin);
  }

  /** Goes past a batch. True if it is to be sent. */
  pass(batch: StoredBatch): boolean {
    this.position = batch.position;
    const stream = this.#streams.get(batch.origin);
    const seq = lastSeq(batch);
    if (stream === undefined) return false;
    const bytes = batchBytes(batch);
    if (seq <= stream.sent) {
      if (batch.position <= this.#farthest && isFlying(stream, batch.position)) this.#flyingBytes += bytes;
      return false;
    }
    stream.sent = seq;
    stream.flying.push({ seq, position: batch.position, bytes });
    this.#flyingBytes += bytes;
    this.#isInGroup = batch.proof !== '' && !isSigned(batch);
    return true;
  }

  /** The neighbour has an origin's records up to a seq on disk. */
  acknowledged(origin: Origin, seq: number): void {
    const stream = this.#streams.get(origin);
    if (stream === undefined) return;
    const end = stream.flying.findIndex((flying) => flying.seq > seq);
    this.#flyingBytes -= this.#counted(stream.flying.splice(0, end < 0 ? stream.flying.length : end));
    stream.sent = Math.max(stream.sent, seq);
  }

  #counted(flying: readonly Flying[]): number {
    return flying.reduce((sum, { position, bytes }) => (position <= this.position ? sum + bytes : sum), 0);
  }
}

function isFlying({ flying }: Stream, position: number): boolean {
  let [low, high] = [0, flying.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (flying[middle]!.position < position) low = middle + 1;
    else high = middle;
  }
  return flying[low]?.position === position;
}
