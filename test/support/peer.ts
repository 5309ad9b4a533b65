/** A peer that a test plays: it has a key, says of itself what the test wants, and does its part of the handshake. */
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import type { Identity } from '../../brokers/core/mesh/identity.ts';
import { systemSignatures } from '../../brokers/io/identity.ts';
import { Handshake } from '../../brokers/mesh/handshake.ts';
import { CommandParser } from '../../brokers/wire/command-parser.ts';
import { decodePeerMessage, encodePeerMessage } from '../../brokers/wire/peer-codec.ts';
import { type Hello, PEER_PROTOCOL_VERSION, type PeerMessage, type Proof } from '../../brokers/wire/peer-message.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { testIdentity } from './identity.ts';
import { origin } from './record.ts';
import type { RespClient } from './resp-client.ts';
import type { VirtualClient } from './virtual-broker.ts';

const LIMITS = { bulkBytesMax: 16 * 1024 * 1024, commandBytesMax: 32 * 1024 * 1024 };

/** What a peer says of itself. */
export function hello(changes: Partial<Hello> = {}, identity = testIdentity()): Hello {
  const address = changes.address ?? parseAddress('10.9.9.9:1');
  return {
    type: 'PEER', version: PEER_PROTOCOL_VERSION, mesh: 'default', address, origin: origin(address), instance: 'x',
    lamport: 1, wants: 'link', dialled: address, time: 0, key: identity.publicKey, nonce: systemSignatures.nonce(),
    names: [], ...changes,
  };
}

/** The dialler's part of a handshake. */
export function diallerOf(mine: Hello, identity: Identity = testIdentity()): Handshake {
  return new Handshake({ identity, signatures: systemSignatures }, 'dialler', mine);
}

export function answererOf(mine: Hello, identity: Identity = testIdentity()): Handshake {
  return new Handshake({ identity, signatures: systemSignatures }, 'answerer', mine);
}

export function bytesOf(message: PeerMessage): Buffer {
  return Buffer.concat(encodePeerMessage(message));
}

/** What a broker sends to its peers; an error reply is a text. */
export class PeerReader {
  readonly #parser = new CommandParser(LIMITS);

  push(bytes: Uint8Array): void {
    this.#parser.push(Buffer.from(bytes));
  }

  next(): PeerMessage | string | undefined {
    const args = this.#parser.next();
    if (args === undefined) return undefined;
    return args.text(0).startsWith('-') ? args.text(0) : decodePeerMessage(args, DEFAULT_LIMITS);
  }
}

/** A peer at the other end of a connection with a broker in this process. */
export class VirtualPeer {
  readonly client: Pick<VirtualClient, 'channel' | 'sendBytes'>;
  readonly #settle: () => Promise<void>;
  readonly #reader = new PeerReader();

  /** @param settle waits until the broker has done what it can */
  constructor(client: Pick<VirtualClient, 'channel' | 'sendBytes'>, settle: () => Promise<void>) {
    this.client = client;
    this.#settle = settle;
  }

  say(...messages: readonly PeerMessage[]): void {
    this.client.sendBytes(Buffer.concat(messages.map(bytesOf)));
  }

  /** What the broker has said since the last call. */
  async heard(): Promise<(PeerMessage | string)[]> {
    await this.#settle();
    for (const bytes of this.client.channel.onTheWay.splice(0)) this.#reader.push(bytes);
    const heard: (PeerMessage | string)[] = [];
    for (let next = this.#reader.next(); next !== undefined; next = this.#reader.next()) heard.push(next);
    return heard;
  }

  /** Dials: says who it is, and proves it. @returns what the broker said after that */
  async introduce(mine: Hello, identity = testIdentity()): Promise<(PeerMessage | string)[]> {
    const handshake = diallerOf(mine, identity);
    this.say(mine);
    const heard = await this.heard();
    const [theirs, proof] = heard as [Hello, Proof];
    if (heard.length !== 2) return heard;
    handshake.hear(theirs);
    handshake.verify(proof);
    this.say(handshake.prove());
    return this.heard();
  }
}

/** The same with a broker of a process of its own; the broker may refuse it afterwards. */
export async function introduce(client: RespClient, mine: Hello, identity = testIdentity()): Promise<void> {
  const handshake = diallerOf(mine, identity);
  client.raw(bytesOf(mine));
  handshake.hear((await nextOf(client)) as Hello);
  handshake.verify((await nextOf(client)) as Proof);
  client.raw(bytesOf(handshake.prove()));
}

/** @throws the broker's error */
export async function nextOf(client: RespClient): Promise<PeerMessage> {
  const reply = await client.next('a peer');
  if (!Array.isArray(reply)) throw reply;
  const reader = new PeerReader();
  reader.push(encodeCommand(reply as Buffer[]));
  return reader.next() as PeerMessage;
}
