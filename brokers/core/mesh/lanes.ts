/**
 * Lanes: what waits to be sent over one link, so that a large message holds up nothing else.
 *
 * Messages of one lane arrive in the order in which they were sent, each lane for itself. A message
 * that is larger than a part is cut, and the lanes that have something take turns, part by part. A
 * message that is small goes past the other lanes, at once if its own lane is empty. The
 * receiving side joins the parts again (`Joints`): of each lane one message at a time, all together
 * no more bytes than one message may have.
 *
 * The idea is that of HTTP/2 (RFC 9113, sections 4 and 5), with a fixed set of streams and no state
 * of each.
 */
import { Fifo } from '../fifo.ts';

/** A message as it is written, in pieces. */
export type Pieces = readonly Uint8Array[];

/** A part of a message: `left` bytes of it come after these in the same lane. */
export interface Part {
  readonly lane: number;
  readonly left: number;
  readonly bytes: Uint8Array;
}

interface Waiting {
  readonly pieces: Pieces;
  left: number; // bytes
  piece: number; // the first that is not sent
  offset: number; // in it
}

export class Lanes {
  readonly #lanes: readonly Fifo<Waiting>[];
  #turn = 0;
  #bytes = 0;

  constructor(count: number) {
    this.#lanes = Array.from({ length: count }, () => new Fifo<Waiting>());
  }

  /** What waits in all lanes. */
  get bytes(): number {
    return this.#bytes;
  }

  waits(lane: number): boolean {
    return this.#lanes[lane]!.length > 0;
  }

  push(lane: number, pieces: Pieces, bytes: number): void {
    this.#lanes[lane]!.push({ pieces: pieces.filter(({ length }) => length > 0), left: bytes, piece: 0, offset: 0 });
    this.#bytes += bytes;
  }

  /**
   * What is to be sent next: a whole message if it is no larger than `wholeBytes`, else a part of at most
   * `partBytes`; undefined if nothing waits.
   */
  next(wholeBytes: number, partBytes: number): Pieces | Part | undefined {
    if (this.#bytes === 0) return undefined;
    let lane = this.#turn;
    while (!this.waits(lane)) lane = (lane + 1) % this.#lanes.length;
    this.#turn = (lane + 1) % this.#lanes.length;
    const message = this.#lanes[lane]!.first!;
    const isWhole = message.piece === 0 && message.offset === 0 && message.left <= wholeBytes;
    const next = isWhole ? message.pieces : cut(message, lane, partBytes);
    this.#bytes -= isWhole ? message.left : (next as Part).bytes.length;
    if (isWhole || message.left === 0) this.#lanes[lane]!.shift();
    return next;
  }

  clear(): void {
    for (const lane of this.#lanes) lane.clear();
    this.#bytes = 0;
  }
}

/** Takes the next part off a message: of one piece, so that nothing is copied. */
function cut(message: Waiting, lane: number, partBytes: number): Part {
  const piece = message.pieces[message.piece]!;
  const bytes = piece.subarray(message.offset, message.offset + partBytes);
  message.offset += bytes.length;
  message.left -= bytes.length;
  if (message.offset === piece.length) {
    message.piece += 1;
    message.offset = 0;
  }
  return { lane, left: message.left, bytes };
}

/** Of one lane, what has come of a message. */
interface Joint {
  room: Uint8Array; // grows with what comes, whatever is announced
  bytes: number;
  left: number;
}

const EMPTY = new Uint8Array(0);
const ROOM_BYTES_MIN = 4096;

export class Joints {
  readonly #bytesMax: number;
  readonly #joints: readonly Joint[];
  #bytes = 0;

  /** @param bytesMax of all lanes together */
  constructor(count: number, bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#joints = Array.from({ length: count }, () => ({ room: EMPTY, bytes: 0, left: 0 }));
  }

  /** What is held of messages that have not come to their ends. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes a part, which is copied. Returns the message's bytes with its last part, undefined before.
   * @returns null for a part that cannot be: of no lane, empty, not in turn, or of more than may be held
   */
  add({ lane, left, bytes }: Part): Uint8Array | undefined | null {
    const joint = this.#joints[lane];
    if (joint === undefined || bytes.length === 0) return null;
    if (joint.bytes > 0 && joint.left !== left + bytes.length) return null;
    if (this.#bytes + bytes.length + left > this.#bytesMax) return null;
    append(joint, bytes);
    joint.left = left;
    this.#bytes += bytes.length;
    if (left > 0) return undefined;
    const message = joint.room.subarray(0, joint.bytes);
    this.#bytes -= joint.bytes;
    Object.assign(joint, { room: EMPTY, bytes: 0 });
    return message;
  }
}

function append(joint: Joint, bytes: Uint8Array): void {
  const end = joint.bytes + bytes.length;
  if (end > joint.room.length) {
    const room = new Uint8Array(Math.max(ROOM_BYTES_MIN, end, 2 * joint.bytes));
    room.set(joint.room.subarray(0, joint.bytes));
    joint.room = room;
  }
  joint.room.set(bytes, joint.bytes);
  joint.bytes = end;
}
