/**
 * Who a broker is: the holder of a key. An address says where to look for a broker, an origin names its store, an
 * instance its process; whoever has seen these can repeat them. A key is proven, and its hash is the broker's id.
 *
 * A proof is an Ed25519 signature (RFC 8032) over a text that
 *   - is of this purpose and protocol version alone, so that no signature made for anything else is a proof;
 *   - has what makes this connection differ from every other one, so that no proof is good twice;
 *   - has both keys and the mesh, so that a proof made for one broker is none for another;
 *   - says which side signs, so that a proof that is sent back to its maker is none.
 * It does not protect what is said afterwards: whoever can change bytes between two brokers can still do that.
 */
import type { Digests } from '../log/proof.ts';

declare const brand: unique symbol;

/** 32 hexadecimal digits: half of the SHA-256 of the public key. */
export type BrokerId = string & { readonly [brand]: 'BrokerId' };

export const [KEY_BYTES, NONCE_BYTES, SIGNATURE_BYTES] = [32, 32, 64];

/** The key of one broker. io/identity.ts keeps it in a file. */
export interface Identity {
  readonly id: BrokerId;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Of 64 bytes. */
  sign(text: Uint8Array): Uint8Array;
}

/** What everybody can do without a key. io/identity.ts has it of Node. */
export interface Signatures extends Digests {
  /** 32 bytes that nobody can guess. */
  nonce(): Uint8Array;
  idOf(publicKey: Uint8Array): BrokerId;
}

/** Which end of a connection. */
export type Side = 'dialler' | 'answerer';

/** What one end has said of itself. */
export interface Shown {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
}

/** Between whom a connection is. */
export interface Parties {
  readonly version: number;
  readonly mesh: string;
  readonly dialler: Shown;
  readonly answerer: Shown;
}

/** The text that `side` signs. */
export function proofText(side: Side, parties: Parties): Uint8Array {
  const { version, mesh, dialler, answerer } = parties;
  return Buffer.from([
    `Rumormill, proof of a broker's key, peer protocol ${version}`,
    `signed by the ${side}`,
    `connection ${connectionOf(parties)}`,
    `dialler ${hex(dialler.key)}`,
    `answerer ${hex(answerer.key)}`,
    `mesh ${mesh}`, // the only one of no fixed form, so it is the last
  ].join('\n'));
}

/**
 * What this connection has and no other one: each side has drawn half of it. With TLS it is the exported keying
 * material (RFC 9266), which also ties the proof to who is at the other end of the encryption.
 */
function connectionOf({ dialler, answerer }: Parties): string {
  return `${hex(dialler.nonce)} ${hex(answerer.nonce)}`;
}

export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
