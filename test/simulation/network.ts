/**
 * A virtual network of byte streams between named hosts, in the manner of TCP: in order, delayed, and where the way is
 * cut, kept until it heals.
 *
 * So a cut is felt as it is in the world: nothing arrives, nothing is refused, a dial times out, and who does not
 * listen for silence never learns of it. A way leads from one host to another, so a cut can be one-way. A process that
 * crashes resets its streams.
 */
import type { Address } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import type { Channel, ChannelHandler, Listener, Timer, Transport } from '../../brokers/core/runtime.ts';
import type { SeededRandom } from '../support/random.ts';
import type { Life, VirtualTime } from './time.ts';

const [DELAY_MIN_US, DELAY_MAX_US] = [50, 2000];
const PIECE_MS = 50; // of bytes that arrive together on a narrow way
const SYN_AGAIN_MS = [1000, 3000, 7000]; // after which a system tries to connect once more, as Linux does

/** A process on a host. */
interface Party {
  readonly host: string;
  readonly life: Life;
}

/** Other bytes for those that a host sends; undefined for the same. */
export type Twist = (bytes: Uint8Array) => Uint8Array | undefined;

interface Acceptor extends Party {
  readonly accept: (channel: Channel) => void;
}

export class VirtualNetwork {
  /** What happened, so that tests can say that their faults did. */
  readonly counts = { delivered: 0, held: 0, dialsLost: 0, resets: 0, misled: 0, selfConnects: 0, lies: 0 };
  /** Told of everything that is written, before it travels. */
  watch: ((from: string, to: string, bytes: Uint8Array) => void) | undefined;
  /** Told of every dial. */
  dialled: ((from: string, name: Address) => void) | undefined;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #listeners = new Map<Address, Acceptor>();
  readonly #cuts = new Map<string, number>(); // how many faults cut a way
  readonly #delays = new Map<string, number>(); // ms more than usual, at most
  // of narrow ways; when what is on one has passed
  readonly #rates = new Map<string, { bytesPerMs: number; freeAt: number }>();
  readonly #twists = new Map<string, Twist>(); // of what hosts say
  readonly #ends = new Set<End>();
  readonly #misleading = new Map<string, Address>(); // where dials of a name from a host lead
  readonly #selfConnecting = new Set<string>(); // hosts whose dials of where nobody listens meet themselves
  /** The stream that a process broke off last, and when it had heard something over it for the last time. */
  brokenOff: { readonly host: string; readonly other: string; readonly heardAt: number } | undefined;
  #dials = 0;

  constructor(time: VirtualTime, random: SeededRandom) {
    this.#time = time;
    this.#random = random;
  }

  /** What a host says is changed on its way, until it is told otherwise. */
  twist(host: string, twist: Twist | undefined): void {
    if (twist === undefined) this.#twists.delete(host);
    else this.#twists.set(host, twist);
  }

  /** What travels if a host sends these bytes to another: what it says to brokers may be changed. */
  twisted(from: string, to: string, bytes: Uint8Array): Uint8Array {
    const other = this.#listeners.has(to as Address) ? this.#twists.get(from)?.(bytes) : undefined;
    if (other !== undefined) this.counts.lies += 1;
    return other ?? bytes;
  }

  /** Nothing goes from one host to the other until as many `heal`s, or until `healAll`. */
  cut(from: string, to: string): void {
    this.#cuts.set(way(from, to), (this.#cuts.get(way(from, to)) ?? 0) + 1);
  }

