/**
 * Clients that take what they can get and give nothing back: each kind makes a broker hold memory in a
 * way of its own, as much of it as one connection may.
 */
import { connect, type Socket } from 'node:net';
import { parseAddress } from '../../brokers/core/address.ts';
import type { Origin } from '../../brokers/core/log/record.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { testIdentity } from './identity.ts';
import { bytesOf, diallerOf, hello, PeerReader } from './peer.ts';

/** What is published for those who do not read it. */
export const FLOOD = 'flood';

export const GREEDY_KINDS = ['half', 'crumbs', 'ask', 'idle', 'names', 'link', 'silent'] as const;
export type GreedyKind = (typeof GREEDY_KINDS)[number];

const MEBIBYTE = 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, 'x');
const CRUMB = Buffer.from('x');
const CRUMB_MS = 1;

/** One connection, for as long as the broker bears it. */
export class Greedy {
  readonly kind: GreedyKind;
  readonly #socket: Socket;
  #told = '';
  #timer: NodeJS.Timeout | undefined;
  isClosed = false;

  /** @param number tells those of one kind apart */
  constructor(kind: GreedyKind, port: number, number: number, closed: () => void = () => undefined) {
    this.kind = kind;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('error', () => undefined); // 'close' follows
    this.#socket.on('close', () => {
      this.isClosed = true;
      clearInterval(this.#timer);
      closed();
    });
    this.#socket.once('connect', () => this.#begin(number));
  }

  /** The error line with which the broker closed it, if one came. */
  get told(): string {
    return /^-[^\r]*/m.exec(this.#told)?.[0] ?? '';
  }

  close(): void {
    this.#socket.destroy();
  }

  #begin(number: number): void {
    if (this.kind !== 'ask' && this.kind !== 'idle') {
      this.#socket.on('data', (chunk) => (this.#told = `${this.#told}${chunk.toString('latin1')}`.slice(-1000)));
    }
    switch (this.kind) {
      case 'half': // two arguments of which the second one never comes to its end
        this.#socket.write(`*4\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$${8 * MEBIBYTE}\r\n`);
        return this.#pour(8 * MEBIBYTE, () => {
          this.#socket.write(`\r\n$${8 * MEBIBYTE - 1000}\r\n`);
          this.#pour(7 * MEBIBYTE);
        });
      case 'crumbs':
        this.#socket.write(`*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$${MEBIBYTE}\r\n`);
        this.#timer = setInterval(() => this.#socket.write(CRUMB), CRUMB_MS);
        return;
      case 'ask':
        this.#socket.write(
          Buffer.concat(
            new Array<Buffer>(20).fill(encodeCommand(['POLL', FLOOD, 'CURSOR', 'earliest', 'COUNT', 10_000])),
          ),
        );
        return;
      case 'idle':
        this.#socket.write(encodeCommand(['SUBSCRIBE', FLOOD]));
        return;
      case 'names':
        this.#socket.write(`*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$${8 * MEBIBYTE}\r\n`);
        return this.#pour(8 * MEBIBYTE, () => void this.#socket.write('\r\n'));
      case 'link':
        return this.#introduce(number, () => {
          this.#socket.write(`*11\r\n$7\r\nRECORDS\r\n$${16 * MEBIBYTE}\r\n`);
          this.#pour(16 * MEBIBYTE - 1000);
        });
      case 'silent':
    }
  }

  /** As a broker that there is not, below every other one, so that it is elected nowhere. */
  #introduce(number: number, then: () => void): void {
    const address = parseAddress(`127.0.0.1:${1 + number}`);
    const [identity, reader] = [testIdentity(1 + number), new PeerReader()];
    const mine = hello({ address, origin: `${address}/aaaaaaaaaaaa` as Origin, instance: 'aaaaaaaaaaaa' }, identity);
    const handshake = diallerOf(mine, identity);
    const listen = (chunk: Buffer): void => {
      reader.push(chunk);
      for (let said = reader.next(); said !== undefined; said = reader.next()) {
        if (typeof said === 'string') return; // why not
        if (said.type === 'PEER') handshake.hear(said);
        if (said.type !== 'PROOF') continue;
        this.#socket.off('data', listen);
        this.#socket.write(bytesOf(handshake.prove()));
        return then();
      }
    };
    this.#socket.on('data', listen);
    this.#socket.write(bytesOf(mine));
  }

  /** Sends so many bytes, as fast as they are taken. */
  #pour(bytes: number, then: () => void = () => undefined): void {
    for (let left = bytes; ; left -= CHUNK.length) {
      if (left <= 0) return then();
      if (this.#socket.destroyed) return;
      if (this.#socket.write(CHUNK.subarray(0, left))) continue;
      this.#socket.once('drain', () => (left > CHUNK.length ? this.#pour(left - CHUNK.length, then) : then()));
      return;
    }
  }
}
