/**
 * One connection with a peer: its handshake, and its messages as values.
 *
 * It begins with a handshake (introductions.ts): PEER and PROOF in both directions, and nothing else. Once
 * both sides have said theirs they agree; the side that was dialled introduces the other then, and its next
 * message tells the dialler that it has. So the one that was dialled has the last word, and there is no link
 * on one side only. Whoever will not go on, then or later, says so with an error reply, and closes.
 *
 * Any byte that comes shows that the peer lives. Each side reports how many have come (GOT), so the
 * other knows what the path carries (core/mesh/path.ts) and sends no more ahead than that. A message
 * that would take long is cut (PART), and others go in between (core/mesh/lanes.ts): those of one lane
 * stay in order, and what is in no lane never waits.
 *
 * A link only says when bytes came. `core/mesh/membership.ts` decides when a silent peer is given up.
 */
import type { Account, Budget, Holder } from '../core/budget.ts';
import { RumormillError } from '../core/error.ts';
import { Joints, Lanes, type Part, type Pieces } from '../core/mesh/lanes.ts';
import { Path } from '../core/mesh/path.ts';
import type { Channel, ChannelHandler } from '../core/runtime.ts';
import { type Limits, recordLimits } from '../config.ts';
import type { RecordLimits } from '../core/log/batch-check.ts';
import type { Peer } from './handshake.ts';
import { type CommandLimits, CommandParser } from '../wire/command-parser.ts';
import { decodePeerMessage, encodePeerMessage } from '../wire/peer-codec.ts';
import type { Hello, LinkMessage, PeerMessage, Proof } from '../wire/peer-message.ts';
import { encodeReply } from '../wire/resp.ts';

/** What is of one kind, or must arrive in order, shares a lane. What is not here is short, and goes at once. */
const LANES: { readonly [type in PeerMessage['type']]?: number } = {
  RECORDS: 0,
  ANSWER: 1,
  VECTOR: 2, // the first one says how much is held of the peer's own records, so it stays the first
  HELD: 2,
  MEMBERS: 2,
  GRAFT: 2,
  PRUNE: 2,
  VIEW: 3,
  SEEN: 3, // after VIEW
  LEASES: 3,
  ASK: 3,
  FORGET: 3, // after ASK
};
const LANES_COUNT = 4;
const [RECORDS, ANSWERS] = [LANES.RECORDS!, LANES.ANSWER!];

const PART_BYTES_MIN = 2048;
const REPORT_BYTES = [4096, 256 * 1024] as const; // least and most
const REPORTS_A_TICK = 4; // about, while bytes flow evenly

/** Enough for a PEER with all names that a broker tells: nobody is to hold more here who has proved nothing. */
const HANDSHAKE_LIMITS: CommandLimits = { bulkBytesMax: 1024, commandBytesMax: 64 * 1024 };

export interface LinkEvents {
  /** The peer has said who it is, or proves it. @throws RumormillError REFUSED or PROTOCOL */
  handshake(link: Link, message: Hello | Proof): void;
  /** The peer has introduced us, and goes on; this side introduces it now, or closes. @throws RumormillError REFUSED */
  accepted(link: Link): void;
  /** Something has come, though it may be no whole message yet. */
  heard(link: Link): void;
  /** @throws RumormillError PROTOCOL if the message cannot be right */
  message(link: Link, message: MeshMessage): void;
  /** There is room for more. */
  drained(link: Link): void;
  /** Nothing comes after this. `reason` if it was not an orderly close. */
  closed(link: Link, reason: string | undefined): void;
}

/** What is said over a link that is up, but not about the link itself. */
export type MeshMessage = Exclude<PeerMessage, Hello | Proof | LinkMessage>;

export class Link implements ChannelHandler, Holder {
  readonly dialled: boolean;
  /** The peer said that it shuts down. */
  leaving = false;
  /** Who would not have this link: the peer, which said so, or this broker. */
  refusedBy: 'peer' | 'self' | undefined;
  /** Another link with the same peer takes over. */
  replaced = false;
  /** When bytes of records came last, ms on the clock of `now`. */
  recordsAt = -Infinity;
  #peer: Peer | undefined;
  #isAgreed = false;
  #reason: string | undefined;
  #open = true;
  readonly #openedAt: number;
  readonly #channel: Channel;
  readonly #parser: CommandParser;
  #account: Account | undefined;
  readonly #events: LinkEvents;
  readonly #now: () => number;
  readonly #limits: Limits;
  readonly #lanes = new Lanes(LANES_COUNT);
  readonly #joints: Joints;
  readonly #peerLimits: CommandLimits;
  readonly #recordLimits: RecordLimits;
  #path: Path;
  #heardAt: number;
  #received = 0; // since both sides agreed
  #reported = 0;
  #reportBytes: number = REPORT_BYTES[0]; // received, after which a report does not wait for the tick
  #atTick = 0; // received at the last tick
  #owesReport = false;