  heal(from: string, to: string): void {
    const left = (this.#cuts.get(way(from, to)) ?? 0) - 1;
    if (left > 0) this.#cuts.set(way(from, to), left);
    else this.#cuts.delete(way(from, to));
    this.#pumpAll();
  }

  healAll(): void {
    this.#cuts.clear();
    this.#delays.clear();
    this.#misleading.clear();
    this.#selfConnecting.clear();
    this.#rates.clear();
    for (const end of this.#ends) end.hasten();
    this.#pumpAll();
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(way(from, to));
  }

  /** Whether there is a stream between the two hosts, as far as one of them knows. */
  isConnected(a: string, b: string): boolean {
    return [...this.#ends].some((end) => end.party.host === a && end.other.party.host === b);
  }

  /** The two hosts are far from each other: a round trip takes so much longer. */
  remove(a: string, b: string, roundTripMs: number): void {
    for (const each of [way(a, b), way(b, a)]) this.#delays.set(each, -roundTripMs / 2);
  }

  /** What goes from one host to the other takes up to `ms` longer; 0 for as long as usual. */
  slow(from: string, to: string, ms: number): void {
    this.#delays.set(way(from, to), ms);
  }

  /** Dials of a name from a host lead to another address, as with a wrong hosts file; to itself again to end that. */
  mislead(from: string, name: Address, to: Address): void {
    if (name === to) this.#misleading.delete(way(from, name));
    else this.#misleading.set(way(from, name), to);
  }

  /** Whether a host's dials of where nobody listens meet themselves, by TCP's simultaneous open. */
  selfConnect(host: string, does: boolean): void {
    if (does) this.#selfConnecting.add(host);
    else this.#selfConnecting.delete(host);
  }

  /**
   * What goes from one host to the other shares so many bytes a second from now on, and arrives little by little;
   * Infinity for as many as there are, and what is on the way does not wait any longer.
   */
  narrow(from: string, to: string, bytesPerSecond: number): void {
    if (bytesPerSecond !== Infinity) {
      return void this.#rates.set(way(from, to), { bytesPerMs: bytesPerSecond / 1000, freeAt: this.#time.now });
    }
    this.#rates.delete(way(from, to));
    for (const end of this.#ends) if (end.party.host === from && end.other.party.host === to) end.hasten();
  }

  /** How many bytes arrive together. */
  pieceBytes(from: string, to: string): number {
    return Math.max(1, Math.floor((this.#rates.get(way(from, to))?.bytesPerMs ?? Infinity) * PIECE_MS));
  }

  /** How long bytes that are sent now are on their way. */
  travelMs(from: string, to: string, bytes: number): number {
    const narrow = this.#rates.get(way(from, to));
    const delayMs = this.delayMs(from, to);
    if (narrow === undefined) return delayMs;
    narrow.freeAt = Math.max(narrow.freeAt, this.#time.now) + bytes / narrow.bytesPerMs;
    return narrow.freeAt - this.#time.now + delayMs;
  }

  /** Every stream between the two hosts breaks, and what is on the way is lost. */
  reset(a: string, b: string): void {
    for (const end of [...this.#ends]) if (end.party.host === a && end.other.party.host === b) end.break();
  }

  /** The network as one process sees it. */
  transport(host: string, life: Life): Transport {
    return {
      listen: (address, accept) => Promise.resolve(this.#listen(address, { host, life, accept })),
      dial: (address, timeoutMs) => this.#dial({ host, life }, address, timeoutMs),
    };
  }

  /** The streams of a process that is gone are reset; but what it said before it ended one arrives. */
  crashed(life: Life): void {
    for (const [address, acceptor] of this.#listeners) if (acceptor.life === life) this.#listeners.delete(address);
    for (const end of [...this.#ends]) if (end.party.life === life) end.abandon();
  }

  delayMs(from: string, to: string): number {
    const extra = this.#delays.get(way(from, to)) ?? 0;
    const [least, most] = extra < 0 ? [-extra, -extra] : [0, extra];
    return this.#random.integer(DELAY_MIN_US + 1000 * least, DELAY_MAX_US + 1000 * most) / 1000;
  }

  closed(end: End): void {
    this.#ends.delete(end);
  }

  #pumpAll(): void {
    for (const end of this.#ends) end.pump();
  }

  #listen(address: Address, acceptor: Acceptor): Listener {
    if (this.#listeners.has(address)) throw new RumormillError('CONFIG', `${address} is in use`);
    this.#listeners.set(address, acceptor);
    return {
      close: () => {
        if (this.#listeners.get(address) === acceptor) this.#listeners.delete(address);
        return Promise.resolve();
      },
    };
  }

  /**
   * A request and an answer go over the two ways; where one is lost the system tries again, until the dial fails in
   * time.
   */
  #dial(from: Party, name: Address, timeoutMs: number): Promise<Channel> {
    const start = this.#time.now;
    this.dialled?.(from.host, name);
    const address = this.#misleading.get(way(from.host, name)) ?? name;
    if (address !== name) this.counts.misled += 1;
    return new Promise((resolve, reject) => {
      const fail = (afterMs: number, what: string): void => {
        const error = new RumormillError('UNREACHABLE', `${name}: ${what}`);
        this.#time.after(afterMs, () => from.life.run(() => reject(error)));
      };
      const isLost = (): boolean => this.isCut(from.host, address) || this.isCut(address, from.host);
      const lose = (attempt: number): void => {
        this.counts.dialsLost += 1;
        const againMs = start + (SYN_AGAIN_MS[attempt] ?? Infinity) - this.#time.now;
        if (start + timeoutMs - this.#time.now > againMs) return void this.#time.after(againMs, () => ask(attempt + 1));
        fail(start + timeoutMs - this.#time.now, `no connection within ${timeoutMs} ms`);
      };
      const ask = (attempt: number): void => {
        const delayMs = this.delayMs(from.host, address);
        if (isLost() || this.#time.now + delayMs - start > timeoutMs) return lose(attempt);
        this.#time.after(delayMs, () => {
          if (isLost()) return lose(attempt);
          const acceptor = this.#listeners.get(address);
          const backMs = this.delayMs(address, from.host);
          if (this.#time.now + backMs - start > timeoutMs) return lose(attempt);
          const meetsItself = acceptor === undefined && this.#selfConnecting.has(from.host);
          if (acceptor === undefined && !meetsItself) return fail(backMs, 'connection refused');
          if (from.life.isOver) return;
          if (acceptor === undefined) return from.life.run(() => resolve(this.#loop(from, address)));
          const [here, there] = this.#connect(from, acceptor, address);
          acceptor.life.run(() => acceptor.accept(there));
          this.#time.after(backMs, () => from.life.run(() => resolve(here)));
        });
      };
      ask(0);
    });
  }

  /** A stream whose two ends are the same. */
  #loop(party: Party, address: Address): End {
    this.counts.selfConnects += 1;
    const end = new End(this, this.#time, party, address);
    end.other = end;
    this.#ends.add(end);
    return end;
  }

  #connect(from: Party, to: Party, address: Address): [End, End] {
    const here = new End(this, this.#time, from, address);
    const there = new End(this, this.#time, to, `${from.host}#${(this.#dials += 1)}`);
    [here.other, there.other] = [there, here];
    this.#ends.add(here).add(there);
    return [here, there];
  }
}

type Item = { readonly at: number } & (
  { readonly kind: 'data'; readonly bytes: Uint8Array } | { readonly kind: 'end' | 'reset' }
);

/** One end of a stream. What it has sent and the other end has not taken waits in `#way`, in order. */
class End implements Channel {
  readonly remote: string;
  readonly party: Party;
  other!: End;
  bufferedBytes = 0;
  readonly receivedBytes = 0; // all of it waits at the other side
  readonly #network: VirtualNetwork;
  readonly #time: VirtualTime;
  #way: Item[] = [];
  #written: Uint8Array[] = []; // in this turn
  #arriving: Timer | undefined; // the first on the way
  #heardAt = -Infinity; // when the process got something over it
  #handler: ChannelHandler | undefined;
  #paused = false;
  #sentEnd = false;
  #gotEnd = false;
  #isClosed = false;
  #isTold = false; // the process knows that it is closed

  constructor(network: VirtualNetwork, time: VirtualTime, party: Party, remote: string) {
    this.#network = network;
    this.#time = time;
    this.party = party;
    this.remote = remote;
  }

  write(bytes: Uint8Array): void {
    if (this.#sentEnd || this.#isClosed) return;
    this.#network.watch?.(this.party.host, this.other.party.host, bytes);
    this.bufferedBytes += bytes.length;
    this.#written.push(bytes);
    if (this.#written.length === 1) this.#time.after(0, () => this.flush());
  }

  flush(): void {
    if (this.#written.length === 0) return;
    const written = this.#written.length === 1 ? this.#written[0]! : Buffer.concat(this.#written);
    this.#written = [];
    if (this.#isClosed) return;
    const bytes = this.#network.twisted(this.party.host, this.other.party.host, written);
    this.bufferedBytes += bytes.length - written.length;
    const size = this.#network.pieceBytes(this.party.host, this.other.party.host);
    for (let start = 0; start < bytes.length; start += size) {
      const piece = bytes.subarray(start, start + size);
      this.#send({ kind: 'data', bytes: piece, at: this.#arrival(piece.length) });
    }
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.other.pump();
  }

  end(): void {
    if (this.#sentEnd || this.#isClosed) return;
    this.flush();
    this.#sentEnd = true;
    this.#send({ kind: 'end', at: this.#arrival() });
    this.resume();
    this.#closeIfDone();
  }

  destroy(): void {
    this.#network.brokenOff = { host: this.party.host, other: this.other.party.host, heardAt: this.#heardAt };
    if (!this.#isClosed) this.reset();
    this.#tellClosed(undefined);
  }

  attach(handler: ChannelHandler): void {
    this.#handler = handler;
    this.other.pump();
  }

  /** The process here is gone. */
  abandon(): void {
    if (!this.#sentEnd) this.reset();
    else if (!this.#isClosed) this.#close(this.#way.length > 0);
  }

  /** Ends the stream without a word to the process here: it asked for it, or is gone. */
  reset(): void {
    if (this.#isClosed) return;
    this.#close();
    this.#way.length = 0;
    this.#send({ kind: 'reset', at: this.#arrival() });
  }

  /** Breaks the stream at both ends. */
  break(): void {
    for (const end of [this, this.other]) {
      end.#way.length = 0;
      if (end.#isClosed) continue;
      this.#network.counts.resets += 1;
      end.#close();
      end.#tellClosed('connection reset');
    }
  }

  /** Sees to it that what is on the way arrives, if it can. */
  pump(): void {
    const item = this.#way[0];
    if (item === undefined || this.#arriving !== undefined || !this.other.#takes(item)) return;
    if (this.#isCut()) {
      this.#network.counts.held += 1;
      return;
    }
    this.#arriving = this.#time.after(item.at - this.#time.now, () => {
      this.#arriving = undefined;
      if (!this.#isCut() && this.#way[0] === item && this.other.#takes(item)) this.#arrive(item);
      this.pump();
    });
  }

  /** The way is better than it was: what was to arrive later arrives as if it was sent now. */
  hasten(): void {
    const soon = this.#time.now + this.#network.delayMs(this.party.host, this.other.party.host);
    if ((this.#way.at(-1)?.at ?? 0) <= soon) return;
    this.#way = this.#way.map((item) => ({ ...item, at: Math.min(item.at, soon) }));
    this.#arriving?.cancel();
    this.#arriving = undefined;
    this.pump();
  }

  #isCut(): boolean {
    return this.#network.isCut(this.party.host, this.other.party.host);
  }

  #send(item: Item): void {
    this.#way.push(item);
    this.pump();
  }

  #arrival(bytes = 0): number {
    return Math.max(
      this.#time.now + this.#network.travelMs(this.party.host, this.other.party.host, bytes),
      this.#way.at(-1)?.at ?? 0,
    );
  }

  #takes(item: Item): boolean {
    return (
      item.kind === 'reset' ||
      this.#isClosed ||
      (this.#handler !== undefined && !(this.#paused && item.kind === 'data'))
    );
  }

  #arrive(item: Item): void {
    this.#way.shift();
    this.#network.counts.delivered += 1;
    this.other.#take(item);
    if (item.kind !== 'data' || this.#isClosed) return;
    this.bufferedBytes -= item.bytes.length;
    this.#tell((handler) => handler.sent());
    if (this.bufferedBytes === 0) this.#tell((handler) => handler.drain());
  }

  #take(item: Item): void {
    if (this.#isClosed) {
      if (item.kind === 'data') this.#send({ kind: 'reset', at: this.#arrival() });
      return;
    }
    switch (item.kind) {
      case 'data': {
        const bytes = Buffer.from(item.bytes);
        return this.#tell((handler) => {
          this.#heardAt = this.#time.now;
          handler.data(bytes);
        });
      }
      case 'end':
        this.#gotEnd = true;
        this.#tell((handler) => handler.ended());
        return this.#closeIfDone();
      case 'reset':
        this.#network.counts.resets += 1;
        this.#close();
        return this.#tellClosed('connection reset');
    }
  }

  #closeIfDone(): void {
    if (!this.#sentEnd || !this.#gotEnd || this.#isClosed) return;
    this.#close(this.#way.length > 0);
    this.#tellClosed(undefined);
  }

  /** What is still on the way arrives all the same, unless it is a reset. */
  #close(stillSending = false): void {
    this.#isClosed = true;
    this.#written = [];
    if (!stillSending && this.other.#isClosed) for (const end of [this, this.other]) this.#network.closed(end);
  }

  #tell(call: (handler: ChannelHandler) => void): void {
    this.party.life.run(() => {
      if (this.#handler !== undefined && !this.#isTold) call(this.#handler);
    });
  }

  #tellClosed(reason: string | undefined): void {
    this.party.life.run(() => {
      if (this.#handler === undefined || this.#isTold) return;
      this.#isTold = true;
      this.#handler.closed(reason);
    });
  }
}

function way(from: string, to: string): string {
  return `${from} ${to}`;
}