  /** @param now the clock, ms */
  constructor(
    channel: Channel, parser: CommandParser | undefined, limits: Limits, now: () => number, events: LinkEvents,
  ) {
    this.dialled = parser === undefined;
    this.#channel = channel;
    this.#events = events;
    this.#limits = limits;
    this.#now = now;
    this.#openedAt = this.#heardAt = now();
    this.#path = new Path(limits, this.#openedAt);
    this.#peerLimits = { // a whole batch and its columns; a vector of many origins
      bulkBytesMax: limits.batchBytesMax + limits.payloadBytesMax + 16 * 1024 * 1024,
      commandBytesMax: limits.batchBytesMax + limits.payloadBytesMax + 64 * 1024 * 1024,
    };
    this.#recordLimits = recordLimits(limits);
    this.#parser = parser ?? new CommandParser(HANDSHAKE_LIMITS);
    this.#parser.setLimits(HANDSHAKE_LIMITS);
    this.#joints = new Joints(LANES_COUNT, this.#peerLimits.commandBytesMax);
    channel.attach(this);
  }

  /** Who the peer is. Only after it was introduced. */
  get peer(): Peer {
    return this.#peer!;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  get isIntroduced(): boolean {
    return this.#peer !== undefined;
  }

  /** The least time from here to the peer and back, ms; 0 while nothing is known. */
  get roundTripMs(): number {
    return this.#path.roundTripMs;
  }

  /** How many bytes may be on the way to the peer. */
  get windowBytes(): number {
    return this.#path.windowBytes;
  }

  /** Whether records may be sent now: the path has room for them, and none of them wait. */
  get isRoomy(): boolean {
    return this.#path.isOpen && !this.#lanes.waits(RECORDS);
  }

  /** Whether answers wait, so that no more should be made for now. */
  get isClogged(): boolean {
    return this.#lanes.waits(ANSWERS);
  }

  /** For how long the peer has owed a sign of life, ms; 0 if it owes none. */
  silentMs(now: number): number {
    const since = this.#path.waitsSince;
    return since === undefined ? 0 : Math.max(0, now - Math.max(since, this.#heardAt));
  }

  /** How long a byte takes to the peer and the report of it back, ms. */
  get latenessMs(): number {
    return this.#path.latenessMs(this.#now());
  }

  /** The handshake is over: both sides count from here. */
  agree(): void {
    this.#isAgreed = true;
    this.#parser.setLimits(this.#peerLimits);
    this.#path = new Path(this.#limits, this.#now());
    if (this.dialled) this.#path.measured(this.#now() - this.#openedAt);
    this.#received = this.#parser.bufferedBytes;
  }

  /** It is a link from now on, with a peer that has proved its id. */
  introduce(peer: Peer): void {
    this.#peer = peer;
  }

  send(message: PeerMessage): void {
    this.#sendIn(LANES[message.type], encodePeerMessage(message));
  }

  /** Sends a batch that is encoded already. Only if there is room. */
  sendRecords(frame: Pieces): void {
    this.#sendIn(RECORDS, frame);
  }

  /** Sends the answer to an ASK once there is room for it: many must not hold up what keeps the mesh together. */
  answer(id: number, reply: Uint8Array): void {
    const pieces = encodePeerMessage({ type: 'ANSWER', id, reply });
    if (this.#path.isOpen) return this.#sendIn(ANSWERS, pieces);
    this.#lanes.push(ANSWERS, pieces, bytesOf(pieces));
  }

  /** Sends the reason for a refusal. */
  sendRaw(...pieces: Pieces): void {
    for (const piece of pieces) this.#channel.write(piece);
  }

  /** Sends what is queued now. */
  flush(): void {
    this.#channel.flush();
  }

  /** To be called every `tickMs`: reports what has come since the last report. */
  tick(): void {
    const flow = this.#received - this.#atTick;
    this.#atTick = this.#received;
    if (this.#owesReport) this.#report();
    const [least, most] = REPORT_BYTES;
    this.#reportBytes = Math.min(most, Math.max(least, flow / REPORTS_A_TICK));
  }

  data(chunk: Buffer): void {
    if (!this.#open) return; // closed, and the peer sends on
    this.#heardAt = this.#now();
    if (this.#isAgreed) this.#received += chunk.length;
    if (this.isIntroduced) this.#events.heard(this);
    this.#account?.moved(chunk.length);
    this.#parser.push(chunk);
    this.work();
    if (this.#open && this.isIntroduced && this.#received - this.#reported >= this.#reportBytes) this.#report();
    this.#charge();
  }

  /** Handles what has been received, behind the handshake too. */
  work(): void {
    try {
      while (this.#open) {
        const args = this.#parser.next();
        if (args === undefined) return;
        if (args.text(0).startsWith('-')) return this.#refused(args.text(0).slice(1));
        this.#receive(decodePeerMessage(args, this.#recordLimits));
      }
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.refuse(error);
    }
  }

  /** Closes, and says why: an error reply is the last thing that the peer gets. */
  refuse(error: RumormillError): void {
    if (!this.#open) return;
    this.refusedBy = 'self';
    this.#lanes.clear();
    this.sendRaw(encodeReply(error));
    this.close(error.message);
  }

  /** The peer closes, and said why. */
  #refused(reason: string): void {
    this.refusedBy = 'peer';
    this.close(reason);
  }

  #receive(message: PeerMessage): void {
    const { type } = message;
    const isHandshake = message.type === 'PEER' || message.type === 'PROOF';
    if (isHandshake === this.#isAgreed) throw new RumormillError('PROTOCOL', `${type} out of turn`);
    if (isHandshake) return this.#events.handshake(this, message);
    if (!this.isIntroduced) this.#events.accepted(this);
    if (this.#open) this.#take(message);
  }

  #take(message: MeshMessage | LinkMessage): void {
    const { type } = message;
    if (message.type === 'GOT') return this.#arrived(message.bytes, message.heldMs);
    this.#owesReport = true;
    const lane = message.type === 'PART' ? message.lane : LANES[type];
    if (lane === RECORDS) this.recordsAt = this.#heardAt;
    if (message.type === 'PART') this.#join(message);
    else this.#events.message(this, message);
  }

  #join(part: Part): void {
    const bytes = this.#joints.add(part);
    if (bytes === null) throw new RumormillError('PROTOCOL', 'a part of a message is not in its place');
    if (bytes === undefined) return;
    const parser = new CommandParser(this.#peerLimits);
    parser.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    const args = parser.next();
    const isWhole = args !== undefined && parser.bufferedBytes === 0;
    const message = isWhole ? decodePeerMessage(args, this.#recordLimits) : undefined;
    if (message === undefined || message.type === 'PART' || message.type === 'GOT') {
      throw new RumormillError('PROTOCOL', 'the parts are no message');
    }
    this.#receive(message);
  }

  #arrived(bytes: number, heldMs: number): void {
    if (!this.#path.arrived(bytes, heldMs, this.#now())) {
      throw new RumormillError('PROTOCOL', 'it reports bytes that were not sent');
    }
    this.#advance();
    if (this.#path.isOpen) this.#events.drained(this);
  }

  #report(): void {
    this.#owesReport = false;
    this.#reported = this.#received;
    const heldMs = Math.round(this.#now() - this.#heardAt);
    this.#write(encodePeerMessage({ type: 'GOT', bytes: this.#received, heldMs }), false);
  }

  /** Sends a message in its lane, at once if it is short and nothing waits there. */
  #sendIn(lane: number | undefined, pieces: Pieces): void {
    const bytes = bytesOf(pieces);
    if (lane === undefined || (!this.#lanes.waits(lane) && bytes <= this.#wholeBytes)) return this.#write(pieces, true);
    this.#lanes.push(lane, pieces, bytes);
    this.#advance();
  }

  /** A message of a window takes as long as what is urgent may wait. */
  get #wholeBytes(): number {
    return this.#path.windowBytes;
  }

  /** Sends what waits in the lanes, as far as the path has room. */
  #advance(): void {
    while (this.#lanes.bytes > 0 && this.#path.isOpen) this.#sendNext(this.#wholeBytes);
  }

  #sendNext(wholeBytes: number): void {
    const partBytes = Math.max(PART_BYTES_MIN, Math.min(this.#limits.partBytesMax, this.#path.windowBytes >> 3));
    const next = this.#lanes.next(wholeBytes, partBytes)!;
    this.#write('lane' in next ? encodePeerMessage({ type: 'PART', ...next }) : next, true);
  }

  #write(pieces: Pieces, isReported: boolean): void {
    this.#path.sent(bytesOf(pieces), isReported, this.#now());
    for (const piece of pieces) this.#channel.write(piece);
  }

  sent(): void {
    this.#charge();
  }

  /** What it holds counts there from now on. */
  chargeTo(budget: Budget): void {
    this.#account = budget.open('link', this);
    this.#charge();
  }

  /** Tells the budget what it holds. */
  #charge(): void {
    const { heldBytes } = this.#parser;
    this.#account?.set(heldBytes + this.#joints.bytes + this.#lanes.bytes + this.#channel.bufferedBytes);
  }

  expel(held: number): void {
    this.destroy(`memory is short, and this link holds ${held} bytes`);
  }

  drain(): void {
    this.#events.drained(this);
  }

  ended(): void {
    this.close(undefined);
  }

  closed(reason: string | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.#account?.close();
    this.#lanes.clear();
    this.#parser.discard(); // half a message may be megabytes, and who it was is remembered for longer
    this.#events.closed(this, this.#reason ?? reason);
  }

  /** Sends what is queued and closes. */
  close(reason: string | undefined): void {
    if (!this.#open) return;
    this.#reason = reason;
    while (this.#lanes.bytes > 0) this.#sendNext(Infinity);
    this.#channel.end();
    this.closed(reason);
  }

  /** Closes at once: the peer does not answer. */
  destroy(reason: string): void {
    this.#reason = reason;
    this.#channel.destroy();
    this.closed(reason);
  }
}

function bytesOf(pieces: Pieces): number {
  let bytes = 0;
  for (const { length } of pieces) bytes += length;
  return bytes;
}
